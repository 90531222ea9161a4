//! What was sent and not yet answered, and which reply answers what.
//!
//! Reads that follow each other are sent as a run: quiet requests with a fence behind them in the meta and
//! binary protocols, one line with many keys in the text protocol, whose `END` is such a fence. A reply is
//! matched by its tag, or by the key in front of its value; what a run skips isn't there. Whatever doesn't
//! match is an error, after which the connection is of no use.

use std::collections::VecDeque;
use std::mem;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::frame::{Frame, RefusalKind, Status, Step};
use super::{
    Dialect, Item, Limits, Outgoing, ProtocolError, Reply, Request, StoreMode, binary, line, meta, text,
};
use crate::key::KeyError;

/// How many bytes are gathered before the first of them is written.
const WINDOW_BYTES: usize = 64 * 1024;
/// How many requests wait for their replies at most.
const WINDOW_REQUESTS: usize = 1024;
/// Values up to this size are copied out of the receive buffer, so that a small one doesn't keep it alive.
const COPIED: usize = 4 * 1024;

/// The answers to a list of requests, each at its request's place once it is there. As long as the list.
pub type Replies = [Option<Result<Reply, KeyError>>];

/// Requests on their way on one connection.
#[derive(Debug)]
pub struct Pipeline {
    dialect: Dialect,
    limits: Limits,
    expected: VecDeque<Expected>,
    next_tag: u32,
    /// Statistics that came so far.
    stats: Vec<(String, String)>,
}

/// A reply that is due.
#[derive(Debug, Clone, Copy)]
struct Expected {
    /// The place of its request; of no meaning for a fence.
    place: usize,
    tag: u32,
    /// The server says nothing where there is no item.
    quiet: bool,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Item,
    /// An item, or that it is as it was.
    Change,
    Touched,
    Stored(StoreMode),
    Deleted,
    Number,
    Version,
    Flushed,
    Stats,
    Fence,
    Auth,
}

/// A reply whose value is still in the receive buffer.
struct Found {
    place: usize,
    item: Item,
    value: Range<usize>,
}

impl Pipeline {
    /// Nothing sent, nothing due.
    pub fn new(dialect: Dialect, limits: Limits) -> Pipeline {
        Pipeline { dialect, limits, expected: VecDeque::new(), next_tag: 0, stats: Vec::new() }
    }

    /// Whether every request was answered.
    pub fn is_idle(&self) -> bool {
        self.expected.is_empty()
    }

    /// The protocol it speaks.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Writes requests, beginning with the one at place `next`, as many as the window has room for. Returns
    /// the place of the first one that is left. A request that has its reply already is not sent; one whose key
    /// can't be sent is answered in `replies`.
    ///
    /// # Panics
    /// When `replies` is shorter than `requests`, here and in [`Pipeline::receive`].
    pub fn send(
        &mut self,
        requests: &[Request],
        mut next: usize,
        out: &mut Outgoing,
        replies: &mut Replies,
    ) -> usize {
        while let Some(request) = requests.get(next) {
            if out.len() >= WINDOW_BYTES || self.expected.len() >= WINDOW_REQUESTS {
                break;
            }
            if replies[next].is_some() {
                next += 1;
                continue;
            }
            let reads = requests[next..]
                .iter()
                .take(WINDOW_REQUESTS)
                .take_while(|request| reads_alike(request, &requests[next]))
                .count();
            match (self.dialect, reads) {
                (Dialect::Text, 1..) => {
                    next += self.send_line(&requests[next..][..reads], next, out, replies)
                }
                (_, 2..) => next += self.send_run(&requests[next..][..reads], next, out),
                _ => {
                    self.send_one(request, next, false, out, replies);
                    next += 1;
                }
            }
        }
        next
    }

    /// Sends SASL's `PLAIN` (binary protocol).
    pub(crate) fn send_auth(&mut self, user: &str, password: &str, out: &mut Outgoing) {
        let tag = self.await_reply(0, false, Kind::Auth);
        binary::encode_auth(user, password, tag, out);
    }

