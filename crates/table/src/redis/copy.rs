//! The last good table on disk, so that a router that starts while its store is away routes at once.
//!
//! `redis-table.redb` in the data directory holds the entries of one store's table and when they were last
//! known to agree with it. A thread of its own brings it up to date a second after a change, and writes only
//! the entries that have changed; a crash leaves the copy of some moment before, whole. The copy of another
//! store, or one that is damaged, is thrown away: it is only a copy.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use waypost_store::embedded::{Unusable, open_database};

use crate::entry::EntryRef;
use crate::pattern::Pattern;
use crate::snapshot::{Snapshot, SnapshotBuilder};
use crate::store::StoreError;
use crate::table::Table;

/// The copy's name in the data directory.
pub const COPY_FILE: &str = "redis-table.redb";

/// The layout of the rows; another number is not read.
const FORMAT: u64 = 1;

/// Pattern → packed entry.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// The format, the serial, and when the copy was in step.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// The store's address.
const TEXTS: TableDefinition<'_, &str, &str> = TableDefinition::new("texts");

/// The database's own cache; it need only hold what a commit touches.
const CACHE_BYTES: usize = 16 << 20;

/// How often changes are written.
const EVERY: Duration = Duration::from_secs(1);

/// How often the time of the last agreement is written while nothing changes.
const STAMP_EVERY: Duration = Duration::from_secs(10);

/// The most patterns that wait by name; beyond it everything is written.
const MAX_WAITING: usize = 100_000;

/// What the copy has to catch up with.
#[derive(Default)]
pub(super) struct Changes(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    patterns: HashSet<Box<str>>,
    all: bool,
}

impl Changes {
    /// Notes that an entry is not what it was.
    pub(super) fn note(&self, pattern: &Pattern) {
        let mut waiting = self.lock();
        if waiting.all {
            return;
        }
        waiting.patterns.insert(pattern.as_str().into());
        if waiting.patterns.len() > MAX_WAITING {
            *waiting = Waiting { all: true, ..Waiting::default() };
        }
    }

    /// Notes that every entry may be another.
    pub(super) fn note_all(&self) {
        *self.lock() = Waiting { all: true, ..Waiting::default() };
    }

    fn take(&self) -> Waiting {
        std::mem::take(&mut self.lock())
    }

