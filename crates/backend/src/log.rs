//! `log`: tells of each exchange that goes through a backend: what was asked, how it ended, how long it took.
//!
//! It is transparent: the response, its length, its trailers, a connection that has left HTTP behind all pass
//! as they are. One event is written when the exchange is over for the wrapped backend, which is when the last
//! byte of the response's body has been taken from it, or when it failed, broke off in the middle of the body,
//! or was given up, because the client has gone or somebody above has lost patience. Nothing is lost and
//! nothing is told twice: whatever ends an exchange drops its [`Line`], and a line that is dropped untold tells
//! that it was.
//!
//! While nobody listens at its level the node is the wrapped backend: no allocation, no future of its own.

use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{Method, StatusCode};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use waypost_http1::{Fields, Host, Name};

use crate::backend::{Backend, Call, Explanation, Report, Sketch};
use crate::body::{Body, BodyError, Fill, Source};
use crate::exchange::Exchange;
use crate::failure::Failure;

/// Something that an event can tell of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogField {
    /// The wrapped backend's name.
    Backend,
    /// The client's address.
    Client,
    /// The method.
    Method,
    /// The host that is asked for.
    Host,
    /// Path and query.
    Path,
    /// The status, if there was a response.
    Status,
    /// How many bytes of the response's body were taken.
    Bytes,
    /// From the request's arrival at the backend to the end.
    Duration,
    /// The server that the backend asked last, if it asked any.
    Upstream,
    /// The request's id.
    RequestId,
    /// What went wrong, if something did.
    Error,
}

impl LogField {
    /// Every one.
    pub const ALL: &[LogField] = &[
        LogField::Backend,
        LogField::Client,
        LogField::Method,
        LogField::Host,
        LogField::Path,
        LogField::Status,
        LogField::Bytes,
        LogField::Duration,
        LogField::Upstream,
        LogField::RequestId,
        LogField::Error,
    ];
}

/// What is told of each exchange, and how loudly.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// The events' level.
    pub level: Level,
    /// What they hold, in whatever order.
    pub fields: Vec<LogField>,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { level: Level::INFO, fields: LogField::ALL.to_vec() }
    }
}

/// Tells of each exchange through one backend, as events of `tracing` with the target `waypost::exchange`.
pub struct Log {
    name: String,
    below: [Rc<dyn Backend>; 1],
    telling: Rc<Telling>,
}

/// What all lines of one node have in common.
#[derive(Debug)]
struct Telling {
    backend: String,
    level: Level,
    /// A bit for each field that is told.
    fields: u16,
}

impl Telling {
    fn tells(&self, field: LogField) -> bool {
        self.fields & (1 << field as u16) != 0
    }

    fn is_heard(&self) -> bool {
        self.level <= LevelFilter::current()
    }
}

impl Log {
    /// Logs what goes through `backend`.
    pub fn new(name: impl Into<String>, backend: Rc<dyn Backend>, options: &LogOptions) -> Log {
        let telling = Telling {
            backend: backend.name().to_owned(),
            level: options.level,
            fields: options.fields.iter().fold(0, |all, field| all | 1 << *field as u16),
        };
        Log { name: name.into(), below: [backend], telling: Rc::new(telling) }
    }

    fn backend(&self) -> &Rc<dyn Backend> {
        let [backend] = &self.below;
        backend
    }
}