    /// Expects the answer to ASCII authentication, which looks like that to `set`.
    pub(crate) fn expect_auth(&mut self) {
        self.await_reply(0, false, Kind::Auth);
    }

    fn await_reply(&mut self, place: usize, quiet: bool, kind: Kind) -> u32 {
        let tag = self.next_tag;
        self.next_tag = tag.wrapping_add(1);
        self.expected.push_back(Expected { place, tag, quiet, kind });
        tag
    }

    fn send_one(
        &mut self,
        request: &Request,
        place: usize,
        quiet: bool,
        out: &mut Outgoing,
        replies: &mut Replies,
    ) {
        let tag = self.next_tag;
        match self.dialect {
            Dialect::Binary => binary::encode(request, tag, quiet, out),
            Dialect::Meta if meta::encode(request, tag, quiet, out) => {}
            Dialect::Meta | Dialect::Text => {
                if let Err(error) = text::encode(request, out) {
                    replies[place] = Some(Err(error));
                    return;
                }
            }
        }
        let kind = match request {
            Request::Get { .. } => Kind::Item,
            Request::GetIfChanged { .. } => Kind::Change,
            Request::Touch { .. } => Kind::Touched,
            Request::Store { mode, .. } => Kind::Stored(*mode),
            Request::Delete { .. } => Kind::Deleted,
            Request::Arithmetic { .. } => Kind::Number,
            Request::Version => Kind::Version,
            Request::Flush { .. } => Kind::Flushed,
            Request::Stats { .. } => Kind::Stats,
        };
        self.await_reply(place, quiet, kind);
    }

    /// Quiet reads with a fence behind them.
    fn send_run(&mut self, run: &[Request], first: usize, out: &mut Outgoing) -> usize {
        let mut sent = 0;
        for request in run {
            if out.len() >= WINDOW_BYTES {
                break;
            }
            // Meta and binary can carry every key.
            self.send_one(request, first + sent, true, out, &mut []);
            sent += 1;
        }
        let tag = self.await_reply(0, false, Kind::Fence);
        match self.dialect {
            Dialect::Binary => binary::encode_fence(tag, out),
            Dialect::Meta | Dialect::Text => out.put(meta::FENCE),
        }
        sent
    }

    /// Reads in one line of the text protocol.
    fn send_line(
        &mut self,
        run: &[Request],
        first: usize,
        out: &mut Outgoing,
        replies: &mut Replies,
    ) -> usize {
        let run = &run[..run.len().min(text::KEYS_PER_LINE)];
        let mut begun = false;
        for (at, request) in run.iter().enumerate() {
            let (key, cas, touch) = match request {
                Request::Get { key, cas, touch, .. } => (key, *cas, *touch),
                Request::GetIfChanged { key, .. } => (key, true, None),
                _ => continue,
            };
            match key.plain() {
                Err(error) => replies[first + at] = Some(Err(error)),
                Ok(plain) => {
                    if !begun {
                        text::begin_get(cas, touch, out);
                        begun = true;
                    }
                    out.put(b" ");
                    out.put(plain);
                    self.await_reply(first + at, true, Kind::Item);
                }
            }
        }
        if begun {
            out.put(b"\r\n");
            self.await_reply(0, false, Kind::Fence);
        }
        run.len()
    }

