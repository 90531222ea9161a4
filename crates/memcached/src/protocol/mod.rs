//! memcached's protocols as bytes: requests into a buffer, replies out of one, without I/O.
//!
//! Each protocol has a file with two pure functions: `encode` writes one [`Request`], `decode` reads one
//! [`Frame`], which is the smallest unit a server sends: a line, or a line with its value. A [`Pipeline`]
//! remembers what was sent and turns frames into [`Reply`]s; a frame that answers nothing that was asked is
//! an error. Bytes from a server are taken for hostile: lines, values and lists are bounded by [`Limits`],
//! and nothing is reserved because a server announced it.
//!
//! `protocol.txt` of memcached 1.6 is what the text and meta protocols follow,
//! `protocol-binary.txt` the binary one.

pub mod binary;
mod frame;
mod line;
pub mod meta;
mod outgoing;
mod pipeline;
mod request;
pub mod text;

use thiserror::Error;

pub use frame::{Frame, Refusal, RefusalKind, Status, Step};
pub use outgoing::Outgoing;
pub use pipeline::{Pipeline, Replies};
pub use request::{Create, Item, Reply, Request, StoreMode};

/// What a server may send at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one line, its end included.
    pub line: usize,
    /// Bytes of one value.
    pub value: usize,
    /// Lines of statistics.
    pub stats: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        // A gibibyte is the largest item size memcached can be started with (`-I`).
        Limits { line: 8 * 1024, value: 1 << 30, stats: 65_536 }
    }
}

/// Which protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Meta commands, and text for what has none (`version`, `stats`, `flush_all`).
    Meta,
    /// The classic text protocol.
    Text,
    /// The binary protocol.
    Binary,
}

/// What a server sent is not an answer to what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A line has no end.
    #[error("sent a line of more than {0} bytes")]
    LongLine(usize),
    /// A line that no server sends.
    #[error("sent a line that is no reply: {0:?}")]
    UnknownLine(String),
    /// A value larger than is taken.
    #[error("announced a value of {announced} bytes, of which at most {limit} are taken")]
    LongValue {
        /// The size it announced.
        announced: u64,
        /// The size that is taken.
        limit: usize,
    },
    /// A value is longer than announced, or not ended as it should be.
    #[error("sent a value that doesn't end where it should")]
    Unterminated,
    /// A list without an end.
    #[error("sent more than {0} lines of statistics")]
    LongList(usize),
    /// A reply that belongs to something else.
    #[error("sent a reply that doesn't belong to the request: {0}")]
    Mismatch(&'static str),
    /// A number that is none, or too large.
    #[error("sent {0:?} where a number should be")]
    Number(String),
    /// A binary reply whose parts don't fit each other.
    #[error("sent a binary reply that contradicts itself: {0}")]
    Binary(&'static str),
    /// More than was asked for.
    #[error("sent more than it was asked for")]
    Surplus,
    /// A message without a request it could be about.
    #[error("complained in the middle of other replies: {0}")]
    Complaint(String),
}
