//! `type = "routes"`.

use std::rc::Rc;
use std::sync::Arc;

use waypost_backend::Backend;
use waypost_table::{Balance, Remap, RemapOptions, Routes as Leaf, RoutesOptions};

use super::cookie::CookieName;
use super::{BackendType, Child, Site, upstream};
use crate::config::section;

section! {
    /// The route table. One called `routes` exists without being written. A memcached table names no backends
    /// and has one server a route: then none of the keys here means anything, and in a file that names such a
    /// table each of them is an error.
    Routes {
        /// How an instance is chosen. Not set: as `[table]` says.
        balance: Option<Balance> = None,
        /// The backends that an entry of the table may point at with `backend=NAME`.
        backends: Vec<String> = Vec::new(),
        /// A cookie of this name keeps a client with its instance. Not set: no cookie.
        sticky_cookie: Option<CookieName> = None,
    }
}

impl BackendType for Routes {
    const NAME: &'static str = "routes";

    fn children(&self) -> Vec<Child<'_>> {
        Child::each("backends", &self.backends)
    }

    fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Backend> {
        let (limits, table) = (&site.config().limits, &site.config().table);
        if let Some(remap) = site.remap() {
            let options = RemapOptions {
                ttl: table.ttl,
                negative_ttl: table.negative_ttl,
                preserve_host: table.preserve_host,
                tries: table.tries,
                limits: upstream(limits.connect_timeout, limits.response_timeout),
                tls: table.tls.tls.clone(),
                server_name: table.tls.server_name.clone(),
            };
            return Rc::new(Remap::new(name, Arc::clone(remap), options, Rc::clone(site.peers())));
        }
        let below = site.backends(&self.backends);
        let options = RoutesOptions {
            balance: self.balance.unwrap_or(table.balance),
            tries: table.tries,
            sticky_cookie: self.sticky_cookie.as_ref().map(|cookie| cookie.0.clone()),
            limits: upstream(limits.connect_timeout, limits.response_timeout),
            tls: table.tls.tls.clone(),
            server_name: table.tls.server_name.clone(),
        };
        Rc::new(Leaf::new(name, Arc::clone(site.table()), below, options, Rc::clone(site.peers())))
    }
}
