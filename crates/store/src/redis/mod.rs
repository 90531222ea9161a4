//! Values in Redis (6 and later) or Valkey.
//!
//! A value is a plain string: what others wrote is read, and what is written here they read. Redis keeps no
//! flags with a value. A value whose flags are not 0 is therefore stored with a head in front, [`HEAD`] and
//! eight hexadecimal digits and a NUL byte, 24 bytes in all; so only who uses flags sees anything of it.
//!
//! There is no token either. A value's token is the SHA-1 of what is stored, which also sees the writes of
//! those who know nothing of tokens; a value that was changed and changed back counts as not changed.
//!
//! What Redis has no command for is done by [scripts](scripts), so that it is atomic. One connection is shared
//! by all who ask, and made anew when it is lost.
//!
//! [`HEAD`]: flags::HEAD

mod address;
mod client;
mod error;
mod flags;
mod link;
mod script;
mod sentinel;
mod store;

pub use address::{
    Credentials, Endpoint, KINDS, Place, REDIS_PORT, RedisAddress, RedisAddressError, SENTINEL_PORT, TlsFiles,
};
pub use client::client;
pub use sentinel::{NoMaster, master};
pub use store::RedisStore;
