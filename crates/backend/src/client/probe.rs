//! Asking a server how it is: a real GET over a connection of its own, which must be answered 200 in time.
//!
//! The connection is a new one, since whether the server still takes connections is half of the question. It
//! is closed behind the answer's head.

use std::rc::Rc;
use std::time::Duration;

use http::{Method, StatusCode};
use waypost_http1::{Name, RequestHead, Scheme};

use crate::exchange::{Downstream, Exchange};
use crate::failure::FailureKind;
use crate::upstream::{Options, Peers, Resolved, Upstream};

/// What a server is asked.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// Path and query, beginning with `/`. Anything but 200 means that the server is not well.
    pub path: String,
    /// For the whole of it, from connecting to the answer's head.
    pub timeout: Duration,
}

/// Asks one server.
#[derive(Debug)]
pub(super) struct Probing {
    options: ProbeOptions,
    /// What `Host` says.
    host: String,
    upstream: Upstream,
    resolved: Rc<Resolved>,
}

impl Probing {
    pub(super) fn new(
        options: ProbeOptions,
        host: String,
        limits: &Options,
        resolved: Rc<Resolved>,
        peers: Rc<Peers>,
    ) -> Probing {
        // A server that has as much in hand as it may is busy, not down.
        let limits = Options { max_connections: None, most_idle: 0, ..limits.clone() };
        Probing { options, host, upstream: Upstream::new(peers, limits), resolved }
    }

    /// Whether the server is well, and if not, why.
    pub(super) async fn ask(&self) -> Result<(), String> {
        let ProbeOptions { path, timeout } = &self.options;
        match tokio::time::timeout(*timeout, self.get()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("{path} was not answered within {timeout:?}")),
        }
    }

    async fn get(&self) -> Result<(), String> {
        let path = &self.options.path;
        let mut exchange = self.exchange()?;
        let mut last = None;
        for &address in &*self.resolved.addresses().await.map_err(|failure| failure.to_string())? {
            match self.upstream.send_anew(&self.upstream.peer(address), &mut exchange, None).await {
                Ok(response) if response.head.status == StatusCode::OK => return Ok(()),
                Ok(response) => return Err(format!("{path} was answered {}", response.head.status.as_u16())),
                Err(failure) if matches!(failure.kind, FailureKind::Connect { .. }) => last = Some(failure),
                Err(failure) => return Err(failure.to_string()),
            }
        }
        Err(last.map_or_else(|| "it has no addresses".to_owned(), |failure| failure.to_string()))
    }

    fn exchange(&self) -> Result<Exchange, String> {
        let nobody = ([127, 0, 0, 1], 0).into();
        let downstream = Downstream { client: nobody, local: nobody, scheme: Scheme::Http };
        let mut exchange = Exchange::new(downstream);
        let wrong =
            |error: &dyn std::fmt::Display| format!("{} can't be asked for: {error}", self.options.path);
        exchange.request =
            RequestHead::new(Method::GET, &self.options.path).map_err(|error| wrong(&error))?;
        let fields = &mut exchange.request.fields;
        for (name, value) in
            [(Name::Host, self.host.as_str()), (Name::UserAgent, "waypost"), (Name::Connection, "close")]
        {
            fields.push_known(name, value.as_bytes()).map_err(|error| wrong(&error))?;
        }
        Ok(exchange)
    }
}
