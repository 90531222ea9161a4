//! `routes`: the backend that asks the table.
//!
//! For each request it finds the entry, chooses one of the usable instances, notes its keys for the log,
//! and sends the request there over the worker's own connections. An instance that can't be connected to
//! is passed over by all workers until it can be again; a request that nothing has acted upon yet, or that
//! may be repeated, goes to another one. Instances whose scheme is `https` are spoken to over TLS.

mod balance;
mod sticky;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::StatusCode;
use waypost_backend::upstream::{Options, Peer, Peers, Tls, Upstream};
use waypost_backend::{
    Backend, Call, Exchange, Explanation, Failure, FailureKind, Probe, Report, Response, Sketch,
};
use waypost_http1::Name;

pub use balance::Balance;
use balance::Balancer;
use sticky::Sticky;

use crate::entry::InstanceRef;
use crate::explain::{self, Outcome};
use crate::health::Health;
use crate::matching::{Match, find};
use crate::member::{Scheme, Target};
use crate::table::{Table, TableReader};

/// What a [`Routes`] is told.
#[derive(Debug, Clone)]
pub struct RoutesOptions {
    /// How an instance is chosen among the usable ones.
    pub balance: Balance,
    /// On how many instances a request is tried at most.
    pub tries: u32,
    /// The cookie that keeps a client at its instance; none: no stickiness.
    pub sticky_cookie: Option<String>,
    /// Limits on talking to instances.
    pub limits: Options,
    /// TLS to instances whose scheme is `https`.
    pub tls: Tls,
    /// The name that their certificates must have; none: the host that the request asks for.
    pub server_name: Option<String>,
}

/// The route table as a backend, one worker's.
pub struct Routes {
    name: String,
    table: Arc<Table>,
    reader: RefCell<TableReader>,
    http: Upstream,
    https: Upstream,
    peers: Rc<Peers>,
    /// The backends that the table may name.
    backends: Vec<Rc<dyn Backend>>,
    balancer: Balancer,
    sticky: Option<Sticky>,
    tries: u32,
}

/// Where one try of a request goes.
enum Way {
    Instance(Scheme, Rc<Peer>),
    Backend(String, Rc<dyn Backend>),
}

/// What the table says to one try.
enum Step {
    Go(Way),
    Answer(Response),
}

impl Routes {
    /// The table as a backend. `backends` are those that instances may name.
    pub fn new(
        name: impl Into<String>,
        table: Arc<Table>,
        backends: Vec<Rc<dyn Backend>>,
        options: RoutesOptions,
        peers: Rc<Peers>,
    ) -> Routes {
        let over_tls =
            Options { tls: Some(options.tls), server_name: options.server_name, ..options.limits.clone() };
        Routes {
            name: name.into(),
            reader: RefCell::new(table.reader()),
            table,
            http: Upstream::new(Rc::clone(&peers), options.limits),
            https: Upstream::new(Rc::clone(&peers), over_tls),
            peers,
            backends,
            balancer: Balancer::new(options.balance),
            sticky: options.sticky_cookie.map(Sticky::new),
            tries: options.tries.max(1),
        }
    }

    async fn route(&self, exchange: &mut Exchange) -> Result<Response, Failure> {
        let mut tried: Vec<Target> = Vec::new();
        let mut last: Option<Failure> = None;
        loop {
            let way = match self.step(exchange, &tried) {
                Step::Go(way) => way,
                Step::Answer(response) => {
                    // Nobody is left: the log has to say what was wrong with the last that was.
                    if let Some(failure) = last {
                        exchange.notes.error = Some(failure.to_string());
                    }
                    return Ok(response);
                }
            };
            let result = match &way {
                Way::Instance(scheme, peer) => self.upstream(*scheme).send(peer, exchange).await,
                Way::Backend(_, backend) => backend.call(exchange).await,
            };
            let failure = match result {
                Ok(mut response) => {
                    if let (Some(sticky), Way::Instance(_, peer)) = (&self.sticky, &way) {
                        sticky.remember(peer.address(), exchange, &mut response);
                    }
                    return Ok(response);
                }
                Err(failure) => failure,
            };
            if !may_go_elsewhere(&failure, exchange) || tried.len() + 1 >= self.tries as usize {
                return Err(failure);
            }
            tried.push(match way {
                Way::Instance(_, peer) => Target::Address(peer.address()),
                Way::Backend(name, _) => Target::Backend(name),
            });
            last = Some(failure);
        }
    }

