//! Redis and Valkey.

mod address;
mod client;

pub use address::{
    Credentials, Endpoint, KINDS, Place, REDIS_PORT, RedisAddress, RedisAddressError, SENTINEL_PORT, TlsFiles,
};
pub use client::client;
