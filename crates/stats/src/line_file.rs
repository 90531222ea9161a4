//! An append-only file that consists of whole lines.
//!
//! A write can stop half-way: the disk fills up, or a SIGKILL lands between two pages of it. So that no
//! reader ever finds half a line followed by another one:
//!
//! - a file is opened, and every run of lines begun, by cutting off what follows its last newline;
//! - a run that fails half-way is cut back to its last whole line, and the caller learns where to go on.
//!
//! Two processes may append to one file for a while, as when a new binary takes over from the old one. Each
//! run is therefore written under an advisory lock (`flock`), without which nothing is ever cut. A process
//! that sits on the lock delays a run by `PATIENCE`; then the run is written all the same.
//!
//! What is not a regular file (a pipe, a device) is only appended to.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// What a killed process can have left of a line is less than this. A longer rest is not ours to cut.
const MAX_TORN: u64 = 1024 * 1024;

/// How long a run waits for the lock.
const PATIENCE: Duration = Duration::from_millis(200);

/// After a wait for the lock that came to nothing, this long nobody waits again.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct LineFile {
    path: PathBuf,
    file: File,
    regular: bool,
    /// Half a line of ours stands at the end and could not be cut off; what comes next continues it.
    in_line: bool,
    /// The file has no name any more: what is written to it would be gone.
    orphan: bool,
    /// No waiting for the lock before this.
    hasty_until: Option<Instant>,
}

/// Why a file could not be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    Io(io::Error),
    /// No newline in the last `MAX_TORN` bytes.
    NotALog,
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        OpenError::Io(error)
    }
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Appended {
    /// How many of the run's bytes stand in the file for good. Go on behind them.
    pub(crate) written: usize,
    /// Bytes of a foreign half line that were cut off before.
    pub(crate) torn: u64,
    /// Why it was not all of them.
    pub(crate) error: Option<io::Error>,
}

