//! A store as its users hold it: any kind, with a prefix and the defaults it was opened with.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::address::StoreAddress;
use crate::embedded::EmbeddedStore;
use crate::error::StoreError;
use crate::item::{Item, Mode, Place, Statistics, Token, Write};
use crate::key_value::{Count, KeyValue, Limits};
use crate::memcached::MemcachedStore;
use crate::redis::RedisStore;

/// An open store. Clones share what it holds open. It is used within one tokio runtime.
#[derive(Clone)]
pub struct Store {
    kind: Arc<dyn KeyValue>,
    /// What is put in front of every key; empty where the kind does so itself.
    prefix: Bytes,
    ttl: u32,
}

/// How to open a store. What is none here is as the address says, or the kind's own default.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Put in front of every key. On memcached it takes part in placement as libmemcached's namespace does.
    pub prefix: Option<Vec<u8>>,
    /// How long an operation may take: 500 ms on memcached, 2 s on Redis, 10 s embedded.
    pub timeout: Option<Duration>,
    /// Seconds a value lives that is written without saying: for ever if nothing says otherwise.
    pub ttl: Option<u32>,
}

/// What is kept with a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// A number.
    pub flags: u32,
    /// Seconds until it is gone, 0 for never; none is the store's default.
    pub ttl: Option<u32>,
}

impl Store {
    /// Opens the store at this address. Servers are connected to with the first operation.
    ///
    /// # Errors
    /// If a directory can't be opened, or is in use by another process for as long as the time-out; or if the
    /// address or the options can't be used.
    pub async fn open(address: &StoreAddress, options: OpenOptions) -> Result<Store, StoreError> {
        let OpenOptions { prefix, timeout, ttl } = options;
        let own_ttl = ttl.unwrap_or(0);
        let prefix = prefix.map(Bytes::from);
        Ok(match address {
            StoreAddress::Embedded(directory) => {
                let kind = EmbeddedStore::open(directory, timeout).await?;
                Store { kind: Arc::new(kind), prefix: prefix.unwrap_or_default(), ttl: own_ttl }
            }
            StoreAddress::Redis(address) => {
                let kind = RedisStore::new((**address).clone(), timeout);
                Store { kind: Arc::new(kind), prefix: prefix.unwrap_or_default(), ttl: own_ttl }
            }
            StoreAddress::Memcached(address) => {
                let ttl = ttl.or(address.ttl).unwrap_or(0);
                let kind = MemcachedStore::new(address, prefix, timeout)?;
                Store { kind: Arc::new(kind), prefix: Bytes::new(), ttl }
            }
        })
    }

    /// A store of a kind that is not one of ours.
    pub fn of_kind(kind: Arc<dyn KeyValue>) -> Store {
        Store { kind, prefix: Bytes::new(), ttl: 0 }
    }

    fn key(&self, key: impl AsRef<[u8]>) -> Result<Bytes, StoreError> {
        let key = key.as_ref();
        match (key.is_empty(), self.prefix.is_empty()) {
            (true, _) => Err(StoreError::EmptyKey),
            (_, true) => Ok(Bytes::copy_from_slice(key)),
            _ => Ok([&self.prefix, key].concat().into()),
        }
    }

