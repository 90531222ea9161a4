//! The table as the running router shares it: the snapshot in force, and what is known of its store.
//!
//! A source (one of the stores) holds the [`Table`] and [publishes](Table::publish) a new snapshot with
//! every change; workers read through a [`TableReader`] each, which costs one atomic load while nothing
//! changes. A reader never waits for a source, and a source never for readers.
//!
//! Taking a snapshot of a million entries apart takes a while, and must not fall to whichever worker
//! happens to let go of it last. The table therefore keeps replaced snapshots until no reader holds them
//! and frees them where it is told to: in [`publish`](Table::publish) and [`sweep`](Table::sweep), on the
//! source's own thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Cache};
use serde::{Deserialize, Serialize, Serializer};

use crate::snapshot::Snapshot;

/// How many malformed entries are remembered by name; more are only counted.
pub const MAX_SKIPPED: usize = 1000;

/// The shared handle; see the module's description.
pub struct Table {
    current: Arc<ArcSwap<Snapshot>>,
    state: Mutex<State>,
    /// Snapshots that were replaced while a reader still held them.
    retired: Mutex<Vec<Arc<Snapshot>>>,
}

struct State {
    source: SourceKind,
    location: String,
    last_change: Option<SystemTime>,
    last_sync: Option<SystemTime>,
    error: Option<String>,
    skipped: Vec<Skipped>,
    skipped_count: usize,
    out_of_step: Vec<OutOfStep>,
    following: Option<Following>,
}

/// What kind of store a table comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The embedded table, owned by this process.
    Embedded,
    /// A file kept by hand.
    File,
    /// A Redis or Valkey server.
    Redis,
    /// Memcached servers, which are asked key by key: the table is not held in memory.
    Memcached,
}

impl SourceKind {
    /// Whether the store is this process's own, so that it can't be out of reach.
    fn is_own(self) -> bool {
        self == SourceKind::Embedded
    }
}

/// Something in the store that is no valid entry or member, and was left out of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Where it stands in the store: its key or pattern.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A host whose members and ids differ in number, in a store that keeps them apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutOfStep {
    /// The host, wildcard or `*`.
    pub host: String,
    /// How many members it has.
    pub members: usize,
    /// How many ids it has.
    pub ids: usize,
}

/// How a store that is another program's is followed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// Whether there is a connection to it now.
    pub connected: bool,
    /// Whether it tells of changes; if not, it is asked again and again.
    pub tells: bool,
    /// Its master, if it is a replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<MasterStatus>,
    /// How many changes it should have told of and didn't; they were found by comparing, and made good.
    pub repaired: u64,
    /// How many keys are known, of a store that is asked key by key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<usize>,
}

/// The master of the replica that a table is read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterStatus {
    /// Its address.
    pub address: String,
    /// Whether the replica is connected to it.
    pub linked: bool,
    /// Its serial, if it could be asked.
    pub serial: Option<u64>,
}

/// What is known of a table and its store.
#[derive(Debug, Clone, Serialize)]
pub struct TableStatus {
    /// The kind of store.
    pub source: SourceKind,
    /// The store's address, as given on the command line (`embedded:waypost-data`).
    pub location: String,
    /// Whether the table was ever read. Until then every request is answered with 503.
    pub loaded: bool,
    /// The store's serial; 0 where it has none.
    pub serial: u64,
    /// The number of entries.
    pub entries: usize,
    /// The number of instances.
    pub instances: usize,
    /// The number of wildcard entries (`*` is not counted).
    pub wildcards: usize,
    /// When the table last changed, in unix seconds.
    #[serde(serialize_with = "unix_seconds")]
    pub last_change: Option<SystemTime>,
    /// When the table was last known to agree with its store, in unix seconds.
    #[serde(serialize_with = "unix_seconds")]
    pub last_sync: Option<SystemTime>,
    /// How many seconds ago that was; 0 for a store this process owns, none if it was never read.
    pub age: Option<f64>,
    /// What keeps the table from following its store, if something does. Routing goes on with the last
    /// good table.
    pub error: Option<String>,
    /// How many entries of the store are malformed and were left out.
    pub skipped: usize,
    /// How the store is followed, if it is another program's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub following: Option<Following>,
}