impl LineFile {
    /// Opens or creates `path`, and says how many bytes of a half line were cut off.
    pub(crate) fn open(path: &Path) -> Result<(Self, u64), OpenError> {
        // Reading is for looking at the end; a pipe that we also read from would never tell that its reader
        // has gone.
        let readable = fs::metadata(path).map_or(true, |metadata| metadata.is_file());
        let file = OpenOptions::new().append(true).create(true).read(readable).open(path)?;
        let regular = readable && file.metadata()?.is_file();
        let mut this = LineFile {
            path: path.to_owned(),
            file,
            regular,
            in_line: false,
            orphan: false,
            hasty_until: None,
        };
        let alone = this.lock();
        let torn = if alone { this.end_line() } else { Ok(0) };
        this.unlock(alone);
        Ok((this, torn?))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a run of whole lines, or the rest of one.
    pub(crate) fn append(&mut self, run: &[u8]) -> Appended {
        if self.orphan {
            let error = io::Error::other("the file was deleted and a new one could not be opened");
            return Appended { written: 0, torn: 0, error: Some(error) };
        }
        let alone = self.lock();
        let appended = self.append_locked(run, alone);
        self.unlock(alone);
        appended
    }

    fn append_locked(&mut self, run: &[u8], alone: bool) -> Appended {
        let torn = match if alone && !self.in_line { self.end_line() } else { Ok(0) } {
            Ok(torn) => torn,
            Err(OpenError::Io(error)) => return Appended { written: 0, torn: 0, error: Some(error) },
            Err(OpenError::NotALog) => {
                let error = io::Error::new(io::ErrorKind::InvalidData, "the file does not end in a line");
                return Appended { written: 0, torn: 0, error: Some(error) };
            }
        };
        let mut written = 0;
        let mut error = None;
        while written < run.len() {
            match self.file.write(&run[written..]) {
                Ok(0) => {
                    error = Some(io::ErrorKind::WriteZero.into());
                    break;
                }
                Ok(more) => written += more,
                Err(interrupted) if interrupted.kind() == io::ErrorKind::Interrupted => {}
                Err(other) => {
                    error = Some(other);
                    break;
                }
            }
        }
        if written > 0 {
            let whole = memchr::memrchr(b'\n', &run[..written]).map_or(0, |newline| newline + 1);
            let half = written - whole;
            // A line begun in an earlier run is not cut: its first part is not this run's to give back.
            let cut = half > 0 && alone && !(self.in_line && whole == 0) && self.cut(half as u64).is_ok();
            if cut {
                written = whole;
            }
            self.in_line = half > 0 && !cut;
        }
        Appended { written, torn, error }
    }

    /// Sees whether `path` still names this file, and moves on to a new one when it doesn't. Says whether it
    /// did, and how many bytes of a half line were cut off there. After an error the old file stays in use,
    /// unless it was deleted.
    pub(crate) fn follow(&mut self) -> Result<Option<u64>, OpenError> {
        // Half a line belongs to the file that has the other half.
        if !self.regular || self.in_line {
            return Ok(None);
        }
        let mine = self.file.metadata()?;
        let same = |there: &Metadata| (there.dev(), there.ino()) == (mine.dev(), mine.ino());
        if fs::metadata(&self.path).is_ok_and(|there| same(&there)) {
            self.orphan = false;
            return Ok(None);
        }
        self.orphan = mine.nlink() == 0;
        let (new, torn) = LineFile::open(&self.path)?;
        *self = new;
        Ok(Some(torn))
    }

    /// Cuts off what follows the last newline, under the lock. A file that may not be cut gets a newline
    /// instead: half a line is then at least not joined to another.
    fn end_line(&mut self) -> Result<u64, OpenError> {
        if !self.regular {
            return Ok(0);
        }
        let len = self.file.metadata()?.len();
        let torn = self.torn(len)?;
        if torn > 0 && self.file.set_len(len - torn).is_err() {
            self.file.write_all(b"\n")?;
            return Ok(0);
        }
        Ok(torn)
    }

    /// How many of the file's `len` bytes follow its last newline.
    fn torn(&self, len: u64) -> Result<u64, OpenError> {
        let mut block = [0; 4096];
        let mut torn = 0;
        // The usual case, at every run: one byte tells that all is well.
        let mut size = 1;
        while torn < len {
            if torn > MAX_TORN {
                return Err(OpenError::NotALog);
            }
            let part = &mut block[..size.min((len - torn) as usize)];
            match self.file.read_exact_at(part, len - torn - part.len() as u64) {
                Ok(()) => {}
                // Truncated meanwhile (by a rotation that copies): it ends in nothing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error.into()),
            }
            if let Some(newline) = memchr::memrchr(b'\n', part) {
                return Ok(torn + (part.len() - newline - 1) as u64);
            }
            torn += part.len() as u64;
            size = 4096;
        }
        Ok(torn)
    }

    /// Takes the last `count` bytes of the file back, under the lock.
    fn cut(&self, count: u64) -> io::Result<()> {
        if !self.regular {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let len = self.file.metadata()?.len();
        // Shorter than what was just written: someone has truncated it, and there is nothing to take back.
        self.file.set_len(len.saturating_sub(count))
    }

    /// Locks out other writers. `false`: one of them would not let go, and nothing may be cut.
    fn lock(&mut self) -> bool {
        if !self.regular {
            return true;
        }
        let start = Instant::now();
        let patience = match self.hasty_until {
            Some(until) if start < until => Duration::ZERO,
            _ => PATIENCE,
        };
        loop {
            match self.file.try_lock() {
                Ok(()) => {
                    self.hasty_until = None;
                    return true;
                }
                // A file system without locks: there is no telling, and a lone writer is the rule.
                Err(TryLockError::Error(_)) => return true,
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(TryLockError::WouldBlock) => {
                    if !patience.is_zero() {
                        self.hasty_until = Some(start + patience + IMPATIENCE);
                    }
                    return false;
                }
            }
        }
    }

    fn unlock(&self, locked: bool) {
        if locked && self.regular {
            // Fails only where locking did; closing the file would end it too.
            drop(self.file.unlock());
        }
    }
}
