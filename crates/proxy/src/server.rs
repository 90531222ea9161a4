//! All workers together.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::watch;
use waypost_backend::Backend;
use waypost_backend::upstream::Registry;
use waypost_stats::AccessLog;

use crate::forward::Forwarding;
use crate::limits::Limits;
use crate::listener::{ListenError, listen};
use crate::worker::{Ground, Plan, Worker};

/// Builds a worker's own tree, on the worker's thread.
pub type TreeBuilder = Arc<dyn Fn(&Ground) -> Rc<dyn Backend> + Send + Sync>;

/// What can change while a server runs.
#[derive(Clone)]
pub struct Settings {
    /// Limits on clients.
    pub limits: Limits,
    /// Rules for forwarding.
    pub forwarding: Forwarding,
    /// The tree.
    pub tree: TreeBuilder,
}

/// What a server is started with.
pub struct Options {
    /// Addresses to listen on; port 0 is any free one.
    pub listen: Vec<SocketAddr>,
    /// How many threads serve, at least one.
    pub workers: usize,
    /// What can change later.
    pub settings: Settings,
    /// What is known of the servers behind.
    pub registry: Arc<Registry>,
    /// Where finished exchanges are told.
    pub access_log: Option<Arc<AccessLog>>,
}

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// No new connections; those there are end when their exchange does.
    Draining,
    Stopped,
}

/// What the workers are told; they look when it changes.
#[derive(Clone)]
pub(crate) struct Orders {
    pub(crate) phase: Phase,
    pub(crate) settings: Arc<Settings>,
}

/// What workers share.
pub(crate) struct Shared {
    pub(crate) registry: Arc<Registry>,
    pub(crate) counters: Counters,
    pub(crate) places: Arc<Places>,
}

/// What a server has done since it began.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    responses: [AtomicU64; 6],
}

impl Counters {
    pub(crate) fn count(&self, code: u16) {
        let class = usize::from(code / 100).min(5);
        self.responses[class].fetch_add(1, Relaxed);
    }

    /// Connections that were accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections that were closed at once, since there were too many.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Exchanges that have ended with a status of that class, `1` to `5`.
    pub fn responses(&self, class: usize) -> u64 {
        self.responses.get(class).map_or(0, |count| count.load(Relaxed))
    }
}

/// Counts connections, for the limits on them.
#[derive(Debug, Default)]
pub(crate) struct Places {
    open: AtomicU32,
    by_client: Mutex<HashMap<IpAddr, u32>>,
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    client: Option<IpAddr>,
}

impl Places {
    /// A place for a client's connection, if the limits leave one. A lock is taken only where there is
    /// a limit on each client, and then once a connection.
    pub(crate) fn take(self: &Arc<Places>, client: IpAddr, limits: &Limits) -> Option<Place> {
        let mut place = Place { places: Arc::clone(self), client: None };
        let open = self.open.fetch_add(1, Relaxed);
        if limits.max_connections.is_some_and(|most| open >= most) {
            return None;
        }
        if let Some(most) = limits.connections_per_client {
            let mut by_client = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
            let count = by_client.entry(client).or_insert(0);
            if *count >= most {
                return None;
            }
            *count += 1;
            place.client = Some(client);
        }
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open.fetch_sub(1, Relaxed);
        let Some(client) = self.client else { return };
        let mut by_client = self.places.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_client.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                by_client.remove(&client);
            }
        }
    }
}

/// A server that runs.
pub struct Server {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    orders: watch::Sender<Orders>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens all sockets and starts the workers.
    pub fn start(options: Options) -> Result<Server, ListenError> {
        let workers = options.workers.max(1);
        let mut listeners: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for address in options.listen {
            let opened = listen(address, workers)?;
            addresses.extend(opened.first().and_then(|listener| listener.local_addr().ok()));
            for (worker, listener) in listeners.iter_mut().zip(opened) {
                worker.push(listener);
            }
        }
        let shared = Arc::new(Shared {
            registry: options.registry,
            counters: Counters::default(),
            places: Arc::default(),
        });
        let settings = Arc::new(options.settings);
        let (orders, _) = watch::channel(Orders { phase: Phase::Serving, settings });
        let mut threads = Vec::new();
        for (index, listeners) in listeners.into_iter().enumerate() {
            let plan = Plan {
                index,
                listeners,
                shared: Arc::clone(&shared),
                orders: orders.subscribe(),
                log: options.access_log.as_ref().map(|log| log.handle()),
            };
            let address = addresses.first().copied().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                if let Err(error) = Worker::run(plan) {
                    tracing::error!(worker = index, %error, "a worker could not start");
                }
            });
            threads.push(thread.map_err(|error| ListenError { address, error })?);
        }
        Ok(Server { addresses, shared, orders, threads })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it has done so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// How many connections are open.
    pub fn connections(&self) -> u32 {
        self.shared.places.open.load(Relaxed)
    }

    /// Whether all workers have ended: some time after [`Server::drain`], when the last connection has.
    pub fn has_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Takes no more connections, and lets those there are end with the exchange in hand.
    pub fn drain(&self) {
        self.orders.send_modify(|orders| orders.phase = Phase::Draining);
    }

    /// Puts other settings in force. An exchange in flight keeps those it began with; connections, and
    /// what has become of an upgraded one, stay.
    pub fn reload(&self, settings: Settings) {
        self.orders.send_modify(|orders| orders.settings = Arc::new(settings));
    }

    /// Ends all workers now. Returns how many connections had to be cut off.
    pub fn stop(mut self) -> u32 {
        let cut = self.connections();
        self.orders.send_modify(|orders| orders.phase = Phase::Stopped);
        for thread in self.threads.drain(..) {
            // A worker that panicked has said so.
            let _ = thread.join();
        }
        cut
    }
}
