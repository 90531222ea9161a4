//! The operations, as commands of Redis.

use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Value, cmd};

use super::address::{Place as Where, RedisAddress};
use super::error::meaning;
use super::flags::{self, HEAD, HEAD_BYTES};
use super::link::Link;
use super::script::{APPEND, COUNT, PREPEND, SWAP};
use crate::error::StoreError;
use crate::item::{Item, Mode, Place, Statistics, Token, Write};
use crate::key_value::{Answer, Answers, Count, KeyValue, Limits};

/// What an operation may take unless it is said otherwise.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Redis' `proto-max-bulk-len` is 512 MiB, and a head has to fit in.
pub(super) const LARGEST_VALUE: usize = (512 << 20) - HEAD_BYTES;

/// Redis takes more; nobody who means it does.
const LONGEST_KEY: usize = 64 << 10;

/// How many keys are asked for at a time, and removed at a time.
const BATCH: usize = 512;

/// A store in Redis or Valkey.
pub struct RedisStore {
    link: Link,
}

impl RedisStore {
    /// Prepares it. Nothing is sent yet.
    pub fn new(address: RedisAddress, timeout: Option<Duration>) -> RedisStore {
        RedisStore { link: Link::new(address, timeout.unwrap_or(TIMEOUT)) }
    }

    fn check(&self, key: &[u8], value: usize) -> Result<(), StoreError> {
        if key.len() > LONGEST_KEY {
            return Err(StoreError::LongKey { length: key.len(), limit: LONGEST_KEY });
        }
        if value > LARGEST_VALUE {
            let store = "Redis".to_owned();
            return Err(StoreError::TooLarge { store, size: value, limit: LARGEST_VALUE });
        }
        Ok(())
    }

    /// Adds an answer for each of the keys.
    async fn get_some(
        &self,
        keys: &[Bytes],
        with_tokens: bool,
        answers: &mut Vec<Result<Option<Item>, StoreError>>,
    ) {
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for key in keys.iter().filter(|key| self.check(key, 0).is_ok()) {
            pipeline.cmd("GET").arg(&key[..]);
        }
        let replies = match pipeline.is_empty() {
            true => Ok(Vec::new()),
            false => self.link.ask_all(&pipeline).await,
        };
        let mut replies = replies.map(Vec::into_iter);
        for key in keys {
            answers.push(match (self.check(key, 0), &mut replies) {
                (Err(error), _) => Err(error),
                (Ok(()), Err(error)) => Err(error.clone()),
                (Ok(()), Ok(replies)) => match replies.next() {
                    Some(reply) => item(reply, with_tokens),
                    None => Err(StoreError::Protocol("GET")),
                },
            });
        }
    }

    async fn write_one(&self, key: &[u8], write: Write) -> Result<(), StoreError> {
        self.check(key, write.value.len())?;
        let Write { mode, value, flags, ttl } = write;
        let none = StoreError::NotStored("there is nothing under this key");
        let extended = |was_there: i64| if was_there == 0 { Err(none.clone()) } else { Ok(()) };
        match mode {
            Mode::Append => extended(APPEND.run(&self.link, key, &[&value]).await?),
            Mode::Prepend => {
                let head_bytes = HEAD_BYTES.to_string();
                extended(PREPEND.run(&self.link, key, &[&value, HEAD, head_bytes.as_bytes()]).await?)
            }
            Mode::Swap(token @ Token::Digest(_)) => {
                let (token, ttl) = (token.to_string(), ttl.to_string());
                let stored = flags::stored(flags, value);
                let arguments = [token.as_bytes(), &stored[..], ttl.as_bytes()];
                match SWAP.run::<i64>(&self.link, key, &arguments).await? {
                    1 => Ok(()),
                    0 => Err(StoreError::Exists),
                    _ => Err(StoreError::NotFound),
                }
            }
            Mode::Swap(Token::Number(_)) => Err(StoreError::OtherToken("Redis".to_owned())),
            Mode::Set | Mode::Add | Mode::Replace => {
                let stored = flags::stored(flags, value);
                let mut command = cmd("SET");
                command.arg(key).arg(&stored[..]);
                if ttl > 0 {
                    command.arg("EX").arg(ttl);
                }
                match mode {
                    Mode::Add => command.arg("NX"),
                    Mode::Replace => command.arg("XX"),
                    _ => &mut command,
                };
                match self.link.ask::<Option<String>>(&command).await? {
                    Some(_) => Ok(()),
                    None if mode == Mode::Add => {
                        Err(StoreError::NotStored("there is a value under this key already"))
                    }
                    None => Err(none),
                }
            }
        }
    }

    async fn removed_or_found(&self, command: &Cmd) -> Result<(), StoreError> {
        match self.link.ask::<i64>(command).await? {
            0 => Err(StoreError::NotFound),
            _ => Ok(()),
        }
    }

