//! One client's connection: request after request, each answered before the next is read.
//!
//! Everything of a request happens in this one task: the head is read, the backend's future polled, the
//! response written as it comes, and meanwhile the client is watched, so that work for one that has gone
//! away stops at once.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use waypost_backend::{
    Backend, Body, BodyError, Downstream, Exchange, Failure, FailureKind, Fill, Interim, Response, recycle,
    spare,
};
use waypost_http1::{HeadScanner, Host, Name, RequestError, Scan, Scheme, Version, request_body_length};

use crate::answer;
use crate::downlink::Downlink;
use crate::finish::{Seen, Story};
use crate::outgoing::{Framing, Outgoing, Sent};
use crate::server::Settings;
use crate::tunnel;
use crate::worker::Worker;

/// While draining, an idle client may still send one request within this.
const LAST_CALL: Duration = Duration::from_secs(1);
/// How much of a request that was refused is read after the answer, so that the client sees the answer
/// and no reset (RFC 9112 §9.6); and for how long.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(2);
/// How much of a body nobody wanted is thrown away to keep the connection.
const DISCARD: usize = 64 * 1024;

/// A client's connection and the buffers it uses for one request after the other.
pub(crate) struct Connection {
    worker: Rc<Worker>,
    /// What is in force for the exchange in hand.
    settings: Rc<Settings>,
    link: Rc<Downlink>,
    exchange: Exchange,
    interim: Interim,
    outgoing: Outgoing,
}

/// What becomes of a connection after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The next request is read.
    Keep,
    /// It is closed; what the client still sends is read for a while.
    Linger,
    /// It is closed.
    Close,
    /// It is reset, so that the client can't take what it got for the whole.
    Abort,
}

/// Why no head came.
enum NoHead {
    Closed,
    Late,
    Refused(RequestError),
}

/// How a call of the backend ended.
enum Outcome {
    Answered(Result<Response, Failure>),
    Panicked,
    ClientGone,
}

impl Connection {
    /// Serves a client until its connection ends.
    pub(crate) async fn serve(
        worker: Rc<Worker>,
        transport: TcpStream,
        client: SocketAddr,
        local: SocketAddr,
    ) {
        let link = Rc::new(Downlink::new(transport, worker.timers.deadline()));
        let outgoing = Outgoing::new(worker.timers.deadline());
        let (settings, _) = worker.settings();
        let mut patience = settings.limits.header_timeout;
        let mut connection = Connection {
            worker,
            settings,
            link,
            exchange: Exchange::new(Downstream { client, local, scheme: Scheme::Http }),
            interim: Interim::default(),
            outgoing,
        };
        let mut next = Next::Keep;
        while next == Next::Keep && connection.wait(patience).await {
            next = connection.serve_one().await;
            patience = connection.settings.limits.idle_timeout;
        }
        connection.end(next).await;
    }

    /// Waits for the first bytes of a request; `false` when none will come. Holds no buffers meanwhile.
    async fn wait(&mut self, patience: Duration) -> bool {
        if !self.link.input.borrow().is_empty() {
            return true;
        }
        self.link.input.borrow_mut().rest();
        self.outgoing.rest();
        self.link.deadline.set(patience);
        let mut last_call = false;
        let link = &self.link;
        poll_fn(|cx| {
            let readable = link.transport.borrow().poll_read_ready(cx);
            if readable.is_ready() {
                match link.poll_read(cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(false),
                    Poll::Ready(Ok(_)) => return Poll::Ready(true),
                    Poll::Pending => link.input.borrow_mut().rest(),
                }
            }
            if self.worker.is_draining() && !last_call {
                last_call = true;
                link.deadline.set(LAST_CALL);
            }
            if link.deadline.has_passed(cx) { Poll::Ready(false) } else { Poll::Pending }
        })
        .await
    }

