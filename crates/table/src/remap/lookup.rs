//! Asking memcached: one thread with one client, for all workers. Lookups of one key that come together are
//! one; with wildcards a lookup is one multi-get.
//!
//! Decisions that have grown old are asked for together: nobody waits for them, so that those of a few
//! milliseconds are gathered, without the thread being woken for each, into one multi-get.
//!
//! A lookup serves whoever came before it began, and of those who came later the ones whom an answer of
//! before contents. The others share the next one, so that a key has at most two under way or waiting.
//!
//! Once a second, and more often while they are away, the servers are asked whether they are there: the
//! table's status is true also while nobody needs the table.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use waypost_memcached::{Client, Error, Item};

use super::cache::Cache;
use super::cell::{Cell, Decision};
use super::change::{self, RemapChange};
use super::key::candidates;
use super::problems::Problems;
use super::target::RouteTarget;
use crate::change::Outcome;
use crate::snapshot::Snapshot;
use crate::table::Table;

/// How many keys are asked for at once; more wait in the queue.
const AT_ONCE: usize = 1024;

/// For how long old decisions are gathered, and how many are asked for together at most.
const GATHER: (Duration, usize) = (Duration::from_millis(5), 1024);

/// How often the servers are asked whether they are there, while they are and while one is not.
const PULSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(250));

/// What one key of the table holds, or why that can't be told.
pub(super) type Read = Result<Option<Bytes>, String>;

/// What the thread is asked for.
pub(super) enum Job {
    Look(Look),
    /// The values of these keys, as they are.
    Read(Vec<String>, SyncSender<Vec<Read>>),
    /// These changes, one after the other.
    Change(Vec<RemapChange>, SyncSender<Result<Vec<Outcome>, String>>),
}

/// A decision that is to be made.
pub(super) struct Look {
    pub(super) cell: Arc<Cell>,
    /// Only a lookup that began after this will do.
    pub(super) since: u64,
    /// Who waits for it; told whether the table could be asked.
    pub(super) answer: oneshot::Sender<bool>,
}

/// A lookup under way.
struct Turn {
    cell: Arc<Cell>,
    began: u64,
    waiting: Vec<oneshot::Sender<bool>>,
    /// Who waits for the next one.
    next: Vec<oneshot::Sender<bool>>,
}

/// The key that is there, of those that would do, and its value.
type Found = Result<Option<(String, Bytes)>, Error>;

/// What a task came to.
enum Done {
    Looked(Vec<(usize, Found)>),
    Pulse(Result<(), Error>),
    Else,
}

/// The thread's state.
pub(super) struct Lookups {
    client: Client,
    cache: Arc<Cache>,
    table: Arc<Table>,
    /// By the address of the cell, which a turn keeps alive.
    under_way: HashMap<usize, Turn>,
    tasks: JoinSet<Done>,
    problems: Problems,
    /// Whether it was said that a server is away.
    away: bool,
    pulse_at: Instant,
    pulsing: bool,
    /// Told how the first attempt went.
    first: Option<SyncSender<Result<(), String>>>,
}

impl Lookups {
    pub(super) fn new(
        client: Client,
        cache: Arc<Cache>,
        table: Arc<Table>,
        first: SyncSender<Result<(), String>>,
    ) -> Lookups {
        Lookups {
            client,
            cache,
            problems: Problems::new(Arc::clone(&table)),
            table,
            under_way: HashMap::new(),
            tasks: JoinSet::new(),
            away: false,
            pulse_at: Instant::now(),
            pulsing: false,
            first: Some(first),
        }
    }

