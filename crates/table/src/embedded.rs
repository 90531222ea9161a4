//! The embedded table: durable in a directory of this machine, without any other program.
//!
//! The directory holds `table.redb`, a redb database with one row an entry (its packed bytes) and a
//! little about the whole. One process owns it; the whole table is also in memory, in the [`Table`] this
//! store keeps.
//!
//! A single thread writes. It takes whatever changes are waiting into one transaction, makes that durable
//! with one flush, publishes the new snapshot, and only then answers; so an acknowledged change survives
//! the process being killed, and thousands of changes a second share the disk's flushes. A transaction
//! that fails changes nothing, neither on disk nor in memory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use waypost_store::embedded::{Unusable, open_database as open_redb};

use crate::change::{Change, ImportMode, plan, plan_import};
use crate::entry::{EntryError, EntryRef};
use crate::snapshot::{Delta, Snapshot, SnapshotBuilder};
use crate::store::{Applied, Imported, StoreError, TableStore};
use crate::table::{Skipped, SourceKind, Table};

/// The database's name in the table's directory.
pub const FILE_NAME: &str = "table.redb";

/// The layout of the rows; another number is not read.
const FORMAT: u64 = 1;

/// Pattern → packed entry. Bytes rather than text, so that a damaged key is found by us.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// The table's format and serial.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The database's own cache; the table itself is in memory, so it need only hold what a commit touches.
const CACHE_BYTES: usize = 32 << 20;

/// Calls that may wait for the writer; more wait to be let in.
const QUEUE: usize = 1024;

/// How long the writer waits for changes before it frees snapshots that readers have let go of.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

/// The embedded table's store. Dropping it writes what is waiting and closes the database.
pub struct EmbeddedTable {
    table: Arc<Table>,
    jobs: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
}

enum Job {
    Apply(Vec<Change>, SyncSender<Result<Applied, StoreError>>),
    Import(Snapshot, ImportMode, SyncSender<Result<Imported, StoreError>>),
}

impl EmbeddedTable {
    /// Opens the table in this directory, which is made if it is missing, and reads it whole.
    ///
    /// Entries that are malformed are left out, logged, and listed by [`Table::skipped`].
    ///
    /// # Errors
    /// If another process owns it, the directory can't be used, or the database is damaged.
    pub fn open(directory: impl AsRef<Path>) -> Result<EmbeddedTable, StoreError> {
        let directory = directory.as_ref();
        let path = directory.join(FILE_NAME);
        let (database, snapshot, skipped) = open_database(directory, &path)?;

        let table = Table::new(SourceKind::Embedded, format!("embedded:{}", directory.display()));
        for Skipped { key, problem } in &skipped {
            tracing::warn!(%key, %problem, "an entry of the embedded table is malformed and left out");
        }
        table.set_skipped(skipped);
        table.publish(snapshot);

        let (jobs, waiting) = sync_channel(QUEUE);
        let mut writer = Writer {
            database: Some(database),
            directory: directory.to_owned(),
            table: Arc::clone(&table),
            path: path.clone(),
        };
        let writer = thread::Builder::new()
            .name("table-writer".to_owned())
            .spawn(move || writer.run(&waiting))
            .map_err(|source| StoreError::Access { path, wanted: "write", source })?;
        Ok(EmbeddedTable { table, jobs: Some(jobs), writer: Some(writer) })
    }

    fn ask<T>(&self, job: impl FnOnce(SyncSender<Result<T, StoreError>>) -> Job) -> Result<T, StoreError> {
        let (answer, answered) = sync_channel(1);
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(job(answer)).map_err(|_| StoreError::Closed)?;
        answered.recv().map_err(|_| StoreError::Closed)?
    }
}

impl TableStore for EmbeddedTable {
    fn table(&self) -> &Arc<Table> {
        &self.table
    }

    fn apply(&self, changes: Vec<Change>) -> Result<Applied, StoreError> {
        self.ask(|answer| Job::Apply(changes, answer))
    }

    fn import(&self, entries: Snapshot, mode: ImportMode) -> Result<Imported, StoreError> {
        self.ask(|answer| Job::Import(entries, mode, answer))
    }
}