impl Backend for Log {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        if !self.telling.is_heard() {
            return self.backend().call(exchange);
        }
        Box::pin(async move {
            let line = Line::begin(&self.telling, exchange);
            let tries = exchange.notes.tries;
            let mut asking = Asking { line: Some(line), exchange, tries };
            let result = self.backend().call(asking.exchange).await;
            let Some(mut line) = asking.take_line() else { return result };
            let mut response = match result {
                Ok(response) => response,
                Err(failure) => {
                    line.end(&End::Failed(&failure));
                    return Err(failure);
                }
            };
            let to_head = asking.exchange.request.method == Method::HEAD;
            let status = response.head.status;
            line.status = Some(status);
            if let Some(tunnel) = &mut response.tunnel {
                line.upgraded = true;
                tunnel.keep(Box::new(line));
            } else if response.body.is_empty() || to_head || is_bodiless(status) {
                line.end(&End::Answered);
            } else {
                let body = std::mem::take(&mut response.body);
                let length = body.length();
                response.body = Body::stream(Box::new(Logged { body, line }), length);
            }
            Ok(response)
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn children(&self) -> &[Rc<dyn Backend>] {
        &self.below
    }

    fn report(&self) -> Report {
        Report {
            name: self.name.clone(),
            kind: "log",
            up: self.is_up(),
            detail: format!(
                "tells of each exchange, at level {}",
                self.telling.level.as_str().to_lowercase()
            ),
            health: None,
            children: vec![self.backend().report()],
        }
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        Explanation {
            backend: self.name.clone(),
            kind: "log",
            says: format!("passes the request to {}, and logs how it ends", self.telling.backend),
            detail: None,
            next: vec![self.backend().explain(request)],
        }
    }
}

/// Whether a response of that status has no body, whatever is in hand for it.
fn is_bodiless(status: StatusCode) -> bool {
    status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// An exchange whose wrapped backend has yet to answer.
struct Asking<'a> {
    line: Option<Line>,
    exchange: &'a mut Exchange,
    /// How many upstreams had been asked before.
    tries: u32,
}

impl Asking<'_> {
    /// The line, with what the exchange has come to know.
    fn take_line(&mut self) -> Option<Line> {
        let mut line = self.line.take()?;
        let notes = &self.exchange.notes;
        // Whoever was asked before is another backend's affair.
        if notes.tries != self.tries && line.telling.tells(LogField::Upstream) {
            line.upstream = notes.upstream().map(str::to_owned);
        }
        Some(line)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // Given up: the line tells as it goes.
        drop(self.take_line());
    }
}

/// How an exchange ended.
enum End<'a> {
    /// The whole response was taken.
    Answered,
    /// There was no response.
    Failed(&'a Failure),
    /// The response broke off.
    Cut(&'a BodyError),
    /// Nobody wanted the rest.
    Dropped,
}

/// What is to be told of one exchange. It is told once, when it is dropped at the latest.
#[derive(Debug)]
struct Line {
    telling: Rc<Telling>,
    started: Instant,
    method: Option<Method>,
    host: Option<Host>,
    path: Option<String>,
    client: Option<IpAddr>,
    request_id: Option<String>,
    upstream: Option<String>,
    status: Option<StatusCode>,
    bytes: u64,
    /// The connection speaks another protocol now.
    upgraded: bool,
    /// Every byte of the body has been taken, whether or not its end was asked for.
    whole: bool,
    told: bool,
}

impl Line {
    fn begin(telling: &Rc<Telling>, exchange: &Exchange) -> Line {
        let request = &exchange.request;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let tells = |field| telling.tells(field);
        let id = if tells(LogField::RequestId) { request.fields.get(Name::XRequestId) } else { None };
        Line {
            telling: Rc::clone(telling),
            started: Instant::now(),
            method: tells(LogField::Method).then(|| request.method.clone()),
            host: tells(LogField::Host).then_some(exchange.host),
            path: tells(LogField::Path).then(|| text(request.target())),
            client: tells(LogField::Client).then(|| exchange.downstream.client.ip().to_canonical()),
            request_id: id.map(text),
            upstream: None,
            status: None,
            bytes: 0,
            upgraded: false,
            whole: false,
            told: false,
        }
    }

    /// What is said in words of how it ended.
    fn says(&self, end: &End<'_>) -> &'static str {
        match end {
            End::Answered => "answered",
            End::Failed(_) => "failed",
            End::Cut(_) => "broke off in the middle of the response",
            End::Dropped if std::thread::panicking() => "panicked",
            End::Dropped if self.upgraded => "upgraded, and ended",
            End::Dropped if self.whole => "answered",
            End::Dropped if self.status.is_some() => "given up in the middle of the response",
            End::Dropped => "given up before it answered",
        }
    }

    fn end(&mut self, end: &End<'_>) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let tells = |field| self.telling.tells(field);
        let says = self.says(end);
        let error = match end {
            _ if !tells(LogField::Error) => None,
            End::Failed(failure) => Some(failure.to_string()),
            End::Cut(error) => Some(error.to_string()),
            End::Answered | End::Dropped => None,
        };
        let backend = tells(LogField::Backend).then_some(self.telling.backend.as_str());
        let status = self.status.filter(|_| tells(LogField::Status)).map(|status| status.as_u16());
        // What went through an upgraded connection is not ours to count.
        let counts = tells(LogField::Bytes) && self.status.is_some() && !self.upgraded;
        let bytes = counts.then_some(self.bytes);
        let duration = tells(LogField::Duration).then(|| tracing::field::debug(self.started.elapsed()));
        // An event's level is part of its place in the code: one place a level.
        macro_rules! tell {
            ($level:ident) => {
                tracing::event!(
                    target: "waypost::exchange",
                    Level::$level,
                    backend,
                    client = self.client.map(tracing::field::display),
                    method = self.method.as_ref().map(Method::as_str),
                    host = self.host.as_ref().map(Host::as_str),
                    path = self.path.as_deref(),
                    status,
                    bytes,
                    duration,
                    upstream = self.upstream.as_deref(),
                    request_id = self.request_id.as_deref(),
                    error = error.as_deref(),
                    "{says}"
                )
            };
        }
        match self.telling.level {
            Level::ERROR => tell!(ERROR),
            Level::WARN => tell!(WARN),
            Level::INFO => tell!(INFO),
            Level::DEBUG => tell!(DEBUG),
            Level::TRACE => tell!(TRACE),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.end(&End::Dropped);
    }
}

/// A response's body on its way, with the line that its end completes.
struct Logged {
    body: Body,
    line: Line,
}

impl Source for Logged {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        let before = out.len();
        let filled = ready!(self.body.poll_fill(cx, out, room));
        match &filled {
            Ok(Fill::Data) => {
                self.line.bytes += (out.len() - before) as u64;
                self.line.whole = self.body.length() == Some(0);
            }
            Ok(Fill::End) => self.line.end(&End::Answered),
            Err(error) => self.line.end(&End::Cut(error)),
        }
        Poll::Ready(filled)
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.body.take_trailers()
    }
}
