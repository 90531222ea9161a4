//! `type = "timeout"`.

use std::rc::Rc;
use std::time::Duration;

use waypost_backend::{Backend, Timeout as Node};

use super::{BackendType, Child, Findings, Site};
use crate::config::section;

section! {
    /// Gives another backend so much time to begin its answer; one that takes longer is given up and answered 504.
    Timeout {
        /// The backend it is.
        backend: String,
        /// The time up to the answer's head, the time in which the client sends its body included. Tenths of
        /// seconds count. The answer's body may take as long as it likes.
        after: Duration,
    }
}

impl BackendType for Timeout {
    const NAME: &'static str = "timeout";

    fn children(&self) -> Vec<Child<'_>> {
        vec![Child { key: "backend", name: &self.backend }]
    }

    fn check(&self, found: &mut Findings<'_>) {
        found.more_than_nothing("after", self.after.is_zero());
    }

    fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Backend> {
        let backend = site.backend(&self.backend);
        Rc::new(Node::new(name, backend, self.after, Rc::clone(site.peers().timers())))
    }
}