impl Drop for EmbeddedTable {
    fn drop(&mut self) {
        // Without a sender the writer ends, once it has done what is waiting.
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            // It has no result, and a panic in it has been reported by its hook.
            let _ = writer.join();
        }
    }
}

/// Owns the database; everything below runs on its thread.
struct Writer {
    /// None after a failed write: a database that has failed once refuses everything until it is opened
    /// again, so that a full disk that has room again would be of no use.
    database: Option<Database>,
    directory: PathBuf,
    table: Arc<Table>,
    path: PathBuf,
}

/// The transaction that is being put together.
struct Batch {
    /// The table as it will be.
    next: Snapshot,
    /// Patterns of entries that differ from what is on disk.
    dirty: BTreeSet<Box<str>>,
    /// Whoever waits, and what to say if the transaction succeeds.
    answers: Vec<Answer>,
}

enum Answer {
    Apply(SyncSender<Result<Applied, StoreError>>, Applied),
    Import(SyncSender<Result<Imported, StoreError>>, Imported),
}

impl Writer {
    fn run(&mut self, jobs: &Receiver<Job>) {
        loop {
            let first = match jobs.recv_timeout(SWEEP_EVERY) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    self.table.sweep();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // Everyone who asked while the last transaction was written shares the next.
            let waiting = std::iter::once(first).chain(jobs.try_iter().take(QUEUE));
            self.commit(waiting);
        }
    }

    fn commit(&mut self, jobs: impl Iterator<Item = Job>) {
        let opened = self.reopen();
        let before = self.table.snapshot();
        let mut batch = Batch { next: (*before).clone(), dirty: BTreeSet::new(), answers: Vec::new() };
        drop(before);
        for job in jobs {
            batch.take_in(job);
        }
        if !batch.dirty.is_empty() {
            // A damaged database may end in a panic here too; routing must go on, and the callers be told.
            let written = catch_unwind(AssertUnwindSafe(|| match (&self.database, opened) {
                (Some(database), Ok(())) => write(database, &batch).map_err(|error| error.to_string()),
                (_, Err(error)) => Err(error.to_string()),
                (None, Ok(())) => Err("it is not open".to_owned()),
            }));
            let failure = match written {
                Ok(Ok(())) => None,
                Ok(Err(detail)) => Some(detail),
                Err(_) => Some("the database is damaged".to_owned()),
            };
            if let Some(detail) = failure {
                self.close();
                tracing::error!(%detail, path = %self.path.display(), "the embedded table could not be written");
                for answer in batch.answers {
                    answer.fail(StoreError::Write { path: self.path.clone(), detail: detail.clone() });
                }
                return;
            }
            self.table.publish(batch.next);
        }
        for answer in batch.answers {
            answer.succeed();
        }
    }

    /// Lets go of a database that has failed.
    fn close(&mut self) {
        let database = self.database.take();
        // Closing writes, and so may fail as writing did; what was acknowledged is on disk already.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }

    /// Opens the database again if it was let go of, and puts in force what it holds: whether a write that
    /// failed has reached the disk is known only now.
    fn reopen(&mut self) -> Result<(), StoreError> {
        if self.database.is_some() {
            return Ok(());
        }
        let (database, snapshot, skipped) = open_database(&self.directory, &self.path)?;
        self.database = Some(database);
        self.table.set_skipped(skipped);
        self.table.publish(snapshot);
        tracing::info!(path = %self.path.display(), "the embedded table was opened again after a failed write");
        Ok(())
    }
}

fn write(database: &Database, batch: &Batch) -> Result<(), redb::Error> {
    // A transaction's durability is immediate unless told otherwise: commit returns after the flush.
    let transaction = database.begin_write()?;
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        for pattern in &batch.dirty {
            match batch.next.get(pattern) {
                Some(entry) => entries.insert(pattern.as_bytes(), entry.as_bytes())?,
                None => entries.remove(pattern.as_bytes())?,
            };
        }
        transaction.open_table(META)?.insert("serial", batch.next.serial())?;
    }
    transaction.commit()?;
    Ok(())
}

