//! The client: operations on items, each sent to the server that placement names.
//!
//! Every operation has one time limit (`timeout` of the address) that covers all of it: waiting for a
//! connection, connecting, and the answer. An operation that is dropped before it ended closes the connection it
//! used.

mod batch;
mod conditional;
mod lease;
mod route;
mod servers;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::address::{Address, Endpoint, Protocol};
use crate::connection::{Login, Place, Speech, Target};
use crate::error::Error;
use crate::key::Key;
use crate::placement::Placement;
use crate::protocol::{Create, Item, Reply, Request, StoreMode};
use crate::server::{Deadline, Server};
use crate::{tls, ttl};

pub use batch::{Batch, Outcome};
pub use conditional::Change;
pub use lease::{Claim, Lease, LeaseOptions};
pub use servers::OfServers;

/// A client of one set of memcached servers: cheap to clone, and shared freely between the tasks of one tokio
/// runtime, to which its connections belong. They are opened on first use, at most `pool` of the address to each
/// server; callers who find all of them taken wait in line, within their time limit.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What all clones of a client share.
#[derive(Debug)]
struct Shared {
    /// In the order of the address: placement speaks of them by index.
    servers: Vec<Server>,
    placement: Placement,
    prefix: Vec<u8>,
    /// The time to live of items that are stored without one.
    ttl: u32,
    timeout: Duration,
    failover: bool,
    /// How many servers hold each item.
    copies: usize,
}

/// How an item is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreOptions {
    /// How many seconds it lives; 0 for ever. `None`: as the address says, for ever if it doesn't.
    pub ttl: Option<u32>,
    /// A number that is kept with it, of whatever meaning its users agree on.
    pub flags: u32,
}

impl StoreOptions {
    /// An item that lives this many seconds; 0 for ever.
    pub fn ttl(seconds: u32) -> StoreOptions {
        StoreOptions { ttl: Some(seconds), flags: 0 }
    }
}

impl Client {
    /// A client of the servers of an address. Nothing is connected yet.
    ///
    /// # Errors
    /// When the address names no server, or TLS or authentication can't be set up as it says.
    pub fn new(address: &Address) -> Result<Client, Error> {
        if address.servers.is_empty() {
            return Err(Error::NoServers);
        }
        let tls = match address.tls {
            true => Some(tls::client_config(address.tls_ca.as_deref())?),
            false => None,
        };
        let login = login(address)?;
        let mut servers = Vec::with_capacity(address.servers.len());
        for server in &address.servers {
            let place = match &server.endpoint {
                Endpoint::Tcp { host, port } => {
                    let tls = match &tls {
                        Some(config) => Some((config.clone(), tls::server_name(host)?)),
                        None => None,
                    };
                    Place::Tcp { host: host.clone(), port: *port, tls }
                }
                Endpoint::Unix(path) => Place::Unix(path.clone()),
            };
            let speech = match address.protocol {
                Protocol::Auto => Speech::Best,
                Protocol::Meta => Speech::Meta,
                Protocol::Text => Speech::Text,
                Protocol::Binary => Speech::Binary,
            };
            let target =
                Target { name: server.endpoint.to_string().into(), place, speech, login: login.clone() };
            servers.push(Server::new(target, address.pool, address.connect_timeout, address.retry_timeout));
        }
        let shared = Shared {
            copies: (address.replicas as usize).clamp(1, servers.len()),
            servers,
            placement: Placement::new(address),
            prefix: address.prefix.clone(),
            ttl: address.ttl.unwrap_or(0),
            timeout: address.timeout,
            failover: address.failover,
        };
        Ok(Client { shared: Arc::new(shared) })
    }

    /// Where keys go.
    pub fn placement(&self) -> &Placement {
        &self.shared.placement
    }

