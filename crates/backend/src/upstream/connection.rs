//! One connection to a server, driven by the request that uses it.
//!
//! Sending the request's body and reading the response go on side by side, so that an early answer is
//! seen before the body has been sent, and a response can stream while the request still does. The
//! connection itself is the source of the response's body; when that has ended and nothing is left over
//! on either side, it goes back to its pool.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::Sleep;
use waypost_http1::chunked::{LARGEST_CHUNK, begin_chunk, end_body, end_chunk};
use waypost_http1::{
    BodyLength, ChunkedDecoder, Fields, HeadScanner, Name, ResponseHead, Scan, response_body_length,
};

use super::Options;
use super::peer::Peer;
use super::registry::InFlight;
use super::tls::Tls;
use super::transport::Transport;
use crate::body::{Body, BodyError, Fill, Source};
use crate::buffer::{Buffer, poll_read_onto, recycle, spare};
use crate::deadline::Deadline;
use crate::exchange::Exchange;
use crate::failure::{Failure, FailureKind};
use crate::response::{Response, Tunnel};

/// A server that sends more interim responses than this to one request is up to no good.
const MOST_INTERIM: u32 = 16;
/// A server that doesn't know `100-continue` is sent the body all the same after this
/// (RFC 9110 §10.1.1).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);
/// So much of a body is gathered before it is written.
const WRITE: usize = 64 * 1024;

/// A connection in use or at rest.
#[derive(Debug)]
pub(crate) struct Connection {
    transport: Transport,
    /// The name that the server has proved over TLS.
    server_name: Box<str>,
    peer: Rc<Peer>,
    options: Rc<Options>,
    /// Read and not yet used.
    input: Buffer,
    /// To be written, from `written` on.
    output: Vec<u8>,
    written: usize,
    deadline: Deadline,
    in_flight: Option<InFlight>,
    sending: Sending,
    /// What is left of the request's body.
    body: Body,
    /// It is sent in chunks.
    chunked: bool,
    reading: Reading,
    trailers: Option<Fields>,
    /// The server keeps it open behind this response.
    keep: bool,
    /// Bytes of the request have gone into the kernel.
    sent: bool,
    /// Bytes of the response have come.
    received: bool,
}

/// How far the request is.
#[derive(Debug)]
enum Sending {
    /// All of it is in the output.
    Whole,
    /// The head is; the body follows.
    Body,
    /// The body waits for the server's `100 Continue`.
    Held(Pin<Box<Sleep>>),
    /// It can't be sent any further. What the server has to say is still read.
    Broken,
}

/// How far the response's body is.
#[derive(Debug)]
enum Reading {
    Known(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

/// A TCP connection; whether it comes about is the server's health.
async fn connect(peer: &Peer, deadline: &Deadline) -> Result<TcpStream, Failure> {
    let address = peer.address();
    let tcp = in_time(deadline, "no answer in time", TcpStream::connect(address)).await;
    match tcp.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp)) {
        Ok(tcp) => {
            peer.state().count_connect();
            peer.registry().connection_succeeded(peer.state());
            Ok(tcp)
        }
        Err(error) => {
            peer.registry().connection_failed(peer.state(), &error);
            Err(Failure::unsent(FailureKind::Connect { address, error }))
        }
    }
}

/// What becomes of a future before the deadline; `late` says what did not come about if it passes.
async fn in_time<T>(
    deadline: &Deadline,
    late: &'static str,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Pending if deadline.has_passed(cx) => {
            Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, late)))
        }
        other => other,
    })
    .await
}

enum SendError {
    Body(BodyError),
    Io,
}

impl Connection {
    /// Opens a connection; what comes of it tells on the server's health.
    pub(crate) async fn open(peer: &Rc<Peer>, options: &Rc<Options>) -> Result<Box<Connection>, Failure> {
        let deadline = peer.timers().deadline();
        deadline.set(options.connect_timeout);
        let tcp = connect(peer, &deadline).await?;
        Ok(Connection::over(Transport::Plain(tcp), "", deadline, peer, options))
    }