impl Batch {
    fn take_in(&mut self, job: Job) {
        // Who gave up waiting is not told; its change stands.
        match job {
            Job::Apply(changes, answer) => match self.apply(changes) {
                Ok(applied) => self.answers.push(Answer::Apply(answer, applied)),
                Err(error) => drop(answer.send(Err(error.into()))),
            },
            Job::Import(entries, mode, answer) => match self.import(&entries, mode) {
                Ok(imported) => self.answers.push(Answer::Import(answer, imported)),
                Err(error) => drop(answer.send(Err(error.into()))),
            },
        }
    }

    fn apply(&mut self, changes: Vec<Change>) -> Result<Applied, EntryError> {
        let plan = plan(&self.next, changes)?;
        if !plan.deltas.is_empty() {
            self.next.set_serial(self.next.serial() + 1);
        }
        for delta in &plan.deltas {
            self.dirty.insert(match delta {
                Delta::Put(entry) => entry.pattern().into(),
                Delta::Remove(pattern) => pattern.as_str().into(),
            });
            self.next.change(delta);
        }
        Ok(Applied { serial: self.next.serial(), outcomes: plan.outcomes })
    }

    fn import(&mut self, entries: &Snapshot, mode: ImportMode) -> Result<Imported, EntryError> {
        let plan = plan_import(&self.next, entries, mode)?;
        let (changed, removed) = (plan.changed.len(), plan.removed.len());
        if changed + removed > 0 {
            self.next = plan.next;
            self.next.set_serial(self.next.serial() + 1);
            let patterns = plan.changed.iter().chain(&plan.removed);
            self.dirty.extend(patterns.map(|pattern| Box::from(pattern.as_str())));
        }
        Ok(Imported {
            serial: self.next.serial(),
            entries: entries.len(),
            instances: entries.instances(),
            changed,
            removed,
        })
    }
}

impl Answer {
    fn succeed(self) {
        match self {
            Answer::Apply(answer, applied) => drop(answer.send(Ok(applied))),
            Answer::Import(answer, imported) => drop(answer.send(Ok(imported))),
        }
    }

    fn fail(self, error: StoreError) {
        match self {
            Answer::Apply(answer, _) => drop(answer.send(Err(error))),
            Answer::Import(answer, _) => drop(answer.send(Err(error))),
        }
    }
}

type Opened = (Database, Snapshot, Vec<Skipped>);

fn open_database(directory: &Path, path: &Path) -> Result<Opened, StoreError> {
    let access = |path: &Path, source| StoreError::Access { path: path.to_owned(), wanted: "write", source };
    fs::create_dir_all(directory).map_err(|source| access(directory, source))?;
    let opened = open_redb(path, CACHE_BYTES, |database| match read(database, path) {
        Err(OpenError::Redb(error)) => Err(error),
        Err(OpenError::Store(error)) => Ok(Err(error)),
        Ok(read) => Ok(Ok(read)),
    });
    let (database, read) = opened.map_err(|unusable| match unusable {
        Unusable::InUse => StoreError::InUse { directory: directory.to_owned() },
        Unusable::Access(source) => access(path, source),
        Unusable::Damaged(detail) => StoreError::Corrupt { path: path.to_owned(), detail },
    })?;
    let (snapshot, skipped) = read?;
    // The file's name in the directory must be as durable as what is in the file.
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(|source| access(directory, source))?;
    Ok((database, snapshot, skipped))
}

enum OpenError {
    Redb(redb::Error),
    Store(StoreError),
}

impl<E: Into<redb::Error>> From<E> for OpenError {
    fn from(error: E) -> Self {
        OpenError::Redb(error.into())
    }
}

