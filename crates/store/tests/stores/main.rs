//! The same cases on each kind of store, with real servers.

mod away;
mod counting;
mod embedded;
mod kinds;
mod operations;
mod redis;
