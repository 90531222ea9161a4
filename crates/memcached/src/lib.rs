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

#![forbid(unsafe_code)]

mod address;
mod hash;
mod placement;

pub use address::{Address, AddressError, Endpoint, Protocol, ServerAddress};
pub use hash::Hash;
pub use placement::{Candidates, ChosenPoint, ChosenServer, Distribution, Explanation, Placement};
