//! `type = "retry"`.

use std::rc::Rc;
use std::time::Duration;

use http::{Method, StatusCode};
use waypost_backend::{Backend, Budget, BudgetOptions, Retry as Node, RetryMethods, RetryOptions};

use super::outcomes::Outcome;
use super::{BackendType, Child, Findings, Site};
use crate::config::{Setting, Size, quoted, section};

section! {
    /// Asks another backend again when it fails, out of a budget that keeps an outage from multiplying the load.
    Retry {
        /// The backend it is.
        backend: String,
        /// How often a request is sent at most, the first time included.
        tries: u32 = 3,
        /// What is tried again: statuses, and `"connect_failure"` for a backend that could not be reached.
        on: Vec<Outcome> = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT]
            .map(Outcome::Status)
            .into_iter()
            .chain([Outcome::ConnectFailure])
            .collect(),
        /// The methods that are tried again. Not set: those that are idempotent. Others are tried again only
        /// when nobody could be reached.
        methods: Option<Vec<MethodName>> = None,
        /// Tries every method again, at the risk that a request is acted upon twice.
        any_method: bool = false,
        /// How much of a request's body is kept for the next try. When more has been read of it, the answer in
        /// hand stands.
        replay_limit: Size = Size::kib(1024),
        /// How many retries may come on a hundred requests, over all workers.
        budget: u32 = 20,
        /// How many retries a second may come whatever the number of requests, over all workers.
        budget_minimum: u32 = 10,
        /// The second try waits at random up to this, the third up to twice this, and so on up to a second.
        backoff: Duration = Duration::from_millis(25),
    }
}

/// A method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodName(pub Method);

impl Setting for MethodName {
    fn kind() -> String {
        "a method as \"GET\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        // Methods are told apart by case (RFC 9110 §9.1): one in lower case is a slip.
        let method = Method::from_bytes(text.as_bytes()).ok();
        let method = method.filter(|_| !text.bytes().any(|byte| byte.is_ascii_lowercase()));
        method.map(Self).ok_or_else(|| format!("expected {}, found {text:?}", Self::kind()))
    }

    fn show(&self) -> Option<String> {
        quoted(self.0.as_str())
    }
}

impl BackendType for Retry {
    const NAME: &'static str = "retry";

    fn children(&self) -> Vec<Child<'_>> {
        vec![Child { key: "backend", name: &self.backend }]
    }

    fn check(&self, found: &mut Findings<'_>) {
        found.more_than_nothing("tries", self.tries == 0);
        if self.any_method && self.methods.is_some() {
            found.add("any_method", "with it `methods` says nothing: take one of them out");
        }
    }

    fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Backend> {
        let methods = match &self.methods {
            _ if self.any_method => RetryMethods::Any,
            None => RetryMethods::Idempotent,
            Some(names) => RetryMethods::Of(names.iter().map(|name| name.0.clone()).collect()),
        };
        let options = RetryOptions {
            tries: self.tries,
            on: Outcome::of(&self.on),
            methods,
            replay_limit: self.replay_limit.0,
            budget: BudgetOptions { percent: self.budget, minimum: self.budget_minimum },
            backoff: self.backoff,
        };
        let backend = site.backend(&self.backend);
        let budget = site.peers().registry().shared(name, Budget::default);
        Rc::new(Node::new(name, backend, options, budget, Rc::clone(site.peers().timers())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_in_their_case() {
        assert_eq!(MethodName::parse("POST"), Ok(MethodName(Method::POST)));
        for text in ["", "post", "Get", "A B"] {
            assert!(MethodName::parse(text).is_err(), "{text}");
        }
    }
}