fn unix_seconds<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map(|since| since.as_millis() as f64 / 1000.0).serialize(serializer)
}

impl Table {
    /// A table that has not been read yet. `location` is the store's address, for people.
    pub fn new(source: SourceKind, location: impl Into<String>) -> Arc<Table> {
        Arc::new(Table {
            current: Arc::new(ArcSwap::from_pointee(Snapshot::unread())),
            state: Mutex::new(State {
                source,
                location: location.into(),
                last_change: None,
                last_sync: None,
                error: None,
                skipped: Vec::new(),
                skipped_count: 0,
                out_of_step: Vec::new(),
                following: None,
            }),
            retired: Mutex::new(Vec::new()),
        })
    }

    /// The snapshot in force. Workers use a [`reader`](Self::reader), which is cheaper.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// A handle for one worker to read through.
    pub fn reader(&self) -> TableReader {
        TableReader(Cache::new(Arc::clone(&self.current)))
    }

    /// Puts a snapshot in force that agrees with the store as it is now. Readers see it from their next
    /// read on.
    pub fn publish(&self, snapshot: Snapshot) {
        let now = SystemTime::now();
        let replaced = self.current.swap(Arc::new(snapshot));
        {
            let mut state = self.state();
            state.last_change = Some(now);
            state.last_sync = Some(now);
            state.error = None;
        }
        lock(&self.retired).push(replaced);
        self.sweep();
    }

    /// Puts a snapshot in force that takes in some of the store's changes, and may not be all: whether the
    /// table agrees with its store is another question, which [`synced`](Self::synced) answers.
    pub fn publish_part(&self, snapshot: Snapshot) {
        let replaced = self.current.swap(Arc::new(snapshot));
        self.state().last_change = Some(SystemTime::now());
        lock(&self.retired).push(replaced);
        self.sweep();
    }

    /// Puts a snapshot in force that agreed with the store at a time that has passed.
    pub fn restore(&self, snapshot: Snapshot, at: SystemTime) {
        let replaced = self.current.swap(Arc::new(snapshot));
        {
            let mut state = self.state();
            state.last_change = Some(at);
            state.last_sync = Some(at);
        }
        lock(&self.retired).push(replaced);
        self.sweep();
    }

    /// Notes that the table was compared with its store and agrees.
    pub fn synced(&self) {
        let mut state = self.state();
        state.last_sync = Some(SystemTime::now());
        state.error = None;
    }

    /// Notes what keeps the table from following its store.
    pub fn failed(&self, error: impl Into<String>) {
        self.state().error = Some(error.into());
    }

    /// Notes what was found malformed when the store was last read, in place of what was noted before.
    /// Only the first [`MAX_SKIPPED`] are kept by name.
    pub fn set_skipped(&self, skipped: Vec<Skipped>) {
        let count = skipped.len();
        self.set_skipped_of(skipped, count);
    }

    /// As [`set_skipped`](Self::set_skipped), where not all of the `count` malformed entries are named.
    pub fn set_skipped_of(&self, mut skipped: Vec<Skipped>, count: usize) {
        skipped.truncate(MAX_SKIPPED);
        let mut state = self.state();
        state.skipped = skipped;
        state.skipped_count = count;
    }

    /// What was found malformed when the store was last read.
    pub fn skipped(&self) -> Vec<Skipped> {
        self.state().skipped.clone()
    }

    /// Notes the hosts whose members and ids differ in number, in place of those noted before. Only the first
    /// [`MAX_SKIPPED`] are kept.
    pub fn set_out_of_step(&self, mut hosts: Vec<OutOfStep>) {
        hosts.truncate(MAX_SKIPPED);
        self.state().out_of_step = hosts;
    }

    /// The hosts whose members and ids differ in number.
    pub fn out_of_step(&self) -> Vec<OutOfStep> {
        self.state().out_of_step.clone()
    }

    /// Notes how the store is followed, by changing what was noted before.
    pub fn set_following(&self, change: impl FnOnce(&mut Following)) {
        change(self.state().following.get_or_insert_default());
    }