    /// Opens a connection and speaks TLS over it, with a server of that name. A handshake that fails tells
    /// nothing on the health of the address: it may be down to the name alone, which a client chooses.
    pub(crate) async fn open_over(
        tls: &Tls,
        name: &str,
        peer: &Rc<Peer>,
        options: &Rc<Options>,
    ) -> Result<Box<Connection>, Failure> {
        let deadline = peer.timers().deadline();
        deadline.set(options.connect_timeout);
        let tcp = connect(peer, &deadline).await?;
        match in_time(&deadline, "no end of the TLS handshake in time", tls.connect(tcp, name)).await {
            Ok(stream) => {
                Ok(Connection::over(Transport::Tls(Box::new(stream)), name, deadline, peer, options))
            }
            Err(error) => {
                peer.handshake_failed(name, &error);
                Err(Failure::unsent(FailureKind::Connect { address: peer.address(), error }))
            }
        }
    }

    fn over(
        transport: Transport,
        server_name: &str,
        deadline: Deadline,
        peer: &Rc<Peer>,
        options: &Rc<Options>,
    ) -> Box<Connection> {
        Box::new(Connection {
            transport,
            server_name: server_name.into(),
            peer: Rc::clone(peer),
            options: Rc::clone(options),
            input: Buffer::default(),
            output: Vec::new(),
            written: 0,
            deadline,
            in_flight: None,
            sending: Sending::Whole,
            body: Body::empty(),
            chunked: false,
            reading: Reading::Known(0),
            trailers: None,
            keep: false,
            sent: false,
            received: false,
        })
    }

    /// The name that the server has proved; empty without TLS.
    pub(crate) fn server_name(&self) -> &str {
        &self.server_name
    }

    /// Whether a resting connection has heard nothing: neither its end nor bytes nobody asked for.
    /// What the runtime knows costs nothing; when `repeatable` is false the kernel is asked as well.
    pub(crate) fn is_quiet(&mut self, repeatable: bool) -> bool {
        self.transport.is_quiet(!repeatable)
    }

    /// Sends the request and reads the response's head. On failure the exchange has its body back, if it
    /// is still whole.
    pub(crate) async fn exchange(
        mut self: Box<Connection>,
        exchange: &mut Exchange,
        in_flight: Option<InFlight>,
        options: &Rc<Options>,
    ) -> Result<Response, Failure> {
        self.in_flight = in_flight;
        if !Rc::ptr_eq(&self.options, options) {
            self.options = Rc::clone(options);
        }
        self.begin(exchange);
        let result = poll_fn(|cx| self.poll_exchange(cx, exchange)).await;
        match result {
            Ok(head) => self.respond(head, exchange),
            Err(failure) => {
                exchange.body = std::mem::take(&mut self.body).rewound();
                Err(failure)
            }
        }
    }

    /// Writes the head into the output and takes charge of the body.
    fn begin(&mut self, exchange: &mut Exchange) {
        if self.output.capacity() == 0 {
            self.output = spare();
        }
        self.output.clear();
        self.written = 0;
        (self.sent, self.received, self.keep) = (false, false, false);
        self.trailers = None;
        let fields = &exchange.request.fields;
        self.body = std::mem::take(&mut exchange.body);
        if !self.body.is_empty() {
            exchange.body = Body::spent();
        }
        exchange.request.write_to(&mut self.output);
        if exchange.wants_upgrade {
            self.output.extend_from_slice(b"Connection: upgrade\r\n");
        } else if fields.has(Name::Te) {
            self.output.extend_from_slice(b"Connection: TE\r\n");
        }
        self.chunked = match self.body.length() {
            None => {
                self.output.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                true
            }
            Some(length) => {
                if length > 0 && !fields.has(Name::ContentLength) {
                    self.output.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
                }
                false
            }
        };
        let expects = exchange.expects_continue && !self.body.is_empty();
        if expects {
            self.output.extend_from_slice(b"Expect: 100-continue\r\n");
        }
        self.output.extend_from_slice(b"\r\n");
        self.sending = if self.body.is_empty() {
            Sending::Whole
        } else if expects {
            Sending::Held(Box::pin(tokio::time::sleep(CONTINUE_PATIENCE)))
        } else {
            Sending::Body
        };
        self.deadline.set(self.options.response_timeout);
    }

    fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Poll<Result<ResponseHead, Failure>> {
        loop {
            let held = self.is_held();
            match self.poll_send(cx) {
                Poll::Ready(Err(SendError::Body(error))) => {
                    return Poll::Ready(Err(self.failure(FailureKind::RequestBody(error))));
                }
                // The server may have answered and closed: what it said comes first.
                Poll::Ready(Err(SendError::Io)) => self.sending = Sending::Broken,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            match self.poll_head(cx, exchange) {
                Poll::Pending if held && !self.is_held() => continue,
                Poll::Pending if self.deadline.has_passed(cx) => {
                    let kind = if self.waits_for_client() {
                        FailureKind::RequestBody(BodyError::ClientTimeout)
                    } else {
                        FailureKind::Timeout { address: self.peer.address() }
                    };
                    return Poll::Ready(Err(self.failure(kind)));
                }
                other => return other,
            }
        }
    }

    fn failure(&self, kind: FailureKind) -> Failure {
        Failure { kind, sent: self.sent }
    }

    fn is_held(&self) -> bool {
        matches!(self.sending, Sending::Held(_))
    }

    /// Whether all there was of the request has gone out and more has to come from the client.
    fn waits_for_client(&self) -> bool {
        self.has_written() && matches!(self.sending, Sending::Body)
    }

    /// Whether all there was to write has gone into the socket.
    fn has_written(&self) -> bool {
        self.written == self.output.len() && !self.transport.holds_back()
    }

    /// Writes what there is to write; ready when the whole request has gone out.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        loop {
            let filled = match self.poll_gather(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(SendError::Body(error))),
                Poll::Pending => false,
            };
            if self.written == self.output.len() {
                self.output.clear();
                self.written = 0;
                if self.transport.holds_back() {
                    ready!(Pin::new(&mut self.transport).poll_flush(cx)).map_err(|_| SendError::Io)?;
                }
                return if filled { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            let output = &self.output[self.written..];
            match ready!(Pin::new(&mut self.transport).poll_write(cx, output)) {
                Ok(0) => return Poll::Ready(Err(SendError::Io)),
                Ok(count) => {
                    self.sent = true;
                    self.written += count;
                    self.deadline.set(self.options.response_timeout);
                }
                Err(_) => return Poll::Ready(Err(SendError::Io)),
            }
        }
    }

