//! What the access log counts about itself.
//!
//! Handles and the writer add to shared atomics; [`AccessLogStats`] is one reading of them. The numbers are
//! each exact, but not taken at one instant.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// One reading of an access log's counters. All but `queued_bytes` count since the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AccessLogStats {
    /// Lines that stand in the file.
    pub lines: u64,
    /// Bytes of those lines.
    pub bytes: u64,
    /// Memory held by lines handed over and not yet written, in bytes.
    pub queued_bytes: u64,
    /// How often a worker had to wait because the queue was full.
    pub delays: u64,
    /// How long those waits took that are over, all together.
    pub delay_time: Duration,
    /// Writes that failed; each was tried again.
    pub write_errors: u64,
    /// Lines given up: the file refused them for longer than the queue and the delay allowed, or they came
    /// after the log was closed.
    pub lost_lines: u64,
    /// How often the writer moved on to a new file.
    pub reopened: u64,
    /// Bytes of half-written lines, left by a killed process, that were cut off.
    pub torn_bytes: u64,
}

/// The counters themselves.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) lines: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) delays: AtomicU64,
    pub(crate) delay_nanos: AtomicU64,
    pub(crate) write_errors: AtomicU64,
    pub(crate) lost_lines: AtomicU64,
    pub(crate) reopened: AtomicU64,
    pub(crate) torn_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self, queued_bytes: usize) -> AccessLogStats {
        AccessLogStats {
            lines: self.lines.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            queued_bytes: queued_bytes as u64,
            delays: self.delays.load(Relaxed),
            delay_time: Duration::from_nanos(self.delay_nanos.load(Relaxed)),
            write_errors: self.write_errors.load(Relaxed),
            lost_lines: self.lost_lines.load(Relaxed),
            reopened: self.reopened.load(Relaxed),
            torn_bytes: self.torn_bytes.load(Relaxed),
        }
    }

    /// Notes that a worker's wait, counted when it began, has taken `time`.
    pub(crate) fn delayed(&self, time: Duration) {
        self.delay_nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}
