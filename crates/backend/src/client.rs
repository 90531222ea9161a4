//! `client`: one HTTP server.

mod probe;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use waypost_http1::Name;

pub use probe::ProbeOptions;

use crate::backend::{Backend, Call, Duties, Explanation, Probe, Report, Sketch};
use crate::cluster::{Jitter, Task};
use crate::exchange::Exchange;
use crate::failure::{Failure, FailureKind};
use crate::health::{Finding, Health, Pace};
use crate::response::Response;
use crate::restore::Restore;
use crate::upstream::{Options, Peers, Resolved, Upstream};
use probe::Probing;

/// What a [`Client`] is told.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The server's name or address, an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What `Host` says; the client's own if this is `None`.
    pub host_header: Option<String>,
    /// Limits, and TLS where the server speaks `https`: it has to be of the name `host` unless they say
    /// otherwise.
    pub limits: Options,
    /// How to find out whether the server is well; if this is `None`, it is as long as it can be connected to.
    pub probe: Option<ProbeOptions>,
}

impl ClientOptions {
    /// A server as a program names it, and everything else as usual.
    pub fn new(host: impl Into<String>, port: u16) -> ClientOptions {
        ClientOptions { host: host.into(), port, host_header: None, limits: Options::default(), probe: None }
    }
}

/// Sends requests to one HTTP server over pooled connections. A name that has several addresses is
/// tried at each of them in turn until one takes the connection.
///
/// With a probe, it is asked by the cluster that it is a member of, also when it is wrapped there (by a `log`,
/// say); one that no cluster asks does it by itself, at the pace that is usual for clusters.
pub struct Client {
    name: Rc<str>,
    options: ClientOptions,
    upstream: Upstream,
    resolved: Rc<Resolved>,
    probing: Option<Rc<Probing>>,
    health: Arc<Health>,
    /// Probes it as long as it is started.
    task: RefCell<Option<Task>>,
}

impl Client {
    /// A client over the worker's connections.
    pub fn new(name: impl Into<Rc<str>>, mut options: ClientOptions, peers: Rc<Peers>) -> Client {
        options.limits.server_name.get_or_insert_with(|| options.host.clone());
        let name = name.into();
        // What is held of another server of the same name is nothing to this one.
        let ClientOptions { host_header, probe, .. } = &options;
        let definition = format!("{name}: {} {host_header:?} {probe:?}", url(&options));
        let health = peers.registry().shared(&definition, Health::default);
        let resolved = Rc::new(Resolved::new(&options.host, options.port));
        let probing = options.probe.clone().map(|probe| {
            let host = options.host_header.clone().unwrap_or_else(|| authority(&options));
            let (resolved, peers) = (Rc::clone(&resolved), Rc::clone(&peers));
            Rc::new(Probing::new(probe, host, &options.limits, resolved, peers))
        });
        Client {
            upstream: Upstream::new(peers, options.limits.clone()),
            name,
            options,
            resolved,
            probing,
            health,
            task: RefCell::default(),
        }
    }

    async fn ask(&self, exchange: &mut Exchange) -> Result<Response, Failure> {
        let Some(host) = &self.options.host_header else { return self.send(exchange).await };
        // Whoever is asked next gets the request as it was.
        let mut exchange = Restore::new(exchange);
        exchange.save();
        exchange.request.fields.remove(Name::Host);
        // Checked when the configuration was read; a field that can't be sent is left out.
        let _ = exchange.request.fields.push_known(Name::Host, host.as_bytes());
        self.send(&mut exchange).await
    }

    async fn send(&self, exchange: &mut Exchange) -> Result<Response, Failure> {
        let mut last = None;
        for &address in &*self.resolved.addresses().await? {
            match self.upstream.send(&self.upstream.peer(address), exchange).await {
                Err(failure) if matches!(failure.kind, FailureKind::Connect { .. }) => last = Some(failure),
                result => return result,
            }
        }
        Err(last.unwrap_or_else(|| self.resolved.without_addresses()))
    }

    fn url(&self) -> String {
        url(&self.options)
    }

    /// What is known of a server that nobody probes: it is well as long as its name has addresses and one of
    /// them takes connections.
    async fn reach(&self) -> Result<(), String> {
        self.resolved.addresses().await.map_err(|failure| failure.to_string())?;
        match self.is_reachable() {
            true => Ok(()),
            false => Err(format!("{} can't be connected to", authority(&self.options))),
        }
    }

    /// Whether a connection might be had, as far as is known.
    fn is_reachable(&self) -> bool {
        self.upstream.is_reachable(&self.resolved.known())
    }
}

/// The server's host and port.
fn authority(options: &ClientOptions) -> String {
    match options.host.contains(':') {
        true => format!("[{}]:{}", options.host, options.port),
        false => format!("{}:{}", options.host, options.port),
    }
}

fn url(options: &ClientOptions) -> String {
    let scheme = if options.limits.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", authority(options))
}

/// Asks a client's server as long as no cluster does.
async fn watch(name: Rc<str>, probing: Rc<Probing>, health: Arc<Health>) {
    let (pace, mut jitter) = (Pace::default(), Jitter::default());
    loop {
        if !health.is_attended() {
            let outcome = probing.ask().await;
            health.probed(&pace, outcome, Finding { backend: &name, cluster: None });
        }
        tokio::time::sleep(jitter.around(pace.interval)).await;
    }
}

impl Backend for Client {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        Box::pin(self.ask(exchange))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn is_up(&self) -> bool {
        self.health.is_up() && self.is_reachable()
    }

    fn probe(&self) -> Probe<'_> {
        match &self.probing {
            Some(probing) => Box::pin(probing.ask()),
            None => Box::pin(self.reach()),
        }
    }

    fn health(&self) -> Option<Arc<Health>> {
        Some(Arc::clone(&self.health))
    }

    fn start(&self, duties: Duties) {
        let mut task = self.task.borrow_mut();
        if let (true, None, Some(probing)) = (duties.probes, &*task, &self.probing) {
            let watch = watch(Rc::clone(&self.name), Rc::clone(probing), Arc::clone(&self.health));
            *task = Some(Task::spawn(watch));
        }
    }

    fn stop(&self) {
        self.task.take();
    }

    fn report(&self) -> Report {
        Report {
            name: self.name.to_string(),
            kind: "client",
            up: self.is_up(),
            detail: match self.is_reachable() {
                true => self.url(),
                false => format!("{}, which takes no connections", self.url()),
            },
            health: self.probing.is_some().then(|| self.health.report()),
            children: Vec::new(),
        }
    }

    fn explain(&self, _: &Sketch<'_>) -> Explanation {
        Explanation {
            backend: self.name.to_string(),
            kind: "client",
            says: format!("sends the request to {}", self.url()),
            detail: None,
            next: Vec::new(),
        }
    }
}
