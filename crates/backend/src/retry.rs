//! `retry`: a backend that is asked again when it fails.
//!
//! What speaks for it: most failures that a router sees are short (a server that restarts, a connection cut),
//! and a second try a moment later is answered. What speaks against it, and what is done about that:
//!
//! - *A request may be acted upon twice.* An error doesn't say that nothing was done. So only idempotent
//!   methods (RFC 9110 §9.2.2) are retried unless the configuration names others; a failure to reach anybody
//!   is retried whatever the method, since nothing was done. A request to change the protocol is not.
//! - *Retries multiply load just when there is least room for it.* So all workers share a [`Budget`] in
//!   proportion to the requests; when it is spent, the answer in hand stands.
//! - *All who failed together come back together.* So the wait before a try grows with each, and is drawn
//!   at random from nothing up to that, which spreads them best.
//! - *A body must be kept to be sent again.* Up to `replay_limit`; past that the answer in hand stands
//!   (see [`Replay`]).
//!
//! Retrying belongs at one place of a tree: a retry over a retry tries the product of both. Over a cluster
//! it asks the cluster again, which may choose another member.

use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::backend::{Backend, Call, Explanation, Report, Sketch};
use crate::budget::{Budget, BudgetOptions};
use crate::deadline::Timers;
use crate::drain::drain;
use crate::exchange::Exchange;
use crate::failure::{Failure, FailureKind};
use crate::outcomes::{Outcomes, is_unreached};
use crate::replay::Replay;
use crate::response::Response;

/// No wait between two tries is longer.
pub const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What a [`Retry`] is told.
#[derive(Debug, Clone)]
pub struct RetryOptions {
    /// How often a request is sent at most, the first time included.
    pub tries: u32,
    /// What is tried again. A failure after something was sent counts as the status it is answered with.
    pub on: Outcomes,
    /// Which methods are tried again after something was sent.
    pub methods: RetryMethods,
    /// How many bytes of a request's body are kept for the next try.
    pub replay_limit: u64,
    /// How many retries all requests together may cost.
    pub budget: BudgetOptions,
    /// The second try waits up to this, the third up to twice this, and so on up to [`LONGEST_WAIT`].
    pub backoff: Duration,
}

/// Which methods may be sent again after the backend may have acted upon them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryMethods {
    /// Those that do no harm when they are acted upon twice (RFC 9110 §9.2.2).
    Idempotent,
    /// These.
    Of(Vec<Method>),
    /// All.
    Any,
}

impl RetryMethods {
    /// Whether that method is one of them.
    pub fn has(&self, method: &Method) -> bool {
        match self {
            RetryMethods::Idempotent => method.is_idempotent(),
            RetryMethods::Of(methods) => methods.contains(method),
            RetryMethods::Any => true,
        }
    }
}

/// Asks a backend again when it fails.
pub struct Retry {
    name: String,
    backend: Rc<dyn Backend>,
    options: RetryOptions,
    budget: Arc<Budget>,
    timers: Rc<Timers>,
    random: RandomState,
}

impl Retry {
    /// Retries `backend` out of a budget that all workers share. `timers` are the worker's.
    pub fn new(
        name: impl Into<String>,
        backend: Rc<dyn Backend>,
        options: RetryOptions,
        budget: Arc<Budget>,
        timers: Rc<Timers>,
    ) -> Retry {
        let name = name.into();
        Retry { name, backend, options, budget, timers, random: RandomState::new() }
    }

    async fn ask(&self, exchange: &mut Exchange) -> Result<Response, Failure> {
        self.budget.deposit(&self.options.budget);
        let mut replay = Replay::new(std::mem::take(&mut exchange.body), self.options.replay_limit);
        for tried in 1..self.options.tries {
            exchange.body = replay.attempt();
            let result = self.backend.call(exchange).await;
            if !self.may_try_again(&result, exchange) {
                return result;
            }
            let spent = if !replay.is_possible() {
                Some("its body is past the replay limit")
            } else if !self.budget.withdraw(&self.options.budget) {
                Some("the retry budget is spent")
            } else {
                None
            };
            if let Some(why) = spent {
                exchange.notes.error.get_or_insert_with(|| {
                    let what = match &result {
                        Ok(response) => response.head.status.as_str().to_owned(),
                        Err(failure) => failure.to_string(),
                    };
                    format!("{} did not try again: {why} ({what})", self.name)
                });
                return result;
            }
            exchange.notes.forget_route();
            if let Ok(response) = result
                && replay.is_delivered()
            {
                drain(response, &self.timers).await;
            }
            tokio::time::sleep(self.wait(tried, self.random.hash_one(self.budget.retried()))).await;
        }
        exchange.body = replay.last();
        self.backend.call(exchange).await
    }