    /// Takes complete replies to `requests`, those that were sent, off the front of `input` and puts them into
    /// their places. Returns how many bytes `input` must have for the next one, `None` when nothing is due.
    ///
    /// # Errors
    /// When the server sent what it wasn't asked for. The replies before it are in their places.
    pub fn receive(
        &mut self,
        requests: &[Request],
        input: &mut BytesMut,
        replies: &mut Replies,
    ) -> Result<Option<usize>, ProtocolError> {
        while let Some(front) = self.expected.front() {
            let decode = match (self.dialect, &front.kind) {
                (Dialect::Binary, _) => binary::decode,
                (Dialect::Text, _) => text::decode,
                (Dialect::Meta, Kind::Version | Kind::Flushed | Kind::Stats | Kind::Auth) => text::decode,
                (Dialect::Meta, _) => meta::decode,
            };
            let (frame, length) = match decode(input, &self.limits)? {
                Step::Complete(frame, length) => (frame, length),
                Step::Partial(needed) => return Ok(Some(needed)),
            };
            match self.accept(frame, input, requests, replies)? {
                None => input.advance(length),
                Some(Found { place, mut item, value }) => {
                    if value.len() <= COPIED {
                        item.value = Bytes::copy_from_slice(&input[value]);
                        input.advance(length);
                    } else {
                        item.value = input.split_to(length).freeze().slice(value);
                    }
                    replies[place] = Some(Ok(Reply::Item(item)));
                }
            }
        }
        if input.is_empty() { Ok(None) } else { Err(ProtocolError::Surplus) }
    }

    /// Finds out what a frame answers, and puts the answer into its place, unless it has a value.
    fn accept(
        &mut self,
        frame: Frame<'_>,
        input: &[u8],
        requests: &[Request],
        replies: &mut Replies,
    ) -> Result<Option<Found>, ProtocolError> {
        let frame = match frame {
            Frame::Stat { tag, name, value } => return self.accept_stat(tag, name, value).map(|()| None),
            frame => frame,
        };
        let expected = self.skip_to(&frame, requests, replies)?;
        let place = expected.place;
        let reply = match (expected.kind, frame) {
            (Kind::Item | Kind::Change, Frame::Item { flags, cas, ttl, value, .. }) => {
                let item = Item { value: Bytes::new(), flags, cas, ttl };
                return Ok(Some(Found { place, item, value }));
            }
            (Kind::Fence, Frame::Fence { .. }) => return Ok(None),
            (Kind::Stats, Frame::Fence { .. } | Frame::Status { status: Status::Ok, .. }) => {
                Reply::Stats(mem::take(&mut self.stats))
            }
            (Kind::Number, Frame::Number { value, .. }) => Reply::Number(value),
            (Kind::Number, Frame::Item { value, .. }) => Reply::Number(line::number(&input[value])?),
            (Kind::Version, Frame::Version { text, .. }) => {
                Reply::Version(String::from_utf8_lossy(text).into_owned())
            }
            (kind, Frame::Refused { refusal, .. }) => {
                let had_value = matches!(kind, Kind::Stored(_));
                let fatal = self.dialect != Dialect::Binary && !refusal.is_in_step(had_value);
                let fatal = fatal || refusal.kind == RefusalKind::Auth;
                let message = refusal.message.clone();
                replies[place] = Some(Ok(Reply::Refused(refusal)));
                return if fatal { Err(ProtocolError::Complaint(message)) } else { Ok(None) };
            }
            (kind, Frame::Status { status, .. }) => {
                ending(kind, status).ok_or(ProtocolError::Mismatch("it is of another kind"))?
            }
            _ => return Err(ProtocolError::Mismatch("it is of another kind")),
        };
        replies[place] = Some(Ok(reply));
        Ok(None)
    }

    /// The request that a frame answers. Quiet reads before it have no item: that is only believed when there
    /// is such a request.
    fn skip_to(
        &mut self,
        frame: &Frame<'_>,
        requests: &[Request],
        replies: &mut Replies,
    ) -> Result<Expected, ProtocolError> {
        let mut skipped = 0;
        let found = loop {
            let expected = *self.expected.get(skipped).ok_or(ProtocolError::Surplus)?;
            if expected.is_answered_by(frame, requests, self.dialect) {
                break expected;
            }
            match frame {
                Frame::Refused { tag, refusal } if tag.is_none() || !expected.quiet => {
                    return Err(ProtocolError::Complaint(refusal.message.clone()));
                }
                _ if !expected.quiet => {
                    return Err(ProtocolError::Mismatch("its tag or its key is another"));
                }
                _ => skipped += 1,
            }
        };
        for missing in self.expected.iter().take(skipped) {
            replies[missing.place] = Some(Ok(Reply::NotFound));
        }
        self.expected.drain(..=skipped);
        Ok(found)
    }

