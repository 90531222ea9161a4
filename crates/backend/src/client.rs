//! `client`: one HTTP server.

use std::rc::Rc;

use waypost_http1::Name;

use crate::backend::{Backend, Call, Explanation, Report, Sketch};
use crate::exchange::Exchange;
use crate::failure::{Failure, FailureKind};
use crate::response::Response;
use crate::upstream::{Options, Peers, Resolved, Upstream};

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
}

/// Sends requests to one HTTP server over pooled connections. A name that has several addresses is
/// tried at each of them in turn until one takes the connection.
#[derive(Debug)]
pub struct Client {
    name: String,
    options: ClientOptions,
    upstream: Upstream,
    resolved: Resolved,
}

impl Client {
    /// A client over the worker's connections.
    pub fn new(name: impl Into<String>, mut options: ClientOptions, peers: Rc<Peers>) -> Client {
        options.limits.server_name.get_or_insert_with(|| options.host.clone());
        Client {
            name: name.into(),
            upstream: Upstream::new(peers, options.limits.clone()),
            resolved: Resolved::new(&options.host, options.port),
            options,
        }
    }

    async fn ask(&self, exchange: &mut Exchange) -> Result<Response, Failure> {
        if let Some(host) = &self.options.host_header {
            exchange.request.fields.remove(Name::Host);
            // Checked when the configuration was read; a field that can't be sent is left out.
            let _ = exchange.request.fields.push_known(Name::Host, host.as_bytes());
        }
        let mut last = None;
        for &address in &*self.resolved.addresses().await? {
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
        let ClientOptions { host, port, limits, .. } = &self.options;
        let scheme = if limits.tls.is_some() { "https" } else { "http" };
        match host.contains(':') {
            true => format!("{scheme}://[{host}]:{port}"),
            false => format!("{scheme}://{host}:{port}"),
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
            health: None,
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
