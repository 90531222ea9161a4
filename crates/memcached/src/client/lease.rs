//! A guard against stampedes: when an item that is expensive to make is missing, one of those who want it makes
//! it, and the others wait or take the old one.
//!
//! The right to make it is an item of its own, beside the content's key and on its server, that `add` gives to
//! one asker at a time. The content's key never holds a stub, which other programs would read as an empty
//! item; and a maker that dies gives way when the claim's time to live has passed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::{Client, StoreOptions, done};
use crate::error::Error;
use crate::key::Key;
use crate::protocol::{Item, Reply, Request, StoreMode};
use crate::ttl;

/// What is put behind a key to claim it.
const SUFFIX: &[u8] = b":lease";

/// How long a claim lasts, and when an item is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseOptions {
    /// How many seconds the maker has, at least 1: then somebody else may try.
    pub ttl: u32,
    /// An item that lives no longer than this many seconds is made anew by one asker, while the others take it
    /// as it is; 0: only when it is gone. Needs the meta protocol, which tells how long an item still lives.
    pub refresh: u32,
}

/// What came of asking for an item that somebody may have to make.
#[derive(Debug)]
pub enum Lease {
    /// The item.
    Hit(Item),
    /// The caller shall make it, and hand it to [`Claim::fulfil`]; `stale` is what there is until then.
    Won {
        /// The right to make it.
        claim: Claim,
        /// The item that is to be replaced.
        stale: Option<Item>,
    },
    /// There is no item, and somebody else is making it: ask again in a while.
    Busy,
}

/// The right to make an item. When it is dropped without [`Claim::fulfil`] or [`Claim::release`], it ends with
/// its time to live.
#[derive(Debug)]
pub struct Claim {
    client: Client,
    key: Key,
    lease: Key,
    /// What the claim's item holds, so that nobody takes another's claim for this one.
    mark: Bytes,
}

impl Client {
    /// Reads an item; where there is none, or it is about to expire, claims the right to make it.
    ///
    /// # Errors
    /// As [`Client::get`]. The key has room for six more bytes.
    pub async fn get_or_lease(&self, key: impl AsRef<[u8]>, options: LeaseOptions) -> Result<Lease, Error> {
        let key = self.key(key.as_ref())?;
        let lease = self.key(&[key.name(), SUFFIX].concat())?;
        let get = Request::Get { key: key.clone(), cas: false, ttl: options.refresh > 0, touch: None };
        let item = self.read(get.clone()).await?;
        let fresh = |item: &Item| item.ttl.is_none_or(|left| left > options.refresh);
        let stale = match item {
            Some(item) if fresh(&item) => return Ok(Lease::Hit(item)),
            other => other,
        };
        let mark = mark();
        let ttl = ttl::on_the_wire(options.ttl.max(1));
        let (mode, value) = (StoreMode::Add, mark.clone());
        let add = Request::Store { mode, key: lease.clone(), value, flags: 0, ttl, cas: None };
        match self.shared.ask_beside(&key, add).await? {
            Reply::Done => {
                let claim = Claim { client: self.clone(), key, lease, mark };
                // Somebody may have made it between the read and the claim.
                match self.read(get).await? {
                    Some(item) if fresh(&item) => {
                        claim.release().await?;
                        Ok(Lease::Hit(item))
                    }
                    found => Ok(Lease::Won { claim, stale: found.or(stale) }),
                }
            }
            _ => Ok(stale.map_or(Lease::Busy, Lease::Hit)),
        }
    }

    /// Reads an item, or makes it: `make` is called by one asker at a time, the others wait for what it makes
    /// as long as a claim lasts. What is made is stored with `options`.
    ///
    /// # Errors
    /// As [`Client::get`], or what `make` failed with. When the wait ends without an item, it is made without
    /// a claim.
    pub async fn get_or_make<F, E>(
        &self,
        key: impl AsRef<[u8]>,
        lease: LeaseOptions,
        options: StoreOptions,
        make: impl FnOnce() -> F,
    ) -> Result<Bytes, E>
    where
        F: Future<Output = Result<Bytes, E>>,
        E: From<Error>,
    {
        let mut pause = Duration::from_millis(5);
        let patience = tokio::time::Instant::now() + Duration::from_secs(u64::from(lease.ttl.max(1)));
        loop {
            match self.get_or_lease(&key, lease).await? {
                Lease::Hit(item) => return Ok(item.value),
                Lease::Won { claim, .. } => {
                    let made = make().await;
                    match &made {
                        Ok(value) => claim.fulfil(value.clone(), options).await?,
                        Err(_) => claim.release().await?,
                    }
                    return made;
                }
                Lease::Busy if tokio::time::Instant::now() >= patience => return make().await,
                Lease::Busy => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
}

impl Claim {
    /// Stores the item and gives the claim back.
    ///
    /// # Errors
    /// As [`Client::set`]; the claim is given back all the same.
    pub async fn fulfil(self, value: impl Into<Bytes>, options: StoreOptions) -> Result<(), Error> {
        let (key, ttl) = (self.key.clone(), self.client.ttl(options.ttl));
        let (mode, value, flags) = (StoreMode::Set, value.into(), options.flags);
        let set = Request::Store { mode, key, value, flags, ttl, cas: None };
        let stored = done(self.client.shared.ask(set).await);
        let released = self.release().await;
        stored.and(released)
    }

    /// Gives the claim back: the next asker may make the item.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn release(self) -> Result<(), Error> {
        let shared = &self.client.shared;
        let read = Request::Get { key: self.lease.clone(), cas: true, ttl: false, touch: None };
        // A claim that took too long may be somebody else's by now.
        let Reply::Item(item) = shared.ask_beside(&self.key, read).await? else { return Ok(()) };
        if item.value != self.mark {
            return Ok(());
        }
        let delete = Request::Delete { key: self.lease.clone(), cas: item.cas };
        match shared.ask_beside(&self.key, delete).await {
            // Without a delete by token (text protocol), it ends with its time to live.
            Err(Error::Refused { .. }) => Ok(()),
            outcome => outcome.map(|_| ()),
        }
    }
}

/// Bytes that no other claim has.
fn mark() -> Bytes {
    use std::hash::{BuildHasher, RandomState};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    // `RandomState` has random keys of its own: different in every process, and here each time.
    let random = RandomState::new().hash_one((next, std::process::id()));
    Bytes::from(format!("{random:016x}{next:x}"))
}
