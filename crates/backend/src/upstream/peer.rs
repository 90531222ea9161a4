//! One worker's connections to each server.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::connection::Connection;
use super::registry::{PeerState, Registry};
use crate::deadline::Timers;

/// A server as one worker sees it: what all know of it, and this worker's resting connections.
#[derive(Debug)]
pub struct Peer {
    state: Arc<PeerState>,
    /// The address as it is logged.
    text: Box<str>,
    registry: Arc<Registry>,
    timers: Rc<Timers>,
    /// The one that rested last is used first, so that superfluous ones grow old.
    idle: RefCell<Vec<Resting>>,
    /// When it was last asked for, in the timers' milliseconds.
    last_used: Cell<u64>,
}

#[derive(Debug)]
struct Resting {
    connection: Box<Connection>,
    /// When it has rested too long, in the timers' milliseconds.
    until: u64,
}

impl Peer {
    /// The server's address.
    pub fn address(&self) -> SocketAddr {
        self.state.address()
    }

    /// The server's address, as text.
    pub fn address_text(&self) -> &str {
        &self.text
    }

    /// What all workers know of it.
    pub fn state(&self) -> &Arc<PeerState> {
        &self.state
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn timers(&self) -> &Rc<Timers> {
        &self.timers
    }

    /// A resting connection that is alive as far as can be told. For a request that can't be repeated
    /// the kernel is asked; for others it is enough that nothing has been heard.
    pub(crate) fn take_idle(&self, repeatable: bool) -> Option<Box<Connection>> {
        loop {
            let resting = self.idle.borrow_mut().pop()?;
            if resting.until > self.timers.now() && resting.connection.is_quiet(repeatable) {
                return Some(resting.connection);
            }
        }
    }

    /// Lets a connection rest until it is needed.
    pub(crate) fn park(&self, connection: Box<Connection>, until: u64, most: usize) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < most {
            idle.push(Resting { connection, until });
        }
    }
}

/// All servers one worker has met lately.
#[derive(Debug)]
pub struct Peers {
    registry: Arc<Registry>,
    timers: Rc<Timers>,
    peers: RefCell<HashMap<SocketAddr, Rc<Peer>, foldhash::fast::RandomState>>,
}

impl Peers {
    /// A server that nobody asked for in this time, and that has no connections, is forgotten.
    const FORGET_MILLIS: u64 = 60_000;

    /// A worker's peers.
    pub fn new(registry: Arc<Registry>, timers: Rc<Timers>) -> Rc<Peers> {
        Rc::new(Peers { registry, timers, peers: RefCell::default() })
    }

    /// The limits and clock of the worker.
    pub fn timers(&self) -> &Rc<Timers> {
        &self.timers
    }

    /// What all workers know.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The server of that address.
    pub fn get(&self, address: SocketAddr) -> Rc<Peer> {
        let mut peers = self.peers.borrow_mut();
        let peer = peers.entry(address).or_insert_with(|| {
            Rc::new(Peer {
                state: self.registry.peer(address),
                text: address.to_string().into(),
                registry: Arc::clone(&self.registry),
                timers: Rc::clone(&self.timers),
                idle: RefCell::default(),
                last_used: Cell::new(0),
            })
        });
        peer.last_used.set(self.timers.now());
        Rc::clone(peer)
    }

    /// Closes connections that have rested too long or were closed by the other side, and forgets
    /// servers that are not used any more. To be called about once a second.
    pub fn sweep(&self) {
        let now = self.timers.now();
        let mut old = Vec::new();
        self.peers.borrow_mut().retain(|_, peer| {
            let mut idle = peer.idle.borrow_mut();
            let (keep, close) = std::mem::take(&mut *idle)
                .into_iter()
                .partition(|resting| resting.until > now && resting.connection.is_quiet(true));
            *idle = keep;
            old.push(close);
            !idle.is_empty()
                || Rc::strong_count(peer) > 1
                || peer.last_used.get() + Peers::FORGET_MILLIS > now
        });
        drop(old);
    }

    /// Closes all resting connections.
    pub fn close_idle(&self) {
        let resting: Vec<_> =
            self.peers.borrow().values().map(|peer| std::mem::take(&mut *peer.idle.borrow_mut())).collect();
        drop(resting);
    }
}