    async fn touch_one(&self, key: &[u8], ttl: u32) -> Result<(), StoreError> {
        self.check(key, 0)?;
        if ttl > 0 {
            return self.removed_or_found(cmd("EXPIRE").arg(key).arg(ttl)).await;
        }
        // PERSIST says the same of a key that lives for ever and of one that isn't there.
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("EXISTS").arg(key).cmd("PERSIST").arg(key);
        match self.link.ask_all(&pipeline).await?.first() {
            Some(Value::Int(0)) => Err(StoreError::NotFound),
            Some(Value::Int(_)) => Ok(()),
            _ => Err(StoreError::Protocol("EXISTS")),
        }
    }

    async fn count_one(&self, key: &[u8], count: Count) -> Result<u64, StoreError> {
        self.check(key, 0)?;
        let down: &[u8] = if count.down { b"1" } else { b"0" };
        let (initial, ttl) = match count.initial {
            Some((initial, ttl)) => (initial.to_string(), ttl.to_string()),
            None => (String::new(), "0".to_owned()),
        };
        let (by, head_bytes) = (count.by.to_string(), HEAD_BYTES.to_string());
        let arguments =
            [by.as_bytes(), down, initial.as_bytes(), ttl.as_bytes(), HEAD, head_bytes.as_bytes()];
        let number: Option<String> = COUNT.run(&self.link, key, &arguments).await?;
        number.ok_or(StoreError::NotFound)?.parse().map_err(|_| StoreError::Protocol("a count"))
    }

    async fn flush_all(&self, prefix: &[u8]) -> Result<(), StoreError> {
        if prefix.is_empty() {
            return self.link.ask::<()>(&cmd("FLUSHDB")).await;
        }
        let mut pattern = Vec::with_capacity(prefix.len() + 1);
        for &byte in prefix {
            if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\') {
                pattern.push(b'\\');
            }
            pattern.push(byte);
        }
        pattern.push(b'*');
        // Each step has the time-out to itself: how many there are depends on all that is in the database.
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(BATCH);
            let (next, keys): (u64, Vec<Vec<u8>>) = self.link.ask(&scan).await?;
            if !keys.is_empty() {
                self.link.ask::<i64>(cmd("DEL").arg(keys)).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    async fn info(&self) -> Result<Vec<Statistics>, StoreError> {
        let server = self.link.endpoint().await?.to_string();
        let text: String = self.link.ask(&cmd("INFO")).await?;
        let size: i64 = self.link.ask(&cmd("DBSIZE")).await?;
        let mut values = vec![("keys".to_owned(), size.to_string())];
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.filter_map(|line| line.split_once(':'));
        values.extend(lines.map(|(name, value)| (name.to_owned(), value.trim_end().to_owned())));
        Ok(vec![Statistics { server, values: Ok(values) }])
    }
}

/// What a reply to GET holds.
fn item(reply: Value, with_tokens: bool) -> Result<Option<Item>, StoreError> {
    match reply {
        Value::Nil => Ok(None),
        Value::BulkString(stored) => {
            let token = with_tokens.then(|| token(&stored));
            let (flags, value) = flags::read(stored.into());
            Ok(Some(Item { value, flags, token }))
        }
        Value::ServerError(error) => Err(meaning(&error.into(), (0, LARGEST_VALUE))),
        _ => Err(StoreError::Protocol("GET")),
    }
}

fn token(stored: &[u8]) -> Token {
    Token::Digest(sha1_smol::Sha1::from(stored).digest().bytes())
}

impl KeyValue for RedisStore {
    fn get(&self, keys: Vec<Bytes>, with_tokens: bool) -> Answers<'_> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(keys.len());
            for some in keys.chunks(BATCH) {
                self.get_some(some, with_tokens, &mut answers).await;
            }
            answers
        })
    }

    fn write(&self, key: Bytes, write: Write) -> Answer<'_, ()> {
        Box::pin(async move { self.write_one(&key, write).await })
    }

    fn delete(&self, key: Bytes) -> Answer<'_, ()> {
        Box::pin(async move {
            self.check(&key, 0)?;
            self.removed_or_found(cmd("DEL").arg(&key[..])).await
        })
    }

    fn touch(&self, key: Bytes, ttl: u32) -> Answer<'_, ()> {
        Box::pin(async move { self.touch_one(&key, ttl).await })
    }

    fn count(&self, key: Bytes, count: Count) -> Answer<'_, u64> {
        Box::pin(async move { self.count_one(&key, count).await })
    }

    fn flush(&self, prefix: Bytes) -> Answer<'_, ()> {
        Box::pin(async move { self.flush_all(&prefix).await })
    }

    fn statistics(&self) -> Answer<'_, Vec<Statistics>> {
        Box::pin(self.info())
    }

    fn place(&self, _key: Bytes) -> Answer<'_, Place> {
        Box::pin(async move {
            let address = &self.link.address;
            let server = self.link.endpoint().await?.to_string();
            let why = match &address.place {
                Where::Server(_) => "the address names one server, which has every key".to_owned(),
                Where::Sentinel { master, .. } => {
                    format!("the sentinels name it as the master '{master}', which has every key")
                }
            };
            Ok(Place { server, why, placement: None })
        })
    }

    fn limits(&self) -> Answer<'_, Limits> {
        Box::pin(async { Ok(Limits { key: LONGEST_KEY, value: LARGEST_VALUE }) })
    }
}
