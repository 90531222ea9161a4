//! Many operations at once: those for one server go over one connection, one after the other without waiting,
//! and all servers are asked at the same time.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Client, Shared, StoreOptions};
use crate::error::Error;
use crate::key::Key;
use crate::protocol::{Create, Item, Reply, Request, StoreMode};
use crate::server::Deadline;
use crate::ttl;

/// Operations to be done together. Those on one server are done in the order they were added; there is no
/// order between servers, and no transaction: each has its own outcome.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    operations: Vec<(Vec<u8>, Operation)>,
}

#[derive(Debug, Clone)]
enum Operation {
    Get { cas: bool },
    Store { mode: StoreMode, value: Bytes, options: StoreOptions, cas: Option<u64> },
    Delete,
    Touch { ttl: u32 },
    Count { delta: u64, decrement: bool, create: Option<(u64, u32)> },
}

/// What became of one operation of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A read: the item, if there is one.
    Item(Option<Item>),
    /// The new number of a counter.
    Number(u64),
    /// It was done.
    Done,
}

impl Outcome {
    /// The item of a read.
    pub fn into_item(self) -> Option<Item> {
        match self {
            Outcome::Item(item) => item,
            Outcome::Number(_) | Outcome::Done => None,
        }
    }
}

impl Batch {
    /// No operation yet.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// How many operations it has.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// As [`Client::get`].
    pub fn get(&mut self, key: impl AsRef<[u8]>) -> &mut Batch {
        self.push(key.as_ref(), Operation::Get { cas: false })
    }

    /// As [`Client::gets`].
    pub fn gets(&mut self, key: impl AsRef<[u8]>) -> &mut Batch {
        self.push(key.as_ref(), Operation::Get { cas: true })
    }

    /// As [`Client::set`].
    pub fn set(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        options: StoreOptions,
    ) -> &mut Batch {
        self.store(StoreMode::Set, key.as_ref(), value.into(), options, None)
    }

    /// As [`Client::add`].
    pub fn add(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        options: StoreOptions,
    ) -> &mut Batch {
        self.store(StoreMode::Add, key.as_ref(), value.into(), options, None)
    }

    /// As [`Client::replace`].
    pub fn replace(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        options: StoreOptions,
    ) -> &mut Batch {
        self.store(StoreMode::Replace, key.as_ref(), value.into(), options, None)
    }

    /// As [`Client::cas`].
    pub fn cas(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        token: u64,
        options: StoreOptions,
    ) -> &mut Batch {
        self.store(StoreMode::Set, key.as_ref(), value.into(), options, Some(token))
    }