    fn accept_stat(&mut self, tag: Option<u32>, name: &[u8], value: &[u8]) -> Result<(), ProtocolError> {
        let front = self.expected.front();
        let asked = front
            .is_some_and(|front| matches!(front.kind, Kind::Stats) && tag.is_none_or(|tag| tag == front.tag));
        if !asked {
            return Err(ProtocolError::Mismatch("statistics that nobody asked for"));
        }
        if self.stats.len() >= self.limits.stats {
            return Err(ProtocolError::LongList(self.limits.stats));
        }
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.stats.push((text(name), text(value)));
        Ok(())
    }
}

impl Expected {
    fn is_answered_by(&self, frame: &Frame<'_>, requests: &[Request], dialect: Dialect) -> bool {
        let (Frame::Item { tag, .. }
        | Frame::Number { tag, .. }
        | Frame::Status { tag, .. }
        | Frame::Fence { tag }
        | Frame::Stat { tag, .. }
        | Frame::Version { tag, .. }
        | Frame::Refused { tag, .. }) = frame;
        match (tag, frame, self.kind) {
            // Nothing else may stand for the end of a run: what comes before it would be taken for missing.
            (_, frame, Kind::Fence) if !matches!(frame, Frame::Fence { .. }) => false,
            (Some(tag), ..) => *tag == self.tag,
            (None, Frame::Item { key: Some(found), .. }, Kind::Item | Kind::Change) => {
                let key = requests.get(self.place).and_then(Request::key);
                key.is_some_and(|key| *found == key.as_bytes())
            }
            // With a tag sent, a server leaves it out of refusals and fences, and older ones when there
            // is no item.
            (None, Frame::Item { .. } | Frame::Status { status: Status::Done, .. }, _) => {
                dialect == Dialect::Text
            }
            (None, ..) => !self.quiet,
        }
    }
}

/// Whether two requests can be in one run of reads.
fn reads_alike(one: &Request, other: &Request) -> bool {
    match (one, other) {
        (Request::Get { cas, touch, .. }, Request::Get { cas: other_cas, touch: other_touch, .. }) => {
            cas == other_cas && touch == other_touch
        }
        (Request::GetIfChanged { .. }, Request::GetIfChanged { .. }) => true,
        _ => false,
    }
}

/// What a status means for a kind of request; `None` when no server ends such a request this way.
fn ending(kind: Kind, status: Status) -> Option<Reply> {
    let reply = match (kind, status) {
        (Kind::Item | Kind::Change, Status::Miss | Status::NotFound) => Reply::NotFound,
        (Kind::Change, Status::Done) => Reply::Unchanged,
        (Kind::Touched, Status::Done | Status::Touched) => Reply::Done,
        (Kind::Touched, Status::Miss | Status::NotFound) => Reply::NotFound,
        (Kind::Stored(_), Status::Done | Status::Stored) => Reply::Done,
        (Kind::Stored(_), Status::NotStored) => Reply::NotStored,
        // The binary protocol names what it found rather than the condition that was not met.
        (Kind::Stored(StoreMode::Add), Status::Exists) => Reply::NotStored,
        (Kind::Stored(StoreMode::Replace | StoreMode::Append | StoreMode::Prepend), Status::NotFound) => {
            Reply::NotStored
        }
        (Kind::Stored(_), Status::Exists) => Reply::Exists,
        (Kind::Stored(_), Status::NotFound) => Reply::NotFound,
        (Kind::Deleted, Status::Done | Status::Deleted) => Reply::Done,
        (Kind::Deleted, Status::NotFound) => Reply::NotFound,
        (Kind::Deleted, Status::Exists) => Reply::Exists,
        (Kind::Number, Status::NotFound) => Reply::NotFound,
        (Kind::Number, Status::NotStored) => Reply::NotStored,
        (Kind::Flushed, Status::Done | Status::Ok) => Reply::Done,
        (Kind::Auth, Status::Done | Status::Stored) => Reply::Done,
        _ => return None,
    };
    Some(reply)
}
