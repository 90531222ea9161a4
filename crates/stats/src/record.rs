//! One finished exchange, as the access log tells it.
//!
//! A record borrows everything: it is built on the stack when an exchange ends, formatted, and gone. It
//! holds what is known, not how it is written; names, types and order of the line are
//! [`LineFormatter`](crate::LineFormatter)'s. Text that came from a client or an upstream is bytes, because
//! nobody promised that it is UTF-8.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// One finished exchange.
///
/// The first fields are those of the original log format; the others are ours.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// Version-type key of the instance that answered; `None` is written as `"null"`.
    pub version_type_key: Option<&'a str>,
    /// Node key of the instance that answered; `None` is written as `"null"`.
    pub node_key: Option<&'a str>,
    /// Key of the instance that answered; `None` is written as `"null"`.
    pub instance_key: Option<&'a str>,
    /// Bytes sent to the client, head and body.
    pub bytes: u64,
    /// Status sent; 101 for an upgraded connection, 499 when the client went away first.
    pub code: u16,
    /// How long the last upstream asked took; `None` when none was asked. Written in whole milliseconds,
    /// the rest cut off.
    pub upstream_response_time: Option<Duration>,
    /// When the exchange ended. A time before 1970 is written as 1970, one after 9999 as the end of 9999.
    pub finished: SystemTime,
    /// From the first byte read to the last byte sent. Written in whole milliseconds, the rest cut off.
    pub total: Duration,
    /// The id that the exchange carries in its headers and in every message about it.
    pub request_id: &'a str,
    /// Address of the client, without its port.
    pub client: IpAddr,
    /// Request method; empty when the request could not be read that far.
    pub method: &'a [u8],
    /// Host that the request was for; empty when there was none.
    pub host: &'a [u8],
    /// Path and query as received; empty when the request could not be read that far.
    pub path: &'a [u8],
    /// Protocol spoken with the client, such as `HTTP/1.1`.
    pub protocol: &'a str,
    /// Address or name of the last upstream asked; `None` when none was.
    pub upstream: Option<&'a str>,
    /// How many times an upstream was asked.
    pub tries: u32,
    /// Bytes received from the client, head and body.
    pub bytes_received: u64,
    /// Table entry that matched.
    pub route: Option<&'a str>,
    /// The request's `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// The request's `Referer`.
    pub referer: Option<&'a [u8]>,
    /// What went wrong, where something did. The field is left out of the line when nothing did.
    pub error: Option<&'a str>,
}
