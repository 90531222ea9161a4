//! One change after the other, within a transaction.

use bytes::Bytes;
use redb::{ReadableTable, Table, WriteTransaction};

use super::database::{ENDS, ITEMS, META};
use super::row::{Row, end};
use super::{LARGEST_VALUE, LONGEST_KEY};
use crate::error::StoreError;
use crate::item::{Mode, Token, Write};
use crate::key_value::Count;

/// How many values whose time is over are removed with one transaction at most.
const SWEEP: usize = 256;

/// What to do with a key.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write(Write),
    Delete,
    Touch(u32),
    Count(Count),
    /// Removes everything below a prefix; the key doesn't matter.
    Flush(Bytes),
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Nothing,
    Number(u64),
}

/// The tables of a transaction.
pub(super) struct Tables<'t> {
    items: Table<'t, &'static [u8], &'static [u8]>,
    ends: Table<'t, (u64, &'static [u8]), ()>,
    meta: Table<'t, &'static str, u64>,
    token: u64,
    now: u64,
}

/// Either outcome of a change that did not break the database.
pub(super) type Outcome = Result<Done, StoreError>;

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction, now: u64) -> Result<Tables<'t>, redb::Error> {
        let meta = transaction.open_table(META)?;
        let token = meta.get("token")?.map_or(0, |token| token.value());
        Ok(Tables {
            items: transaction.open_table(ITEMS)?,
            ends: transaction.open_table(ENDS)?,
            meta,
            token,
            now,
        })
    }

    /// Ends the work on them.
    pub(super) fn close(mut self) -> Result<(), redb::Error> {
        self.sweep()?;
        self.meta.insert("token", self.token)?;
        Ok(())
    }

    /// Makes a change. The outer error is the database's, the inner one an answer.
    pub(super) fn apply(&mut self, key: &[u8], change: &Change) -> Result<Outcome, redb::Error> {
        if let Change::Flush(prefix) = change {
            self.flush(prefix)?;
            return Ok(Ok(Done::Nothing));
        }
        let stored = self.row(key)?;
        let alive = stored.as_ref().filter(|row| row.is_alive(self.now));
        let (next, done) = match self.decide(alive, change) {
            Ok(decided) => decided,
            Err(error) => return Ok(Err(error)),
        };
        let before = stored.as_ref().map_or(0, |row| row.expires);
        let after = next.as_ref().map_or(0, |row| row.expires);
        if before != after {
            if before != 0 {
                self.ends.remove((before, key))?;
            }
            if after != 0 {
                self.ends.insert((after, key), ())?;
            }
        }
        match next {
            Some(row) => drop(self.items.insert(key, &row.bytes()[..])?),
            None => drop(self.items.remove(key)?),
        }
        Ok(Ok(done))
    }

    /// What becomes of a row by a change, and what to answer.
    fn decide(&mut self, row: Option<&Row>, change: &Change) -> Result<(Option<Row>, Done), StoreError> {
        let there = row.ok_or(StoreError::NotFound);
        match change {
            Change::Write(write) => Ok((Some(self.written(row, write)?), Done::Nothing)),
            Change::Delete => there.map(|_| (None, Done::Nothing)),
            Change::Touch(ttl) => {
                let row = Row { expires: end(*ttl, self.now), ..there?.clone() };
                Ok((Some(row), Done::Nothing))
            }
            Change::Count(count) => {
                let (number, row) = match (row, count.initial) {
                    (Some(row), _) => (counted(&row.value, *count)?, row.clone()),
                    (None, Some((initial, ttl))) => {
                        let expires = end(ttl, self.now);
                        (initial, Row { token: 0, expires, flags: 0, value: Bytes::new() })
                    }
                    (None, None) => return Err(StoreError::NotFound),
                };
                let row = Row { token: self.next_token(), value: number.to_string().into(), ..row };
                Ok((Some(row), Done::Number(number)))
            }
            Change::Flush(_) => Ok((row.cloned(), Done::Nothing)),
        }
    }

    fn written(&mut self, row: Option<&Row>, write: &Write) -> Result<Row, StoreError> {
        let none = StoreError::NotStored("there is nothing under this key");
        let value = match (write.mode, row) {
            (Mode::Add, Some(_)) => {
                return Err(StoreError::NotStored("there is a value under this key already"));
            }
            (Mode::Replace | Mode::Append | Mode::Prepend, None) => return Err(none),
            (Mode::Swap(Token::Digest(_)), _) => {
                return Err(StoreError::OtherToken("an embedded store".to_owned()));
            }
            (Mode::Swap(_), None) => return Err(StoreError::NotFound),
            (Mode::Swap(Token::Number(token)), Some(row)) if row.token != token => {
                return Err(StoreError::Exists);
            }
            (Mode::Append, Some(row)) => [&row.value[..], &write.value].concat().into(),
            (Mode::Prepend, Some(row)) => [&write.value, &row.value[..]].concat().into(),
            _ => write.value.clone(),
        };
        if value.len() > LARGEST_VALUE {
            let (store, size) = ("an embedded store".to_owned(), value.len());
            return Err(StoreError::TooLarge { store, size, limit: LARGEST_VALUE });
        }
        let token = self.next_token();
        Ok(match (write.mode, row) {
            (Mode::Append | Mode::Prepend, Some(row)) => Row { token, value, ..row.clone() },
            _ => Row { token, expires: end(write.ttl, self.now), flags: write.flags, value },
        })
    }

    fn next_token(&mut self) -> u64 {
        self.token += 1;
        self.token
    }

    fn row(&self, key: &[u8]) -> Result<Option<Row>, redb::Error> {
        debug_assert!(key.len() <= LONGEST_KEY);
        let Some(found) = self.items.get(key)? else { return Ok(None) };
        let row = Row::read(found.value());
        row.map(Some).ok_or_else(|| redb::Error::Corrupted("a row is too short".to_owned()))
    }

    fn flush(&mut self, prefix: &[u8]) -> Result<(), redb::Error> {
        if prefix.is_empty() {
            self.items.retain(|_, _| false)?;
            self.ends.retain(|_, ()| false)?;
            return Ok(());
        }
        self.ends.retain(|(_, key), ()| !key.starts_with(prefix))?;
        self.items.retain_in(prefix.., |key, _| !key.starts_with(prefix))?;
        Ok(())
    }

    /// Frees the bytes of values whose time is over.
    fn sweep(&mut self) -> Result<(), redb::Error> {
        for _ in 0..SWEEP {
            let Some(first) = self.ends.first()? else { return Ok(()) };
            let (expires, key) = first.0.value();
            if expires > self.now {
                return Ok(());
            }
            let key = key.to_vec();
            drop(first);
            self.ends.remove((expires, &key[..]))?;
            self.items.remove(&key[..])?;
        }
        Ok(())
    }
}

/// The number that a value becomes.
fn counted(value: &[u8], count: Count) -> Result<u64, StoreError> {
    let digits =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number: u64 = digits.and_then(|text| text.parse().ok()).ok_or(StoreError::NotANumber)?;
    Ok(match count.down {
        true => number.saturating_sub(count.by),
        false => number.wrapping_add(count.by),
    })
}
