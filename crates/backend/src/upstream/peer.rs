//! One worker's connections to each server.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::connection::Connection;
use super::registry::{PeerState, Registry};
use super::tls::Tls;
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
    /// When it was last said that TLS fails, in the timers' milliseconds.
    warned: Cell<Option<u64>>,
}

#[derive(Debug)]
struct Resting {
    connection: Box<Connection>,
    /// When it has rested too long, in the timers' milliseconds.
    until: u64,
}

impl Peer {
    /// A name that can't be served must not fill the log.
    const WARN_EVERY_MILLIS: u64 = 60_000;

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
            let mut resting = self.idle.borrow_mut().pop()?;
            if resting.until > self.timers.now() && resting.connection.is_quiet(repeatable) {
                return Some(resting.connection);
            }
        }
    }

    /// The same over TLS, where it has to be one to a server that has proved that name.
    pub(crate) fn take_idle_of(&self, server_name: &str, repeatable: bool) -> Option<Box<Connection>> {
        loop {
            let mut resting = {
                let mut idle = self.idle.borrow_mut();
                let place = idle.iter().rposition(|one| one.connection.server_name() == server_name)?;
                idle.remove(place)
            };
            if resting.until > self.timers.now() && resting.connection.is_quiet(repeatable) {
                return Some(resting.connection);
            }
        }
    }

    /// Lets a connection rest until it is needed. The one that has rested longest gives way to it: over
    /// TLS names that nobody asks for any more must not keep others out.
    pub(crate) fn park(&self, connection: Box<Connection>, until: u64, most: usize) {
        if most == 0 {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let oldest = if idle.len() < most { None } else { Some(idle.remove(0)) };
        idle.push(Resting { connection, until });
        drop(idle);
        drop(oldest);
    }

    /// Notes that TLS did not come about.
    pub(crate) fn handshake_failed(&self, server_name: &str, error: &std::io::Error) {
        self.state.count_failure();
        let now = self.timers.now();
        if self.warned.get().is_none_or(|at| at + Peer::WARN_EVERY_MILLIS <= now) {
            self.warned.set(Some(now));
            tracing::warn!(address = %self.text, server_name, %error, "no TLS with an instance");
        }
    }
}

/// All servers one worker has met lately.
#[derive(Debug)]
pub struct Peers {
    registry: Arc<Registry>,
    timers: Rc<Timers>,
    plain: RefCell<HashMap<SocketAddr, Rc<Peer>, foldhash::fast::RandomState>>,
    /// Those spoken to over TLS, by the [`Tls`] as well: what one configuration may use, another may not.
    over_tls: RefCell<HashMap<(SocketAddr, u64), Rc<Peer>, foldhash::fast::RandomState>>,
}

impl Peers {
    /// A server that nobody asked for in this time, and that has no connections, is forgotten.
    const FORGET_MILLIS: u64 = 60_000;

    /// A worker's peers.
    pub fn new(registry: Arc<Registry>, timers: Rc<Timers>) -> Rc<Peers> {
        Rc::new(Peers { registry, timers, plain: RefCell::default(), over_tls: RefCell::default() })
    }

    /// The limits and clock of the worker.
    pub fn timers(&self) -> &Rc<Timers> {
        &self.timers
    }

    /// What all workers know.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The server of that address, spoken to without TLS.
    pub fn get(&self, address: SocketAddr) -> Rc<Peer> {
        let mut peers = self.plain.borrow_mut();
        let peer = peers.entry(address).or_insert_with(|| self.meet(address));
        peer.last_used.set(self.timers.now());
        Rc::clone(peer)
    }

    /// The server of that address, spoken to over TLS. What is known of its health is known of the address.
    pub fn get_over(&self, address: SocketAddr, tls: &Tls) -> Rc<Peer> {
        let mut peers = self.over_tls.borrow_mut();
        let peer = peers.entry((address, tls.id())).or_insert_with(|| self.meet(address));
        peer.last_used.set(self.timers.now());
        Rc::clone(peer)
    }

    fn meet(&self, address: SocketAddr) -> Rc<Peer> {
        Rc::new(Peer {
            state: self.registry.peer(address),
            text: address.to_string().into(),
            registry: Arc::clone(&self.registry),
            timers: Rc::clone(&self.timers),
            idle: RefCell::default(),
            last_used: Cell::new(0),
            warned: Cell::new(None),
        })
    }

    /// Closes connections that have rested too long or were closed by the other side, and forgets
    /// servers that are not used any more. To be called about once a second.
    pub fn sweep(&self) {
        let now = self.timers.now();
        // Closed when nothing is borrowed any more.
        let mut old = Vec::new();
        let mut stays = |peer: &mut Rc<Peer>| {
            let mut idle = peer.idle.borrow_mut();
            old.extend(
                idle.extract_if(.., |resting| resting.until <= now || !resting.connection.is_quiet(true)),
            );
            !idle.is_empty()
                || Rc::strong_count(peer) > 1
                || peer.last_used.get() + Peers::FORGET_MILLIS > now
        };
        self.plain.borrow_mut().retain(|_, peer| stays(peer));
        self.over_tls.borrow_mut().retain(|_, peer| stays(peer));
        drop(old);
    }

    /// Closes all resting connections.
    pub fn close_idle(&self) {
        let take = |peer: &Rc<Peer>| std::mem::take(&mut *peer.idle.borrow_mut());
        let plain: Vec<_> = self.plain.borrow().values().map(take).collect();
        let over_tls: Vec<_> = self.over_tls.borrow().values().map(take).collect();
        drop((plain, over_tls));
    }
}