    /// Asks the table where the next try goes. Borrows nothing, so that the table may change meanwhile.
    fn step(&self, exchange: &mut Exchange, tried: &[Target]) -> Step {
        let mut reader = self.reader.borrow_mut();
        let snapshot = reader.load();
        // A target is ASCII since the head was read.
        let path = std::str::from_utf8(exchange.request.path()).unwrap_or("/");
        let found = find(snapshot, &exchange.host, path, |instance| {
            self.is_usable(instance) && !was_tried(instance, tried)
        });
        match found {
            Match::Found(found) => {
                let entry = found.entry;
                let index = match self.sticky.as_ref().and_then(|sticky| sticky.recall(&found, exchange)) {
                    Some(index) => index,
                    None => self.balancer.choose(&found, exchange, &self.peers),
                };
                let instance = entry.instance(usize::from(index));
                exchange.notes.set_route(entry.pattern());
                exchange.notes.set_instance(
                    instance.version_type(),
                    instance.node(),
                    instance.instance_key(),
                );
                match self.way(&instance) {
                    Some(way) => Step::Go(way),
                    // Whatever is usable leads somewhere.
                    None => Step::Answer(unavailable(entry.pattern())),
                }
            }
            Match::AllDown(entry) => {
                exchange.notes.set_route(entry.pattern());
                Step::Answer(unavailable(entry.pattern()))
            }
            Match::NoRoute => {
                let text = format!("waypost: no route for {}", exchange.host);
                Step::Answer(Response::text(StatusCode::NOT_FOUND, text))
            }
            Match::NotLoaded => {
                let text = "waypost: the route table has not been read yet";
                Step::Answer(retry_later(Response::text(StatusCode::SERVICE_UNAVAILABLE, text)))
            }
        }
    }

    fn way(&self, instance: &InstanceRef<'_>) -> Option<Way> {
        if let Some(name) = instance.backend() {
            return Some(Way::Backend(name.to_owned(), Rc::clone(self.named(name)?)));
        }
        let (scheme, address) = (instance.scheme(), instance.address()?);
        Some(Way::Instance(scheme, self.upstream(scheme).peer(address)))
    }

    fn upstream(&self, scheme: Scheme) -> &Upstream {
        match scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        }
    }

    /// The backend of that name, if the table may name it.
    fn named(&self, name: &str) -> Option<&Rc<dyn Backend>> {
        self.backends.iter().find(|backend| backend.name() == name)
    }

    /// Whether requests are sent there. While nothing is down this is a comparison or two.
    fn is_usable(&self, instance: &InstanceRef<'_>) -> bool {
        if let Some(name) = instance.backend() {
            return self.named(name).is_some_and(|backend| backend.is_up());
        }
        self.peers.registry().down() == 0
            || instance.address().is_none_or(|address| !self.peers.get(address).state().is_down())
    }

    /// What is known of an instance, for explanations and listings.
    fn health(&self, instance: &InstanceRef<'_>) -> Health {
        if let Some(name) = instance.backend() {
            return match self.named(name) {
                None => Health::Down { reason: format!("no backend called {name} is open to the table") },
                Some(backend) if backend.is_up() => Health::Up,
                Some(_) => Health::Down { reason: format!("the backend {name} is down") },
            };
        }
        instance_health(self.peers.registry(), instance)
    }
}

