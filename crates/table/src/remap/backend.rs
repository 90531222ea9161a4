//! `routes` over a memcached table: the backend that goes by its decisions.
//!
//! The key of a request is put together in a buffer of the worker's and looked up in a map of the worker's.
//! While the decision found there is fresh, nobody is asked and nothing is locked; one that has grown old is
//! used while the table is asked in the background.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use waypost_backend::upstream::{Options, Peers, Resolved, Tls, Upstream};
use waypost_backend::{Backend, Call, Exchange, Explanation, Failure, Report, Response, Restore, Sketch};
use waypost_http1::{Name, Scheme};

use super::RemapTable;
use super::cell::{Cell, Decision, Lifetimes, Standing};
use super::explain::RemapOutcome;
use super::key::write_key;
use super::target::RouteTarget;
use crate::routes::{may_go_elsewhere, retry_later, unavailable};
use crate::store::TableStore;

/// What a [`Remap`] is told.
#[derive(Debug, Clone)]
pub struct RemapOptions {
    /// How long a route is used before it is asked for again; nothing: it is asked for with every request.
    pub ttl: Duration,
    /// How long it is remembered that there is no route.
    pub negative_ttl: Duration,
    /// Whether the client's `Host` stays, rather than naming the server of the route.
    pub preserve_host: bool,
    /// On how many addresses of a server a request is tried at most.
    pub tries: u32,
    /// Limits on talking to servers.
    pub limits: Options,
    /// TLS to servers whose scheme is `https`.
    pub tls: Tls,
    /// The name that their certificates must have; none: the server's in the value.
    pub server_name: Option<String>,
}

/// A memcached table as a backend, one worker's.
pub struct Remap {
    name: String,
    table: Arc<RemapTable>,
    options: RemapOptions,
    http: Upstream,
    peers: Rc<Peers>,
    key: RefCell<String>,
    known: RefCell<HashMap<Box<str>, Rc<Known>, foldhash::fast::RandomState>>,
    /// Every server that some way leads to: most keys lead to few.
    servers: RefCell<HashMap<RouteTarget, Rc<Server>, foldhash::fast::RandomState>>,
}

/// How many keys a worker knows at most. Those beyond are met again at the price of a lock.
const MOST_KNOWN: usize = 16_384;

/// A key, as one worker knows it.
struct Known {
    cell: Arc<Cell>,
    /// What this worker has made of the decision when it last needed it.
    way: RefCell<Option<Rc<Way>>>,
}

/// The way to a target.
struct Way {
    /// The decision that leads there, by which a later one is told from it.
    decision: Arc<Decision>,
    /// The key that was found, for the log.
    key: Box<str>,
    server: Rc<Server>,
}

/// A server that routes lead to, as one worker speaks to it.
struct Server {
    /// What `Host` is set to.
    host: Box<str>,
    resolved: Resolved,
    upstream: Upstream,
}

impl Remap {
    /// The table as a backend.
    pub fn new(
        name: impl Into<String>,
        table: Arc<RemapTable>,
        options: RemapOptions,
        peers: Rc<Peers>,
    ) -> Remap {
        Remap {
            name: name.into(),
            table,
            http: Upstream::new(Rc::clone(&peers), options.limits.clone()),
            options,
            peers,
            key: RefCell::default(),
            known: RefCell::default(),
            servers: RefCell::default(),
        }
    }

    async fn route(&self, exchange: &mut Exchange) -> Result<Response, Failure> {
        let known = self.known(exchange);
        if let Some(way) = self.usual_way(&known) {
            return self.send(&way, exchange).await;
        }
        let Some(decision) = self.decide(&known.cell).await else {
            let text = "waypost: the route table can't be asked, and this route is not known";
            return Ok(retry_later(Response::text(StatusCode::SERVICE_UNAVAILABLE, text)));
        };
        match &*decision {
            Decision::To { key, target } => {
                let way = known.way(&decision, || self.way(&decision, key, target));
                self.send(&way, exchange).await
            }
            Decision::Nothing => {
                let text = format!("waypost: no route for {}", known.cell.key());
                Ok(Response::text(StatusCode::NOT_FOUND, text))
            }
            Decision::Malformed { key } => {
                exchange.notes.set_route(key);
                let text = format!("waypost: the route of {key} does not parse");
                Ok(Response::text(StatusCode::NOT_FOUND, text))
            }
        }
    }

    /// What this worker knows of the request's key.
    fn known(&self, exchange: &Exchange) -> Rc<Known> {
        let mut key = self.key.borrow_mut();
        write_key(&mut key, exchange.downstream.scheme, &exchange.host, exchange.port);
        let mut known = self.known.borrow_mut();
        if let Some(one) = known.get(key.as_str()).filter(|one| !one.cell.is_evicted()) {
            return Rc::clone(one);
        }
        if known.len() >= MOST_KNOWN {
            known.retain(|_, one| !one.cell.is_evicted() && one.way.borrow().is_some());
            if known.len() >= MOST_KNOWN / 2 {
                known.clear();
            }
        }
        let one = Rc::new(Known { cell: self.table.cache.cell(&key), way: RefCell::default() });
        known.insert(key.as_str().into(), Rc::clone(&one));
        one
    }

    /// The way that this worker took last, if that is still what is decided.
    fn usual_way(&self, known: &Known) -> Option<Rc<Way>> {
        let way = known.way.borrow();
        let way = way.as_ref()?;
        let now = self.table.cache.now();
        let standing = known.cell.standing_of(&way.decision, now, self.lifetimes())?;
        self.may_use(&known.cell, standing, now).then(|| Rc::clone(way))
    }

