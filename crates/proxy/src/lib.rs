//! Listeners, workers and HTTP/1.1 towards clients, in front of one backend.
//!
//! A [`Server`] runs one thread a core. Each has sockets of its own on the same addresses
//! (`SO_REUSEPORT`), a runtime of its own and a backend tree of its own; a connection lives and ends on
//! the thread that accepted it. On the way of a request nothing takes a lock, asks a store, or allocates
//! for each field.
//!
//! What is checked here: framing, host, limits, and which fields may be believed. What answers is one
//! [`waypost_backend::Backend`]; which one is unknown here.

#![forbid(unsafe_code)]

mod answer;
mod connection;
mod date;
mod downlink;
mod finish;
mod forward;
mod limits;
mod listener;
mod outgoing;
mod request_id;
mod server;
mod tunnel;
mod worker;

pub use forward::Forwarding;
pub use limits::Limits;
pub use listener::ListenError;
pub use server::{Counters, Options, Server, Settings, TreeBuilder};
pub use worker::Ground;
