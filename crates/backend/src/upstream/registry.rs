//! What all workers know of each server: whether it is down, and how much it has in hand.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// One server, as all workers see it.
#[derive(Debug)]
pub struct PeerState {
    address: SocketAddr,
    in_flight: AtomicU32,
    down: AtomicBool,
    requests: AtomicU64,
    connects: AtomicU64,
    stale: AtomicU64,
    failures: AtomicU64,
}

impl PeerState {
    fn new(address: SocketAddr) -> PeerState {
        PeerState {
            address,
            in_flight: AtomicU32::new(0),
            down: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            connects: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// The server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests it has in hand.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Whether it is passed over, because the last connection to it failed.
    pub fn is_down(&self) -> bool {
        self.down.load(Relaxed)
    }

    /// How many requests have been sent to it.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// How many connections to it have been opened.
    pub fn connects(&self) -> u64 {
        self.connects.load(Relaxed)
    }

    /// How many connections came out of a pool dead.
    pub fn stale(&self) -> u64 {
        self.stale.load(Relaxed)
    }

    /// How many connections to it have failed to come about.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    pub(crate) fn count_stale(&self) {
        self.stale.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_failure(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_connect(&self) {
        self.connects.fetch_add(1, Relaxed);
    }
}

/// One request that a server has in hand, from before it is sent until its response has been read.
#[derive(Debug)]
pub struct InFlight(Arc<PeerState>);

impl InFlight {
    /// Counts one more, until this is dropped.
    pub fn begin(state: &Arc<PeerState>) -> InFlight {
        state.in_flight.fetch_add(1, Relaxed);
        state.requests.fetch_add(1, Relaxed);
        InFlight(Arc::clone(state))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// Every server that is in use, shared by all workers. The lock is taken when a worker meets a server
/// for the first time, and when a server goes down or comes back; never for a request.
#[derive(Debug, Default)]
pub struct Registry {
    peers: Mutex<HashMap<SocketAddr, Arc<PeerState>>>,
    down: AtomicUsize,
    shared: Mutex<HashMap<(TypeId, String), Arc<dyn Any + Send + Sync>>>,
}

impl Registry {
    /// No servers yet.
    pub fn new() -> Arc<Registry> {
        Arc::new(Registry::default())
    }

    /// What is known of that server; it is known from now on.
    pub fn peer(&self, address: SocketAddr) -> Arc<PeerState> {
        Arc::clone(self.lock().entry(address).or_insert_with(|| Arc::new(PeerState::new(address))))
    }

    /// What is known of that server, if anything is.
    pub fn look(&self, address: SocketAddr) -> Option<Arc<PeerState>> {
        self.lock().get(&address).cloned()
    }

    /// Every known server.
    pub fn all(&self) -> Vec<Arc<PeerState>> {
        self.lock().values().cloned().collect()
    }

    /// Every server that is passed over.
    pub fn all_down(&self) -> Vec<Arc<PeerState>> {
        self.lock().values().filter(|state| state.is_down()).cloned().collect()
    }

    /// How many servers are passed over.
    pub fn down(&self) -> usize {
        self.down.load(Relaxed)
    }

    /// Notes that no connection to the server could be had: it is passed over until one can.
    pub fn connection_failed(&self, state: &PeerState, error: &dyn std::fmt::Display) {
        state.failures.fetch_add(1, Relaxed);
        if !state.down.swap(true, Relaxed) {
            self.down.fetch_add(1, Relaxed);
            tracing::warn!(address = %state.address, %error, "instance down: it can't be connected to and is passed over");
        }
    }

    /// Notes that the server takes connections.
    pub fn connection_succeeded(&self, state: &PeerState) {
        // The load keeps the usual case from writing to a line that all workers read.
        if state.down.load(Relaxed) && state.down.swap(false, Relaxed) {
            self.down.fetch_sub(1, Relaxed);
            tracing::info!(address = %state.address, "instance up: it takes connections again");
        }
    }

    /// Forgets a server that is down, unless somebody beside the caller holds it: nobody would find out for
    /// them that it is back. Says whether it did.
    pub(crate) fn forget(&self, state: &Arc<PeerState>) -> bool {
        let mut peers = self.lock();
        // The caller's and the registry's own; others get one only under the lock.
        if Arc::strong_count(state) > 2 {
            return false;
        }
        peers.remove(&state.address);
        drop(peers);
        if state.down.swap(false, Relaxed) {
            self.down.fetch_sub(1, Relaxed);
        }
        true
    }

    /// Forgets the servers that no worker has met lately, except those that are down.
    pub(crate) fn sweep(&self) {
        self.lock().retain(|_, state| Arc::strong_count(state) > 1 || state.is_down());
    }

    /// What the trees of all workers share of the backend of that name, made by the first that asks. It
    /// lives on through a reload, as long as a tree holds it.
    pub fn shared<T: Any + Send + Sync>(&self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|_, state| Arc::strong_count(state) > 1);
        let key = (TypeId::of::<T>(), name.to_owned());
        if let Some(state) = shared.get(&key).and_then(|state| Arc::clone(state).downcast().ok()) {
            return state;
        }
        let state = Arc::new(make());
        shared.insert(key, Arc::clone(&state) as Arc<dyn Any + Send + Sync>);
        state
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, Arc<PeerState>>> {
        // What is inside is whole between any two statements, whoever panicked.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_somebody_holds_is_not_forgotten() {
        let registry = Registry::new();
        let address = ([127, 0, 0, 1], 1).into();
        let (state, held) = (registry.peer(address), registry.peer(address));
        registry.connection_failed(&state, &"refused");
        assert!(!registry.forget(&state));
        assert!(Arc::ptr_eq(&registry.peer(address), &held), "there is still one of it");
        drop(held);
        assert!(registry.forget(&state));
        assert_eq!((registry.down(), registry.look(address).is_none()), (0, true));
    }
}
