//! A response as a value.

use std::any::Any;

use http::StatusCode;
use waypost_http1::{Name, ResponseHead};

use crate::body::Body;
use crate::buffer::Buffer;
use crate::upstream::Transport;

/// What a backend answers.
///
/// The head's fields are end to end, as in [`crate::Exchange`]. `Content-Length` stands there only if it
/// agrees with the body, or if there is none to speak for it (an answer to HEAD, a 304).
#[derive(Debug)]
pub struct Response {
    /// Status and fields.
    pub head: ResponseHead,
    /// The body.
    pub body: Body,
    /// With status 101: the upstream's end of the connection that now speaks another protocol.
    pub tunnel: Option<Box<Tunnel>>,
}

/// An upstream connection that has left HTTP behind.
#[derive(Debug)]
pub struct Tunnel {
    /// The connection.
    pub transport: Transport,
    /// What came behind the response's head.
    pub early: Buffer,
    /// Kept as long as the tunnel, so that the upstream counts it as in hand.
    pub(crate) _in_flight: crate::upstream::InFlight,
    /// What nodes above want dropped when the tunnel ends.
    pub(crate) kept: Vec<Box<dyn Any>>,
}

impl Tunnel {
    /// Keeps something as long as the tunnel: a node that wants to know when it ends.
    pub fn keep(&mut self, what: Box<dyn Any>) {
        self.kept.push(what);
    }
}

impl Response {
    /// A response without a body.
    pub fn new(status: StatusCode) -> Response {
        Response { head: ResponseHead::new(status), body: Body::empty(), tunnel: None }
    }

    /// A response made here, with a line of plain text for a person to read.
    pub fn text(status: StatusCode, text: impl Into<String>) -> Response {
        let mut text: String = text.into();
        text.push('\n');
        let mut response = Response::new(status);
        response.add(Name::ContentType, b"text/plain; charset=utf-8");
        response.body = Body::bytes(text);
        response
    }

    /// Adds a field made here; one that could not stand in a head is left out.
    pub fn add(&mut self, name: Name, value: &[u8]) {
        if let Err(error) = self.head.fields.push_known(name, value) {
            tracing::warn!(field = name.as_str(), %error, "a response field was left out");
        }
    }

    /// Puts another body in the place of this one.
    pub fn set_body(&mut self, body: Body) {
        self.head.fields.remove(Name::ContentLength);
        self.body = body;
    }
}
