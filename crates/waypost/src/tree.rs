//! The backend tree, built from the configuration: once a worker, and once more for whoever only wants to
//! look at it. All trees are the same, and share what their workers must agree on: the table, and the
//! registry of servers. Beside it what else of the configuration the workers are
//! told.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use waypost_backend::upstream::{Options, Peers};
use waypost_backend::{Backend, Client, ClientOptions, Redirect, Respond};
use waypost_http1::HeadLimits;
use waypost_proxy::{Forwarding, Limits};
use waypost_table::{Routes, RoutesOptions, Table};

use crate::config::{self, BackendSpec, Config};
use crate::failure::Failure;

/// What a tree is built from.
pub(crate) struct Tree {
    config: Arc<Config>,
    table: Arc<Table>,
}

impl Tree {
    /// A tree of this configuration over this table.
    ///
    /// # Errors
    /// If a fixed answer has a field that can't be sent.
    pub(crate) fn new(config: Arc<Config>, table: Arc<Table>) -> Result<Self, Failure> {
        for backend in &config.backends {
            if let BackendSpec::Respond(spec) = &backend.spec {
                respond(&backend.name, spec).map_err(|error| {
                    Failure::Other(format!(
                        "backend.{}.headers: {error}: mend it in the configuration",
                        backend.name
                    ))
                })?;
            }
        }
        Ok(Self { config, table })
    }

    /// Builds the tree over a worker's connections, on its thread.
    pub(crate) fn build(&self, peers: &Rc<Peers>) -> Rc<dyn Backend> {
        let mut built = BTreeMap::new();
        self.backend(&self.config.general.entry, peers, &mut built)
    }

    /// The backends that entries of the table may point at.
    pub(crate) fn named_by_table(&self) -> BTreeSet<String> {
        let routes = self.config.backends.iter().filter_map(|backend| match &backend.spec {
            BackendSpec::Routes(routes) => Some(&routes.backends),
            _ => None,
        });
        routes.flatten().cloned().collect()
    }

    /// Builds a backend and what is below it, each once however many point at it. It ends: the configuration's
    /// check has seen that no backend leads back to itself.
    fn backend(
        &self,
        name: &str,
        peers: &Rc<Peers>,
        built: &mut BTreeMap<String, Rc<dyn Backend>>,
    ) -> Rc<dyn Backend> {
        if let Some(backend) = built.get(name) {
            return Rc::clone(backend);
        }
        // The configuration's check has seen that every name leads to a backend.
        let spec = &self.config.backend(name).expect("every name in a checked configuration is known").spec;
        let backend: Rc<dyn Backend> = match spec {
            BackendSpec::Client(spec) => Rc::new(Client::new(name, client(spec), Rc::clone(peers))),
            BackendSpec::Redirect(spec) => Rc::new(Redirect::new(name, spec.status.0, spec.to.as_str())),
            // `Tree::new` has made the same one.
            BackendSpec::Respond(spec) => Rc::new(respond(name, spec).expect("it was made before")),
            BackendSpec::Routes(spec) => {
                let named = spec.backends.iter();
                let below = named.map(|name| (name.clone(), self.backend(name, peers, built))).collect();
                let options = self.routes(spec);
                Rc::new(Routes::new(name, Arc::clone(&self.table), below, options, Rc::clone(peers)))
            }
        };
        built.insert(name.to_owned(), Rc::clone(&backend));
        backend
    }

    fn routes(&self, spec: &config::Routes) -> RoutesOptions {
        let limits = &self.config.limits;
        RoutesOptions {
            balance: spec.balance.unwrap_or(self.config.table.balance),
            tries: self.config.table.tries,
            sticky_cookie: spec.sticky_cookie.as_ref().map(|cookie| cookie.0.clone()),
            limits: upstream(limits.connect_timeout, limits.response_timeout),
        }
    }
}

fn respond(name: &str, spec: &config::Respond) -> Result<Respond, waypost_http1::InvalidField> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields: Vec<_> =
        spec.headers.0.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    Respond::new(name, spec.status.0, &fields, spec.body.clone())
}

fn client(spec: &config::Client) -> ClientOptions {
    let limits = Options {
        max_connections: Some(spec.max_connections),
        ..upstream(spec.connect_timeout, spec.timeout)
    };
    let host_header =
        spec.host_header.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    ClientOptions { host: spec.url.host.clone(), port: spec.url.port, host_header, limits }
}

fn upstream(connect_timeout: Duration, response_timeout: Duration) -> Options {
    Options { connect_timeout, response_timeout, ..Options::default() }
}

/// What clients may ask for.
pub(crate) fn limits(config: &Config) -> Limits {
    let limits = &config.limits;
    Limits {
        head: HeadLimits {
            line: limits.request_line.bytes(),
            size: limits.header_size.bytes(),
            fields: limits.header_count as usize,
        },
        max_body: limits.max_body.get().map(|size| size.0),
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        tunnel_timeout: limits.tunnel_timeout,
        connections_per_client: limits.connections_per_client.get(),
        max_connections: limits.max_connections.get(),
    }
}

/// What instances are told of clients.
pub(crate) fn forwarding(config: &Config) -> Forwarding {
    let forwarded = &config.forwarded;
    Forwarding { trusted: forwarded.trusted.clone(), forwarded: forwarded.forwarded, via: forwarded.via }
}
