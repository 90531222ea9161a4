//! `timeout`: a backend that must begin its answer in time.
//!
//! The limit is on everything up to the response's head: waiting for a connection, sending the request with
//! whatever time its client takes for the body, and the backend's own work, retries and passes below
//! included. What takes longer is given up, its connection closed, and the client answered 504.
//!
//! The response's body has no limit here. A download or a stream of events may rightly go on for hours, and
//! a body that is cut in the middle is of no use to anyone; a server that falls silent within one is the
//! `timeout` of the `client` that asks it. An upgraded connection is not limited either.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::backend::{Backend, Call, Explanation, Report, Sketch};
use crate::body::Body;
use crate::deadline::Timers;
use crate::exchange::Exchange;
use crate::failure::{Failure, FailureKind};
use crate::response::Response;

/// Limits how long a backend may take to answer.
pub struct Timeout {
    name: String,
    backend: Rc<dyn Backend>,
    after: Duration,
    timers: Rc<Timers>,
}

impl Timeout {
    /// Gives up on `backend` after a time that is more than zero, by the worker's timers: up to two tenths
    /// of a second late, and never early.
    pub fn new(
        name: impl Into<String>,
        backend: Rc<dyn Backend>,
        after: Duration,
        timers: Rc<Timers>,
    ) -> Timeout {
        Timeout { name: name.into(), backend, after, timers }
    }

    async fn ask(&self, exchange: &mut Exchange) -> Result<Response, Failure> {
        let has_body = !exchange.body.is_empty();
        let deadline = self.timers.deadline();
        deadline.set(self.after);
        let answered = {
            let mut call = pin!(self.backend.call(exchange));
            poll_fn(|cx| match call.as_mut().poll(cx) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if deadline.has_passed(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        answered.unwrap_or_else(|| {
            // Whoever had it has gone with it.
            if has_body {
                exchange.body = Body::spent();
            }
            let what = format!("the backend {} did not answer within {:?}", self.backend.name(), self.after);
            Err(Failure::sent(FailureKind::Late { what }))
        })
    }
}

impl Backend for Timeout {
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
        Report::of(self, "timeout", format!("answers 504 after {:?}", self.after))
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        Explanation {
            backend: self.name.clone(),
            kind: "timeout",
            says: format!("gives {} {:?} to answer, else answers 504", self.backend.name(), self.after),
            detail: None,
            next: vec![self.backend.explain(request)],
        }
    }
}