    /// Answers until nobody is left who could ask.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>, mut old: mpsc::Receiver<Arc<Cell>>) {
        let mut gathered = Vec::new();
        let mut gathered_at = Instant::now();
        loop {
            let room = self.tasks.len() < AT_ONCE;
            tokio::select! {
                job = jobs.recv(), if room => match job {
                    Some(job) => self.take(job),
                    None => break,
                },
                // Not listened to while more are gathered: they come without waking anybody.
                Some(cell) = old.recv(), if room && gathered.is_empty() => {
                    gathered.push(cell);
                    gathered_at = Instant::now() + GATHER.0;
                }
                () = sleep_until(gathered_at), if !gathered.is_empty() => {
                    while gathered.len() < GATHER.1 && let Ok(cell) = old.try_recv() {
                        gathered.push(cell);
                    }
                    self.begin_all(std::mem::take(&mut gathered));
                }
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => match done {
                    Ok(done) => self.done(done),
                    // Whoever waited learns that there is no answer.
                    Err(_panicked) => self.abandon(),
                },
                () = sleep_until(self.pulse_at), if !self.pulsing => self.pulse(),
            }
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Look(look) => self.look(look),
            Job::Read(keys, answer) => {
                let client = self.client.clone();
                self.tasks.spawn(async move {
                    let read = client.get_multi(&keys).await.into_iter().map(|read| match read {
                        Ok(item) => Ok(item.map(|item| item.value)),
                        // What can't be a key of memcached's is not in it.
                        Err(Error::Key(_)) => Ok(None),
                        Err(error) => Err(error.to_string()),
                    });
                    // Who has stopped waiting is not told.
                    let _ = answer.send(read.collect());
                    Done::Else
                });
            }
            Job::Change(changes, answer) => {
                let (client, cache) = (self.client.clone(), Arc::clone(&self.cache));
                self.tasks.spawn(async move {
                    let mut outcomes = Vec::with_capacity(changes.len());
                    let mut failed = None;
                    for change in &changes {
                        match change::make(&client, change).await {
                            Ok(outcome) => outcomes.push(outcome),
                            Err(error) => {
                                failed = Some(error);
                                break;
                            }
                        }
                    }
                    // Also when one failed: it may have been made all the same.
                    cache.expire();
                    let _ = answer.send(match failed {
                        None => Ok(outcomes),
                        Some(error) if changes.len() == 1 => Err(error.to_string()),
                        Some(error) => {
                            Err(format!("{error} (made {} of {} changes)", outcomes.len(), changes.len()))
                        }
                    });
                    Done::Else
                });
            }
        }
    }

    fn look(&mut self, look: Look) {
        let Look { cell, since, answer } = look;
        let id = Arc::as_ptr(&cell) as usize;
        match self.under_way.get_mut(&id) {
            Some(turn) if turn.began > since => turn.waiting.push(answer),
            Some(turn) => turn.next.push(answer),
            None => self.begin(id, cell, vec![answer]),
        }
    }

    fn begin(&mut self, id: usize, cell: Arc<Cell>, waiting: Vec<oneshot::Sender<bool>>) {
        let (client, key) = (self.client.clone(), Arc::clone(cell.key()));
        let began = self.cache.now();
        let wildcards = self.cache.wildcards();
        self.under_way.insert(id, Turn { cell, began, waiting, next: Vec::new() });
        self.tasks.spawn(async move { Done::Looked(find(&client, vec![(id, key)], wildcards).await) });
    }

    /// Asks for many keys at once that nobody waits for, but for those that are being asked for anyway.
    fn begin_all(&mut self, cells: Vec<Arc<Cell>>) {
        let began = self.cache.now();
        let mut keys = Vec::with_capacity(cells.len());
        for cell in cells {
            let id = Arc::as_ptr(&cell) as usize;
            if let Entry::Vacant(place) = self.under_way.entry(id) {
                keys.push((id, Arc::clone(cell.key())));
                place.insert(Turn { cell, began, waiting: Vec::new(), next: Vec::new() });
            }
        }
        let (client, wildcards) = (self.client.clone(), self.cache.wildcards());
        self.tasks.spawn(async move { Done::Looked(find(&client, keys, wildcards).await) });
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Looked(all) => all.into_iter().for_each(|(id, found)| self.looked(id, found)),
            Done::Pulse(answer) => {
                self.pulsing = false;
                match answer {
                    Ok(()) => self.there(),
                    Err(error) => self.gone(&error),
                }
                let (usual, away) = PULSE;
                self.pulse_at = Instant::now() + if self.away { away } else { usual };
                let known = self.cache.len();
                self.table.set_following(|following| following.cached = Some(known));
            }
            Done::Else => {}
        }
    }

    fn looked(&mut self, id: usize, found: Found) {
        let Some(turn) = self.under_way.remove(&id) else { return };
        let Turn { cell, began, waiting, next } = turn;
        let answered = found.is_ok();
        match found {
            Ok(found) => {
                let decision = self.read(cell.key(), found);
                cell.decide(decision, began);
                self.answered();
            }
            Err(error) => self.gone(&error),
        }
        cell.was_asked(self.cache.now(), answered);
        for waiting in waiting {
            // Who has stopped waiting is not told.
            let _ = waiting.send(answered);
        }
        // Those whose client has gone away need no answer.
        let next: Vec<_> = next.into_iter().filter(|waiting| !waiting.is_closed()).collect();
        if !next.is_empty() {
            self.begin(id, cell, next);
        }
    }

    /// What is decided by what was found.
    fn read(&mut self, asked: &str, found: Option<(String, Bytes)>) -> Decision {
        let Some((key, value)) = found else {
            self.problems.clear(asked);
            return Decision::Nothing;
        };
        match RouteTarget::parse(&value) {
            Ok(target) => {
                self.problems.clear(&key);
                Decision::To { key: key.into(), target }
            }
            Err(error) => {
                self.problems.note(&key, &value, &error);
                Decision::Malformed { key: key.into() }
            }
        }
    }

    /// Gives up all that is under way, since a task has ended without an answer and can't say which it was.
    fn abandon(&mut self) {
        // None of the others may answer for what takes its place.
        self.tasks = JoinSet::new();
        self.pulsing = false;
        let now = self.cache.now();
        for (_, turn) in self.under_way.drain() {
            turn.cell.was_asked(now, false);
        }
    }

    fn pulse(&mut self) {
        self.pulsing = true;
        let client = self.client.clone();
        self.tasks.spawn(async move {
            let versions = client.version().await;
            Done::Pulse(versions.into_iter().try_for_each(|(_, version)| version.map(drop)))
        });
    }

    /// A server answered. Whether all are there is for the next pulse to tell.
    fn answered(&mut self) {
        self.loaded();
        match self.away {
            true => self.pulse_at = Instant::now(),
            false => self.table.synced(),
        }
    }

    /// Every server answers.
    fn there(&mut self) {
        self.loaded();
        self.table.synced();
        self.table.set_following(|following| following.connected = true);
        if std::mem::take(&mut self.away) {
            tracing::info!("the memcached servers of the route table are there again");
        }
        self.tell_first(Ok(()));
    }

    fn gone(&mut self, error: &Error) {
        self.table.failed(error.to_string());
        self.table.set_following(|following| following.connected = false);
        if !std::mem::replace(&mut self.away, true) {
            let (_, pause) = PULSE;
            self.pulse_at = self.pulse_at.min(Instant::now() + pause);
            tracing::error!(%error, "a memcached server of the route table is away; known decisions stay");
        }
        self.tell_first(Err(error.to_string()));
    }

    /// From now on a key that is not known can be asked for.
    fn loaded(&self) {
        if !self.table.snapshot().is_loaded() {
            self.table.publish(Snapshot::empty());
        }
    }

    fn tell_first(&mut self, outcome: Result<(), String>) {
        if let Some(first) = self.first.take() {
            // Who has stopped waiting is not told.
            let _ = first.send(outcome);
        }
    }
}

/// Asks for keys, or for them and their wildcards at once: of each the first that is there, in the order of
/// matching.
async fn find(client: &Client, keys: Vec<(usize, Arc<str>)>, wildcards: bool) -> Vec<(usize, Found)> {
    let wanted: Vec<(usize, Vec<String>)> =
        keys.into_iter().map(|(id, key)| (id, candidates(&key, wildcards))).collect();
    let all: Vec<&String> = wanted.iter().flat_map(|(_, keys)| keys).collect();
    let items = match &all[..] {
        [key] => vec![client.get(key).await],
        keys => client.get_multi(keys).await,
    };
    let mut items = items.into_iter();
    let found = wanted.into_iter().map(|(id, keys)| {
        let items = items.by_ref().take(keys.len()).collect::<Vec<_>>();
        (id, first(keys, items))
    });
    found.collect()
}

/// The first key that is there. An error in front of it leaves it open which one that is.
fn first(keys: Vec<String>, items: Vec<Result<Option<Item>, Error>>) -> Found {
    for (key, item) in keys.into_iter().zip(items) {
        match item {
            Ok(Some(item)) => return Ok(Some((key, item.value))),
            // What can't be a key of memcached's is not in it.
            Ok(None) | Err(Error::Key(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
