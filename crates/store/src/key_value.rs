//! What a kind of store has to offer: a handful of operations, from which [`Store`](crate::Store) makes the
//! comfortable ones.
//!
//! Keys come with their prefix and within the limits. Every operation ends within the store's time-out, and may
//! be given up by dropping its future: a change may then have been made or not, and nothing else is disturbed.

use std::pin::Pin;

use bytes::Bytes;

use crate::error::StoreError;
use crate::item::{Item, Place, Statistics, Write};

/// An answer that is under way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Answers for several keys, in their order, that are under way.
pub type Answers<'a> = Pin<Box<dyn Future<Output = Vec<Result<Option<Item>, StoreError>>> + Send + 'a>>;

/// How to change a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// How much to add, or to take off.
    pub by: u64,
    /// Whether to take it off. The number doesn't go below 0; above 2⁶⁴−1 it begins again at 0.
    pub down: bool,
    /// What to begin with, and for how many seconds (0: for ever), when there is no number; none: that is
    /// [`StoreError::NotFound`].
    pub initial: Option<(u64, u32)>,
}

/// The largest of what a store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a key, with its prefix.
    pub key: usize,
    /// Bytes of a value.
    pub value: usize,
}

/// A kind of store.
pub trait KeyValue: Send + Sync {
    /// The values of these keys, in their order: an answer for each.
    fn get(&self, keys: Vec<Bytes>, with_tokens: bool) -> Answers<'_>;

    /// Writes a value.
    fn write(&self, key: Bytes, write: Write) -> Answer<'_, ()>;

    /// Removes a value.
    fn delete(&self, key: Bytes) -> Answer<'_, ()>;

    /// Gives a value another time to live in seconds; 0 for ever.
    fn touch(&self, key: Bytes, ttl: u32) -> Answer<'_, ()>;

    /// Changes a number, written in decimal digits, and returns what it is then. Flags and time to live stay.
    fn count(&self, key: Bytes, count: Count) -> Answer<'_, u64>;

    /// Removes every value whose key begins with `prefix`.
    fn flush(&self, prefix: Bytes) -> Answer<'_, ()>;

    /// What each server says of itself.
    fn statistics(&self) -> Answer<'_, Vec<Statistics>>;

    /// Which server a key is on; Sentinels have to be asked for it.
    fn place(&self, key: Bytes) -> Answer<'_, Place>;

    /// What it takes; a server may have to be asked.
    fn limits(&self) -> Answer<'_, Limits>;
}
