//! The table kept by hand: a [routes file](crate::routes_toml), followed as it changes.
//!
//! A thread looks at the file a few times a second. Content that has stood still from one look to the
//! next is read whole and, if it is valid, put in force; a file that is just being written is left alone.
//! Content with any problem is refused whole, said once with its lines, and the table in force stays; so
//! it does while the file is missing or unreadable. Nothing writes the file but people.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use crate::change::{Change, ImportMode};
use crate::routes_toml;
use crate::snapshot::Snapshot;
use crate::store::{Applied, Imported, StoreError, TableStore};
use crate::table::{SourceKind, Table};

/// How often the file is looked at.
const POLL: Duration = Duration::from_millis(100);

/// The largest file that is read, in bytes.
pub const MAX_FILE: u64 = 64 << 20;

/// A file changed this short a time ago may change again without a new time stamp, so it is read rather
/// than trusted to be the same. Some file systems keep times by two seconds.
const STAMP_SETTLES: Duration = Duration::from_secs(3);

/// The store of a table kept by hand. Dropping it ends the following.
pub struct FileTable {
    table: Arc<Table>,
    path: PathBuf,
    stop: Option<Sender<()>>,
    follower: Option<JoinHandle<()>>,
}

impl FileTable {
    /// Reads the file and begins to follow it.
    ///
    /// # Errors
    /// If it can't be read, or has any problem.
    pub fn open(path: impl AsRef<Path>) -> Result<FileTable, StoreError> {
        let path = path.as_ref().to_owned();
        let access = |source| StoreError::Access { path: path.clone(), wanted: "read", source };
        let stamp = Stamp::of(&path).map_err(access)?;
        let content = read(&path).map_err(access)?;
        let snapshot = parse(&path, &content).map_err(|problems| StoreError::File { problems })?;

        let table = Table::new(SourceKind::File, format!("file:{}", path.display()));
        table.publish(snapshot.with_serial(1));
        let follower = Follower {
            table: Arc::clone(&table),
            path: path.clone(),
            judged: content,
            stamp,
            refusal: None,
            pending: None,
            missing: None,
        };
        let (stop, stopped) = channel();
        let follower = thread::Builder::new()
            .name("routes-file".to_owned())
            .spawn(move || follower.run(&stopped))
            .map_err(access)?;
        Ok(FileTable { table, path, stop: Some(stop), follower: Some(follower) })
    }
}

impl TableStore for FileTable {
    fn table(&self) -> &Arc<Table> {
        &self.table
    }

    fn apply(&self, _: Vec<Change>) -> Result<Applied, StoreError> {
        Err(StoreError::ReadOnly { path: self.path.clone() })
    }

    fn import(&self, _: Snapshot, _: ImportMode) -> Result<Imported, StoreError> {
        Err(StoreError::ReadOnly { path: self.path.clone() })
    }
}

impl Drop for FileTable {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(follower) = self.follower.take() {
            // It has no result, and a panic in it has been reported by its hook.
            let _ = follower.join();
        }
    }
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    len: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Stamp> {
        let metadata = fs::metadata(path)?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Ok(Stamp { modified: metadata.modified()?, len: metadata.len(), inode })
    }

    fn has_settled(&self) -> bool {
        self.modified.elapsed().is_ok_and(|age| age > STAMP_SETTLES)
    }
}

/// The state of following; everything below runs on the follower's thread.
struct Follower {
    table: Arc<Table>,
    path: PathBuf,
    /// The content that was last put in force or refused.
    judged: Vec<u8>,
    /// Why it was refused, if it was.
    refusal: Option<String>,
    /// What the file looked like when it held that.
    stamp: Stamp,
    /// Other content that was seen at the last look, and may still be being written.
    pending: Option<Vec<u8>>,
    /// Why the file could not be read at the last look.
    missing: Option<String>,
}