    /// Reads an item; `None` when there is none.
    ///
    /// # Errors
    /// When the key can't be used, or the server can't answer.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Item>, Error> {
        let key = self.key(key.as_ref())?;
        self.read(Request::Get { key, cas: false, ttl: false, touch: None }).await
    }

    /// Reads an item with its token for [`Client::cas`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn gets(&self, key: impl AsRef<[u8]>) -> Result<Option<Item>, Error> {
        let key = self.key(key.as_ref())?;
        self.read(Request::Get { key, cas: true, ttl: false, touch: None }).await
    }

    /// Reads an item and gives it a new time to live.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_and_touch(&self, key: impl AsRef<[u8]>, ttl: u32) -> Result<Option<Item>, Error> {
        let key = self.key(key.as_ref())?;
        self.read(Request::Get { key, cas: false, ttl: false, touch: Some(ttl::on_the_wire(ttl)) }).await
    }

    async fn read(&self, request: Request) -> Result<Option<Item>, Error> {
        match self.shared.ask(request).await {
            Ok(Reply::Item(item)) => Ok(Some(item)),
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores an item, whatever there was.
    ///
    /// # Errors
    /// When the key can't be used, the value is too large, or the server can't do it.
    pub async fn set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        options: StoreOptions,
    ) -> Result<(), Error> {
        self.store(StoreMode::Set, key.as_ref(), value.into(), options, None).await
    }

    /// Stores an item if there is none.
    ///
    /// # Errors
    /// [`Error::NotStored`] when there is one; else as [`Client::set`].
    pub async fn add(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        options: StoreOptions,
    ) -> Result<(), Error> {
        self.store(StoreMode::Add, key.as_ref(), value.into(), options, None).await
    }

    /// Stores an item if there is one already.
    ///
    /// # Errors
    /// [`Error::NotStored`] when there is none; else as [`Client::set`].
    pub async fn replace(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        options: StoreOptions,
    ) -> Result<(), Error> {
        self.store(StoreMode::Replace, key.as_ref(), value.into(), options, None).await
    }

    /// Stores an item if it has not changed since [`Client::gets`] read this token.
    ///
    /// # Errors
    /// [`Error::Exists`] when it changed, [`Error::NotFound`] when it is gone; else as [`Client::set`].
    pub async fn cas(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        token: u64,
        options: StoreOptions,
    ) -> Result<(), Error> {
        self.store(StoreMode::Set, key.as_ref(), value.into(), options, Some(token)).await
    }

    /// Puts bytes behind an item's value. Its flags and its time to live stay.
    ///
    /// # Errors
    /// [`Error::NotStored`] when there is no item; else as [`Client::set`].
    pub async fn append(&self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Result<(), Error> {
        self.store(StoreMode::Append, key.as_ref(), value.into(), StoreOptions::ttl(0), None).await
    }

    /// Puts bytes behind an item's value, or stores them as a new item with these options. A server from 1.6.20
    /// on does it in one step; for others it is made of `append` and `add`.
    ///
    /// # Errors
    /// [`Error::NotStored`] when others add and delete the item all the time; else as [`Client::set`].
    pub async fn append_or_set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        options: StoreOptions,
    ) -> Result<(), Error> {
        self.store(StoreMode::AppendOrSet, key.as_ref(), value.into(), options, None).await
    }

    /// Puts bytes before an item's value. Its flags and its time to live stay.
    ///
    /// # Errors
    /// [`Error::NotStored`] when there is no item; else as [`Client::set`].
    pub async fn prepend(&self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Result<(), Error> {
        self.store(StoreMode::Prepend, key.as_ref(), value.into(), StoreOptions::ttl(0), None).await
    }

    async fn store(
        &self,
        mode: StoreMode,
        key: &[u8],
        value: Bytes,
        options: StoreOptions,
        cas: Option<u64>,
    ) -> Result<(), Error> {
        let key = self.key(key)?;
        let ttl = self.ttl(options.ttl);
        done(self.shared.ask(Request::Store { mode, key, value, flags: options.flags, ttl, cas }).await)
    }

    /// Deletes an item.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none; else as [`Client::get`].
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<(), Error> {
        let key = self.key(key.as_ref())?;
        done(self.shared.ask(Request::Delete { key, cas: None }).await)
    }

    /// Gives an item a new time to live, in seconds; 0 for ever.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none; else as [`Client::get`].
    pub async fn touch(&self, key: impl AsRef<[u8]>, ttl: u32) -> Result<(), Error> {
        let key = self.key(key.as_ref())?;
        done(self.shared.ask(Request::Touch { key, ttl: ttl::on_the_wire(ttl) }).await)
    }

    /// Adds to a number that is stored in decimal, and returns the new one. Beyond 64 bits it wraps around.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, [`Error::NotANumber`] when it is none; else as [`Client::get`].
    pub async fn incr(&self, key: impl AsRef<[u8]>, by: u64) -> Result<u64, Error> {
        self.count(key.as_ref(), by, false, None).await
    }

    /// Takes from a number that is stored in decimal, down to 0, and returns the new one.
    ///
    /// # Errors
    /// As [`Client::incr`].
    pub async fn decr(&self, key: impl AsRef<[u8]>, by: u64) -> Result<u64, Error> {
        self.count(key.as_ref(), by, true, None).await
    }

    /// Adds `delta` to a counter and returns the new number, which is never below 0. A counter that doesn't
    /// exist begins with `initial`, without `delta`, and lives `ttl` seconds from then on (0 for ever;
    /// the address' own time to live is for items).
    ///
    /// # Errors
    /// [`Error::NotANumber`] when something else is stored there; else as [`Client::get`].
    pub async fn counter(
        &self,
        key: impl AsRef<[u8]>,
        delta: i64,
        initial: u64,
        ttl: u32,
    ) -> Result<u64, Error> {
        let create = Create { initial, ttl: ttl::on_the_wire(ttl) };
        self.count(key.as_ref(), delta.unsigned_abs(), delta < 0, Some(create)).await
    }

    /// Sets a counter, whatever it was; it lives `ttl` seconds (0 for ever).
    ///
    /// # Errors
    /// As [`Client::set`].
    pub async fn counter_set(&self, key: impl AsRef<[u8]>, value: u64, ttl: u32) -> Result<(), Error> {
        self.set(key, value.to_string(), StoreOptions::ttl(ttl)).await
    }

    async fn count(
        &self,
        key: &[u8],
        delta: u64,
        decrement: bool,
        create: Option<Create>,
    ) -> Result<u64, Error> {
        let key = self.key(key)?;
        match self.shared.ask(Request::Arithmetic { key, delta, decrement, create }).await? {
            Reply::Number(number) => Ok(number),
            Reply::NotStored => Err(Error::NotStored),
            _ => Err(Error::NotFound),
        }
    }

    fn key(&self, name: &[u8]) -> Result<Key, Error> {
        Ok(Key::new(&self.shared.prefix, name)?)
    }

    fn ttl(&self, seconds: Option<u32>) -> u32 {
        ttl::on_the_wire(seconds.unwrap_or(self.shared.ttl))
    }
}

impl Shared {
    fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }
}

/// A reply that has nothing to say but whether it was done.
fn done(reply: Result<Reply, Error>) -> Result<(), Error> {
    match reply? {
        Reply::NotFound => Err(Error::NotFound),
        Reply::NotStored => Err(Error::NotStored),
        Reply::Exists => Err(Error::Exists),
        _ => Ok(()),
    }
}

/// User and password, if the protocol can carry them.
fn login(address: &Address) -> Result<Option<Login>, Error> {
    let Some(user) = address.user.clone() else { return Ok(None) };
    let password = address.password.clone().unwrap_or_default();
    let breaks = |text: &str| text.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
    if address.protocol != Protocol::Binary && (breaks(&user) || breaks(&password) || user.is_empty()) {
        let what = "user and password of memcached can't have spaces or control characters";
        return Err(Error::Configuration(what.to_owned()));
    }
    Ok(Some(Login { user, password }))
}