    /// Frees replaced snapshots that no reader holds any more. A source calls this now and then from its
    /// own thread.
    pub fn sweep(&self) {
        // A snapshot that was swapped out can gain no new holder, so a count of one is final.
        let mut retired = lock(&self.retired);
        let (held, free): (Vec<_>, Vec<_>) =
            retired.drain(..).partition(|snapshot| Arc::strong_count(snapshot) > 1);
        *retired = held;
        drop(retired);
        drop(free);
    }

    /// Whether [`sweep`](Self::sweep) has something left to free.
    pub fn has_retired(&self) -> bool {
        !lock(&self.retired).is_empty()
    }

    /// What is known of the table and its store.
    pub fn status(&self) -> TableStatus {
        let snapshot = self.current.load();
        let state = self.state();
        let age = match state.last_sync {
            Some(_) if state.source.is_own() => Some(0.0),
            Some(at) => Some(at.elapsed().unwrap_or_default().as_secs_f64()),
            None => None,
        };
        TableStatus {
            source: state.source,
            location: state.location.clone(),
            loaded: snapshot.is_loaded(),
            serial: snapshot.serial(),
            entries: snapshot.len(),
            instances: snapshot.instances(),
            wildcards: snapshot.wildcards(),
            last_change: state.last_change,
            last_sync: state.last_sync,
            age,
            error: state.error.clone(),
            skipped: state.skipped_count,
            following: state.following.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Locks, whatever became of an earlier holder: what is guarded here is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One worker's view of the table. Not shared: each worker has its own.
#[derive(Clone)]
pub struct TableReader(Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>);

impl TableReader {
    /// The snapshot in force now; it stays whole for as long as it is borrowed, whatever changes.
    pub fn load(&mut self) -> &Arc<Snapshot> {
        self.0.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::member::Member;
    use crate::pattern::Pattern;

    fn one_entry() -> Snapshot {
        let member = Member::at(([10, 0, 0, 1], 80).into());
        [Entry::new(&Pattern::any(), [member]).unwrap()].into_iter().collect()
    }

    #[test]
    fn a_reader_sees_what_was_published() {
        let table = Table::new(SourceKind::Embedded, "embedded:x");
        let mut reader = table.reader();
        assert!(!reader.load().is_loaded());
        table.publish(one_entry().with_serial(3));
        assert_eq!((reader.load().len(), reader.load().serial()), (1, 3));
    }

    #[test]
    fn the_status_tells_never_read_from_empty_and_keeps_the_last_error() {
        let table = Table::new(SourceKind::File, "file:x");
        let status = table.status();
        assert!(!status.loaded && status.age.is_none());
        table.failed("gone");
        assert_eq!(table.status().error.as_deref(), Some("gone"));
        table.publish(Snapshot::empty());
        let status = table.status();
        assert!(status.loaded && status.age.is_some() && status.error.is_none());
        table.failed("gone again");
        table.synced();
        assert_eq!(table.status().error, None);
        assert_eq!(table.snapshot().len(), 0);
    }

    #[test]
    fn malformed_entries_are_counted_beyond_those_that_are_named() {
        let table = Table::new(SourceKind::Embedded, "embedded:x");
        let skipped = Skipped { key: "k".to_owned(), problem: "p".to_owned() };
        table.set_skipped(vec![skipped; MAX_SKIPPED + 1]);
        assert_eq!((table.status().skipped, table.skipped().len()), (MAX_SKIPPED + 1, MAX_SKIPPED));
    }

    #[test]
    fn a_replaced_snapshot_is_freed_by_the_source_once_no_reader_holds_it() {
        let table = Table::new(SourceKind::Embedded, "embedded:x");
        table.publish(one_entry());
        let held = Arc::downgrade(&table.snapshot());
        let mut reader = table.reader();
        reader.load();
        table.publish(Snapshot::empty());
        assert!(held.upgrade().is_some() && table.has_retired());
        reader.load();
        assert!(held.upgrade().is_some(), "the reader freed it");
        table.sweep();
        assert!(held.upgrade().is_none() && !table.has_retired());
    }
}
