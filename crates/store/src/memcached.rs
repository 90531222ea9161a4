//! Values in memcached, as [`waypost_memcached`] keeps them: placement, pools and results are its own.

use std::time::Duration;

use bytes::Bytes;
use waypost_memcached::{Address, Batch, Client, Item as Stored, StoreOptions};

use crate::error::StoreError;
use crate::item::{Item, Mode, Place, Statistics, Token, Write};
use crate::key_value::{Answer, Answers, Count, KeyValue, Limits};

/// What memcached takes of an item's size for itself and the longest key, at most.
const OVERHEAD: usize = 320;

/// The longest key.
const LONGEST_KEY: usize = waypost_memcached::Key::MAX;

/// A store on one memcached, or on several.
pub struct MemcachedStore {
    client: Client,
    /// Bytes of the namespace, which the client puts in front of keys.
    prefix: usize,
}

impl MemcachedStore {
    /// Prepares it; what is given goes before what the address says. Nothing is sent yet.
    ///
    /// # Errors
    /// If the prefix can't be one, or TLS can't be set up as the address says.
    pub fn new(
        address: &Address,
        prefix: Option<Bytes>,
        timeout: Option<Duration>,
    ) -> Result<MemcachedStore, StoreError> {
        let mut address = address.clone();
        if let Some(prefix) = prefix {
            let is_plain = prefix.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
            if !is_plain || prefix.len() > Address::MAX_PREFIX {
                return Err(StoreError::Setup(format!(
                    "the prefix can't be used with memcached: it has at most {} bytes, none of them a space or \
                     a control character",
                    Address::MAX_PREFIX
                )));
            }
            address.prefix = prefix.to_vec();
        }
        if let Some(timeout) = timeout {
            address.timeout = timeout;
            address.connect_timeout = address.connect_timeout.min(timeout);
        }
        let client = Client::new(&address)?;
        Ok(MemcachedStore { client, prefix: address.prefix.len() })
    }

    async fn write_one(&self, key: Bytes, write: Write) -> Result<(), StoreError> {
        let Write { mode, value, flags, ttl } = write;
        let options = StoreOptions { ttl: Some(ttl), flags };
        let done = match mode {
            Mode::Set => self.client.set(key, value, options).await,
            Mode::Add => self.client.add(key, value, options).await,
            Mode::Replace => self.client.replace(key, value, options).await,
            Mode::Append => self.client.append(key, value).await,
            Mode::Prepend => self.client.prepend(key, value).await,
            Mode::Swap(Token::Number(token)) => self.client.cas(key, value, token, options).await,
            Mode::Swap(Token::Digest(_)) => return Err(StoreError::OtherToken("memcached".to_owned())),
        };
        done.map_err(|error| match (error, mode) {
            (waypost_memcached::Error::NotStored, Mode::Add) => {
                StoreError::NotStored("there is a value under this key already")
            }
            (waypost_memcached::Error::NotStored, _) => {
                StoreError::NotStored("there is nothing under this key")
            }
            (other, _) => other.into(),
        })
    }

    async fn get_all(&self, keys: Vec<Bytes>, with_tokens: bool) -> Vec<Result<Option<Item>, StoreError>> {
        let item = |stored: Stored| Item {
            value: stored.value,
            flags: stored.flags,
            token: stored.cas.filter(|_| with_tokens).map(Token::Number),
        };
        let found = match &keys[..] {
            [key] if with_tokens => vec![self.client.gets(key).await],
            [key] => vec![self.client.get(key).await],
            keys if with_tokens => {
                let mut batch = Batch::new();
                for key in keys {
                    batch.gets(key);
                }
                let outcomes = self.client.run(batch).await.into_iter();
                outcomes.map(|outcome| outcome.map(waypost_memcached::Outcome::into_item)).collect()
            }
            keys => self.client.get_multi(keys).await,
        };
        let answer = |found: Result<Option<Stored>, _>| match found {
            Err(waypost_memcached::Error::NotFound) => Ok(None),
            Err(error) => Err(StoreError::from(error)),
            Ok(stored) => Ok(stored.map(item)),
        };
        found.into_iter().map(answer).collect()
    }

    async fn count_one(&self, key: Bytes, count: Count) -> Result<u64, StoreError> {
        let Count { by, down, initial } = count;
        let Some((initial, ttl)) = initial else {
            let counted = match down {
                true => self.client.decr(key, by).await,
                false => self.client.incr(key, by).await,
            };
            return Ok(counted?);
        };
        let delta = match down {
            true => 0_i64.checked_sub_unsigned(by),
            false => i64::try_from(by).ok(),
        };
        let delta = delta.ok_or_else(|| {
            StoreError::Unsupported(format!("memcached's counters change by at most {} at a time", i64::MAX))
        })?;
        Ok(self.client.counter(key, delta, initial, ttl).await?)
    }
}

impl KeyValue for MemcachedStore {
    fn get(&self, keys: Vec<Bytes>, with_tokens: bool) -> Answers<'_> {
        Box::pin(self.get_all(keys, with_tokens))
    }

    fn write(&self, key: Bytes, write: Write) -> Answer<'_, ()> {
        Box::pin(self.write_one(key, write))
    }

    fn delete(&self, key: Bytes) -> Answer<'_, ()> {
        Box::pin(async move { Ok(self.client.delete(key).await?) })
    }

    fn touch(&self, key: Bytes, ttl: u32) -> Answer<'_, ()> {
        Box::pin(async move { Ok(self.client.touch(key, ttl).await?) })
    }

    fn count(&self, key: Bytes, count: Count) -> Answer<'_, u64> {
        Box::pin(self.count_one(key, count))
    }

    fn flush(&self, _prefix: Bytes) -> Answer<'_, ()> {
        Box::pin(async move {
            if self.prefix > 0 {
                let message = "memcached can only be emptied whole: leave the prefix out, if that is meant";
                return Err(StoreError::Unsupported(message.to_owned()));
            }
            for (_, flushed) in self.client.flush(None).await {
                flushed?;
            }
            Ok(())
        })
    }

    fn statistics(&self) -> Answer<'_, Vec<Statistics>> {
        Box::pin(async move {
            let servers = self.client.stats(None).await.into_iter();
            let statistics = servers.map(|(server, values)| Statistics {
                server: server.to_string(),
                values: values.map_err(StoreError::from),
            });
            Ok(statistics.collect())
        })
    }

    fn place(&self, key: Bytes) -> Answer<'_, Place> {
        Box::pin(async move {
            let found = self.client.placement().explain(&key);
            let server = found.server.as_ref().map_or_else(String::new, |server| server.address.clone());
            let placement = serde_json::to_value(&found).ok();
            Ok(Place { server, why: found.to_string(), placement })
        })
    }

    fn limits(&self) -> Answer<'_, Limits> {
        Box::pin(async move {
            let mut value = usize::MAX;
            for (server, settings) in self.client.stats(Some("settings")).await {
                let settings = settings?;
                let size = settings.iter().find(|(name, _)| name == "item_size_max");
                let size = size.and_then(|(_, size)| size.parse::<usize>().ok());
                let size = size.ok_or_else(|| {
                    StoreError::Unsupported(format!("memcached {server} does not tell its item_size_max"))
                })?;
                value = value.min(size.saturating_sub(OVERHEAD));
            }
            Ok(Limits { key: LONGEST_KEY.saturating_sub(self.prefix), value })
        })
    }
}