impl Follower {
    fn run(mut self, stopped: &Receiver<()>) {
        while stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
            self.look();
            self.table.sweep();
        }
    }

    fn look(&mut self) {
        match self.look_at_file() {
            Ok(()) if self.missing.take().is_some() => {
                tracing::info!(path = %self.path.display(), "the routes file can be read again");
            }
            Ok(()) => {}
            Err(error) => {
                let text = format!("{}: {error}", self.path.display());
                if self.missing.as_ref() != Some(&text) {
                    tracing::error!("{text}; the routes in force stay");
                    self.table.failed(text.clone());
                    self.missing = Some(text);
                }
            }
        }
    }

    fn look_at_file(&mut self) -> io::Result<()> {
        let stamp = Stamp::of(&self.path)?;
        if stamp == self.stamp && stamp.has_settled() && self.pending.is_none() {
            self.in_step();
            return Ok(());
        }
        let content = read(&self.path)?;
        if content == self.judged {
            self.pending = None;
            self.stamp = stamp;
            self.in_step();
        } else if self.pending.as_ref() == Some(&content) {
            self.pending = None;
            self.stamp = stamp;
            self.judge(content);
        } else {
            self.pending = Some(content);
        }
        Ok(())
    }

    fn in_step(&self) {
        match &self.refusal {
            None => self.table.synced(),
            Some(problems) => self.table.failed(problems.as_str()),
        }
    }

    fn judge(&mut self, content: Vec<u8>) {
        match parse(&self.path, &content) {
            Ok(snapshot) => {
                let serial = self.table.snapshot().serial() + 1;
                tracing::info!(path = %self.path.display(), entries = snapshot.len(), serial, "the routes file was read");
                self.table.publish(snapshot.with_serial(serial));
                self.refusal = None;
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!("{problem}");
                }
                tracing::error!(path = %self.path.display(), "the routes file was refused; the routes in force stay");
                let problems = problems.join("; ");
                self.table.failed(problems.as_str());
                self.refusal = Some(problems);
            }
        }
        self.judged = content;
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE {
        let what = format!("it has more than {MAX_FILE} bytes; use an embedded table for so many routes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(content)
}

/// Reads a file's content; its problems as `FILE:LINE: what`.
fn parse(path: &Path, content: &[u8]) -> Result<Snapshot, Vec<String>> {
    let place = |line: usize, what: &str| format!("{}:{line}: {what}", path.display());
    let text = std::str::from_utf8(content).map_err(|error| {
        let line = 1 + content[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        vec![place(line, "not UTF-8")]
    })?;
    routes_toml::parse(text)
        .map_err(|problems| problems.iter().map(|problem| place(problem.line, &problem.what)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const ONE: &str = "[[route]]\nhost = \"one.example\"\ninstances = [\"10.0.0.1:80\"]\n";
    const TWO: &str = "[[route]]\nhost = \"two.example\"\ninstances = [\"10.0.0.1:80\"]\n";

    fn wait_for(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn opened() -> (tempfile::TempDir, PathBuf, FileTable) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("routes.toml");
        fs::write(&path, ONE).unwrap();
        let store = FileTable::open(&path).unwrap();
        (directory, path, store)
    }

    fn has(store: &FileTable, host: &str) -> bool {
        store.table().snapshot().get(host).is_some()
    }

    #[test]
    fn an_edit_in_place_and_an_edit_by_renaming_are_followed() {
        let (directory, path, store) = opened();
        assert!(has(&store, "one.example"));
        fs::write(&path, TWO).unwrap();
        wait_for("the edit in place", || has(&store, "two.example") && !has(&store, "one.example"));
        let other = directory.path().join("other");
        fs::write(&other, ONE).unwrap();
        fs::rename(other, &path).unwrap();
        wait_for("the renamed file", || has(&store, "one.example"));
        assert_eq!(store.table().status().serial, 3);
    }

    #[test]
    fn a_bad_edit_is_refused_whole_and_told_until_it_is_mended() {
        let (_directory, path, store) = opened();
        fs::write(&path, format!("{TWO}[[route]]\nhots = \"x\"\n")).unwrap();
        wait_for("the refusal", || store.table().status().error.is_some());
        let error = store.table().status().error.unwrap();
        assert!(error.contains("routes.toml:5: unknown key 'hots': did you mean 'host'?"), "{error}");
        assert!(has(&store, "one.example") && !has(&store, "two.example"));
        fs::write(&path, ONE).unwrap();
        wait_for("the mended file", || store.table().status().error.is_none());
    }

    #[test]
    fn a_file_that_goes_away_leaves_the_table_in_force() {
        let (_directory, path, store) = opened();
        fs::remove_file(&path).unwrap();
        wait_for("the missing file", || store.table().status().error.is_some());
        assert!(has(&store, "one.example"));
        fs::write(&path, TWO).unwrap();
        wait_for("the file to be back", || has(&store, "two.example"));
        assert_eq!(store.table().status().error, None);
    }

    #[test]
    fn a_file_that_is_missing_or_wrong_at_the_start_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("routes.toml");
        assert!(matches!(FileTable::open(&path), Err(StoreError::Access { .. })));
        fs::write(&path, "route = 1\n").unwrap();
        let error = FileTable::open(&path).err().unwrap().to_string();
        assert!(error.contains("routes.toml:1:"), "{error}");
        fs::write(&path, b"\n\xff").unwrap();
        let error = FileTable::open(&path).err().unwrap().to_string();
        assert!(error.contains("routes.toml:2: not UTF-8"), "{error}");
    }

    #[test]
    fn changes_are_refused_with_what_to_do_instead() {
        let (_directory, _path, store) = opened();
        let error = store.apply(Vec::new()).unwrap_err().to_string();
        assert!(error.contains("edit the file"), "{error}");
    }
}