/// Reads the whole table, or makes an empty one in a database that has none.
fn read(database: &Database, path: &Path) -> Result<(Snapshot, Vec<Skipped>), OpenError> {
    let transaction = database.begin_read()?;
    if transaction.list_tables()?.next().is_none() {
        let transaction = database.begin_write()?;
        transaction.open_table(ENTRIES)?;
        transaction.open_table(META)?.insert("format", FORMAT)?;
        transaction.commit()?;
        return Ok((Snapshot::empty(), Vec::new()));
    }

    let meta = transaction.open_table(META)?;
    let number = |key| Ok::<_, redb::Error>(meta.get(key)?.map(|value| value.value()));
    let found = number("format")?.unwrap_or(0);
    if found != FORMAT {
        let path = path.to_owned();
        return Err(OpenError::Store(StoreError::Format { path, found, known: FORMAT }));
    }
    let serial = number("serial")?.unwrap_or(0);

    let rows = transaction.open_table(ENTRIES)?;
    let mut builder = SnapshotBuilder::new();
    let mut skipped = Vec::new();
    for row in rows.iter()? {
        let (key, value) = row?;
        match EntryRef::check(value.value()) {
            Ok(entry) if entry.pattern().as_bytes() == key.value() => builder.push(entry),
            Ok(entry) => skipped.push(malformed(key.value(), format!("it holds {}", entry.pattern()))),
            Err(error) => skipped.push(malformed(key.value(), error.to_string())),
        }
    }
    Ok((builder.finish().with_serial(serial), skipped))
}

