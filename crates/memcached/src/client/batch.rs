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
    /// The keys, one behind the other.
    names: Vec<u8>,
    /// Each with the end of its key.
    operations: Vec<(usize, Operation)>,
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
        self.names.extend_from_slice(key);
        self.operations.push((self.names.len(), operation));
        self
    }
}

impl Client {
    /// Does all operations of a batch, within one time limit; outcomes are in its order.
    ///
    /// # Errors
    /// Each operation has its own outcome, with the errors of the method it is named after.
    pub async fn run(&self, batch: Batch) -> Vec<Result<Outcome, Error>> {
        let Batch { names, operations } = batch;
        let mut start = 0;
        let requests = operations.into_iter().map(|(end, operation)| {
            let name = &names[start..end];
            start = end;
            self.key(name).map(|key| self.request(key, operation))
        });
        self.shared.ask_all(requests, outcome).await
    }

    /// Reads many items, in the order of the keys. All servers are asked at the same time.
    ///
    /// # Errors
    /// Each key has an outcome of its own: what one server can't answer leaves the others' items.
    pub async fn get_multi<K: AsRef<[u8]>>(&self, keys: &[K]) -> Vec<Result<Option<Item>, Error>> {
        let get = |key| Request::Get { key, cas: false, ttl: false, touch: None };
        let requests = keys.iter().map(|key| self.key(key.as_ref()).map(get));
        let item = |_: &Request, reply| if let Reply::Item(item) = reply { Ok(Some(item)) } else { Ok(None) };
        self.shared.ask_all(requests, item).await
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

/// What a reply means for the caller.
fn outcome(request: &Request, reply: Reply) -> Result<Outcome, Error> {
    match reply {
        Reply::Item(item) => Ok(Outcome::Item(Some(item))),
        Reply::Number(number) => Ok(Outcome::Number(number)),
        Reply::NotStored => Err(Error::NotStored),
        Reply::Exists => Err(Error::Exists),
        Reply::NotFound if matches!(request, Request::Get { .. }) => Ok(Outcome::Item(None)),
        Reply::NotFound => Err(Error::NotFound),
        Reply::Done | Reply::Unchanged | Reply::Version(_) | Reply::Stats(_) | Reply::Refused(_) => {
            Ok(Outcome::Done)
        }
    }
}

/// The requests of a batch that one server answers, and where their outcomes go.
#[derive(Default)]
struct Group {
    places: Vec<usize>,
    requests: Vec<Request>,
}

impl Shared {
    /// Sends requests to the servers of their keys, and makes of each reply what the caller wants. A request that
    /// is an error already is passed through.
    async fn ask_all<T>(
        &self,
        requests: impl Iterator<Item = Result<Request, Error>>,
        finish: impl Fn(&Request, Reply) -> Result<T, Error>,
    ) -> Vec<Result<T, Error>> {
        let deadline = self.deadline();
        if !self.failover && self.copies == 1 {
            return self.ask_groups(requests, deadline, finish).await;
        }
        let requests: Vec<_> = requests.collect();
        let replies = Box::pin(self.ask_all_holders(&requests, deadline)).await;
        let finish = |(request, reply): (Result<Request, Error>, Result<_, _>)| finish(&request?, reply?);
        requests.into_iter().zip(replies).map(finish).collect()
    }

    /// As [`Shared::ask_all`], with failover or copies.
    async fn ask_all_holders(
        &self,
        requests: &[Result<Request, Error>],
        deadline: Deadline,
    ) -> Vec<Result<Reply, Error>> {
        let reads = requests.iter().flatten().all(|request| matches!(request, Request::Get { .. }));
        if self.copies > 1 && !reads {
            // What is written to the copies depends on what the first server says.
            let all = requests.iter().cloned();
            return in_turn(all.map(|request| async { self.ask_within(request?, deadline).await })).await;
        }
        let mut outcomes = self.ask_groups(requests.iter().cloned(), deadline, |_, reply| Ok(reply)).await;
        let second = requests.iter().zip(&mut outcomes).filter_map(|(request, outcome)| {
            let request = request.as_ref().ok().filter(|_| self.has_second_chance(outcome))?.clone();
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
    async fn ask_groups<T>(
        &self,
        requests: impl Iterator<Item = Result<Request, Error>>,
        deadline: Deadline,
        finish: impl Fn(&Request, Reply) -> Result<T, Error>,
    ) -> Vec<Result<T, Error>> {
        let expected = requests.size_hint().0;
        let mut outcomes = Vec::with_capacity(expected);
        let mut groups: Vec<Group> = Vec::new();
        groups.resize_with(self.servers.len(), Group::default);
        for (place, request) in requests.enumerate() {
            let request = match request {
                Ok(request) => request,
                Err(error) => {
                    outcomes.push(Err(error));
                    continue;
                }
            };
            // Until its server has answered, which every request of a batch has.
            outcomes.push(Err(Error::NoServers));
            let Some(server) = request.key().map(|key| self.first_holder(key)) else { continue };
            let Group { places, requests } = &mut groups[server];
            if places.is_empty() {
                let share = expected / self.servers.len();
                places.reserve(share);
                requests.reserve(share);
            }
            places.push(place);
            requests.push(request);
        }
        let asked = groups.iter().zip(&self.servers).filter(|(group, _)| !group.requests.is_empty());
        let mut asked = asked.map(|(Group { places, requests }, server)| async move {
            let mut replies = Vec::new();
            replies.resize_with(requests.len(), || None);
            let failure = match server.away() {
                Some(away) => Some(away),
                None => server.execute(requests, &mut replies, deadline).await.err(),
            };
            (places, requests, server, replies, failure)
        });
        // Most often there is one, which needs nothing around it.
        let answers = match (asked.next(), asked.next()) {
            (Some(only), None) => vec![only.await],
            (first, second) => join_all(first.into_iter().chain(second).chain(asked)).await,
        };
        for (places, requests, server, replies, failure) in answers {
            for ((place, request), reply) in places.iter().zip(requests).zip(replies) {
                let reply = server.outcome(request, reply, failure.as_ref());
                outcomes[*place] = reply.and_then(|reply| finish(request, reply));
            }
        }
        outcomes
    }
}

async fn in_turn<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all = Vec::new();
    for future in futures {
        all.push(future.await);
    }
    all
}