    /// The value of a key, if there is one.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Item>, StoreError> {
        self.get_one(key.as_ref(), false).await
    }

    /// The value of a key with its token, if there is one.
    pub async fn get_with_token(&self, key: impl AsRef<[u8]>) -> Result<Option<Item>, StoreError> {
        self.get_one(key.as_ref(), true).await
    }

    async fn get_one(&self, key: &[u8], with_token: bool) -> Result<Option<Item>, StoreError> {
        let found = self.kind.get(vec![self.key(key)?], with_token).await;
        found.into_iter().next().unwrap_or(Ok(None))
    }

    /// The values of these keys, in their order: an answer for each, so that one server that is away, or one
    /// key that can't be used, leaves the others as they are.
    pub async fn get_multi(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
        with_tokens: bool,
    ) -> Vec<Result<Option<Item>, StoreError>> {
        let (mut asked, mut answers) = (Vec::new(), Vec::new());
        for key in keys {
            answers.push(self.key(key).map(|key| {
                asked.push(key);
                None
            }));
        }
        let mut found = self.kind.get(asked, with_tokens).await.into_iter();
        for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
            *answer = found.next().unwrap_or(Ok(None));
        }
        answers
    }

    /// Writes a value in any [`Mode`].
    pub async fn write(
        &self,
        mode: Mode,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        attributes: Attributes,
    ) -> Result<(), StoreError> {
        let Attributes { flags, ttl } = attributes;
        let write = Write { mode, value: value.into(), flags, ttl: ttl.unwrap_or(self.ttl) };
        self.kind.write(self.key(key)?, write).await
    }

    /// Writes a value, whatever is there.
    pub async fn set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        attributes: Attributes,
    ) -> Result<(), StoreError> {
        self.write(Mode::Set, key, value, attributes).await
    }

    /// Writes a value if nothing is there.
    ///
    /// # Errors
    /// [`StoreError::NotStored`] if something is.
    pub async fn add(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        attributes: Attributes,
    ) -> Result<(), StoreError> {
        self.write(Mode::Add, key, value, attributes).await
    }

    /// Writes a value if something is there.
    ///
    /// # Errors
    /// [`StoreError::NotStored`] if nothing is.
    pub async fn replace(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        attributes: Attributes,
    ) -> Result<(), StoreError> {
        self.write(Mode::Replace, key, value, attributes).await
    }

    /// Puts bytes behind a value, whose flags and time to live stay.
    ///
    /// # Errors
    /// [`StoreError::NotStored`] if there is none.
    pub async fn append(&self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Result<(), StoreError> {
        self.write(Mode::Append, key, value, Attributes::default()).await
    }

    /// Puts bytes in front of a value, whose flags and time to live stay.
    ///
    /// # Errors
    /// [`StoreError::NotStored`] if there is none.
    pub async fn prepend(&self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Result<(), StoreError> {
        self.write(Mode::Prepend, key, value, Attributes::default()).await
    }

    /// Writes a value if what is there is still what the token was read with.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if it isn't, [`StoreError::NotFound`] if nothing is there.
    pub async fn swap(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        token: Token,
        attributes: Attributes,
    ) -> Result<(), StoreError> {
        self.write(Mode::Swap(token), key, value, attributes).await
    }

    /// Removes a value.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none.
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<(), StoreError> {
        self.kind.delete(self.key(key)?).await
    }

    /// Gives a value another time to live in seconds; 0 for ever.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none.
    pub async fn touch(&self, key: impl AsRef<[u8]>, ttl: u32) -> Result<(), StoreError> {
        self.kind.touch(self.key(key)?, ttl).await
    }

    /// Adds to a number; above 2⁶⁴−1 it begins again at 0.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none, [`StoreError::NotANumber`] if it is none.
    pub async fn increment(&self, key: impl AsRef<[u8]>, by: u64) -> Result<u64, StoreError> {
        self.kind.count(self.key(key)?, Count { by, down: false, initial: None }).await
    }

    /// Takes off a number, which doesn't go below 0.
    ///
    /// # Errors
    /// As [`increment`](Self::increment).
    pub async fn decrement(&self, key: impl AsRef<[u8]>, by: u64) -> Result<u64, StoreError> {
        self.kind.count(self.key(key)?, Count { by, down: true, initial: None }).await
    }

    /// Changes a counter by `by`, and returns what it is then. A counter that isn't there counts from 0, and
    /// lives `ttl` seconds from then on (0: for ever).
    ///
    /// # Errors
    /// [`StoreError::NotANumber`] if something else is there.
    pub async fn counter(&self, key: impl AsRef<[u8]>, by: i64, ttl: u32) -> Result<u64, StoreError> {
        let initial = u64::try_from(by).unwrap_or(0);
        let count = Count { by: by.unsigned_abs(), down: by < 0, initial: Some((initial, ttl)) };
        self.kind.count(self.key(key)?, count).await
    }

    /// Sets a counter, whatever is there. It lives `ttl` seconds (0: for ever).
    pub async fn set_counter(&self, key: impl AsRef<[u8]>, number: u64, ttl: u32) -> Result<(), StoreError> {
        self.set(key, number.to_string(), Attributes { flags: 0, ttl: Some(ttl) }).await
    }

    /// Removes every value, or with a prefix those below it.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] on memcached with a prefix: it can only be emptied whole.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.kind.flush(self.prefix.clone()).await
    }

    /// What each server says of itself.
    pub async fn statistics(&self) -> Result<Vec<Statistics>, StoreError> {
        self.kind.statistics().await
    }

    /// Which server a key is on, and why.
    pub async fn place(&self, key: impl AsRef<[u8]>) -> Result<Place, StoreError> {
        self.kind.place(self.key(key)?).await
    }

    /// The largest key and value it takes; the key's without the prefix.
    pub async fn limits(&self) -> Result<Limits, StoreError> {
        let limits = self.kind.limits().await?;
        Ok(Limits { key: limits.key.saturating_sub(self.prefix.len()), ..limits })
    }
}
