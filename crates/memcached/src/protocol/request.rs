//! What can be asked of a server, and what it can answer, whichever protocol carries it.

use bytes::Bytes;

use super::frame::Refusal;
use crate::key::Key;

/// One request to one server. Times are as they are sent: 0 for ever, relative up to 30 days, Unix time
/// beyond that.
#[derive(Debug, Clone)]
pub enum Request {
    /// Reads an item.
    Get {
        /// Its key.
        key: Key,
        /// Whether to read its token for [`Request::Store::cas`] as well.
        cas: bool,
        /// Whether to read how long it still lives, where the protocol can tell (meta).
        ttl: bool,
        /// A new time to live.
        touch: Option<u32>,
    },
    /// Reads an item, its token included, unless it still has this token. Only in the meta protocol, from 1.6.40
    /// on; elsewhere it is read in any case.
    GetIfChanged {
        /// Its key.
        key: Key,
        /// The token it had.
        token: u64,
    },
    /// Gives an item a new time to live.
    Touch {
        /// Its key.
        key: Key,
        /// Its new time to live.
        ttl: u32,
    },
    /// Stores an item, or a part of it.
    Store {
        /// On which condition, and how.
        mode: StoreMode,
        /// Its key.
        key: Key,
        /// Its value.
        value: Bytes,
        /// A number that is kept with it. Not for append and prepend.
        flags: u32,
        /// Its time to live. Not for append and prepend.
        ttl: u32,
        /// Only if the item still has this token.
        cas: Option<u64>,
    },
    /// Deletes an item.
    Delete {
        /// Its key.
        key: Key,
        /// Only if the item still has this token. Not in the text protocol.
        cas: Option<u64>,
    },
    /// Adds to a number, or takes from it: it never falls below 0, and wraps around beyond 64 bits.
    Arithmetic {
        /// Its key.
        key: Key,
        /// How much.
        delta: u64,
        /// Whether to take it away.
        decrement: bool,
        /// What to begin with where there is none. Not in the text protocol.
        create: Option<Create>,
    },
    /// Which version of memcached it is.
    Version,
    /// Forgets every item.
    Flush {
        /// In how many seconds.
        delay: Option<u32>,
    },
    /// Statistics.
    Stats {
        /// Which: none, or a word such as `settings` or `slabs`.
        argument: Option<Bytes>,
    },
}

impl Request {
    /// The key it is about, if it is about one.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Request::Get { key, .. }
            | Request::GetIfChanged { key, .. }
            | Request::Touch { key, .. }
            | Request::Store { key, .. }
            | Request::Delete { key, .. }
            | Request::Arithmetic { key, .. } => Some(key),
            Request::Version | Request::Flush { .. } | Request::Stats { .. } => None,
        }
    }
}

/// How to store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreMode {
    /// Whatever there was.
    Set,
    /// Only if there is no item.
    Add,
    /// Only if there is one.
    Replace,
    /// Behind the value that is there.
    Append,
    /// Behind the value that is there, or as a new item. Only in the meta protocol, from 1.6.20 on.
    AppendOrSet,
    /// Before the value that is there.
    Prepend,
}

/// A number that is created by arithmetic on a missing item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Create {
    /// Its first value, to which nothing is added.
    pub initial: u64,
    /// Its time to live, as it is sent.
    pub ttl: u32,
}

/// An item as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// Its value.
    pub value: Bytes,
    /// The number that is kept with it.
    pub flags: u32,
    /// Its token for `cas`, when it was asked for.
    pub cas: Option<u64>,
    /// How many seconds it still lives, when that was asked for and the protocol can tell; for ever is
    /// `u32::MAX`.
    pub ttl: Option<u32>,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The item.
    Item(Item),
    /// The item still has the token that was sent.
    Unchanged,
    /// It was done.
    Done,
    /// The number after arithmetic.
    Number(u64),
    /// There is no such item.
    NotFound,
    /// The condition of the [`StoreMode`] is not met.
    NotStored,
    /// The item has another token.
    Exists,
    /// The server's version.
    Version(String),
    /// Statistics, in the server's order.
    Stats(Vec<(String, String)>),
    /// It won't, or can't.
    Refused(Refusal),
}
