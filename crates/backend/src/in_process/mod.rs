//! `in_process`: a handler inside this process, asked without a network trip.
//!
//! The handler is any `tower::Service` over `http` types: an axum `Router`, one's own service, either of them
//! below tower's layers. Each worker has a clone of it and runs it on its own thread; readiness
//! (`poll_ready`) is waited for, so that a layer that limits or sheds load does its work.
//!
//! What a handler sees: the method, the target in origin form (`/path?query`), the version, all end-to-end
//! fields (`Host` and the forwarded ones among them), the body, and a [`Downstream`] among the extensions,
//! which has the client's address. Bodies stream both ways, at the pace of whoever reads them.
//!
//! What it can't do: change the protocol. A request to upgrade arrives like any other, with its `Upgrade` field,
//! and a handler that answers 101 has failed.
//!
//! A handler whose time is up is cancelled, which is to say dropped where it waits, and so is one whose client
//! has gone away. The time runs until the head of its answer, and then for each silence within the body; while
//! the handler waits for bytes of the client it doesn't run, the client having limits of its own.

mod answer;
mod head;
mod request_body;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response as HttpResponse};
use tower_service::Service;

use crate::backend::{Backend, Call, Explanation, Report, Sketch};
use crate::body::Body;
use crate::deadline::{Deadline, Timers};
use crate::exchange::Exchange;
use crate::failure::{Failure, FailureKind};
use crate::response::Response;

pub use request_body::{RequestBody, RequestBodyError};

#[cfg(doc)]
use crate::exchange::Downstream;

/// An error of a handler, whatever it is.
type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// How a handler is run.
#[derive(Debug, Clone)]
pub struct InProcessOptions {
    /// What the handler is, for people: `the axum router of the site`.
    pub describes: String,
    /// How long it may take to begin its answer, and be silent within it; longer is answered 504. Zero: as
    /// long as it likes.
    pub timeout: Duration,
}

impl Default for InProcessOptions {
    fn default() -> InProcessOptions {
        InProcessOptions { describes: "a handler".into(), timeout: Duration::from_secs(45) }
    }
}

/// Asks a `tower::Service` that lives in this process.
pub struct InProcess<S> {
    name: Rc<str>,
    service: S,
    options: InProcessOptions,
    timers: Rc<Timers>,
}

impl<S> InProcess<S> {
    /// A backend that answers with `service`, of which each request gets a clone. The timers are the
    /// worker's ([`crate::upstream::Peers::timers`]).
    pub fn new(
        name: impl Into<String>,
        service: S,
        options: InProcessOptions,
        timers: Rc<Timers>,
    ) -> InProcess<S> {
        InProcess { name: name.into().into(), service, options, timers }
    }

    fn late(&self) -> FailureKind {
        FailureKind::Late {
            what: format!("the handler of {} took longer than {:?}", self.name, self.options.timeout),
        }
    }

    fn failed(&self, how: impl std::fmt::Display) -> FailureKind {
        FailureKind::Handler { what: format!("the handler of {} {how}", self.name) }
    }
}

impl<S, R> InProcess<S>
where
    S: Service<Request<RequestBody>, Response = HttpResponse<R>> + Clone + 'static,
    S::Error: Into<AnyError>,
    R: http_body::Body + 'static,
    R::Error: Into<AnyError>,
{
    async fn ask(&self, exchange: &mut Exchange) -> Result<Response, Failure> {
        let mut patience = Patience::new(self.timers.deadline(), self.options.timeout);
        let mut service = self.service.clone();
        poll_fn(|cx| match service.poll_ready(cx) {
            Poll::Ready(ready) => Poll::Ready(ready.map_err(|error| self.failed(Failed(error.into())))),
            Poll::Pending if patience.has_ended(cx, false) => Poll::Ready(Err(self.late())),
            Poll::Pending => Poll::Pending,
        })
        .await
        .map_err(Failure::unsent)?;

        let (mut feeder, body) = request_body::pipe(&exchange.body);
        let request = head::request(exchange, body).map_err(|what| Failure::unsent(self.failed(what)))?;
        let body = &mut exchange.body;
        let answered = {
            let mut answering = pin!(service.call(request));
            poll_fn(|cx| {
                if let Poll::Ready(answered) = answering.as_mut().poll(cx) {
                    return Poll::Ready(answered.map_err(|error| self.failed(Failed(error.into()))));
                }
                // It has said by now whether it wants more of the body.
                if let Err(error) = feeder.feed(cx, body) {
                    return Poll::Ready(Err(FailureKind::RequestBody(error)));
                }
                if patience.has_ended(cx, feeder.is_starved()) {
                    return Poll::Ready(Err(self.late()));
                }
                Poll::Pending
            })
            .await
        };
        // The handler's future is gone by now: who still holds the request's body does so for the answer.
        let rest = if feeder.is_wanted() {
            // It goes on reading while it answers.
            Some((feeder, std::mem::replace(body, Body::spent())))
        } else {
            if body.is_touched() {
                // Whoever is asked next must not take the rest for the whole.
                *body = Body::spent();
            }
            None
        };
        let (parts, answer) = answered.map_err(Failure::sent)?.into_parts();
        let source = |length| answer::Answer::new(Rc::clone(&self.name), answer, length, rest, patience);
        head::response(&exchange.request.method, parts, source)
            .map_err(|what| Failure::sent(self.failed(what)))
    }
}

/// An error and what is behind it, as the end of a sentence.
struct Failed(AnyError);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failed: {}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// How long a handler may go on without a sign of life.
#[derive(Debug)]
struct Patience {
    deadline: Deadline,
    timeout: Duration,
    runs: bool,
}

impl Patience {
    fn new(deadline: Deadline, timeout: Duration) -> Patience {
        Patience { deadline, timeout, runs: false }
    }

    /// Called when the handler has nothing to say: whether it had all its time. The time stands still while
    /// it waits for the client.
    fn has_ended(&mut self, cx: &mut Context<'_>, waits_for_client: bool) -> bool {
        if waits_for_client {
            self.rest();
            return false;
        }
        if !std::mem::replace(&mut self.runs, true) {
            self.deadline.set(self.timeout);
        }
        self.deadline.has_passed(cx)
    }

    /// The handler gave a sign of life: its time begins anew when it is waited for again.
    fn rest(&mut self) {
        if std::mem::replace(&mut self.runs, false) {
            self.deadline.clear();
        }
    }
}

impl<S, R> Backend for InProcess<S>
where
    S: Service<Request<RequestBody>, Response = HttpResponse<R>> + Clone + 'static,
    S::Error: Into<AnyError>,
    R: http_body::Body + 'static,
    R::Error: Into<AnyError>,
{
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        Box::pin(self.ask(exchange))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn report(&self) -> Report {
        Report::of(self, "in_process", self.options.describes.clone())
    }

    fn explain(&self, _: &Sketch<'_>) -> Explanation {
        Explanation {
            backend: self.name.to_string(),
            kind: "in_process",
            says: format!("has {} answer, inside this process", self.options.describes),
            detail: None,
            next: Vec::new(),
        }
    }
}
