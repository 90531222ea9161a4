//! A worker: one thread, its sockets, its runtime, its tree.

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use waypost_backend::upstream::{Peers, watch_for_recovery};
use waypost_backend::{Backend, Duties, Exchange, Timers};
use waypost_http1::{Name, Version};
use waypost_stats::{LogHandle, Record};

use crate::connection::Connection;
use crate::date::Date;
use crate::finish::{Seen, Story};
use crate::request_id::RequestIds;
use crate::server::{Orders, Phase, Settings, Shared};

/// What a worker's tree is built on.
#[derive(Debug)]
pub struct Ground {
    /// The worker's connections to servers.
    pub peers: Rc<Peers>,
}

/// What a worker is started with.
pub(crate) struct Plan {
    pub(crate) index: usize,
    pub(crate) listeners: Vec<StdListener>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) orders: watch::Receiver<Orders>,
    pub(crate) log: Option<LogHandle>,
}

/// What the connections of one thread share.
pub(crate) struct Worker {
    pub(crate) timers: Rc<Timers>,
    pub(crate) date: Date,
    pub(crate) ids: RequestIds,
    shared: Arc<Shared>,
    settings: RefCell<(Rc<Settings>, Rc<dyn Backend>)>,
    ground: Ground,
    duties: Duties,
    log: RefCell<Option<LogHandle>>,
    draining: Cell<bool>,
    connections: Cell<usize>,
    /// The same moment on both clocks, as of the last tick.
    clocks: Cell<(Instant, SystemTime)>,
}

