//! The thread that writes the access log.
//!
//! It appends what it is handed, one write a chunk, and follows the file's name. A write that fails is tried
//! again, from the line where it stopped, until it succeeds or the log is closed: said once when it begins,
//! once when it is over, and counted. Meanwhile lines wait in the queue, whose bound is the workers' matter.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::access_log::Shared;
use crate::line_file::{LineFile, OpenError};
use crate::queue::{Chunk, Work};

/// How often the file's name is looked at when there is nothing to write.
const IDLE: Duration = Duration::from_secs(1);

/// The first and the longest wait before a failed write is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The writer ended with lines unwritten.
#[derive(Debug)]
pub(crate) struct GaveUp {
    pub(crate) lines: u64,
    pub(crate) source: io::Error,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    file: LineFile,
    /// The file's name could not be followed, which has been said.
    astray: bool,
}

impl Writer {
    /// A writer to `file`, of which `torn` bytes were cut off when it was opened.
    pub(crate) fn new(shared: Arc<Shared>, file: LineFile, torn: u64) -> Self {
        let writer = Writer { shared, file, astray: false };
        writer.cut_off(torn);
        writer
    }

    /// Works until the log is closed.
    pub(crate) fn run(mut self) -> Result<(), GaveUp> {
        loop {
            let work = self.shared.queue.next(IDLE);
            self.follow();
            match work {
                Work::Write(chunk) => self.write(chunk)?,
                Work::Idle => {}
                Work::End => return Ok(()),
            }
        }
    }

    /// Writes the whole chunk, however long it takes.
    fn write(&mut self, chunk: Chunk) -> Result<(), GaveUp> {
        let mut rest = chunk.bytes.as_slice();
        let mut backoff = BACKOFF.0;
        let mut failing_since = None;
        loop {
            let appended = self.file.append(rest);
            rest = &rest[appended.written..];
            self.cut_off(appended.torn);
            let Some(source) = appended.error else { break };
            self.shared.counters.write_errors.fetch_add(1, Relaxed);
            if failing_since.is_none() {
                tracing::error!(
                    "cannot write the access log {}: {source}; lines wait in memory, and it is tried again \
                     until it works",
                    self.file.path().display()
                );
                failing_since = Some(Instant::now());
            }
            let left = self.shared.queue.close_by().map(|by| by.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(self.give_up(&chunk.bytes[..chunk.bytes.len() - rest.len()], source));
            }
            self.shared.queue.pause(backoff.min(left.unwrap_or(backoff)));
            backoff = BACKOFF.1.min(backoff * 2);
            self.follow();
        }
        if let Some(since) = failing_since {
            tracing::warn!(
                "the access log {} is written again after {:.1?}; no line was lost in the writing",
                self.file.path().display(),
                since.elapsed()
            );
        }
        self.shared.counters.lines.fetch_add(chunk.lines, Relaxed);
        self.shared.counters.bytes.fetch_add(chunk.bytes.len() as u64, Relaxed);
        self.shared.queue.done(chunk);
        Ok(())
    }

    /// Moves on to a new file when the old one has been moved away.
    fn follow(&mut self) {
        let ordered = self.shared.queue.take_reopen();
        match self.file.follow() {
            Ok(None) => self.astray = false,
            Ok(Some(torn)) => {
                self.astray = false;
                self.shared.counters.reopened.fetch_add(1, Relaxed);
                tracing::info!("the access log goes on in a new file {}", self.file.path().display());
                self.cut_off(torn);
            }
            Err(error) => {
                if ordered || !self.astray {
                    let error = match error {
                        OpenError::Io(error) => error.to_string(),
                        OpenError::NotALog => "it ends in something that is not a log line".to_owned(),
                    };
                    tracing::error!(
                        "the access log was moved away and {} cannot be opened: {error}; it is tried again",
                        self.file.path().display()
                    );
                }
                self.astray = true;
            }
        }
    }

    /// Tells of a half line that was cut off.
    fn cut_off(&self, torn: u64) {
        if torn > 0 {
            self.shared.counters.torn_bytes.fetch_add(torn, Relaxed);
            tracing::warn!(
                "{} ended in {torn} bytes of a half-written line, as a killed process leaves; they were cut off",
                self.file.path().display()
            );
        }
    }

    /// Counts everything as lost but the lines in `written`, which the last chunk has got rid of.
    fn give_up(&self, written: &[u8], source: io::Error) -> GaveUp {
        let done = memchr::memchr_iter(b'\n', written).count() as u64;
        let lines = self.shared.queue.abandon().saturating_sub(done);
        self.shared.counters.lines.fetch_add(done, Relaxed);
        self.shared.counters.bytes.fetch_add(written.len() as u64, Relaxed);
        self.shared.counters.lost_lines.fetch_add(lines, Relaxed);
        GaveUp { lines, source }
    }
}
