//! The table in memcached: one key an URL's beginning, `http://www.example.com:80/`, whose value says where its
//! requests are sent. The table of Traffic Server's memcached_remap.
//!
//! Memcached neither lists its keys nor tells of changes, so this table is not held in memory: a request's key
//! is looked up, and the decision kept for a while. [`RemapTable`] is the table, with one thread that asks
//! memcached (`lookup.rs`) and the decisions that are known (`cache.rs`); [`Remap`] is the backend that goes
//! by them. A request takes no lock and waits for nobody while its decision is known: what has grown old is
//! asked for in the background. While memcached is away the known decisions stay, however old.

mod backend;
mod cache;
mod cell;
mod change;
mod check;
mod explain;
mod key;
mod known;
mod lookup;
mod problems;
mod target;

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use waypost_http1::{Host, Scheme};
use waypost_memcached::{Address, Client};

pub use backend::{Remap, RemapOptions};
pub use change::RemapChange;
pub use explain::{RemapExplanation, RemapOutcome, RemapStep, RemapStepResult};
pub use key::{RouteKey, RouteKeyError};
pub use known::{KnownRoute, KnownState};
pub use target::{RouteTarget, RouteTargetError};

use crate::change::{Change, ImportMode, Outcome};
use crate::snapshot::Snapshot;
use crate::store::{Applied, Imported, StoreError, TableStore};
use crate::table::{SourceKind, Table};
use cache::Cache;
use cell::Cell;
use lookup::{Job, Look, Lookups};

/// How many questions may wait for the thread that asks.
const QUEUE: usize = 1024;

/// How many decisions that are to be made anew in the background may wait for it.
const REFRESHES: usize = 65_536;

/// How long a caller waits before it tries to get into a full queue again.
const QUEUE_PAUSE: Duration = Duration::from_millis(1);

/// A table that is kept in memcached.
pub struct RemapTable {
    table: Arc<Table>,
    cache: Arc<Cache>,
    jobs: mpsc::Sender<Job>,
    refreshes: mpsc::Sender<Arc<Cell>>,
    /// How long an answer may take: a lookup that is under way, and one of one's own.
    patience: Duration,
}

impl fmt::Debug for RemapTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemapTable({})", self.table.status().location)
    }
}

impl RemapTable {
    /// Uses the table at this address for a router. Memcached need not be there.
    ///
    /// # Errors
    /// If the address can't be used as it says (TLS, authentication), or the system gives no thread.
    pub fn follow(address: &Address) -> Result<RemapTable, StoreError> {
        let (table, first) = RemapTable::start(address)?;
        // Whatever came of it is in the table's status.
        let _ = first.recv_timeout(table.patience);
        Ok(table)
    }

    /// Opens the table at this address, to look at it and to change it.
    ///
    /// # Errors
    /// If one of its servers can't be reached, or as [`RemapTable::follow`].
    pub fn open(address: &Address) -> Result<RemapTable, StoreError> {
        let (table, first) = RemapTable::start(address)?;
        match first.recv_timeout(table.patience) {
            Ok(Ok(())) => Ok(table),
            Ok(Err(detail)) => Err(table.remote(detail)),
            Err(_) => Err(table.remote(format!("no answer within {:?}", table.patience))),
        }
    }

