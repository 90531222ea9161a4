//! `type = "in_process"`.

use std::rc::Rc;
use std::time::Duration;

use waypost_backend::{Backend, InProcess as Leaf, InProcessOptions};

use super::{BackendType, Findings, Site};
use crate::config::{Setting, quoted, section};
use crate::handlers::{BuiltIn, Handler};

section! {
    /// A handler inside the router, asked without a network trip. `health` answers 200 while the router can take
    /// requests and 503 while it drains or has no table yet; `status` says in JSON how it is, in numbers; `echo`
    /// sends the request back as JSON, as an instance would be sent it. A Rust program can put any tower service
    /// in their place.
    InProcess {
        /// The handler.
        handler: Handler,
        /// The path it answers, as `/healthz`; any other is answered 501, by which a `try_pass` goes on to its next
        /// member. Not set: it answers every path.
        path: Option<UrlPath> = None,
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
        let path = self.path.as_ref().map(|path| path.0.as_str());
        let handler = BuiltIn::new(self.handler, path, peers.registry(), site.table());
        let options =
            InProcessOptions { describes: self.handler.describes().to_owned(), timeout: self.timeout };
        Rc::new(Leaf::new(name, handler, options, Rc::clone(peers.timers())))
    }
}

/// A path without a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlPath(pub String);

impl Setting for UrlPath {
    fn kind() -> String {
        "a path as \"/healthz\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let plain = |byte| matches!(byte, b'!'..=b'~') && !b"?#".contains(&byte);
        if !text.starts_with('/') || !text.bytes().all(plain) {
            return Err(format!("expected {}, found {text:?}", Self::kind()));
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> Option<String> {
        quoted(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_that_can_be_asked_for() {
        for text in ["/", "/healthz", "/a/b-c_d.e~"] {
            assert!(UrlPath::parse(text).is_ok(), "{text} was refused");
        }
        for text in ["", "healthz", "/a b", "/a?b", "/a#b", "/\u{fc}"] {
            assert!(UrlPath::parse(text).is_err(), "{text} was accepted");
        }
    }
}
