//! The handlers that `in_process` backends of a configuration can name: what one wants of a router itself when
//! it is asked over HTTP. They are tower services like any that a Rust program puts in their place.

mod echo;
mod health;
mod status;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower_service::Service;
use waypost_backend::RequestBody;
use waypost_backend::upstream::Registry;
use waypost_table::Table;

use crate::config::words;
use crate::life::Life;

/// A handler that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    /// Sends the request back, for a person to look at.
    Echo,
    /// Whether the router can take requests: 200 or 503.
    Health,
    /// How the router is, in numbers.
    Status,
}

words! {
    Handler {
        Echo = "echo",
        Health = "health",
        Status = "status",
    }
}

impl Handler {
    /// What it is, for people.
    pub(crate) fn describes(self) -> &'static str {
        match self {
            Handler::Echo => "the handler echo",
            Handler::Health => "the handler health",
            Handler::Status => "the handler status",
        }
    }
}

/// A built-in handler and what it looks at.
#[derive(Clone)]
pub(crate) struct BuiltIn {
    handler: Handler,
    /// The only path it answers.
    path: Option<Arc<str>>,
    view: View,
}

/// What handlers know of the router.
#[derive(Clone)]
struct View {
    life: Arc<Life>,
    registry: Arc<Registry>,
    table: Arc<Table>,
}

type Answer = Response<Full<Bytes>>;

impl BuiltIn {
    /// The handler, for one path or for all.
    pub(crate) fn new(
        handler: Handler,
        path: Option<&str>,
        registry: &Arc<Registry>,
        table: &Arc<Table>,
    ) -> BuiltIn {
        let view =
            View { life: Life::of(registry), registry: Arc::clone(registry), table: Arc::clone(table) };
        BuiltIn { handler, path: path.map(Arc::from), view }
    }
}

impl Service<Request<RequestBody>> for BuiltIn {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let BuiltIn { handler, path, view } = self.clone();
        Box::pin(async move {
            if path.is_some_and(|path| *path != *request.uri().path()) {
                return Ok(text(StatusCode::NOT_IMPLEMENTED, "not answered here\n"));
            }
            let mut answer = match handler {
                Handler::Echo => echo::answer(request).await,
                _ if !matches!(*request.method(), Method::GET | Method::HEAD) => not_allowed(),
                Handler::Health => health::answer(&view),
                Handler::Status => status::answer(&view),
            };
            answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(answer)
        })
    }
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn json(value: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::from(format!("{value:#}\n")));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn not_allowed() -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    answer
}
