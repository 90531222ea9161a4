//! `type = "switch"`.

use std::rc::Rc;

use waypost_backend::{Backend, Switch as Node};

use super::case::Case;
use super::{BackendType, Child, Findings, Site};
use crate::config::section;

section! {
    /// Chooses a backend by what the request is: the first case that matches.
    Switch {
        /// The cases, in order, each as `{ path = "/api", backend = "api" }`. A case may say `host` (`a.example`,
        /// or `*.a.example` for all below it), `path` (a prefix, on whole segments), `method` and `header`
        /// (`X-Canary: 1`, or `X-Canary` for any value); `host` and `method` may be lists. All that a case
        /// says must hold.
        cases: Vec<Case>,
        /// The backend of requests that no case matches. Not set: they are answered 404.
        default: Option<String> = None,
    }
}

impl BackendType for Switch {
    const NAME: &'static str = "switch";

    fn children(&self) -> Vec<Child<'_>> {
        let mut children: Vec<Child<'_>> = Vec::new();
        for case in &self.cases {
            // Two cases may lead to the same backend.
            if !children.iter().any(|child| child.name == case.backend) {
                children.push(Child { key: "cases", name: &case.backend });
            }
        }
        children.extend(self.default.iter().map(|name| Child { key: "default", name }));
        children
    }

    fn check(&self, found: &mut Findings<'_>) {
        if self.cases.is_empty() {
            found.add("cases", "has no case: write one, or put the default in the place of the switch");
        }
    }

    fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Backend> {
        let cases =
            self.cases.iter().map(|case| (case.matches.clone(), site.backend(&case.backend))).collect();
        let default = self.default.as_ref().map(|name| site.backend(name));
        Rc::new(Node::new(name, cases, default))
    }
}
