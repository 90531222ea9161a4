//! The access log: handles for workers, and the thread that writes.
//!
//! A worker formats its records into a buffer of its own and hands it over when it is full or when its tick
//! says so: no lock, no system call and, in steady state, no allocation a record. One thread appends what it
//! is handed. When that thread can't keep up, lines queue in memory up to a bound; at the bound a worker
//! waits, which is counted. Only when the file has refused lines for longer than the bound on waiting are
//! lines given up, counted and said: a log that can't be written must not stop the router for good.
//!
//! The file always consists of whole lines; how, is told in `line_file`. Nothing here is synced to the disk:
//! what the kernel has taken survives the end of the process, not a power cut.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::counters::{AccessLogStats, Counters};
use crate::format::LineFormatter;
use crate::line_file::{LineFile, OpenError};
use crate::queue::{BUFFER_CAPACITY, Chunk, Handed, Queue};
use crate::record::Record;
use crate::writer::{GaveUp, Writer};

/// A buffer with less room than this is handed over. Most lines fit in it, so that buffers seldom grow.
const LINE_ROOM: usize = 4 * 1024;

/// What a `max_delay` beyond what the clock can count comes to.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How much longer than `max_delay` the writer may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// How an access log behaves.
#[derive(Debug, Clone)]
pub struct AccessLogOptions {
    /// Create the file's directory when it is missing. Off: a missing directory is more often a mistyped
    /// path than a wish.
    pub create_directory: bool,
    /// Bound on the memory of lines handed over and not yet written, in bytes. 64 MiB.
    pub max_queued: usize,
    /// How long one handle waits at that bound, and how long [`AccessLog::close`] waits for a file that
    /// refuses lines, before lines are given up. 10 s.
    pub max_delay: Duration,
}

impl Default for AccessLogOptions {
    fn default() -> Self {
        AccessLogOptions {
            create_directory: false,
            max_queued: 64 * 1024 * 1024,
            max_delay: Duration::from_secs(10),
        }
    }
}

/// Why an access log could not be opened, or not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessLogError {
    /// The directory could not be created.
    #[error("cannot create the directory {} for the access log: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be opened for appending.
    #[error("cannot open the access log {}: {source}; {}", path.display(), advice(source))]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file ends in something that is not the rest of a log line, and was left alone.
    #[error(
        "{} ends without a newline, and in more than a killed process can have left of a line; \
         if it is an access log, move it away, if not, give another path",
        path.display()
    )]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// The writer's thread could not be started.
    #[error("cannot start the thread that writes the access log: {source}")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
    /// The log was closed while the file refused lines.
    #[error("{lines} lines could not be written to the access log {} and are lost: {source}", path.display())]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// How many lines.
        lines: u64,
        /// What the system said last.
        source: io::Error,
    },
}

/// What to do about a file that can't be opened.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "create its directory, or give another path",
        io::ErrorKind::PermissionDenied => "let this user write there, or give another path",
        io::ErrorKind::ReadOnlyFilesystem => "give a path on a file system that can be written",
        io::ErrorKind::IsADirectory => "give the path of a file",
        _ => "give another path if that can't be helped",
    }
}

/// What handles, writer and owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
}

/// An open access log and the thread that writes it.
///
/// Dropping it closes it.
#[derive(Debug)]
pub struct AccessLog {
    path: PathBuf,
    max_delay: Duration,
    shared: Arc<Shared>,
    /// How the writer ended; gone once somebody has asked.
    ended: Mutex<Option<Receiver<Result<(), GaveUp>>>>,
}

