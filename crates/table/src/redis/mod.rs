//! The table in Redis or Valkey, by the schema of the routers this one comes from.
//!
//! Each host has a set of members, `instances:<hostname>`, and a set of their ids,
//! `instance_ids:<hostname>`; `serial` counts the changes. Anyone may write them at any time. A
//! [`RedisTable`] holds the whole table in memory and follows the store: nothing waits on Redis to route, and
//! a change is in force a millisecond or so after it was made. While the store is away the last good table
//! stays, on disk too, and that is told apart from a table that is empty.
//!
//! One thread follows (`source.rs` connects, `session.rs` follows over one connection, `feed.rs` is what the
//! server tells, `walk.rs` the way through all of it, `digest.rs` the slow comparison, `mirror.rs` takes in
//! what was read); `writer.rs` makes changes over a connection of its own.

mod connection;
mod copy;
mod decoded;
mod digest;
mod expiring;
mod fault;
mod feed;
mod keys;
mod large;
mod mirror;
mod problems;
mod rewrite;
mod sentinel;
mod server;
mod session;
mod sets;
mod source;
mod stored;
mod walk;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

pub use copy::COPY_FILE;
pub use sets::{add_to_sets, set_members};
pub(crate) use waypost_store::redis::KINDS;
pub use waypost_store::redis::{REDIS_PORT, RedisAddress, RedisAddressError, SENTINEL_PORT};

use crate::change::{Change, ImportMode};
use crate::snapshot::Snapshot;
use crate::store::{Applied, Imported, StoreError, TableStore};
use crate::table::{SourceKind, Table};
use copy::TableCopy;
use fault::Fault;
use mirror::Mirror;
use source::{Source, Standing};
use writer::{Job, Writer};

/// Calls that may wait for the writer, and changes that may wait to be in force.
const QUEUE: usize = 64;

/// How long a caller waits before it tries to get into a full queue again.
const QUEUE_PAUSE: Duration = Duration::from_millis(1);

/// How long [`RedisTable::follow`] waits for a first table.
const FIRST_TABLE: Duration = Duration::from_secs(30);

/// How long [`RedisTable::open`] waits for the table.
const WHOLE_TABLE: Duration = Duration::from_secs(120);

/// How long [`RedisTable::open`] waits for the serial of a replica's master.
const MASTER: Duration = Duration::from_millis(500);

/// A table that is kept in Redis. Dropping it ends the following, after the changes that were asked for.
pub struct RedisTable {
    table: Arc<Table>,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    // Dropped last: it writes what the thread has noted.
    _copy: Option<TableCopy>,
}

impl RedisTable {
    /// Follows the table at this address for a router, with a copy of the last good one in `data`.
    ///
    /// Returns when there is a table, from the store or from the copy; or when the store could not be
    /// reached, to go on trying: then the table is not loaded.
    ///
    /// # Errors
    /// If the copy can't be used: another process owns it, or `data` can't be written.
    pub fn follow(address: &RedisAddress, data: &Path) -> Result<RedisTable, StoreError> {
        let table = Table::new(SourceKind::Redis, address.to_string());
        let copy = TableCopy::open(data, &table, &address.to_string())?;
        let wait = if table.snapshot().is_loaded() { Duration::ZERO } else { FIRST_TABLE };
        let (store, first) = Self::start(address, table, Some(copy), true)?;
        // Whatever came of it is in the table's status.
        let _ = first.wait(wait);
        Ok(store)
    }

    /// Reads the table at this address, to look at it and to change it.
    ///
    /// # Errors
    /// If the store can't be reached, or refuses.
    pub fn open(address: &RedisAddress) -> Result<RedisTable, StoreError> {
        let table = Table::new(SourceKind::Redis, address.to_string());
        let (store, first) = Self::start(address, table, None, true)?;
        match first.wait(WHOLE_TABLE) {
            Some(Ok(())) => {
                store.wait_for_master();
                Ok(store)
            }
            Some(Err(fault)) => Err(away(address, &fault)),
            None => Err(away(address, &Fault::Silent(WHOLE_TABLE))),
        }
    }