    fn put_back(&self, failed: Waiting) {
        let mut waiting = self.lock();
        waiting.patterns.extend(failed.patterns);
        if failed.all || waiting.patterns.len() > MAX_WAITING {
            *waiting = Waiting { all: true, ..Waiting::default() };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // What is guarded is whole between any two statements, whatever became of an earlier holder.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The copy, kept up to date until it is dropped.
pub(super) struct TableCopy {
    changes: Arc<Changes>,
    stop: Option<SyncSender<()>>,
    writer: Option<JoinHandle<()>>,
}

impl TableCopy {
    /// Opens the copy in this directory, puts what it holds of the store into the table, and keeps it up to
    /// date with the table from then on.
    pub(super) fn open(directory: &Path, table: &Arc<Table>, store: &str) -> Result<TableCopy, StoreError> {
        let path = directory.join(COPY_FILE);
        let access = |source| StoreError::Access { path: path.clone(), wanted: "write", source };
        fs::create_dir_all(directory).map_err(access)?;
        let database = match open(&path, store) {
            Ok((database, held)) => {
                if let Some((snapshot, at)) = held {
                    tracing::info!(path = %path.display(), entries = snapshot.len(), "the last table was read from disk");
                    table.restore(snapshot, at);
                }
                database
            }
            Err(Unusable::InUse) => return Err(StoreError::InUse { directory: directory.to_owned() }),
            Err(Unusable::Access(source)) => return Err(access(source)),
            Err(Unusable::Damaged(why)) => {
                tracing::warn!(path = %path.display(), %why, "the table's copy on disk can't be used and begins anew");
                fs::remove_file(&path).map_err(access)?;
                match open(&path, store) {
                    Ok((database, _)) => database,
                    Err(Unusable::Access(source)) => return Err(access(source)),
                    Err(Unusable::InUse) => {
                        return Err(StoreError::InUse { directory: directory.to_owned() });
                    }
                    Err(Unusable::Damaged(detail)) => return Err(StoreError::Corrupt { path, detail }),
                }
            }
        };
        let changes = Arc::new(Changes::default());
        let writer = Writer {
            database,
            path: path.clone(),
            table: Arc::clone(table),
            changes: Arc::clone(&changes),
            stamped: SystemTime::UNIX_EPOCH,
            failing: false,
        };
        let (stop, stopped) = sync_channel(1);
        let writer = thread::Builder::new()
            .name("table-copy".to_owned())
            .spawn(move || writer.run(&stopped))
            .map_err(access)?;
        Ok(TableCopy { changes, stop: Some(stop), writer: Some(writer) })
    }

    /// Where changes are noted.
    pub(super) fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }
}

impl Drop for TableCopy {
    fn drop(&mut self) {
        // Without a sender the writer writes what waits, and ends.
        drop(self.stop.take());
        if let Some(writer) = self.writer.take() {
            // It has no result, and a panic in it has been reported by its hook.
            let _ = writer.join();
        }
    }
}

type Held = Option<(Snapshot, SystemTime)>;

fn open(path: &Path, store: &str) -> Result<(Database, Held), Unusable> {
    open_database(path, CACHE_BYTES, |database| {
        let held = read(database, store)?;
        if held.is_none() {
            begin(database, store)?;
        }
        Ok(held)
    })
}

/// What the copy holds of this store, if it holds anything of it.
fn read(database: &Database, store: &str) -> Result<Held, redb::Error> {
    let transaction = database.begin_read()?;
    if transaction.list_tables()?.next().is_none() {
        return Ok(None);
    }
    let numbers = transaction.open_table(NUMBERS)?;
    let number = |key| Ok::<_, redb::Error>(numbers.get(key)?.map(|value| value.value()));
    let is_of_store = transaction.open_table(TEXTS)?.get("store")?.is_some_and(|held| held.value() == store);
    let Some(synced) = number("synced")? else { return Ok(None) };
    if number("format")? != Some(FORMAT) || !is_of_store {
        return Ok(None);
    }
    let mut builder = SnapshotBuilder::new();
    for row in transaction.open_table(ENTRIES)?.iter()? {
        let (_, value) = row?;
        // What is malformed has no meaning without its store; there it will be read again.
        if let Ok(entry) = EntryRef::check(value.value()) {
            builder.push(entry);
        }
    }
    let snapshot = builder.finish().with_serial(number("serial")?.unwrap_or_default());
    Ok(Some((snapshot, SystemTime::UNIX_EPOCH + Duration::from_millis(synced))))
}

/// Makes an empty copy for this store.
fn begin(database: &Database, store: &str) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.delete_table(ENTRIES)?;
    transaction.open_table(ENTRIES)?;
    {
        let mut numbers = transaction.open_table(NUMBERS)?;
        numbers.remove("synced")?;
        numbers.insert("format", FORMAT)?;
        transaction.open_table(TEXTS)?.insert("store", store)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Writes the copy; on its own thread.
struct Writer {
    database: Database,
    path: PathBuf,
    table: Arc<Table>,
    changes: Arc<Changes>,
    /// The time of agreement that was last written.
    stamped: SystemTime,
    /// Whether the last writing failed, which has been said.
    failing: bool,
}

impl Writer {
    fn run(mut self, stopped: &Receiver<()>) {
        loop {
            let stops = stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout);
            self.catch_up(stops);
            if stops {
                return;
            }
        }
    }

    fn catch_up(&mut self, now: bool) {
        // The time is taken before the snapshot, so that the copy never claims to be younger than it is.
        let Some(synced) = self.table.status().last_sync else { return };
        let waiting = self.changes.take();
        let stamp_is_old = synced.duration_since(self.stamped).is_ok_and(|since| since >= STAMP_EVERY || now);
        if waiting.patterns.is_empty() && !waiting.all && !stamp_is_old {
            return;
        }
        let snapshot = self.table.snapshot();
        match self.write(&waiting, &snapshot, synced) {
            Ok(()) => {
                self.stamped = synced;
                if std::mem::take(&mut self.failing) {
                    tracing::info!(path = %self.path.display(), "the table's copy on disk is written again");
                }
            }
            Err(error) => {
                self.changes.put_back(waiting);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(path = %self.path.display(), %error, "the table's copy on disk can't be written");
                }
            }
        }
    }

    fn write(&self, waiting: &Waiting, snapshot: &Snapshot, synced: SystemTime) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        if waiting.all {
            transaction.delete_table(ENTRIES)?;
            let mut entries: Vec<EntryRef<'_>> = snapshot.iter().collect();
            entries.sort_unstable_by_key(|entry| entry.pattern());
            let mut rows = transaction.open_table(ENTRIES)?;
            for entry in entries {
                rows.insert(entry.pattern().as_bytes(), entry.as_bytes())?;
            }
        } else {
            let mut rows = transaction.open_table(ENTRIES)?;
            for pattern in &waiting.patterns {
                match snapshot.get(pattern) {
                    Some(entry) => rows.insert(pattern.as_bytes(), entry.as_bytes())?,
                    None => rows.remove(pattern.as_bytes())?,
                };
            }
        }
        {
            let millis = synced.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
            let mut numbers = transaction.open_table(NUMBERS)?;
            numbers.insert("serial", snapshot.serial())?;
            // Milliseconds since 1970 fit in 64 bits for as long as anyone will run this.
            numbers.insert("synced", millis as u64)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::member::Member;
    use crate::snapshot::Delta;
    use crate::table::SourceKind;

    const STORE: &str = "redis://10.0.0.1:6379";

    fn put(host: &str, port: u16) -> Delta {
        let member = Member::at(([10, 0, 0, 1], port).into());
        Delta::Put(Entry::new(&Pattern::parse(host).unwrap(), [member]).unwrap())
    }

    fn opened(directory: &Path, store: &str) -> (Arc<Table>, TableCopy) {
        let table = Table::new(SourceKind::Redis, store);
        let copy = TableCopy::open(directory, &table, store).unwrap();
        (table, copy)
    }

    fn filled(directory: &Path) {
        let (table, copy) = opened(directory, STORE);
        assert!(!table.snapshot().is_loaded());
        table.publish(Snapshot::empty().with([put("a.example", 1), put("b.example", 1)]).with_serial(7));
        copy.changes().note_all();
    }

    #[test]
    fn a_table_is_there_again_with_its_age() {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path());
        let (table, copy) = opened(directory.path(), STORE);
        let status = table.status();
        assert_eq!((status.entries, status.serial, status.loaded), (2, 7, true));
        assert!(status.age.is_some());

        table.publish_part(
            table.snapshot().with([put("a.example", 2), Delta::Remove(Pattern::parse("b.example").unwrap())]),
        );
        for host in ["a.example", "b.example"] {
            copy.changes().note(&Pattern::parse(host).unwrap());
        }
        drop(copy);
        let (table, _copy) = opened(directory.path(), STORE);
        let snapshot = table.snapshot();
        let members: Vec<Member> = snapshot.get("a.example").unwrap().members().collect();
        assert_eq!((snapshot.len(), members[0].address.unwrap().port()), (1, 2));
    }

    #[test]
    fn the_copy_of_another_store_is_not_routed_by() {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path());
        let (table, copy) = opened(directory.path(), "redis://10.0.0.2:6379");
        assert!(!table.snapshot().is_loaded());
        drop(copy);
        let (table, _copy) = opened(directory.path(), STORE);
        assert!(!table.snapshot().is_loaded(), "it was thrown away");
    }

