//! The client's connection, shared between the loop that answers and the request's body.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::TcpStream;
use waypost_backend::{Body, BodyError, Buffer, Deadline, Fill, Interim, Source};
use waypost_http1::{BodyLength, ChunkedDecoder, Fields};

/// So much that a client sends ahead is read while it waits for an answer; more waits in the kernel.
const MOST_AHEAD: usize = 16 * 1024;
/// A request's chunk headers, extensions and trailers are read into the input, at most so much at once.
const READ: usize = 64 * 1024;

/// One client's connection.
#[derive(Debug)]
pub(crate) struct Downlink {
    pub(crate) transport: RefCell<TcpStream>,
    /// Read and not yet used.
    pub(crate) input: RefCell<Buffer>,
    /// For whatever is waited for from the client.
    pub(crate) deadline: Deadline,
    /// Time a client has between two arrivals of a body's bytes.
    pub(crate) idle_timeout: Cell<Duration>,
    /// Bytes of the request that have been used: head, chunk lines and all.
    pub(crate) received: Cell<u64>,
    /// The request's body has been read to its end.
    pub(crate) body_done: Cell<bool>,
    /// The client waits for this before it sends the body.
    pub(crate) continue_owed: RefCell<Option<Interim>>,
    pub(crate) max_body: Cell<Option<u64>>,
}

impl Downlink {
    pub(crate) fn new(transport: TcpStream, deadline: Deadline) -> Downlink {
        Downlink {
            transport: RefCell::new(transport),
            input: RefCell::default(),
            deadline,
            idle_timeout: Cell::default(),
            received: Cell::new(0),
            body_done: Cell::new(true),
            continue_owed: RefCell::new(None),
            max_body: Cell::default(),
        }
    }

    /// Reads once into the input. `Ok(0)`: the client has finished sending.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.borrow_mut().poll_read(&mut *self.transport.borrow_mut(), cx)
    }

    /// Ready when the client has gone away while it should be waiting for its answer. What it sends
    /// ahead is kept.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        // While the body is being read, its reader sees the end.
        while self.body_done.get() && self.input.borrow().unread().len() < MOST_AHEAD {
            match ready!(self.poll_read(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// The body of the request whose head has just been used, for the exchange.
    pub(crate) fn body(self: &Rc<Downlink>, length: BodyLength, expects: Option<Interim>) -> Body {
        let (framing, known) = match length {
            // A request's body never lasts until the connection closes.
            BodyLength::Empty | BodyLength::UntilClose => {
                self.body_done.set(true);
                return Body::empty();
            }
            BodyLength::Known(length) => (Framing::Known(length), Some(length)),
            BodyLength::Chunked => (Framing::Chunked(Box::default()), None),
        };
        self.body_done.set(false);
        *self.continue_owed.borrow_mut() = expects;
        let incoming = Incoming { link: Rc::clone(self), framing, taken: 0, trailers: None };
        Body::stream(Box::new(incoming), known)
    }
}

/// A request's body as it comes from the client.
struct Incoming {
    link: Rc<Downlink>,
    framing: Framing,
    taken: u64,
    trailers: Option<Fields>,
}

enum Framing {
    /// So many bytes are left.
    Known(u64),
    Chunked(Box<ChunkedDecoder>),
}

impl Incoming {
    fn take_known(&self, left: u64, out: &mut Vec<u8>, room: usize) -> usize {
        let mut input = self.link.input.borrow_mut();
        let most = room.min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = input.unread().len().min(most);
        out.extend_from_slice(&input.unread()[..count]);
        input.consume(count);
        count
    }

    /// Takes the next run of data out of the input. `None`: more has to be read.
    fn take_chunks(&mut self, out: &mut Vec<u8>, room: usize) -> Result<Option<Fill>, BodyError> {
        let Framing::Chunked(decoder) = &mut self.framing else { return Ok(Some(Fill::End)) };
        let mut input = self.link.input.borrow_mut();
        while !input.is_empty() {
            let decoded = decoder.decode(input.unread(), room).map_err(BodyError::ClientMalformed)?;
            let length = decoded.data.len();
            out.extend_from_slice(&input.unread()[decoded.data]);
            input.consume(decoded.used);
            self.link.received.set(self.link.received.get() + decoded.used as u64);
            if decoded.done {
                self.trailers = decoder.trailers().map_err(BodyError::ClientMalformed)?;
                return Ok(Some(Fill::End));
            }
            if length > 0 {
                self.taken += length as u64;
                if self.link.max_body.get().is_some_and(|most| self.taken > most) {
                    return Err(BodyError::TooLarge);
                }
                return Ok(Some(Fill::Data));
            }
        }
        Ok(None)
    }
}

impl Source for Incoming {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        loop {
            let fill = match &mut self.framing {
                Framing::Known(0) => Some(Fill::End),
                Framing::Known(left) => {
                    let left = *left;
                    match self.take_known(left, out, room.min(READ)) {
                        0 => None,
                        count => {
                            self.framing = Framing::Known(left - count as u64);
                            self.link.received.set(self.link.received.get() + count as u64);
                            Some(Fill::Data)
                        }
                    }
                }
                Framing::Chunked(_) => self.take_chunks(out, room.min(READ))?,
            };
            if let Some(fill) = fill {
                if fill == Fill::End || matches!(self.framing, Framing::Known(0)) {
                    self.link.body_done.set(true);
                    self.link.deadline.clear();
                    self.link.continue_owed.borrow_mut().take();
                } else {
                    self.link.deadline.set(self.link.idle_timeout.get());
                }
                return Poll::Ready(Ok(fill));
            }
            // RFC 9110 §10.1.1: the client is told to go on once somebody wants the body.
            if let Some(interim) = self.link.continue_owed.borrow_mut().take() {
                interim.send_continue();
            }
            match self.link.poll_read(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(BodyError::ClientClosed)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if self.link.deadline.has_passed(cx) => {
                    return Poll::Ready(Err(BodyError::ClientTimeout));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }
}
