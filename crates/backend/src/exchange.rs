//! A request on its way through the tree, and what is noted of it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use waypost_http1::{Host, RequestHead, ResponseHead, Scheme};

use crate::backend::Sketch;
use crate::body::Body;

/// What is known of the client's connection.
#[derive(Debug, Clone, Copy)]
pub struct Downstream {
    /// The client's address.
    pub client: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    /// How it speaks to us.
    pub scheme: Scheme,
}

/// A request, its body, where it comes from, and what is to be noted of it.
///
/// The request's fields are end to end: hop-by-hop fields have been taken off, and a body's length is
/// the body's own ([`Body::length`]); a `Content-Length` field, if there is one, agrees with it.
///
/// A connection uses one exchange after the other over the same buffers.
#[derive(Debug)]
pub struct Exchange {
    /// Method, target and fields.
    pub request: RequestHead,
    /// The request's body.
    pub body: Body,
    /// The host that is asked for.
    pub host: Host,
    /// The port the client addressed, if the authority names one.
    pub port: Option<u16>,
    /// The client's connection.
    pub downstream: Downstream,
    /// The client asks to speak another protocol on this connection (RFC 9110 §7.8).
    pub wants_upgrade: bool,
    /// The client waits for `100 Continue` before it sends its body.
    pub expects_continue: bool,
    /// Takes interim responses for the client, if it understands them.
    pub interim: Option<Interim>,
    /// What is to be noted.
    pub notes: Notes,
}

impl Exchange {
    /// An exchange that is yet to be filled, for a connection to use again and again.
    pub fn new(downstream: Downstream) -> Exchange {
        Exchange {
            request: RequestHead::default(),
            body: Body::empty(),
            host: Host::default(),
            port: None,
            downstream,
            wants_upgrade: false,
            expects_continue: false,
            interim: None,
            notes: Notes::default(),
        }
    }

    /// The request as a backend looks at it that has to decide.
    pub fn sketch(&self) -> Sketch<'_> {
        Sketch {
            method: &self.request.method,
            scheme: self.downstream.scheme,
            host: &self.host,
            port: self.port,
            target: self.request.target(),
            fields: &self.request.fields,
        }
    }

    /// Whether the request could be sent again after it may have been acted upon: it is idempotent
    /// (RFC 9110 §9.2.2) and its body is still whole.
    pub fn is_repeatable(&self) -> bool {
        self.request.method.is_idempotent() && !self.wants_upgrade && !self.body.is_touched()
    }
}

/// Interim responses on their way to the client.
#[derive(Debug, Clone, Default)]
pub struct Interim(Rc<RefCell<Vec<u8>>>);

impl Interim {
    /// Has a response with a 1xx status sent before the final one.
    pub fn send(&self, head: &ResponseHead) {
        let mut bytes = self.0.borrow_mut();
        head.write_to(&mut bytes);
        bytes.extend_from_slice(b"\r\n");
    }

    /// Has `100 Continue` sent (RFC 9110 §15.2.1).
    pub fn send_continue(&self) {
        self.0.borrow_mut().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// Moves what waits to be sent behind `out`.
    pub fn drain_into(&self, out: &mut Vec<u8>) {
        let mut bytes = self.0.borrow_mut();
        if !bytes.is_empty() {
            out.append(&mut bytes);
        }
    }
}

/// What is noted of an exchange on its way, for the access log.
#[derive(Debug, Default)]
pub struct Notes {
    /// The texts below, one behind the other.
    text: String,
    version_type: Option<Range<u32>>,
    node: Option<Range<u32>>,
    instance: Option<Range<u32>>,
    route: Option<Range<u32>>,
    upstream: Option<Range<u32>>,
    /// When the last upstream was asked.
    pub asked: Option<Instant>,
    /// How many times an upstream was asked, or a connection to one was tried.
    pub tries: u32,
    /// What went wrong.
    pub error: Option<String>,
}

impl Notes {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        *self = Notes { text, ..Notes::default() };
    }

    /// Notes the entry of the route table that matched.
    pub fn set_route(&mut self, route: &str) {
        self.route = Some(self.keep(route));
    }

    /// Notes the keys of the instance that is asked; a later one replaces them.
    pub fn set_instance(&mut self, version_type: Option<&str>, node: Option<&str>, instance: Option<&str>) {
        self.version_type = version_type.map(|text| self.keep(text));
        self.node = node.map(|text| self.keep(text));
        self.instance = instance.map(|text| self.keep(text));
    }

    /// Forgets where the table led, because whoever was asked there has passed the request on.
    pub fn forget_route(&mut self) {
        (self.route, self.version_type, self.node, self.instance) = (None, None, None, None);
    }

    /// Notes that an upstream of that address is asked now.
    pub fn set_upstream(&mut self, address: &str) {
        self.upstream = Some(self.keep(address));
        self.asked = Some(Instant::now());
        self.tries += 1;
    }

    /// Who was asked last.
    pub fn upstream(&self) -> Option<&str> {
        self.look(&self.upstream)
    }

    /// The version-type key of the instance that was asked.
    pub fn version_type(&self) -> Option<&str> {
        self.look(&self.version_type)
    }

    /// The node key of the instance that was asked.
    pub fn node(&self) -> Option<&str> {
        self.look(&self.node)
    }

    /// The key of the instance that was asked.
    pub fn instance(&self) -> Option<&str> {
        self.look(&self.instance)
    }

    /// The entry of the route table that matched.
    pub fn route(&self) -> Option<&str> {
        self.look(&self.route)
    }

    fn keep(&mut self, text: &str) -> Range<u32> {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        start..self.text.len() as u32
    }

    fn look(&self, range: &Option<Range<u32>>) -> Option<&str> {
        range.as_ref().map(|range| &self.text[range.start as usize..range.end as usize])
    }
}