    /// Reads a request and answers it.
    async fn serve_one(&mut self) -> Next {
        let mut story = Story::begin();
        let (settings, tree) = self.worker.settings();
        self.settings = settings;
        self.outgoing.begin();
        self.link.received.set(0);
        self.exchange.notes.clear();
        match self.read_head().await {
            Ok(()) => story.seen = Seen::Head,
            Err(NoHead::Closed) => return Next::Close,
            Err(NoHead::Late) => {
                story.error = Some("the head did not come in time".to_owned());
                return self
                    .refuse(Response::text(StatusCode::REQUEST_TIMEOUT, "waypost: timeout"), story)
                    .await;
            }
            Err(NoHead::Refused(error)) => return self.refuse_for(error, story).await,
        }
        let keep = self.exchange.request.keeps_alive();
        if let Err(error) = self.prepare() {
            return self.refuse_for(error, story).await;
        }
        story.seen = Seen::Host;
        let too_large = match (self.settings.limits.max_body, self.exchange.body.length()) {
            (Some(most), Some(length)) => length > most,
            _ => false,
        };
        if too_large {
            story.error = Some(BodyError::TooLarge.to_string());
            let failure = Failure::unsent(FailureKind::RequestBody(BodyError::TooLarge));
            return self.refuse(answer::to_failure(&failure), story).await;
        }
        story.id = self.worker.ids.next();
        if self.settings.forwarding.apply(&mut self.exchange, &story.id).is_err() {
            return self.refuse_for(RequestError::Field, story).await;
        }
        self.answer(&*tree, keep, story).await
    }

    async fn answer(&mut self, tree: &dyn Backend, keep: bool, mut story: Story) -> Next {
        let response = match self.call(tree).await {
            Outcome::Answered(Ok(response)) => response,
            Outcome::Answered(Err(failure)) => {
                story.error = Some(failure.to_string());
                if let FailureKind::RequestBody(BodyError::ClientClosed) = failure.kind {
                    return self.gone(story);
                }
                answer::to_failure(&failure)
            }
            Outcome::Panicked => {
                story.error = Some("internal error: a backend panicked".to_owned());
                tracing::error!(request_id = story.id(), "a backend panicked; the request was answered 500");
                answer::to_panic()
            }
            Outcome::ClientGone => return self.gone(story),
        };
        if response.tunnel.is_some() {
            return self.tunnel(response, story).await;
        }
        self.send(response, keep, story).await
    }