    /// Waits a little for what the master of a replica says; it may not say anything.
    fn wait_for_master(&self) {
        let unasked = || {
            let master = self.table.status().following.and_then(|following| following.master);
            master.is_some_and(|master| master.serial.is_none())
        };
        let began = Instant::now();
        while unasked() && began.elapsed() < MASTER {
            thread::sleep(QUEUE_PAUSE);
        }
    }

    /// Opens the table at this address to change it, without reading it: the table stays as good as
    /// unread.
    ///
    /// # Errors
    /// If the system gives no thread. Whether the store can be reached shows with the first change.
    pub fn open_to_change(address: &RedisAddress) -> Result<RedisTable, StoreError> {
        let table = Table::new(SourceKind::Redis, address.to_string());
        Ok(Self::start(address, table, None, false)?.0)
    }

    fn start(
        address: &RedisAddress,
        table: Arc<Table>,
        copy: Option<TableCopy>,
        follows: bool,
    ) -> Result<(RedisTable, First), StoreError> {
        let no_thread = |error: std::io::Error| away(address, &Fault::Setup(error.to_string()));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let (refreshes, requests) = mpsc::channel(QUEUE);
        let (standing, outcome) = Standing::new(Arc::clone(&table));
        let changes = copy.as_ref().map(|copy| Arc::clone(copy.changes()));
        let source = follows.then(|| Source {
            address: address.clone(),
            mirror: Mirror::new(Arc::clone(&table), changes),
            requests,
            standing,
        });
        let writer = Writer::new(address.clone(), waiting, follows.then_some(refreshes));
        let (told, first) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("table-redis".to_owned())
            .spawn(move || runtime.block_on(live(source, writer, outcome, told)))
            .map_err(no_thread)?;
        Ok((RedisTable { table, jobs: Some(jobs), thread: Some(thread), _copy: copy }, First(first)))
    }

    fn ask<T>(&self, job: impl FnOnce(SyncSender<Result<T, StoreError>>) -> Job) -> Result<T, StoreError> {
        let (answer, answered) = sync_channel(1);
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        let mut job = job(answer);
        loop {
            match jobs.try_send(job) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) => job = back,
                Err(TrySendError::Closed(_)) => return Err(StoreError::Closed),
            }
            thread::sleep(QUEUE_PAUSE);
        }
        answered.recv().map_err(|_| StoreError::Closed)?
    }
}

/// What the store's thread does: it follows until there is nobody left who could ask for changes.
async fn live(
    source: Option<Source>,
    writer: Writer,
    mut outcome: tokio::sync::watch::Receiver<Option<Result<(), Fault>>>,
    told: SyncSender<Result<(), Fault>>,
) {
    let following = async {
        match source {
            Some(source) => source.run().await,
            None => std::future::pending().await,
        }
    };
    let telling = async {
        let first = outcome.wait_for(Option::is_some).await.ok().and_then(|first| first.clone());
        // Who has stopped waiting is not told.
        let _ = first.map(|first| told.send(first));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = writer.run() => {}
        () = following => {}
        () = telling => {}
    }
}

/// How the first attempt went, once it has.
struct First(std::sync::mpsc::Receiver<Result<(), Fault>>);

impl First {
    fn wait(&self, at_most: Duration) -> Option<Result<(), Fault>> {
        self.0.recv_timeout(at_most).ok()
    }
}

/// The error of a store that did not do what was asked.
fn away(address: &RedisAddress, fault: &Fault) -> StoreError {
    StoreError::Remote { store: address.to_string(), detail: fault.to_string() }
}

impl TableStore for RedisTable {
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

impl Drop for RedisTable {
    fn drop(&mut self) {
        // Without a sender the writer ends, once it has done what is waiting, and everything with it.
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It has no result, and a panic in it has been reported by its hook.
            let _ = thread.join();
        }
    }
}
