//! What the black-box tests of the router stand on: real sockets, real processes, and a reading of HTTP
//! that owes nothing to the router's own.
//!
//! - [`Router`] is the real program on free ports, with a data directory of its own.
//! - [`Upstream`] is a scripted server that keeps every byte it was sent, so that a test can say exactly
//!   what reached it. [`Blackhole`] is a server that never takes a connection.
//! - [`Client`] sends bytes as they are given and reads answers strictly: what a lenient client would
//!   forgive fails a test.
//! - [`Redis`] is a real server that can be killed, hung, or cut off in a [`Namespace`]; [`Sentinels`] watch
//!   three of them. [`Load`] asks for hosts meanwhile, and [`table`] compares what they hold with what is
//!   routed.
//! - [`Memcached`] is a real server too, over TCP or a unix socket. [`forky`] has a newer one.
//! - [`tls`] makes certificates, and ends TLS in front of an upstream.
//! - [`Nginx`] is the real one, to compare with.
//! - [`ws`] speaks just enough WebSocket for an echo.
//!
//! Everything is blocking and runs on plain threads, and gives up after [`PATIENCE`] rather than hang. No
//! test asserts how long anything took. Being a test library, it panics where a program would return an
//! error, and says what it was doing.

#![forbid(unsafe_code)]

mod client;
mod disk;
pub mod forky;
mod load;
mod memcached;
mod message;
mod netns;
mod nginx;
mod port;
mod process;
mod random;
mod redis;
pub mod resp;
mod router;
mod sentinel;
pub mod table;
pub mod tls;
mod upstream;
mod wait;
mod wire;
pub mod ws;

pub use client::Client;
pub use disk::SmallDisk;
pub use load::Load;
pub use memcached::{Memcached, MemcachedBuilder, MemcachedClient};
pub use message::{Fields, Framing, Request, Response};
pub use netns::Namespace;
pub use nginx::Nginx;
pub use port::Port;
pub use process::{Finished, Process};
pub use random::Random;
pub use redis::{Redis, RedisBuilder};
pub use resp::{RedisClient, Reply, RespError};
pub use router::{Router, RouterBuilder, program};
pub use sentinel::Sentinels;
pub use upstream::{Blackhole, Peer, Upstream, answer};
pub use wait::{PATIENCE, eventually};
pub use wire::{Wire, WireError};
