//! What is told of an exchange when it has ended.

use std::time::Instant;

use crate::request_id::{self, RequestId};

/// How much of a request could be read, and so can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    Nothing,
    /// Method, target and fields.
    Head,
    /// And its host is valid.
    Host,
}

/// One exchange, as it is told to the access log.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) started: Instant,
    pub(crate) id: RequestId,
    pub(crate) seen: Seen,
    /// The status that was sent, or 499.
    pub(crate) code: u16,
    pub(crate) error: Option<String>,
    /// When the last byte of the response had come from whoever gave it.
    pub(crate) ended: Option<Instant>,
}

impl Story {
    /// An exchange whose first byte has just been read.
    pub(crate) fn begin() -> Story {
        Story {
            started: Instant::now(),
            id: [b'0'; 32],
            seen: Seen::Nothing,
            code: 0,
            error: None,
            ended: None,
        }
    }

    /// Notes that the response has come to its end.
    pub(crate) fn upstream_ended(&mut self) {
        self.ended = Some(Instant::now());
    }

    /// The request's id.
    pub(crate) fn id(&self) -> &str {
        request_id::text(&self.id)
    }
}