fn malformed(key: &[u8], problem: String) -> Skipped {
    Skipped { key: key.escape_ascii().to_string(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Outcome;
    use crate::member::{Member, Target};
    use crate::pattern::Pattern;
    use std::os::unix::fs::PermissionsExt;

    fn host(number: usize) -> Pattern {
        Pattern::parse(&format!("host-{number}.example")).unwrap()
    }

    fn added(number: usize) -> Change {
        Change::AddInstance { host: host(number), member: Member::at(([10, 0, 0, 1], 80).into()) }
    }

    fn table_of(numbers: std::ops::Range<usize>) -> Snapshot {
        let changes = numbers.map(added).collect();
        Snapshot::empty().with(plan(&Snapshot::empty(), changes).unwrap().deltas)
    }

    fn opened(directory: &Path) -> EmbeddedTable {
        EmbeddedTable::open(directory).unwrap_or_else(|error| panic!("{error}"))
    }

    fn error(directory: &Path) -> StoreError {
        EmbeddedTable::open(directory).err().expect("it opens")
    }

    #[test]
    fn a_directory_without_a_table_becomes_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let store = opened(&directory.path().join("new/data"));
        let status = store.table().status();
        assert_eq!((status.loaded, status.entries, status.serial), (true, 0, 0));
    }

    #[test]
    fn changes_are_there_again_after_closing_and_opening() {
        let directory = tempfile::tempdir().unwrap();
        let store = opened(directory.path());
        let applied = store.apply(vec![added(1), added(2), added(1)]).unwrap();
        assert_eq!(applied.serial, 1);
        assert_eq!(applied.outcomes, [Outcome::Added, Outcome::Added, Outcome::AlreadyThere]);
        let applied = store.apply(vec![added(1)]).unwrap();
        assert_eq!(applied.serial, 1, "nothing changed");
        let applied = store.apply(vec![Change::RemoveEntry { host: host(2) }]).unwrap();
        assert_eq!((applied.serial, store.table().snapshot().serial()), (2, 2));
        drop(store);

        let table = opened(directory.path()).table().snapshot();
        assert_eq!((table.len(), table.serial()), (1, 2));
        assert!(table.get("host-1.example").is_some());
    }

    #[test]
    fn a_list_with_an_invalid_change_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = opened(directory.path());
        let mut invalid = Member::of_backend("x");
        invalid.backend = None;
        let changes = vec![added(1), Change::AddInstance { host: host(2), member: invalid }];
        assert!(matches!(store.apply(changes), Err(StoreError::Invalid(_))));
        assert!(store.table().snapshot().is_empty());
    }

    #[test]
    fn an_import_is_one_change_and_can_be_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let store = opened(directory.path());
        store.apply(vec![added(0), added(1)]).unwrap();
        let import = table_of(1..5);
        let imported = store.import(import.clone(), ImportMode::Merge).unwrap();
        assert_eq!((imported.serial, imported.entries, imported.changed, imported.removed), (2, 4, 3, 0));
        let again = store.import(import.clone(), ImportMode::Merge).unwrap();
        assert_eq!((again.serial, again.changed), (2, 0));
        let replaced = store.import(import, ImportMode::Replace).unwrap();
        assert_eq!((replaced.serial, replaced.changed, replaced.removed), (3, 0, 1));
        drop(store);
        let table = opened(directory.path()).table().snapshot();
        assert_eq!((table.len(), table.serial()), (4, 3));
    }

    #[test]
    fn callers_at_the_same_time_all_get_their_changes() {
        let directory = tempfile::tempdir().unwrap();
        let store = opened(directory.path());
        thread::scope(|scope| {
            for caller in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    for number in 0..50 {
                        let number = caller * 50 + number;
                        assert_eq!(store.apply(vec![added(number)]).unwrap().outcomes, [Outcome::Added]);
                        assert!(store.table().snapshot().get(host(number).as_str()).is_some());
                    }
                });
            }
        });
        let target = Target::Address(([10, 0, 0, 1], 80).into());
        let removed = store.apply(vec![Change::RemoveInstance { host: host(7), target }]).unwrap();
        assert_eq!((removed.serial, removed.outcomes), (401, vec![Outcome::Removed]));
        drop(store);
        assert_eq!(opened(directory.path()).table().snapshot().len(), 399);
    }

    #[test]
    fn a_second_owner_is_told_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let store = opened(directory.path());
        let text = error(directory.path()).to_string();
        let named = directory.path().display().to_string();
        assert!(text.contains(&named) && text.contains("--admin") && !text.contains('\n'), "{text}");
        drop(store);
        opened(directory.path());
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let text = error(&file.join("data")).to_string();
        assert!(text.contains("file/data"), "{text}");

        let locked = directory.path().join("locked");
        fs::create_dir(&locked).unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
        // Who may write everywhere (root) is not kept out by permissions.
        if File::create(locked.join("probe")).is_err() {
            assert!(matches!(error(&locked), StoreError::Access { .. }));
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_or_read_with_what_is_left_but_never_a_panic() {
        let directory = tempfile::tempdir().unwrap();
        let store = opened(directory.path());
        store.import(table_of(0..2000), ImportMode::Merge).unwrap();
        drop(store);
        let path = directory.path().join(FILE_NAME);
        let whole = fs::read(&path).unwrap();

        let is_reported = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            match EmbeddedTable::open(directory.path()) {
                Ok(_) => false,
                Err(StoreError::Corrupt { .. } | StoreError::Format { .. }) => true,
                Err(other) => panic!("{other}"),
            }
        };
        assert!(is_reported(
            b"this is no database, and long enough to be read as one".repeat(1000).as_slice()
        ));
        assert!(is_reported(&whole[..whole.len() / 2]));
        assert!(is_reported(&whole[..100]));
        for start in (0..whole.len() - 512).step_by(whole.len() / 40) {
            let mut damaged = whole.clone();
            damaged[start..start + 512].fill(0xa5);
            is_reported(&damaged);
        }
    }

    #[test]
    fn an_entry_that_is_malformed_is_left_out_and_named() {
        let directory = tempfile::tempdir().unwrap();
        opened(directory.path()).apply(vec![added(1), added(2)]).unwrap();
        {
            let database = Database::create(directory.path().join(FILE_NAME)).unwrap();
            let transaction = database.begin_write().unwrap();
            {
                let mut rows = transaction.open_table(ENTRIES).unwrap();
                let two = rows.get(&b"host-2.example"[..]).unwrap().unwrap().value().to_vec();
                rows.insert(&b"host-1.example"[..], &b"nonsense"[..]).unwrap();
                rows.insert(&b"host-3.example"[..], &two[..]).unwrap();
            }
            transaction.commit().unwrap();
        }
        let store = opened(directory.path());
        let named: Vec<String> = store.table().skipped().into_iter().map(|skipped| skipped.key).collect();
        assert_eq!(named, ["host-1.example", "host-3.example"]);
        assert_eq!(store.table().status().entries, 1);
        store.apply(vec![added(1)]).unwrap();
        drop(store);
        assert_eq!(opened(directory.path()).table().status().entries, 2);
    }

    #[test]
    fn a_table_of_another_format_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        drop(opened(directory.path()));
        {
            let database = Database::create(directory.path().join(FILE_NAME)).unwrap();
            let transaction = database.begin_write().unwrap();
            transaction.open_table(META).unwrap().insert("format", 9).unwrap();
            transaction.commit().unwrap();
        }
        let text = error(directory.path()).to_string();
        assert!(text.contains("format 9"), "{text}");
    }
}