    /// What is decided for a key: from the cache, or by asking the table. None if it can't be asked and nothing is
    /// known.
    async fn decide(&self, cell: &Arc<Cell>) -> Option<Arc<Decision>> {
        let (now, lifetimes) = (self.table.cache.now(), self.lifetimes());
        if let Some((decision, standing)) = cell.usable(now, lifetimes)
            && self.may_use(cell, standing, now)
        {
            return Some(decision);
        }
        // Where every request asks, an answer to a question of before it came is none.
        self.table.look(cell, if lifetimes.ttl == 0 { now } else { lifetimes.changed }).await;
        cell.decision()
    }

    /// Whether a decision may be used without asking first; one that has grown old is asked for meanwhile.
    fn may_use(&self, cell: &Arc<Cell>, standing: Standing, now: u64) -> bool {
        cell.touch(now);
        if standing == Standing::Stale && cell.may_ask(now) {
            self.table.look_in_background(cell);
        }
        standing != Standing::Expired
    }

    fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            ttl: self.options.ttl.as_millis() as u64,
            negative_ttl: self.options.negative_ttl.as_millis() as u64,
            changed: self.table.cache.changed(),
        }
    }

    fn way(&self, decision: &Arc<Decision>, key: &str, target: &RouteTarget) -> Way {
        Way { decision: Arc::clone(decision), key: key.into(), server: self.server(target) }
    }

    /// The server of a target, the same for all keys that lead there.
    fn server(&self, target: &RouteTarget) -> Rc<Server> {
        let mut servers = self.servers.borrow_mut();
        if let Some(server) = servers.get(target) {
            return Rc::clone(server);
        }
        if servers.len() >= MOST_KNOWN {
            servers.retain(|_, server| Rc::strong_count(server) > 1);
            if servers.len() >= MOST_KNOWN {
                // Ways keep those they lead to.
                servers.clear();
            }
        }
        let upstream = match target.scheme() {
            Scheme::Http => self.http.clone(),
            Scheme::Https => {
                let RemapOptions { limits, tls, server_name, .. } = &self.options;
                let name = server_name.as_deref().unwrap_or(target.host());
                let over_tls =
                    Options { tls: Some(tls.clone()), server_name: Some(name.to_owned()), ..limits.clone() };
                Upstream::new(Rc::clone(&self.peers), over_tls)
            }
        };
        let resolved = Resolved::new(target.host(), target.port());
        let server = Rc::new(Server { host: target.server().into(), resolved, upstream });
        servers.insert(target.clone(), Rc::clone(&server));
        server
    }

    async fn send(&self, way: &Way, exchange: &mut Exchange) -> Result<Response, Failure> {
        let server = &*way.server;
        exchange.notes.set_route(&way.key);
        // Whoever is asked next, if this one passes, gets the request as it was.
        let mut exchange = Restore::new(exchange);
        if !self.options.preserve_host {
            exchange.save();
            exchange.request.fields.remove(Name::Host);
            // A target's server is a valid host, which a field can always hold.
            let _ = exchange.request.fields.push_known(Name::Host, server.host.as_bytes());
        }
        let mut last = None;
        let mut tries = 0;
        for &address in &*server.resolved.addresses().await? {
            let peer = server.upstream.peer(address);
            if self.peers.registry().down() > 0 && peer.state().is_down() {
                continue;
            }
            tries += 1;
            match server.upstream.send(&peer, &mut exchange).await {
                Err(failure) if tries < self.options.tries && may_go_elsewhere(&failure, &exchange) => {
                    last = Some(failure);
                }
                result => return result,
            }
        }
        // Nobody is left: the log has to say what was wrong with the last that was.
        if let Some(failure) = last {
            exchange.notes.error = Some(failure.to_string());
        }
        Ok(unavailable(&way.key))
    }
}

impl Known {
    /// The way that this decision leads; `make` makes it if it was another one before.
    fn way(&self, decision: &Arc<Decision>, make: impl FnOnce() -> Way) -> Rc<Way> {
        let mut way = self.way.borrow_mut();
        match &*way {
            Some(way) if Arc::ptr_eq(&way.decision, decision) => Rc::clone(way),
            _ => Rc::clone(way.insert(Rc::new(make()))),
        }
    }
}

impl Backend for Remap {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        Box::pin(self.route(exchange))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn is_up(&self) -> bool {
        self.table.table().snapshot().is_loaded()
    }

    fn report(&self) -> Report {
        let status = self.table.table().status();
        let known = self.table.cache.len();
        Report {
            name: self.name.clone(),
            kind: "routes",
            up: status.loaded,
            detail: format!("{known} keys known of {}", status.location),
            health: None,
            children: Vec::new(),
        }
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        let Sketch { scheme, host, port, .. } = *request;
        let explained = self.table.explain(scheme, host, port);
        let (says, detail) = match explained {
            Err(error) => (format!("can't say: {error}"), None),
            Ok(explained) => {
                let host = match &explained.outcome {
                    RemapOutcome::Routed { target, .. } if !self.options.preserve_host => {
                        format!(", with Host: {}", target.server())
                    }
                    _ => String::new(),
                };
                (format!("{}{host}", explained.outcome), serde_json::to_value(&explained).ok())
            }
        };
        Explanation { backend: self.name.clone(), kind: "routes", says, detail, next: Vec::new() }
    }
}