/// What the workers know of an instance that has an address.
pub fn instance_health(registry: &waypost_backend::upstream::Registry, instance: &InstanceRef<'_>) -> Health {
    let known = instance.address().and_then(|address: SocketAddr| registry.look(address));
    match known {
        None => Health::Unknown,
        Some(state) if state.is_down() => Health::Down { reason: "it can't be connected to".to_owned() },
        Some(_) => Health::Up,
    }
}

fn was_tried(instance: &InstanceRef<'_>, tried: &[Target]) -> bool {
    tried.iter().any(|target| match target {
        Target::Address(address) => instance.backend().is_none() && instance.address() == Some(*address),
        Target::Backend(name) => instance.backend() == Some(name),
    })
}

/// Whether another instance may be asked: nothing has acted upon the request, or doing so twice does no
/// harm, and its body is still whole.
pub(crate) fn may_go_elsewhere(failure: &Failure, exchange: &Exchange) -> bool {
    match failure.kind {
        FailureKind::Connect { .. }
        | FailureKind::Unresolved { .. }
        | FailureKind::Down { .. }
        | FailureKind::Unavailable { .. } => !exchange.body.is_touched(),
        FailureKind::Closed { .. } if failure.sent => exchange.is_repeatable(),
        FailureKind::Closed { .. } => !exchange.body.is_touched(),
        _ => false,
    }
}

pub(crate) fn unavailable(pattern: &str) -> Response {
    let text = format!("waypost: no instance of {pattern} is available");
    retry_later(Response::text(StatusCode::SERVICE_UNAVAILABLE, text))
}

pub(crate) fn retry_later(mut response: Response) -> Response {
    response.add(Name::RetryAfter, b"1");
    response
}

impl Backend for Routes {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        Box::pin(self.route(exchange))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn children(&self) -> &[Rc<dyn Backend>] {
        &self.backends
    }

    fn is_up(&self) -> bool {
        self.reader.borrow_mut().load().is_loaded()
    }

    // The backends below are for single entries: none of them speaks for the table.
    fn probe(&self) -> Probe<'_> {
        let loaded = if self.is_up() { Ok(()) } else { Err("the table was not read yet".to_owned()) };
        Box::pin(std::future::ready(loaded))
    }

    fn health(&self) -> Option<Arc<waypost_backend::Health>> {
        None
    }

    fn report(&self) -> Report {
        let status = self.table.status();
        Report {
            name: self.name.clone(),
            kind: "routes",
            up: status.loaded,
            detail: format!(
                "{} entries, {} instances in {}",
                status.entries, status.instances, status.location
            ),
            health: None,
            children: self.backends.iter().map(|backend| backend.report()).collect(),
        }
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        let url = format!("{}{}", request.host, String::from_utf8_lossy(request.target));
        let snapshot = self.table.snapshot();
        let explained = explain::explain(&snapshot, &url, |instance| self.health(instance));
        let mut explanation = Explanation {
            backend: self.name.clone(),
            kind: "routes",
            says: String::new(),
            detail: None,
            next: Vec::new(),
        };
        match explained {
            Err(error) => explanation.says = error.to_string(),
            Ok(explained) => {
                explanation.says = match &explained.outcome {
                    Outcome::Routed { pattern, prefix: None } => {
                        format!("sends it to an instance of {pattern}")
                    }
                    Outcome::Routed { pattern, prefix: Some(prefix) } => {
                        format!("sends it to an instance of {pattern} that serves {prefix}")
                    }
                    Outcome::AllDown { pattern } => {
                        format!("answers 503: no instance of {pattern} is available")
                    }
                    Outcome::NoRoute => "answers 404: no entry matches".to_owned(),
                    Outcome::NotLoaded => "answers 503: the table has not been read yet".to_owned(),
                };
                for considered in explained.steps.iter().flat_map(|step| &step.instances) {
                    let named =
                        considered.member.backend.as_ref().filter(|_| considered.passed_over.is_none());
                    if let Some(backend) = named.and_then(|name| self.named(name)) {
                        explanation.next.push(backend.explain(request));
                    }
                }
                explanation.detail = serde_json::to_value(&explained).ok();
            }
        }
        explanation
    }
}
