//! An async memcached client whose keys land where libmemcached 1.1 puts them.
//!
//! For programs that share a set of memcached servers with others (pylibmc, php-memcached, Asterisk's
//! `res_memcached`, anything on libmemcached) and must find what those wrote. It speaks memcached's meta
//! protocol, the classic text protocol where a server has no meta commands, and the binary protocol when
//! it is asked for. It promises:
//!
//! - **The same place.** A key goes to the server libmemcached would choose, for every hash and
//!   distribution there is.
//! - **The reply belongs to the request.** Keys are validated before they are sent, replies are matched with
//!   what was asked, and a connection whose request was given up half-way is closed: replies never slip by
//!   one.
//! - **Bounds.** Pools, queues, lines and values all have a limit, every operation a time limit.
//!
//! ```no_run
//! use waypost_memcached::{Address, Client, StoreOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let address = Address::parse("memcached://cache1,cache2:11212?distribution=consistent&hash=md5")?;
//! let client = Client::new(&address)?;
//! client.set("greeting", "hello", StoreOptions::ttl(60)).await?;
//! let item = client.get("greeting").await?.expect("it was just stored");
//! assert_eq!(&item.value[..], b"hello");
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod address;
mod client;
mod connection;
mod error;
mod hash;
mod key;
mod placement;
mod pool;
pub mod protocol;
mod result_code;
mod server;
mod tls;
mod ttl;
mod version;

pub use address::{Address, AddressError, Endpoint, Protocol, ServerAddress};
pub use client::{Batch, Change, Claim, Client, Lease, LeaseOptions, OfServers, Outcome, StoreOptions};
pub use error::{Error, Phase};
pub use hash::Hash;
pub use key::{Key, KeyError};
pub use placement::{Candidates, ChosenPoint, ChosenServer, Distribution, Explanation, Placement};
pub use protocol::Item;
pub use result_code::ResultCode;
