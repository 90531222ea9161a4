//! What a router writes down about the exchanges it finished.
//!
//! The access log is the queue between the router and its statistics: a [`Record`] becomes one JSON line
//! ([`LineFormatter`]), lines gather in a worker's own buffer ([`LogHandle`]), and one thread appends them to
//! a file ([`AccessLog`]). The promise: a record that was pushed becomes exactly one whole line, the request
//! path pays for formatting only, and whatever stands in the way of the file shows in [`AccessLogStats`].
//!
//! ```
//! use std::path::Path;
//! use waypost_stats::{AccessLog, AccessLogError, AccessLogOptions, Record};
//!
//! fn log_one(path: &Path, record: &Record<'_>) -> Result<(), AccessLogError> {
//!     let log = AccessLog::open(path, AccessLogOptions::default())?;
//!     let mut handle = log.handle(); // one a worker
//!     handle.push(record); // as each exchange ends
//!     handle.flush(); // at each tick, about every 100 ms
//!     drop(handle);
//!     log.close()
//! }
//! ```
//!
//! How exchanges are served, and what is worth a record, is left to the caller.
#![forbid(unsafe_code)]

mod access_log;
mod counters;
mod format;
mod line_file;
mod queue;
mod record;
mod writer;

pub use access_log::{AccessLog, AccessLogError, AccessLogOptions, LogHandle};
pub use counters::AccessLogStats;
pub use format::LineFormatter;
pub use record::Record;
