//! One small key-value interface over memcached, Redis and a directory of this machine.
//!
//! For whoever keeps things under keys and should not care where: `waypost kv`, content, the file system. It
//! knows nothing of what values mean. A [`Store`] is opened from a [`StoreAddress`] and promises the same on
//! each kind of store:
//!
//! - **Operations** are memcached's: get one and many, set, add, replace, append, prepend, compare and swap,
//!   delete, touch, counters, flush, statistics. Each is atomic, from however many processes it comes.
//! - **Flags and time to live** are kept with a value, and keys and values are any bytes.
//! - **Results** are libmemcached's: [`StoreError::code`] has its number and name, also where no memcached is
//!   involved.
//! - **Bounds.** Nothing takes longer than the store's time-out, and keys and values have a largest size.
//!
//! How each keeps it is told in [`embedded`], [`redis`] and [`memcached`].

#![forbid(unsafe_code)]

mod address;
pub mod embedded;
mod error;
mod item;
mod key_value;
pub mod memcached;
pub mod redis;
mod store;

pub use address::{StoreAddress, StoreAddressError};
pub use error::StoreError;
pub use item::{Item, Mode, Place, Statistics, Token, TokenError, Write};
pub use key_value::{Answer, Answers, Count, KeyValue, Limits};
pub use store::{Attributes, OpenOptions, Store};
pub use waypost_memcached::ResultCode;
