//! One connection to one server, driven by the task that uses it: no task of its own, no channel.
//!
//! Writing and reading go on side by side, so that neither side ever waits with full buffers for the other.
//! While requests are under way the connection is out of step; it is in step again when every reply has been
//! read. One that is dropped, or given up, in between must not be used again: [`Connection::is_in_step`] says
//! so, and the pool closes it.

mod open;
mod stream;
mod target;
mod timer;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use self::stream::Stream;
pub(crate) use self::target::{Login, Place, Speech, Target};
use self::timer::Timer;
use crate::error::Error;
use crate::key::KeyError;
use crate::protocol::{
    Create, Dialect, Outgoing, Pipeline, ProtocolError, Refusal, RefusalKind, Replies, Reply, Request,
    StoreMode,
};

/// What is reserved for reading, at least.
const READ: usize = 16 * 1024;
/// A receive buffer that has grown beyond this isn't kept.
const KEPT: usize = 256 * 1024;
/// How often an item is changed and added in turn, when others delete and add it in between.
const COMPOSE_ATTEMPTS: usize = 8;
/// From this size on, the server is asked how large items may be before a value is sent.
const LARGE_VALUE: usize = 512 * 1024;
/// The largest item any memcached can be told to take.
const LARGEST_ITEM: usize = 1 << 30;

/// The size of a value, with its key, that the server may refuse for it.
fn size_if_large(request: &Request) -> Option<usize> {
    match request {
        Request::Store { key, value, .. } if value.len() >= LARGE_VALUE => {
            Some(key.as_bytes().len() + value.len())
        }
        _ => None,
    }
}

/// An open connection, past authentication.
#[derive(Debug)]
pub(crate) struct Connection {
    server: Arc<str>,
    stream: Stream,
    pipeline: Pipeline,
    out: Outgoing,
    /// What has been given to TLS may still lie in its buffer.
    flushed: bool,
    /// Why nothing more can be written. What the server said before is still read.
    write_failure: Option<io::Error>,
    input: BytesMut,
    in_step: bool,
    timer: Timer,
    /// Whether the server makes an item that is missing when something is appended to it.
    vivifies: bool,
    /// Whether the server spares a read when the token is still the same.
    compares: bool,
    /// The server's item size, once it was asked for; `None` in it when it doesn't tell.
    item_limit: Option<Option<usize>>,
}

impl Connection {
    /// Whether every reply was read, so that it can be used for other requests.
    pub(crate) fn is_in_step(&self) -> bool {
        self.in_step
    }

    /// Whether an idle connection can be used: the server has not closed it. `surely` asks the system, which
    /// knows of what the runtime has not heard yet.
    pub(crate) fn is_alive(&self, surely: bool) -> bool {
        self.stream.is_quiet(surely)
    }

