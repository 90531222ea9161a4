//! HTTP/1.1 messages as bytes (RFC 9110, RFC 9112), for a proxy that faces anyone.
//!
//! What is here turns bytes into heads, decides where a body ends, takes chunks apart and writes
//! heads again; nothing here reads a socket, so that every rule can be tested and fuzzed as a pure
//! function. It promises three things:
//!
//! - **One reading.** Where two programs could read a message differently (both lengths, a bare line
//!   feed, white space before a colon, a folded line), it is an error and never a guess.
//! - **What is written is what was checked.** A head that was accepted is written from the bytes that
//!   were looked at, each line in the form `Name: value`.
//! - **A head costs a fixed number of allocations**, however many fields it has, and none when its
//!   buffers are used again.
//!
//! Tokens are recognised by `httparse`. Which fields to remove, add or trust is not decided here: that
//! is the proxy's business.

#![forbid(unsafe_code)]

pub mod chunked;
mod error;
mod fields;
mod framing;
mod head;
mod hop_by_hop;
pub mod host;
mod name;
mod request;
mod response;
mod scheme;

pub use chunked::ChunkedDecoder;
pub use error::{RequestError, ResponseError};
pub use fields::{Field, Fields, InvalidField};
pub use framing::{BodyLength, request_body_length, response_body_length};
pub use head::{HeadLimits, HeadScanner, Scan};
pub use host::{Host, HostError};
pub use name::{Name, NameSet};
pub use request::{RequestHead, Target, Version};
pub use response::ResponseHead;
pub use scheme::Scheme;
