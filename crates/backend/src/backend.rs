//! The one trait.

use std::future::Future;
use std::pin::Pin;

use http::Method;
use serde::Serialize;

use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::response::Response;

/// What a call resolves to. It runs on the worker's own thread and is not `Send`.
pub type Call<'a> = Pin<Box<dyn Future<Output = Result<Response, Failure>> + 'a>>;

/// Something that answers requests.
///
/// Dropping the future of a call gives the request up: whatever it held (an upstream connection, a place
/// in a queue) is let go at once.
pub trait Backend {
    /// Answers the request.
    ///
    /// The exchange stays the caller's, so that a node can offer the same request to another child: a
    /// child that has touched the body leaves a spent one behind (see [`crate::Body::spent`]).
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a>;

    /// Whether it would take a request now, as far as is known without asking anyone.
    fn is_up(&self) -> bool {
        true
    }

    /// What it is and how it is, with all that stands below it.
    fn report(&self) -> Report;

    /// Which way a request would take, without sending anything.
    fn explain(&self, request: &Sketch<'_>) -> Explanation;
}

/// A request that is only talked about.
#[derive(Debug, Clone, Copy)]
pub struct Sketch<'a> {
    /// The method.
    pub method: &'a Method,
    /// The normalised host.
    pub host: &'a str,
    /// Path and query.
    pub target: &'a str,
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
    /// The backends below it, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Report>,
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