    /// Reads one head into the exchange.
    async fn read_head(&mut self) -> Result<(), NoHead> {
        let settings = Rc::clone(&self.settings);
        let limits = &settings.limits;
        self.link.deadline.set(limits.header_timeout);
        let mut scanner = HeadScanner::new();
        let mut skipped = false;
        loop {
            let scanned = {
                let mut input = self.link.input.borrow_mut();
                // RFC 9112 §2.2: one empty line before a request is forgiven.
                if !skipped && input.unread().starts_with(b"\r\n") {
                    input.consume(2);
                    skipped = true;
                }
                match scanner.scan(input.unread(), &limits.head).map_err(NoHead::Refused)? {
                    Scan::Complete(length) => {
                        let read = self.exchange.request.read(&input.unread()[..length], &limits.head);
                        input.consume(length);
                        self.link.received.set(length as u64);
                        Some(read)
                    }
                    Scan::Partial => None,
                }
            };
            if let Some(read) = scanned {
                self.link.deadline.clear();
                return read.map_err(NoHead::Refused);
            }
            let link = &self.link;
            let arrived = poll_fn(|cx| match link.poll_read(cx) {
                Poll::Pending if link.deadline.has_passed(cx) => Poll::Ready(None),
                other => other.map(Some),
            });
            match arrived.await {
                None => return Err(NoHead::Late),
                Some(Ok(0) | Err(_)) => return Err(NoHead::Closed),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Checks what the head's fields say together, and sets the exchange up.
    fn prepare(&mut self) -> Result<(), RequestError> {
        let exchange = &mut self.exchange;
        let request = &exchange.request;
        let (host, port) = Host::parse(request.authority()?).map_err(|_| RequestError::Host)?;
        let length = request_body_length(&request.fields, request.version)?;
        let expects = request.expects_continue()?;
        let modern = request.version == Version::Http11;
        exchange.wants_upgrade = modern && wants_upgrade(&request.fields);
        self.link.idle_timeout.set(self.settings.limits.idle_timeout);
        self.link.max_body.set(self.settings.limits.max_body);
        (exchange.host, exchange.port) = (host, port);
        exchange.expects_continue = expects;
        exchange.interim = modern.then(|| self.interim.clone());
        exchange.body = self.link.body(length, expects.then(|| self.interim.clone()));
        self.link.deadline.set(if self.link.body_done.get() {
            Duration::ZERO
        } else {
            self.link.idle_timeout.get()
        });
        Ok(())
    }

    /// Has the backend answer. The client is watched meanwhile, and gets interim responses.
    async fn call(&mut self, tree: &dyn Backend) -> Outcome {
        let Connection { exchange, link, interim, outgoing, .. } = self;
        // Asked inside the future, so that a panic in the asking is caught by the polling below.
        let mut call = std::pin::pin!(async move { tree.call(exchange).await });
        poll_fn(|cx| {
            match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
                Ok(Poll::Ready(result)) => return Poll::Ready(Outcome::Answered(result)),
                Ok(Poll::Pending) => {}
                Err(_) => return Poll::Ready(Outcome::Panicked),
            }
            if outgoing.poll_interim(link, interim, cx).is_err() {
                return Poll::Ready(Outcome::ClientGone);
            }
            link.poll_gone(cx).map(|()| Outcome::ClientGone)
        })
        .await
    }

    /// Writes a response to its end.
    async fn send(&mut self, mut response: Response, keep: bool, mut story: Story) -> Next {
        story.code = response.head.status.as_u16();
        let keep = keep && !self.exchange.wants_upgrade && !self.worker.is_draining() && self.discard_body();
        self.interim.drain_into(self.outgoing.buffer());
        let request = &self.exchange.request;
        let (framing, keep) = self.outgoing.write_head(request, &mut response, keep, &self.worker.date);
        let idle = self.settings.limits.idle_timeout;
        let sent = self.outgoing.send_body(&self.link, &mut response.body, framing, idle, &mut story).await;
        let next = match sent {
            Sent::Whole if !self.link.body_done.get() => Next::Linger,
            Sent::Whole if keep => Next::Keep,
            Sent::Whole => Next::Close,
            Sent::ClientGone => {
                story.code = 499;
                story.error = Some("the client went away before the response had been sent".to_owned());
                Next::Close
            }
            Sent::ClientSlow => {
                story.error = Some("the client took no more of the response in time".to_owned());
                Next::Abort
            }
            Sent::Broken(error) => {
                story.error = Some(error.to_string());
                Next::Abort
            }
            Sent::Panicked => {
                story.error = Some("internal error: a body panicked".to_owned());
                tracing::error!(
                    request_id = story.id(),
                    "a response's body panicked; the connection was reset"
                );
                Next::Abort
            }
        };
        drop(response);
        self.finish(story);
        next
    }

    /// Throws a body away that nobody has begun to read, if all of it is here already. `false`: some of
    /// the body is still to come, so that the connection can't be used for another request.
    fn discard_body(&mut self) -> bool {
        if self.link.body_done.get() {
            return true;
        }
        if self.exchange.body.is_touched() || self.exchange.body.is_empty() || self.exchange.expects_continue
        {
            return false;
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut scratch = spare();
        let mut body = std::mem::take(&mut self.exchange.body);
        while scratch.len() < DISCARD {
            match body.poll_fill(&mut cx, &mut scratch, DISCARD) {
                Poll::Ready(Ok(Fill::Data)) => {}
                _ => break,
            }
        }
        recycle(scratch);
        self.link.body_done.get()
    }

    /// Passes a changed protocol through.
    async fn tunnel(&mut self, mut response: Response, mut story: Story) -> Next {
        story.code = response.head.status.as_u16();
        let out = self.outgoing.buffer();
        self.interim.drain_into(out);
        response.head.write_to(out);
        out.extend_from_slice(b"Connection: upgrade\r\n\r\n");
        let (link, idle) = (&self.link, self.settings.limits.idle_timeout);
        let mut none = Body::empty();
        let head = self.outgoing.send_body(link, &mut none, Framing::Plain, idle, &mut story).await;
        if let (Sent::Whole, Some(tunnel)) = (head, response.tunnel.take()) {
            let mut ahead = self.link.input.take();
            let timeout = self.settings.limits.tunnel_timeout;
            let link = &self.link;
            let moved = tunnel::run(&link.transport, &mut ahead, *tunnel, &link.deadline, timeout).await;
            self.outgoing.add_sent(moved.down);
            self.link.received.set(self.link.received.get() + moved.up);
            story.upstream_ended();
        }
        self.finish(story);
        Next::Close
    }

    async fn refuse_for(&mut self, error: RequestError, mut story: Story) -> Next {
        story.error = Some(error.to_string());
        self.refuse(answer::to_refused(error), story).await
    }

    /// Answers a request that is not passed on, and gives the connection up.
    async fn refuse(&mut self, response: Response, story: Story) -> Next {
        // What stands in the exchange may be another request's.
        if story.seen == Seen::Nothing {
            self.exchange.request.method = Method::GET;
            self.exchange.request.version = Version::Http11;
        }
        match self.send(response, false, story).await {
            Next::Abort => Next::Abort,
            Next::Keep | Next::Close | Next::Linger => Next::Linger,
        }
    }

    /// Notes that the client went away before it was answered.
    fn gone(&mut self, mut story: Story) -> Next {
        story.code = 499;
        story.upstream_ended();
        story.error.get_or_insert_with(|| "the client went away before it was answered".to_owned());
        self.finish(story);
        Next::Close
    }

    fn finish(&mut self, story: Story) {
        self.worker.finish(&story, &self.exchange, self.outgoing.sent(), self.link.received.get());
        self.exchange.body = Body::empty();
    }

    /// Closes the connection.
    async fn end(self, next: Next) {
        match next {
            Next::Keep | Next::Close => {}
            Next::Abort => {
                let transport = self.link.transport.borrow();
                // If it can't be reset it is closed, which is the next best.
                let _ = socket2::SockRef::from(&*transport).set_linger(Some(Duration::ZERO));
            }
            Next::Linger => self.linger().await,
        }
    }

    /// Reads on for a while after the last answer: closing a connection with unread bytes resets it, and
    /// the client may lose the answer (RFC 9112 §9.6).
    async fn linger(&self) {
        let link = &self.link;
        link.deadline.set(LINGER_TIME);
        let mut left = LINGER_BYTES;
        let shut = poll_fn(|cx| Pin::new(&mut *link.transport.borrow_mut()).poll_shutdown(cx)).await;
        if shut.is_err() {
            return;
        }
        poll_fn(|cx| {
            loop {
                let waiting = link.input.borrow().unread().len();
                link.input.borrow_mut().consume(waiting);
                match link.poll_read(cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(count)) if count >= left => return Poll::Ready(()),
                    Poll::Ready(Ok(count)) => left -= count,
                    Poll::Pending if link.deadline.has_passed(cx) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
}

/// Whether the client asks to change the protocol to one that may pass. HTTP/2 in the clear may not: it
/// would let requests through that nobody has looked at.
fn wants_upgrade(fields: &waypost_http1::Fields) -> bool {
    let asks = fields
        .iter()
        .filter(|field| field.name == Name::Connection)
        .any(|field| field.elements().any(|option| option.eq_ignore_ascii_case(b"upgrade")));
    let mut protocols = fields.iter().filter(|field| field.name == Name::Upgrade).peekable();
    asks && protocols.peek().is_some()
        && !protocols.any(|field| {
            field.elements().any(|protocol| protocol.len() >= 2 && protocol[..2].eq_ignore_ascii_case(b"h2"))
        })
}
