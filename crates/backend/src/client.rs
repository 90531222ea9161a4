//! `client`: one HTTP server.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use waypost_http1::Name;

use crate::backend::{Backend, Call, Explanation, Report, Sketch};
use crate::exchange::Exchange;
use crate::failure::{Failure, FailureKind};
use crate::response::Response;
use crate::upstream::{Options, Peers, Upstream};

/// A name is looked up again when its addresses are older than this.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// What a [`Client`] is told.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The server's name or address, an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What `Host` says; the client's own if this is `None`.
    pub host_header: Option<String>,
    /// Limits.
    pub limits: Options,
}

/// Sends requests to one HTTP server over pooled connections. A name that has several addresses is
/// tried at each of them in turn until one takes the connection.
#[derive(Debug)]
pub struct Client {
    name: String,
    options: ClientOptions,
    upstream: Upstream,
    resolved: Rc<RefCell<Resolved>>,
}

#[derive(Debug, Default)]
struct Resolved {
    addresses: Vec<SocketAddr>,
    /// When they were looked up; never for an address that needed no looking up.
    at: Option<Instant>,
}

impl Client {
    /// A client over the worker's connections.
    pub fn new(name: impl Into<String>, options: ClientOptions, peers: Rc<Peers>) -> Client {
        let literal = options.host.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, options.port));
        let resolved = Resolved { addresses: literal.into_iter().collect(), at: None };
        Client {
            name: name.into(),
            upstream: Upstream::new(peers, options.limits.clone()),
            options,
            resolved: Rc::new(RefCell::new(resolved)),
        }
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        {
            let mut resolved = self.resolved.borrow_mut();
            if !resolved.addresses.is_empty() {
                if resolved.at.is_some_and(|at| at.elapsed() > RESOLVE_EVERY) {
                    // Whoever comes next uses the old addresses while this one's question is under way.
                    resolved.at = Some(Instant::now());
                    tokio::task::spawn_local(refresh(
                        self.options.host.clone(),
                        self.options.port,
                        Rc::clone(&self.resolved),
                    ));
                }
                return Ok(resolved.addresses.clone());
            }
        }
        let addresses = look_up(&self.options.host, self.options.port).await.map_err(|error| {
            let what = format!("the name {} could not be resolved: {error}", self.options.host);
            Failure::unsent(FailureKind::Unavailable { what })
        })?;
        *self.resolved.borrow_mut() = Resolved { addresses: addresses.clone(), at: Some(Instant::now()) };
        Ok(addresses)
    }

    async fn ask(&self, exchange: &mut Exchange) -> Result<Response, Failure> {
        if let Some(host) = &self.options.host_header {
            exchange.request.fields.remove(Name::Host);
            // Checked when the configuration was read; a field that can't be sent is left out.
            let _ = exchange.request.fields.push_known(Name::Host, host.as_bytes());
        }
        let mut last = None;
        for address in self.addresses().await? {
            match self.upstream.send(&self.upstream.peer(address), exchange).await {
                Err(failure) if matches!(failure.kind, FailureKind::Connect { .. }) => last = Some(failure),
                result => return result,
            }
        }
        Err(last.unwrap_or_else(|| {
            let what = format!("the name {} has no addresses", self.options.host);
            Failure::unsent(FailureKind::Unavailable { what })
        }))
    }

    fn url(&self) -> String {
        match self.options.host.contains(':') {
            true => format!("http://[{}]:{}", self.options.host, self.options.port),
            false => format!("http://{}:{}", self.options.host, self.options.port),
        }
    }
}

async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it has no addresses"));
    }
    Ok(addresses)
}

/// Looks the name up once more; the old addresses stay if that fails.
async fn refresh(host: String, port: u16, resolved: Rc<RefCell<Resolved>>) {
    match look_up(&host, port).await {
        Ok(addresses) => {
            *resolved.borrow_mut() = Resolved { addresses, at: Some(Instant::now()) };
        }
        Err(error) => {
            tracing::warn!(%host, %error, "looking the name up again failed, its old addresses stay")
        }
    }
}

impl Backend for Client {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        Box::pin(self.ask(exchange))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn report(&self) -> Report {
        Report {
            name: self.name.clone(),
            kind: "client",
            up: self.is_up(),
            detail: self.url(),
            children: Vec::new(),
        }
    }

    fn explain(&self, _: &Sketch<'_>) -> Explanation {
        Explanation {
            backend: self.name.clone(),
            kind: "client",
            says: format!("sends the request to {}", self.url()),
            detail: None,
            next: Vec::new(),
        }
    }
}
