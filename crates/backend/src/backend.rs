//! The one trait.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use http::Method;
use serde::Serialize;
use waypost_http1::{Fields, Host, Scheme};

use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::health::{Health, HealthReport};
use crate::response::Response;

/// What a call resolves to. It runs on the worker's own thread and is not `Send`.
pub type Call<'a> = Pin<Box<dyn Future<Output = Result<Response, Failure>> + 'a>>;

/// What asking a backend how it is resolves to; the error says why it is not well.
pub type Probe<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// What a tree does besides answering, told when it is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Duties {
    /// It asks servers how they are. One of the trees that share a [`crate::upstream::Registry`] does; the
    /// others go by what it finds.
    pub probes: bool,
}

/// Something that answers requests.
///
/// Dropping the future of a call gives the request up: whatever it held (an upstream connection, a place
/// in a queue) is let go at once.
pub trait Backend {
    /// Answers the request.
    ///
    /// The exchange stays the caller's, so that a node can offer the same request to another child: a
    /// child that has touched the body leaves a spent one behind (see [`crate::Body::spent`]), and one that
    /// changes the request puts it back, also when it is given up (see [`crate::Restore`]).
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a>;

    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// The backends below it, in order.
    fn children(&self) -> &[Rc<dyn Backend>] {
        &[]
    }

    /// Whether it would take a request now, as far as is known without asking anyone. What wraps a single
    /// backend is as that one is.
    fn is_up(&self) -> bool {
        match self.children() {
            [only] => only.is_up(),
            _ => true,
        }
    }

    /// Asks it whether it works, as a cluster does with its members again and again. What wraps a single
    /// backend asks that one; what has nobody to ask answers with what it knows.
    ///
    /// What comes of it decides on the backend's [`health`](Backend::health), so it must not be an answer
    /// of that health: nothing would ever come up again.
    fn probe(&self) -> Probe<'_> {
        if let [only] = self.children() {
            return only.probe();
        }
        let up = if self.is_up() { Ok(()) } else { Err(format!("{} is down", self.name())) };
        Box::pin(std::future::ready(up))
    }

    /// What is held of it by those who probe and use it, if it keeps that itself. What wraps a single backend
    /// has no health of its own but that one's; a cluster keeps one for each member that has none.
    fn health(&self) -> Option<Arc<Health>> {
        match self.children() {
            [only] => only.health(),
            _ => None,
        }
    }

    /// Begins what it does besides answering, and has its children begin. It runs on the worker's thread,
    /// inside its runtime. A backend with two parents is started twice, and must not mind.
    fn start(&self, duties: Duties) {
        self.children().iter().for_each(|child| child.start(duties));
    }

    /// Ends what [`start`](Backend::start) began, and has its children end. Exchanges in flight go on; a
    /// tree that was stopped may still be asked by whoever holds it.
    fn stop(&self) {
        self.children().iter().for_each(|child| child.stop());
    }

    /// What it is and how it is, with all that stands below it.
    fn report(&self) -> Report;

    /// Which way a request would take, without sending anything.
    fn explain(&self, request: &Sketch<'_>) -> Explanation;
}

/// A request without its body, as a backend looks at it that has to decide: one that is to be answered
/// ([`Exchange::sketch`]), or one that is only talked about.
#[derive(Debug, Clone, Copy)]
pub struct Sketch<'a> {
    /// The method.
    pub method: &'a Method,
    /// How the client speaks to us.
    pub scheme: Scheme,
    /// The host that is asked for.
    pub host: &'a Host,
    /// The port the client addressed, if the authority names one.
    pub port: Option<u16>,
    /// Path and query, in ASCII.
    pub target: &'a [u8],
    /// The fields.
    pub fields: &'a Fields,
}

impl<'a> Sketch<'a> {
    /// The target up to its query.
    pub fn path(&self) -> &'a [u8] {
        let end = self.target.iter().position(|byte| *byte == b'?').unwrap_or(self.target.len());
        &self.target[..end]
    }
}

/// One backend as `waypost backend list` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Its name in the configuration.
    pub name: String,
    /// Its type in the configuration.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Whether it takes requests.
    pub up: bool,
    /// What is particular to it: an address, a status, a number of entries.
    pub detail: String,
    /// What is held of it by those who probe it, if anybody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthReport>,
    /// The backends below it, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Report>,
}

impl Report {
    /// What a backend and all below it say of themselves, with no health of its own.
    pub fn of(backend: &dyn Backend, kind: &'static str, detail: impl Into<String>) -> Report {
        Report {
            name: backend.name().to_owned(),
            kind,
            up: backend.is_up(),
            detail: detail.into(),
            health: None,
            children: backend.children().iter().map(|child| child.report()).collect(),
        }
    }
}

/// One step of the way a request would take.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The backend's name in the configuration.
    pub backend: String,
    /// Its type in the configuration.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it would do with the request, in a sentence.
    pub says: String,
    /// What it knows in detail, in a form of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
    /// Where the request might go from here, in the order tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<Explanation>,
}