    #[test]
    fn a_damaged_copy_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path());
        let path = directory.path().join(COPY_FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(&path, bytes).unwrap();
        let (table, _copy) = opened(directory.path(), STORE);
        assert!(!table.snapshot().is_loaded());
    }

    #[test]
    fn a_copy_that_was_cut_off_anywhere_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path());
        let path = directory.path().join(COPY_FILE);
        let whole = fs::read(&path).unwrap();
        // At its very beginning, where its pages end, and without the first of them.
        for length in [0, 1, 9, 64, 320, 4095, 4096, 4097, 8192, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            let (_table, copy) = opened(directory.path(), STORE);
            drop(copy);
        }
        let mut holed = whole;
        holed[..4096].fill(0);
        fs::write(&path, holed).unwrap();
        let (table, _copy) = opened(directory.path(), STORE);
        assert!(!table.snapshot().is_loaded());
    }

    #[test]
    fn one_process_owns_it() {
        let directory = tempfile::tempdir().unwrap();
        let (_table, _copy) = opened(directory.path(), STORE);
        let table = Table::new(SourceKind::Redis, STORE);
        let error = TableCopy::open(directory.path(), &table, STORE).err().unwrap();
        assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    }

    #[test]
    fn more_changes_than_can_wait_are_everything() {
        let changes = Changes::default();
        for host in 0..=MAX_WAITING {
            changes.note(&Pattern::parse(&format!("h{host}")).unwrap());
        }
        let waiting = changes.take();
        assert!(waiting.all && waiting.patterns.is_empty());
    }
}
