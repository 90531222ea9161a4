//! The backend tree, built from the configuration: once a worker, and once more for whoever only wants to
//! look at it. All trees are the same, and share what their workers must agree on: the table, and the
//! registry of servers. Beside it what else of the configuration the workers are
//! told.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use waypost_backend::Backend;
use waypost_backend::upstream::Peers;
use waypost_http1::HeadLimits;
use waypost_proxy::{Forwarding, Limits};
use waypost_table::{RemapTable, Table, TableStore};

use crate::backends::{BackendSpec, Site};
use crate::config::Config;

/// What a tree is built from.
pub(crate) struct Tree {
    config: Arc<Config>,
    table: Arc<Table>,
    /// The table, if it is in memcached.
    remap: Option<Arc<RemapTable>>,
}

impl Tree {
    /// A tree of this configuration over this store's table.
    pub(crate) fn new(config: Arc<Config>, store: &Arc<dyn TableStore>) -> Self {
        let remap = Arc::clone(store).remap();
        if let Some(remap) = &remap {
            remap.set_wildcards(config.table.wildcards);
        }
        Self { config, table: Arc::clone(store.table()), remap }
    }

    /// Builds the tree over a worker's connections, on its thread.
    pub(crate) fn build(&self, peers: &Rc<Peers>) -> Rc<dyn Backend> {
        Site::new(&self.config, &self.table, self.remap.as_ref(), peers).backend(&self.config.general.entry)
    }

    /// The backends that entries of the table may point at.
    pub(crate) fn named_by_table(&self) -> BTreeSet<String> {
        let routes = self.config.backends.iter().filter_map(|backend| match &backend.spec {
            BackendSpec::Routes(routes) => Some(&routes.backends),
            _ => None,
        });
        routes.flatten().cloned().collect()
    }
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