    /// Gathers the body's next bytes behind what waits to be written; ready when there are no more, or
    /// enough of them.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if let Sending::Held(patience) = &mut self.sending {
            ready!(patience.as_mut().poll(cx));
            self.release_body();
        }
        if !matches!(self.sending, Sending::Body) {
            return Poll::Ready(Ok(()));
        }
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        }
        while self.output.len() < WRITE {
            let room = LARGEST_CHUNK.min(WRITE);
            let start = if self.chunked { begin_chunk(&mut self.output) } else { 0 };
            let filled = self.body.poll_fill(cx, &mut self.output, room);
            if self.chunked {
                end_chunk(&mut self.output, start);
            }
            if let Fill::End = ready!(filled)? {
                if self.chunked {
                    end_body(&mut self.output, self.body.take_trailers().as_ref());
                }
                self.sending = Sending::Whole;
                return Poll::Ready(Ok(()));
            }
            self.deadline.set(self.options.response_timeout);
        }
        // Enough for one write; the caller comes back when it is done.
        Poll::Pending
    }

    fn release_body(&mut self) {
        if self.is_held() {
            self.sending = Sending::Body;
        }
    }

    /// Reads up to the final response's head.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Poll<Result<ResponseHead, Failure>> {
        let address = self.peer.address();
        let malformed = |error| Failure::sent(FailureKind::Malformed { address, error });
        let broken = |what| Failure::sent(FailureKind::Protocol { address, what });
        let mut interim = 0;
        loop {
            // Heads come in one piece but for the rarest case: a fresh scan a try is no loss.
            let scanned = HeadScanner::new().scan(self.input.unread(), &self.options.head);
            if let Scan::Complete(length) = scanned.map_err(|error| malformed(error.into()))? {
                let head =
                    ResponseHead::read(&self.input.unread()[..length], &self.options.head, Fields::new())
                        .map_err(malformed)?;
                self.input.consume(length);
                match head.status {
                    StatusCode::SWITCHING_PROTOCOLS if !exchange.wants_upgrade => {
                        return Poll::Ready(Err(broken("it changed the protocol unasked")));
                    }
                    StatusCode::SWITCHING_PROTOCOLS if !is_asked_for(&head, exchange) => {
                        return Poll::Ready(Err(broken("it changed to a protocol that was not asked for")));
                    }
                    StatusCode::SWITCHING_PROTOCOLS => return Poll::Ready(Ok(head)),
                    StatusCode::CONTINUE => self.release_body(),
                    status if status.is_informational() => pass_on(head, exchange),
                    _ => return Poll::Ready(Ok(head)),
                }
                interim += 1;
                if interim > MOST_INTERIM {
                    return Poll::Ready(Err(broken("it sent interim responses without end")));
                }
                continue;
            }
            match ready!(self.input.poll_read(&mut self.transport, cx)) {
                Ok(0) | Err(_) if self.received => {
                    return Poll::Ready(Err(broken("it closed the connection in the middle of a head")));
                }
                Ok(0) => {
                    let error = io::ErrorKind::UnexpectedEof.into();
                    return Poll::Ready(Err(self.failure(FailureKind::Closed { address, error })));
                }
                Ok(_) => self.received = true,
                Err(error) => {
                    return Poll::Ready(Err(self.failure(FailureKind::Closed { address, error })));
                }
            }
        }
    }

    /// Makes the response of a head, with this connection as the source of its body.
    fn respond(
        mut self: Box<Connection>,
        mut head: ResponseHead,
        exchange: &mut Exchange,
    ) -> Result<Response, Failure> {
        let to_head = exchange.request.method == Method::HEAD;
        let length = response_body_length(&head.fields, head.version, head.status, to_head)
            .map_err(|error| Failure::sent(FailureKind::Malformed { address: self.peer.address(), error }))?;
        self.keep = head.keeps_alive() && length != BodyLength::UntilClose;
        if head.status == StatusCode::NO_CONTENT && head.fields.has(Name::ContentLength) {
            // RFC 9110 §8.6: it may not be there; whoever sends it may send a body as well.
            head.fields.remove(Name::ContentLength);
            self.keep = false;
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(self.into_tunnel(head));
        }
        head.fields.remove_hop_by_hop();
        let (reading, known) = match length {
            BodyLength::Empty => {
                self.reading = Reading::Known(0);
                self.rest();
                return Ok(Response { head, body: Body::empty(), tunnel: None });
            }
            BodyLength::Known(length) => (Reading::Known(length), Some(length)),
            BodyLength::Chunked => (Reading::Chunked(ChunkedDecoder::new()), None),
            BodyLength::UntilClose => (Reading::UntilClose, None),
        };
        self.reading = reading;
        self.deadline.set(self.options.response_timeout);
        Ok(Response { head, body: Body::stream(self, known), tunnel: None })
    }

    fn into_tunnel(mut self: Box<Connection>, mut head: ResponseHead) -> Response {
        let protocol = head.fields.get(Name::Upgrade).map(<[u8]>::to_vec);
        head.fields.remove_hop_by_hop();
        let mut response = Response { head, body: Body::empty(), tunnel: None };
        if let Some(protocol) = protocol {
            response.add(Name::Upgrade, &protocol);
        }
        let in_flight = self.in_flight.take().unwrap_or_else(|| InFlight::begin(self.peer.state()));
        let early = std::mem::take(&mut self.input);
        let tunnel = Tunnel { transport: self.transport, early, _in_flight: in_flight, kept: Vec::new() };
        response.tunnel = Some(Box::new(tunnel));
        response
    }

    /// Reads more of the response into the input, within the time it has.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, BodyError>> {
        match self.input.poll_read(&mut self.transport, cx) {
            Poll::Ready(result) => self.arrived(result),
            Poll::Pending => self.poll_late(cx),
        }
    }

    /// Reads more of the response straight behind `out`, within the time it has.
    fn poll_onto(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        most: usize,
    ) -> Poll<Result<usize, BodyError>> {
        match poll_read_onto(&mut self.transport, cx, out, most) {
            Poll::Ready(result) => self.arrived(result),
            Poll::Pending => self.poll_late(cx),
        }
    }

    fn arrived(&mut self, result: io::Result<usize>) -> Poll<Result<usize, BodyError>> {
        self.deadline.set(self.options.response_timeout);
        Poll::Ready(result.map_err(|error| match error.kind() {
            // TLS tells an end from a connection that was cut.
            io::ErrorKind::UnexpectedEof => BodyError::UpstreamClosed,
            _ => BodyError::UpstreamIo(error),
        }))
    }

    fn poll_late(&self, cx: &mut Context<'_>) -> Poll<Result<usize, BodyError>> {
        if self.deadline.has_passed(cx) {
            Poll::Ready(Err(BodyError::UpstreamTimeout))
        } else {
            Poll::Pending
        }
    }

    /// Takes at most `most` of what has been read already.
    fn take(&mut self, out: &mut Vec<u8>, most: usize) -> usize {
        let unread = self.input.unread();
        let count = unread.len().min(most);
        out.extend_from_slice(&unread[..count]);
        self.input.consume(count);
        count
    }
}