    /// As [`Client::append`].
    pub fn append(&mut self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> &mut Batch {
        self.store(StoreMode::Append, key.as_ref(), value.into(), StoreOptions::ttl(0), None)
    }

    /// As [`Client::append_or_set`].
    pub fn append_or_set(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        options: StoreOptions,
    ) -> &mut Batch {
        self.store(StoreMode::AppendOrSet, key.as_ref(), value.into(), options, None)
    }

    /// As [`Client::prepend`].
    pub fn prepend(&mut self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> &mut Batch {
        self.store(StoreMode::Prepend, key.as_ref(), value.into(), StoreOptions::ttl(0), None)
    }

    /// As [`Client::delete`].
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Batch {
        self.push(key.as_ref(), Operation::Delete)
    }

    /// As [`Client::touch`].
    pub fn touch(&mut self, key: impl AsRef<[u8]>, ttl: u32) -> &mut Batch {
        self.push(key.as_ref(), Operation::Touch { ttl })
    }

    /// As [`Client::incr`].
    pub fn incr(&mut self, key: impl AsRef<[u8]>, by: u64) -> &mut Batch {
        self.push(key.as_ref(), Operation::Count { delta: by, decrement: false, create: None })
    }

    /// As [`Client::decr`].
    pub fn decr(&mut self, key: impl AsRef<[u8]>, by: u64) -> &mut Batch {
        self.push(key.as_ref(), Operation::Count { delta: by, decrement: true, create: None })
    }

    /// As [`Client::counter`].
    pub fn counter(&mut self, key: impl AsRef<[u8]>, delta: i64, initial: u64, ttl: u32) -> &mut Batch {
        let (delta, decrement) = (delta.unsigned_abs(), delta < 0);
        self.push(key.as_ref(), Operation::Count { delta, decrement, create: Some((initial, ttl)) })
    }

    fn store(
        &mut self,
        mode: StoreMode,
        key: &[u8],
        value: Bytes,
        options: StoreOptions,
        cas: Option<u64>,
    ) -> &mut Batch {
        self.push(key, Operation::Store { mode, value, options, cas })
    }

    fn push(&mut self, key: &[u8], operation: Operation) -> &mut Batch {
        self.operations.push((key.to_vec(), operation));
        self
    }
}

impl Client {
    /// Does all operations of a batch, within one time limit; outcomes are in its order.
    ///
    /// # Errors
    /// Each operation has its own outcome, with the errors of the method it is named after.
    pub async fn run(&self, batch: Batch) -> Vec<Result<Outcome, Error>> {
        let is_read = |(_, operation): &(Vec<u8>, Operation)| matches!(operation, Operation::Get { .. });
        let reads: Vec<bool> = batch.operations.iter().map(is_read).collect();
        let requests = batch
            .operations
            .into_iter()
            .map(|(key, operation)| self.key(&key).map(|key| self.request(key, operation)));
        let replies = self.shared.ask_all(requests.collect()).await;
        replies.into_iter().zip(reads).map(|(reply, is_read)| outcome(reply, is_read)).collect()
    }

    fn request(&self, key: Key, operation: Operation) -> Request {
        match operation {
            Operation::Get { cas } => Request::Get { key, cas, ttl: false, touch: None },
            Operation::Store { mode, value, options, cas } => {
                let ttl = self.ttl(options.ttl);
                Request::Store { mode, key, value, flags: options.flags, ttl, cas }
            }
            Operation::Delete => Request::Delete { key, cas: None },
            Operation::Touch { ttl } => Request::Touch { key, ttl: ttl::on_the_wire(ttl) },
            Operation::Count { delta, decrement, create } => {
                let create = create.map(|(initial, ttl)| Create { initial, ttl: ttl::on_the_wire(ttl) });
                Request::Arithmetic { key, delta, decrement, create }
            }
        }
    }
}

fn outcome(reply: Result<Reply, Error>, is_read: bool) -> Result<Outcome, Error> {
    match reply? {
        Reply::Item(item) => Ok(Outcome::Item(Some(item))),
        Reply::Number(number) => Ok(Outcome::Number(number)),
        Reply::NotStored => Err(Error::NotStored),
        Reply::Exists => Err(Error::Exists),
        Reply::NotFound if is_read => Ok(Outcome::Item(None)),
        Reply::NotFound => Err(Error::NotFound),
        Reply::Done | Reply::Version(_) | Reply::Stats(_) | Reply::Refused(_) => Ok(Outcome::Done),
    }
}

/// The requests of a batch that one server answers, and where their answers go.
struct Group {
    server: usize,
    places: Vec<usize>,
    requests: Vec<Request>,
}

impl Shared {
    /// Sends requests to the servers of their keys. A request that is an error already is passed through.
    async fn ask_all(&self, requests: Vec<Result<Request, Error>>) -> Vec<Result<Reply, Error>> {
        let reads = requests.iter().flatten().all(|request| matches!(request, Request::Get { .. }));
        let deadline = self.deadline();
        if self.copies > 1 && !reads {
            // What is written to the copies depends on what the first server says.
            let all = requests.into_iter().map(|request| async { self.ask_within(request?, deadline).await });
            return in_turn(all).await;
        }
        if !self.failover && self.copies == 1 {
            return self.ask_groups(requests, deadline).await;
        }
        let mut outcomes = self.ask_groups(requests.clone(), deadline).await;
        let second = requests.into_iter().zip(&mut outcomes).filter_map(|(request, outcome)| {
            let request = request.ok().filter(|_| self.has_second_chance(outcome))?;
            Some(async move { *outcome = self.ask_within(request, deadline).await })
        });
        if reads {
            join_all(second).await;
        } else {
            in_turn(second).await;
        }
        outcomes
    }

    /// Whether another server may have a better answer than the first.
    fn has_second_chance(&self, outcome: &Result<Reply, Error>) -> bool {
        match outcome {
            Ok(reply) => self.copies > 1 && *reply == Reply::NotFound,
            Err(error) => self.copies > 1 || error.is_unreachable(),
        }
    }

    /// Sends each request to the first server it may go to, in one group a server.
    async fn ask_groups(
        &self,
        requests: Vec<Result<Request, Error>>,
        deadline: Deadline,
    ) -> Vec<Result<Reply, Error>> {
        let mut outcomes: Vec<Option<Result<Reply, Error>>> = Vec::new();
        outcomes.resize_with(requests.len(), || None);
        let mut groups: Vec<Option<Group>> = Vec::new();
        groups.resize_with(self.servers.len(), || None);
        for (place, request) in requests.into_iter().enumerate() {
            let request = match request {
                Ok(request) => request,
                Err(error) => {
                    outcomes[place] = Some(Err(error));
                    continue;
                }
            };
            let Some(server) = request.key().map(|key| self.first_holder(key)) else { continue };
            let empty = || Group { server, places: Vec::new(), requests: Vec::new() };
            let group = groups[server].get_or_insert_with(empty);
            group.places.push(place);
            group.requests.push(request);
        }
        let asked = groups.into_iter().flatten().map(|group| async move {
            let server = &self.servers[group.server];
            let mut replies = Vec::new();
            replies.resize_with(group.requests.len(), || None);
            let failure = match server.away() {
                Some(away) => Some(away),
                None => server.execute(&group.requests, &mut replies, deadline).await.err(),
            };
            let answered = group.requests.iter().zip(replies);
            let answered = answered.map(|(request, reply)| server.outcome(request, reply, failure.as_ref()));
            group.places.into_iter().zip(answered.collect::<Vec<_>>()).collect::<Vec<_>>()
        });
        for (place, outcome) in join_all(asked).await.into_iter().flatten() {
            outcomes[place] = Some(outcome);
        }
        // Every request went into a group, or had its outcome before.
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(Error::NoServers))).collect()
    }
}

async fn in_turn<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all = Vec::new();
    for future in futures {
        all.push(future.await);
    }
    all
}