    fn start(
        address: &Address,
    ) -> Result<(RemapTable, std::sync::mpsc::Receiver<Result<(), String>>), StoreError> {
        let location = address.to_string();
        let mut address = address.clone();
        // A server that is back is to be used at once. With failover a pause is what tells the servers that
        // are used from those that are not.
        if !address.failover {
            address.retry_timeout = Duration::ZERO;
        }
        let store = location.clone();
        let unusable = |detail: String| StoreError::Remote { store: store.clone(), detail };
        let client = Client::new(&address).map_err(|error| unusable(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unusable(format!("the system gives no event queue: {error}")))?;
        let table = Table::new(SourceKind::Memcached, location);
        let cache = Arc::new(Cache::new(cache::MOST));
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let (refreshes, old) = mpsc::channel(REFRESHES);
        let (told, first) = sync_channel(1);
        let lookups = Lookups::new(client, Arc::clone(&cache), Arc::clone(&table), told);
        thread::Builder::new()
            .name("table-memcached".to_owned())
            .spawn(move || runtime.block_on(lookups.run(waiting, old)))
            .map_err(|error| unusable(format!("the system gives no thread: {error}")))?;
        let patience = 2 * address.timeout + Duration::from_millis(100);
        Ok((RemapTable { table, cache, jobs, refreshes, patience }, first))
    }

    /// Whether keys with `*` in place of a host's left labels are tried; they are not unless this says so.
    pub fn set_wildcards(&self, wildcards: bool) {
        self.cache.set_wildcards(wildcards);
    }

    /// Makes these changes, one after the other; requests go by them when it returns.
    ///
    /// # Errors
    /// If a server could not be asked. What was changed before that stays so.
    pub fn change(&self, changes: Vec<RemapChange>) -> Result<Vec<Outcome>, StoreError> {
        let patience = self.patience * (2 * changes.len()).max(1) as u32;
        self.ask(patience, |answer| Job::Change(changes, answer))?.map_err(|detail| self.remote(detail))
    }

    /// The decisions that are known, sorted by the requests' keys. There may be more in the table.
    pub fn known(&self) -> Vec<KnownRoute> {
        let now = self.cache.now();
        self.cache.all().iter().filter_map(|cell| KnownRoute::of(cell, now)).collect()
    }

    /// How a request would be routed, by asking memcached now. This blocks.
    ///
    /// # Errors
    /// If the table was closed, or does not answer in time.
    pub fn explain(
        &self,
        scheme: Scheme,
        host: &Host,
        port: Option<u16>,
    ) -> Result<RemapExplanation, StoreError> {
        let mut key = String::new();
        key::write_key(&mut key, scheme, host, port);
        let keys = key::candidates(&key, self.cache.wildcards());
        let asked = keys.clone();
        let values = self.ask(self.patience, |answer| Job::Read(asked, answer))?;
        let now = self.cache.now();
        let cached = self
            .cache
            .all()
            .iter()
            .find(|cell| **cell.key() == *key)
            .and_then(|cell| KnownRoute::of(cell, now));
        Ok(RemapExplanation::new(keys.into_iter().zip(values), cached))
    }

    /// Has a decision made, and waits until it is or can't be.
    async fn look(&self, cell: &Arc<Cell>, since: u64) {
        let (answer, answered) = oneshot::channel();
        let look = Look { cell: Arc::clone(cell), since, answer };
        let asking = async {
            if self.jobs.send(Job::Look(look)).await.is_ok() {
                // What came of it is in the cell.
                let _ = answered.await;
            }
        };
        let _ = tokio::time::timeout(self.patience, asking).await;
    }

    /// Has a decision made anew, without waiting for it.
    fn look_in_background(&self, cell: &Arc<Cell>) {
        if self.refreshes.try_send(Arc::clone(cell)).is_err() {
            cell.was_asked(self.cache.now(), false);
        }
    }

    /// Asks the thread, and waits that long at most.
    fn ask<T>(&self, patience: Duration, job: impl FnOnce(SyncSender<T>) -> Job) -> Result<T, StoreError> {
        let (answer, answered) = sync_channel(1);
        let began = Instant::now();
        let late = || self.remote(format!("no answer within {patience:?}"));
        let mut job = job(answer);
        loop {
            match self.jobs.try_send(job) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) if began.elapsed() < patience => job = back,
                Err(TrySendError::Full(_)) => return Err(late()),
                Err(TrySendError::Closed(_)) => return Err(StoreError::Closed),
            }
            thread::sleep(QUEUE_PAUSE);
        }
        answered.recv_timeout(patience).map_err(|_| late())
    }

    fn remote(&self, detail: String) -> StoreError {
        StoreError::Remote { store: self.table.status().location, detail }
    }

    fn by_url(&self) -> StoreError {
        StoreError::ByUrl { store: self.table.status().location }
    }
}

impl TableStore for RemapTable {
    fn table(&self) -> &Arc<Table> {
        &self.table
    }

    fn apply(&self, _: Vec<Change>) -> Result<Applied, StoreError> {
        Err(self.by_url())
    }

    fn import(&self, _: Snapshot, _: ImportMode) -> Result<Imported, StoreError> {
        Err(self.by_url())
    }

    fn remap(self: Arc<Self>) -> Option<Arc<RemapTable>> {
        Some(self)
    }
}
