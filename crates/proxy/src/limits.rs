//! How much a client may ask for, and how long it may take.

use std::time::Duration;

use waypost_http1::HeadLimits;

/// Limits on clients. A duration of zero, and `None`, is no limit.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How large a request's head may be.
    pub head: HeadLimits,
    /// How large a request's body may be, in bytes.
    pub max_body: Option<u64>,
    /// For a head to come, from its first byte (or, on a new connection, from the connection) on.
    pub header_timeout: Duration,
    /// For the next request to begin, between two arrivals of a body's bytes, and for the client to take
    /// more of a response.
    pub idle_timeout: Duration,
    /// How long a connection that speaks another protocol may be silent in both directions.
    pub tunnel_timeout: Duration,
    /// How many connections one client address may have.
    pub connections_per_client: Option<u32>,
    /// How many connections there may be in all.
    pub max_connections: Option<u32>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head: HeadLimits::default(),
            max_body: None,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            tunnel_timeout: Duration::from_secs(3600),
            connections_per_client: None,
            max_connections: None,
        }
    }
}
