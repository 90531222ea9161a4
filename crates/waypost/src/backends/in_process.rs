//! `type = "in_process"`.

use std::rc::Rc;
use std::time::Duration;

use waypost_backend::{Backend, InProcess as Leaf, InProcessOptions};

use super::{BackendType, Findings, Site};
use crate::config::section;
use crate::handlers::{BuiltIn, Handler};

section! {
    /// A handler inside the router, asked without a network trip. `health` answers 200 while the router can take
    /// requests and 503 while it drains or has no table yet; `status` says in JSON how it is, in numbers; `echo`
    /// sends the request back as JSON, as an instance would be sent it. A Rust program can put any tower service
    /// in their place.
    InProcess {
        /// The handler.
        handler: Handler,
        /// How long it may take; longer is answered 504.
        timeout: Duration = Duration::from_secs(45),
    }
}

impl BackendType for InProcess {
    const NAME: &'static str = "in_process";

    fn check(&self, found: &mut Findings<'_>) {
        found.more_than_nothing("timeout", self.timeout.is_zero());
    }

    fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Backend> {
        let peers = site.peers();
        let handler = BuiltIn::new(self.handler, peers.registry(), site.table());
        let options =
            InProcessOptions { describes: self.handler.describes().to_owned(), timeout: self.timeout };
        Rc::new(Leaf::new(name, handler, options, Rc::clone(peers.timers())))
    }
}