/// Whether a 101 changes to one of the protocols that the request names (RFC 9110 §7.8).
fn is_asked_for(head: &ResponseHead, exchange: &Exchange) -> bool {
    let asked = |protocol: &[u8]| {
        let mut fields = exchange.request.fields.iter().filter(|field| field.name == Name::Upgrade);
        fields.any(|field| field.elements().any(|element| element.eq_ignore_ascii_case(protocol)))
    };
    let mut changes = head.fields.iter().filter(|field| field.name == Name::Upgrade).peekable();
    changes.peek().is_some() && changes.all(|field| field.elements().all(asked))
}

/// Hands an interim response to the client, if it takes any.
fn pass_on(mut head: ResponseHead, exchange: &Exchange) {
    if let Some(interim) = &exchange.interim {
        head.fields.remove_hop_by_hop();
        head.fields.remove(Name::ContentLength);
        interim.send(&head);
    }
}

impl Source for Connection {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        let done = match self.sending {
            Sending::Whole => self.has_written(),
            Sending::Broken => true,
            Sending::Body | Sending::Held(_) => false,
        };
        if !done {
            // The response is under way: a request that can't be sent to its end only costs the
            // connection.
            if let Poll::Ready(Err(_)) = self.poll_send(cx) {
                self.sending = Sending::Broken;
                self.output.clear();
                self.written = 0;
            }
        }
        match &mut self.reading {
            Reading::Known(0) => return Poll::Ready(Ok(Fill::End)),
            Reading::Known(left) => {
                let most = room.min(usize::try_from(*left).unwrap_or(usize::MAX));
                let count = match self.take(out, most) {
                    0 => ready!(self.poll_onto(cx, out, most))?,
                    count => count,
                };
                if count == 0 {
                    return Poll::Ready(Err(BodyError::UpstreamClosed));
                }
                if let Reading::Known(left) = &mut self.reading {
                    *left -= count as u64;
                }
            }
            Reading::Chunked(_) => return self.poll_chunks(cx, out, room),
            Reading::UntilClose => {
                let count = match self.take(out, room) {
                    0 => ready!(self.poll_onto(cx, out, room))?,
                    count => count,
                };
                if count == 0 {
                    return Poll::Ready(Ok(Fill::End));
                }
            }
        }
        Poll::Ready(Ok(Fill::Data))
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    fn release(self: Box<Connection>) -> Option<Box<dyn Source>> {
        self.rest();
        None
    }
}

impl Connection {
    /// Goes back to its pool, if nothing is left over on either side.
    fn rest(mut self: Box<Connection>) {
        self.in_flight = None;
        // It has been sent, and may hold on to the client's connection.
        self.body = Body::empty();
        let clean = self.input.is_empty() && matches!(self.sending, Sending::Whole) && self.has_written();
        if !(self.keep && clean) {
            return;
        }
        self.deadline.clear();
        self.input.rest();
        recycle(std::mem::take(&mut self.output));
        self.written = 0;
        let peer = Rc::clone(&self.peer);
        let idle = self.options.idle_timeout.as_millis() as u64;
        let until = if idle == 0 { u64::MAX } else { peer.timers().now() + idle };
        let most = self.options.most_idle;
        peer.park(self, until, most);
    }

    fn poll_chunks(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        loop {
            let Reading::Chunked(decoder) = &mut self.reading else { return Poll::Ready(Ok(Fill::End)) };
            let unread = self.input.unread();
            let decoded = decoder.decode(unread, room).map_err(BodyError::UpstreamMalformed)?;
            let data = decoded.data;
            let filled = !data.is_empty();
            out.extend_from_slice(&unread[data]);
            if decoded.done {
                self.trailers = decoder.trailers().map_err(BodyError::UpstreamMalformed)?;
            }
            self.input.consume(decoded.used);
            if filled {
                return Poll::Ready(Ok(Fill::Data));
            }
            if decoded.done {
                return Poll::Ready(Ok(Fill::End));
            }
            if self.input.is_empty() && ready!(self.poll_more(cx))? == 0 {
                return Poll::Ready(Err(BodyError::UpstreamClosed));
            }
        }
    }
}