impl AccessLog {
    /// Opens `path` for appending, cuts off a half-written last line that a killed process left, and starts
    /// the writer.
    ///
    /// # Errors
    /// [`AccessLogError::Directory`], [`Open`](AccessLogError::Open), [`NotALog`](AccessLogError::NotALog)
    /// and [`Thread`](AccessLogError::Thread).
    pub fn open(path: impl Into<PathBuf>, options: AccessLogOptions) -> Result<Self, AccessLogError> {
        let path = path.into();
        if options.create_directory
            && let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty())
        {
            std::fs::create_dir_all(directory)
                .map_err(|source| AccessLogError::Directory { path: directory.to_owned(), source })?;
        }
        let shared =
            Arc::new(Shared { queue: Queue::new(options.max_queued), counters: Counters::default() });
        let (file, torn) = LineFile::open(&path).map_err(|error| match error {
            OpenError::Io(source) => AccessLogError::Open { path: path.clone(), source },
            OpenError::NotALog => AccessLogError::NotALog { path: path.clone() },
        })?;
        let writer = Writer::new(Arc::clone(&shared), file, torn);
        let (end, ended) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("access-log".to_owned())
            // Nobody listens any more: then nobody needs to know.
            .spawn(move || drop(end.send(writer.run())))
            .map_err(|source| AccessLogError::Thread { source })?;
        Ok(AccessLog { path, max_delay: options.max_delay, shared, ended: Mutex::new(Some(ended)) })
    }

    /// The path the log was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A handle for one worker.
    pub fn handle(&self) -> LogHandle {
        LogHandle {
            shared: Arc::clone(&self.shared),
            chunk: Chunk::new(),
            formatter: LineFormatter::new(),
            max_delay: self.max_delay,
            overrun: false,
        }
    }

    /// Has the writer look at the file's name at once, as on SIGUSR1: when the file has been moved away or
    /// deleted, a new one is created. It looks by itself before each write and every second.
    pub fn reopen(&self) {
        self.shared.queue.reopen();
    }

    /// One reading of the counters.
    pub fn stats(&self) -> AccessLogStats {
        self.shared.counters.read(self.shared.queue.held())
    }

    /// Writes all that was handed over and ends the writer. Drop the handles first: what they still hold
    /// comes too late. Waits for a file that refuses lines up to `max_delay`. A second call does nothing.
    ///
    /// # Errors
    /// [`AccessLogError::Unwritten`] when lines had to be given up.
    pub fn close(&self) -> Result<(), AccessLogError> {
        let now = Instant::now();
        self.shared.queue.close(now.checked_add(self.max_delay).unwrap_or(now + FOREVER));
        let Some(ended) = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        let GaveUp { lines, source } = match ended.recv_timeout(self.max_delay.saturating_add(GRACE)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(gave_up)) => gave_up,
            // A pipe that nobody reads can hold the writer for ever, in the middle of a write.
            Err(_) => {
                let lines = self.shared.queue.abandon();
                self.shared.counters.lost_lines.fetch_add(lines, Relaxed);
                GaveUp { lines, source: io::ErrorKind::TimedOut.into() }
            }
        };
        Err(AccessLogError::Unwritten { path: self.path.clone(), lines, source })
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!("{error}");
        }
    }
}

/// One worker's end of the access log.
///
/// Dropping it hands over what it holds.
#[derive(Debug)]
pub struct LogHandle {
    shared: Arc<Shared>,
    /// Lines not yet handed over.
    chunk: Chunk,
    formatter: LineFormatter,
    max_delay: Duration,
    /// The queue stayed full for `max_delay`: no more waiting until it takes something again.
    overrun: bool,
}

impl LogHandle {
    /// Formats `record` into the worker's buffer, and hands the buffer over when it is full.
    ///
    /// Waits only when the queue is at its bound: see [`AccessLogOptions`].
    #[inline]
    pub fn push(&mut self, record: &Record<'_>) {
        if self.is_full() && !self.make_room() {
            self.shared.counters.lost_lines.fetch_add(1, Relaxed);
            return;
        }
        self.formatter.format(record, &mut self.chunk.bytes);
        self.chunk.lines += 1;
        if self.is_full() {
            self.flush();
        }
    }

    /// Hands over what the buffer holds, so that it reaches the file now. For a worker's tick, about every
    /// 100 ms. Never waits: when the queue is at its bound, the lines stay in the buffer.
    pub fn flush(&mut self) {
        if self.chunk.lines > 0 && self.shared.queue.offer(&mut self.chunk) == Handed::Over {
            self.overrun = false;
        }
    }

    fn is_full(&self) -> bool {
        self.chunk.bytes.len() > BUFFER_CAPACITY - LINE_ROOM
    }

    /// Empties a full buffer; waits for it if need be. `false`: the queue took nothing.
    #[cold]
    fn make_room(&mut self) -> bool {
        let mut handed = self.shared.queue.offer(&mut self.chunk);
        if handed == Handed::Full && !self.overrun {
            self.shared.counters.delays.fetch_add(1, Relaxed);
            let start = Instant::now();
            handed = self.shared.queue.offer_waiting(&mut self.chunk, self.max_delay);
            self.shared.counters.delayed(start.elapsed());
        }
        if handed == Handed::Full && !self.overrun {
            tracing::error!(
                "the access log has taken no lines for {:?} and {} bytes wait to be written: \
                 lines are lost from now on, until the file can be written again",
                self.max_delay,
                self.shared.queue.held(),
            );
        }
        self.overrun = handed != Handed::Over;
        !self.overrun
    }
}

impl Drop for LogHandle {
    fn drop(&mut self) {
        if self.chunk.lines > 0 && self.shared.queue.force(&mut self.chunk) != Handed::Over {
            self.shared.counters.lost_lines.fetch_add(self.chunk.lines, Relaxed);
            tracing::error!("{} lines came after the access log was closed and are lost", self.chunk.lines);
        }
    }
}