    fn may_try_again(&self, result: &Result<Response, Failure>, exchange: &Exchange) -> bool {
        let on = &self.options.on;
        let failed = match result {
            Err(failure) if is_unreached(failure) => return on.connect_failure,
            // The client is at fault, or gone.
            Err(Failure { kind: FailureKind::RequestBody(_), .. }) => false,
            Err(failure) => on.has_status(failure.status()),
            Ok(response) => on.has_status(response.head.status),
        };
        failed && !exchange.wants_upgrade && self.options.methods.has(&exchange.request.method)
    }

    /// How long to wait before the try behind the `tried`-th, by a random number.
    fn wait(&self, tried: u32, random: u64) -> Duration {
        let factor = 1u32.checked_shl(tried - 1).unwrap_or(u32::MAX);
        let most = self.options.backoff.saturating_mul(factor).min(LONGEST_WAIT);
        most.mul_f64((random >> 11) as f64 / (1u64 << 53) as f64)
    }

    fn says(&self) -> String {
        format!("tries up to {} times on {}", self.options.tries, self.options.on)
    }
}

impl Backend for Retry {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        Box::pin(self.ask(exchange))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn children(&self) -> &[Rc<dyn Backend>] {
        std::slice::from_ref(&self.backend)
    }

    fn report(&self) -> Report {
        let (retried, refused) = (self.budget.retried(), self.budget.refused());
        Report::of(
            self,
            "retry",
            format!("{}; {retried} retries, {refused} refused by the budget", self.says()),
        )
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        let only = match self.options.methods.has(request.method) {
            true => "",
            false => ", this method only if nobody could be reached",
        };
        Explanation {
            backend: self.name.clone(),
            kind: "retry",
            says: format!("{}{only}", self.says()),
            detail: None,
            next: vec![self.backend.explain(request)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn retry(backoff: Duration) -> Retry {
        let options = RetryOptions {
            tries: 3,
            on: Outcomes::default(),
            methods: RetryMethods::Idempotent,
            replay_limit: 0,
            budget: BudgetOptions { percent: 20, minimum: 10 },
            backoff,
        };
        // No fields: nothing that can be wrong with them.
        let backend = crate::Respond::new("below", StatusCode::OK, &[], "").unwrap();
        Retry::new("retry", Rc::new(backend), options, Arc::default(), Timers::new())
    }

    #[test]
    fn waits_grow_with_each_try_up_to_a_bound_and_are_spread_from_nothing_up() {
        let retry = retry(Duration::from_millis(100));
        for (tried, most) in [(1, 100), (2, 200), (3, 400), (5, 1000), (40, 1000), (u32::MAX, 1000)] {
            assert_eq!(retry.wait(tried, 0), Duration::ZERO);
            let (half, whole) = (retry.wait(tried, u64::MAX / 2), retry.wait(tried, u64::MAX));
            let most = Duration::from_millis(most);
            assert!(half.abs_diff(most / 2) < Duration::from_millis(1), "{tried}: {half:?}");
            assert!(whole.abs_diff(most) < Duration::from_millis(1) && whole <= most, "{tried}: {whole:?}");
        }
    }

    #[test]
    fn idempotent_methods_are_those_of_the_rfc() {
        for (method, idempotent) in [
            (Method::GET, true),
            (Method::HEAD, true),
            (Method::OPTIONS, true),
            (Method::PUT, true),
            (Method::DELETE, true),
            (Method::POST, false),
            (Method::PATCH, false),
        ] {
            assert_eq!(RetryMethods::Idempotent.has(&method), idempotent, "{method}");
            assert!(RetryMethods::Any.has(&method));
        }
        assert!(RetryMethods::Of(vec![Method::POST]).has(&Method::POST));
        assert!(!RetryMethods::Of(vec![Method::POST]).has(&Method::GET));
    }
}