impl Worker {
    /// Runs a worker on this thread until it has drained.
    pub(crate) fn run(plan: Plan) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Readiness is looked for again after so many steps of tasks; the default of 61 lets
            // answers wait while new requests are read.
            .event_interval(31)
            .build_local(tokio::runtime::LocalOptions::default())?;
        runtime.block_on(async {
            let timers = Timers::new();
            let peers = Peers::new(Arc::clone(&plan.shared.registry), Rc::clone(&timers));
            let ground = Ground { peers };
            let duties = Duties { probes: plan.index == 0 };
            let settings = settle(&plan.orders.borrow().settings, &ground, duties);
            let worker = Rc::new(Worker {
                timers,
                date: Date::default(),
                ids: RequestIds::new(),
                shared: Arc::clone(&plan.shared),
                settings: RefCell::new(settings),
                ground,
                duties,
                log: RefCell::new(plan.log),
                draining: Cell::new(false),
                connections: Cell::new(0),
                clocks: Cell::new((Instant::now(), SystemTime::now())),
            });
            worker.tick();
            if plan.index == 0 {
                tokio::task::spawn_local(watch_for_recovery(Arc::clone(&plan.shared.registry)));
            }
            let mut accepting = Vec::new();
            for listener in plan.listeners {
                let listener = TcpListener::from_std(listener)?;
                let task = accept(Rc::clone(&worker), listener, plan.orders.clone());
                accepting.push(tokio::task::spawn_local(task));
            }
            worker.live(plan.orders).await;
            worker.settings().1.stop();
            for task in accepting {
                // An accept loop has no way to fail; if it did, the worker ends all the same.
                let _ = task.await;
            }
            Ok(())
        })
    }

    /// Ticks until the worker has nothing more to do.
    async fn live(&self, mut orders: watch::Receiver<Orders>) {
        let mut interval = tokio::time::interval(Timers::TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ticks = 0u64;
        let mut told = Arc::clone(&orders.borrow().settings);
        loop {
            tokio::select! {
                _ = interval.tick() => {
                    self.tick();
                    ticks += 1;
                    if ticks.is_multiple_of(10) {
                        self.ground.peers.sweep();
                    }
                }
                changed = orders.changed() => if changed.is_err() {
                    // The server was dropped.
                    return;
                },
            }
            let Orders { phase, settings } = orders.borrow_and_update().clone();
            if !Arc::ptr_eq(&settings, &told) {
                let new = settle(&settings, &self.ground, self.duties);
                let (_, old) = self.settings.replace(new);
                old.stop();
                told = settings;
            }
            match phase {
                Phase::Serving => {}
                Phase::Draining => {
                    if !self.draining.replace(true) {
                        self.timers.wake_all();
                    }
                    if self.connections.get() == 0 {
                        return;
                    }
                }
                Phase::Stopped => return,
            }
        }
    }

    fn tick(&self) {
        self.timers.tick();
        self.date.tick();
        self.clocks.set((Instant::now(), SystemTime::now()));
        if let Some(log) = &mut *self.log.borrow_mut() {
            log.flush();
        }
    }

    /// What is in force now. An exchange asks once and keeps it.
    pub(crate) fn settings(&self) -> (Rc<Settings>, Rc<dyn Backend>) {
        let settings = self.settings.borrow();
        (Rc::clone(&settings.0), Rc::clone(&settings.1))
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Counts an exchange that has ended, and tells the access log.
    pub(crate) fn finish(&self, story: &Story, exchange: &Exchange, sent: u64, received: u64) {
        self.shared.counters.count(story.code);
        let mut log = self.log.borrow_mut();
        let Some(log) = &mut *log else { return };
        let now = Instant::now();
        let (instant, wall) = self.clocks.get();
        let (notes, request) = (&exchange.notes, &exchange.request);
        let seen = |least| story.seen >= least;
        let field = |name| if seen(Seen::Head) { request.fields.get(name) } else { None };
        log.push(&Record {
            version_type_key: notes.version_type(),
            node_key: notes.node(),
            instance_key: notes.instance(),
            bytes: sent,
            code: story.code,
            upstream_response_time: notes
                .asked
                .map(|asked| story.ended.unwrap_or(now).saturating_duration_since(asked)),
            finished: wall + now.saturating_duration_since(instant),
            total: now.saturating_duration_since(story.started),
            request_id: story.id(),
            client: exchange.downstream.client.ip().to_canonical(),
            method: if seen(Seen::Head) { request.method.as_str().as_bytes() } else { b"" },
            host: if seen(Seen::Host) { exchange.host.as_bytes() } else { b"" },
            path: if seen(Seen::Head) { request.target() } else { b"" },
            protocol: match request.version {
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
            },
            upstream: notes.upstream(),
            tries: notes.tries,
            bytes_received: received,
            route: notes.route(),
            user_agent: field(Name::UserAgent),
            referer: field(Name::Referer),
            error: story.error.as_deref().or(notes.error.as_deref()),
        });
    }
}

/// Makes this worker's own of what all are told: its tree above all, which is started.
fn settle(settings: &Settings, ground: &Ground, duties: Duties) -> (Rc<Settings>, Rc<dyn Backend>) {
    let tree = (settings.tree)(ground);
    tree.start(duties);
    (Rc::new(settings.clone()), tree)
}

/// Accepts connections on one socket until the worker drains.
async fn accept(worker: Rc<Worker>, listener: TcpListener, mut orders: watch::Receiver<Orders>) {
    loop {
        tokio::select! {
            biased;
            _ = orders.wait_for(|orders| orders.phase != Phase::Serving) => break,
            accepted = listener.accept() => match accepted {
                Ok((transport, client)) => admit(&worker, transport, client),
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    // Out of descriptors, most likely: those in use have to end first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    // Whoever stood in the socket's queue was promised an answer.
    while let Some(Ok((transport, client))) = now_or_never(listener.accept()).await {
        admit(&worker, transport, client);
    }
}

/// The future's output, if it has it already.
async fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// Serves a connection, if there may be one more.
fn admit(worker: &Rc<Worker>, transport: TcpStream, client: SocketAddr) {
    let (settings, _) = worker.settings();
    let Some(place) = worker.shared.places.take(client.ip(), &settings.limits) else {
        worker.shared.counters.refused.fetch_add(1, Relaxed);
        return;
    };
    let Ok(local) = transport.local_addr() else { return };
    if let Err(error) = transport.set_nodelay(true) {
        tracing::debug!(%client, %error, "the connection ended before it began");
        return;
    }
    worker.shared.counters.accepted.fetch_add(1, Relaxed);
    worker.connections.set(worker.connections.get() + 1);
    let open = Open { worker: Rc::clone(worker), _place: place };
    tokio::task::spawn_local(async move {
        Connection::serve(Rc::clone(&open.worker), transport, client, local).await;
        drop(open);
    });
}

/// A connection that is open, counted as long as this lives, whatever ends it.
struct Open {
    worker: Rc<Worker>,
    _place: crate::server::Place,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.connections.set(self.worker.connections.get() - 1);
    }
}