    /// The timer of this connection's operations, kept between them.
    pub(crate) fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }

    /// Sends requests and reads their replies into their places. Requests whose reply is there already are
    /// not sent.
    ///
    /// # Errors
    /// When the connection broke: places without a reply are of requests whose fate is unknown.
    pub(crate) async fn execute(&mut self, requests: &[Request], replies: &mut Replies) -> Result<(), Error> {
        if requests.iter().any(|request| self.needs_care(request)) {
            // Apart, so that what is seldom needed isn't carried along by every request.
            return Box::pin(self.execute_with_care(requests, replies)).await;
        }
        self.exchange(requests, replies).await
    }

    /// Whether a request is not just sent.
    fn needs_care(&self, request: &Request) -> bool {
        self.lacks(request) || self.cannot(request) || size_if_large(request).is_some()
    }

    async fn execute_with_care(&mut self, requests: &[Request], replies: &mut Replies) -> Result<(), Error> {
        for (request, reply) in requests.iter().zip(replies.iter_mut()) {
            if self.cannot(request) {
                let message = "the text protocol can't delete by token".to_owned();
                let refusal = Refusal { kind: RefusalKind::UnknownCommand, message };
                *reply = Some(Ok(Reply::Refused(refusal)));
            }
        }
        self.refuse_large_values(requests, replies).await?;
        let mut from = 0;
        while from < requests.len() {
            let lacking = |to: &usize| replies[*to].is_none() && self.lacks(&requests[*to]);
            let to = (from..requests.len()).find(lacking).unwrap_or(requests.len());
            self.exchange(&requests[from..to], &mut replies[from..to]).await?;
            if let Some(request) = requests.get(to) {
                replies[to] = self.compose(request).await?;
            }
            from = to + 1;
        }
        Ok(())
    }

    /// Whether a request is one that the protocol doesn't have.
    fn cannot(&self, request: &Request) -> bool {
        self.pipeline.dialect() == Dialect::Text && matches!(request, Request::Delete { cas: Some(_), .. })
    }

    /// Whether a request is one that the server has no single command for.
    fn lacks(&self, request: &Request) -> bool {
        match request {
            Request::Arithmetic { create: Some(_), .. } => self.pipeline.dialect() == Dialect::Text,
            Request::Store { mode: StoreMode::AppendOrSet, .. } => !self.vivifies,
            Request::GetIfChanged { .. } => !self.compares,
            _ => false,
        }
    }

    /// Does what the server has no single command for: the part that needs an item, `add` when there is none,
    /// and when somebody else was faster, the first once more.
    async fn compose(&mut self, request: &Request) -> Result<Option<Result<Reply, KeyError>>, Error> {
        if let Request::GetIfChanged { key, token } = request {
            let get = Request::Get { key: key.clone(), cas: true, ttl: false, touch: None };
            return Ok(match self.exchange_one(&get).await? {
                Some(Ok(Reply::Item(item))) if item.cas == Some(*token) => Some(Ok(Reply::Unchanged)),
                reply => reply,
            });
        }
        let (mut first, mut add) = (request.clone(), request.clone());
        let (missing, made) = match (&mut first, &mut add) {
            (Request::Arithmetic { create, .. }, Request::Arithmetic { key, .. }) => {
                let Some(Create { initial, ttl }) = create.take() else { return Ok(None) };
                let (mode, value) = (StoreMode::Add, Bytes::from(initial.to_string()));
                add = Request::Store { mode, key: key.clone(), value, flags: 0, ttl, cas: None };
                (Reply::NotFound, Reply::Number(initial))
            }
            (Request::Store { mode: append, .. }, Request::Store { mode: add, .. }) => {
                (*append, *add) = (StoreMode::Append, StoreMode::Add);
                (Reply::NotStored, Reply::Done)
            }
            _ => return Ok(None),
        };
        for _ in 0..COMPOSE_ATTEMPTS {
            let reply = self.exchange_one(&first).await?;
            if reply != Some(Ok(missing.clone())) {
                return Ok(reply);
            }
            match self.exchange_one(&add).await? {
                Some(Ok(Reply::Done)) => return Ok(Some(Ok(made))),
                Some(Ok(Reply::NotStored)) => {}
                other => return Ok(other),
            }
        }
        Ok(Some(Ok(Reply::NotStored)))
    }

    async fn exchange_one(&mut self, request: &Request) -> Result<Option<Result<Reply, KeyError>>, Error> {
        let mut reply = [None];
        self.exchange(std::slice::from_ref(request), &mut reply).await?;
        let [reply] = reply;
        Ok(reply)
    }

    /// Answers requests to store what is too large for the server.
    async fn refuse_large_values(
        &mut self,
        requests: &[Request],
        replies: &mut Replies,
    ) -> Result<(), Error> {
        if requests.iter().all(|request| size_if_large(request).is_none()) {
            return Ok(());
        }
        let limit = self.learn_item_limit().await?.unwrap_or(LARGEST_ITEM).min(LARGEST_ITEM);
        for (request, reply) in requests.iter().zip(replies) {
            if size_if_large(request).is_some_and(|size| size >= limit) {
                let kind = RefusalKind::TooLarge { limit: Some(limit) };
                *reply = Some(Ok(Reply::Refused(Refusal { kind, message: String::new() })));
            }
        }
        Ok(())
    }

    async fn learn_item_limit(&mut self) -> Result<Option<usize>, Error> {
        if let Some(known) = self.item_limit {
            return Ok(known);
        }
        let request = Request::Stats { argument: Some(Bytes::from_static(b"settings")) };
        let limit = match self.exchange_one(&request).await? {
            Some(Ok(Reply::Stats(stats))) => {
                let found = stats.iter().find(|(name, _)| name == "item_size_max");
                found.and_then(|(_, value)| value.parse().ok())
            }
            _ => None,
        };
        self.item_limit = Some(limit);
        Ok(limit)
    }

    /// Writes requests and reads replies until all are there.
    async fn exchange(&mut self, requests: &[Request], replies: &mut Replies) -> Result<(), Error> {
        self.in_step = false;
        let mut next = 0;
        loop {
            next = self.pipeline.send(requests, next, &mut self.out, replies);
            let more = next < requests.len();
            if !more && self.out.is_empty() && self.pipeline.is_idle() {
                break;
            }
            let due = match self.pipeline.receive(requests, &mut self.input, replies) {
                Ok(due) => due.unwrap_or(0),
                Err(source) => return Err(self.protocol_error(source)),
            };
            if self.pipeline.is_idle() && self.out.is_empty() {
                continue;
            }
            poll_fn(|cx| self.poll_progress(cx, due, more)).await?;
        }
        self.in_step = true;
        if self.input.capacity() > KEPT {
            self.input = BytesMut::new();
        }
        Ok(())
    }

    fn protocol_error(&self, source: ProtocolError) -> Error {
        Error::Protocol { server: self.server.clone(), source }
    }

    /// Writes what can be written and reads what has come; done when something was read, or when there is
    /// room for `more` requests.
    fn poll_progress(&mut self, cx: &mut Context<'_>, due: usize, more: bool) -> Poll<Result<(), Error>> {
        let before = self.out.len();
        if self.write_failure.is_none()
            && let Poll::Ready(Err(error)) = self.poll_write(cx)
        {
            self.write_failure = Some(error);
        }
        if more && self.out.is_empty() && before > 0 && self.write_failure.is_none() {
            return Poll::Ready(Ok(()));
        }
        // Twice as much as has come, at most: what a server only announces is not reserved.
        let missing = due.saturating_sub(self.input.len());
        self.input.reserve(missing.min(self.input.len()).max(READ));
        match ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input)) {
            Ok(0) => Poll::Ready(Err(self.broken(io::ErrorKind::UnexpectedEof.into()))),
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(self.broken(error))),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let written = if let Some(all) = self.out.contiguous() {
                stream.poll_write(cx, all)
            } else {
                let mut slices = [IoSlice::new(&[]); 16];
                let used = self.out.slices(&mut slices);
                stream.poll_write_vectored(cx, &slices[..used])
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.out.advance(written),
            }
            self.flushed = false;
        }
        if !self.flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn broken(&mut self, error: io::Error) -> Error {
        let server = self.server.clone();
        match self.write_failure.take() {
            Some(first) => Error::Write { server, source: Arc::new(first) },
            None => Error::Read { server, source: Arc::new(error) },
        }
    }
}
