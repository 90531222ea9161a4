//! A request's body for more than one attempt.
//!
//! A node that may offer a request to one backend after the other can't give its body away: a backend may
//! answer "not mine" when it has read half of it. A [`Replay`] keeps the body and gives each attempt one of
//! its own, which begins with what earlier attempts have read and goes on with what the client has still to
//! send. There is one reader of the client's body, whatever becomes of the attempts; what it reads is
//! appended to a buffer they share, up to a limit; each attempt has a place of its own in it.
//!
//! Promised: an attempt yields the body from its first byte to its last, with its trailers, or an error (and
//! the same again when it is rewound, which it can be as long as there may be another one); part of a body
//! never ends as if it were the whole. Nothing is read before an attempt asks for it. A body that is in memory
//! already costs nothing, neither does one that no attempt was made with. Past the limit there are no further
//! attempts; the one in hand goes on, and the buffer is let go.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use waypost_http1::Fields;

use crate::body::{Body, BodyError, Fill, Source};
use crate::kept::{Kept, Position};

/// A body, and the attempts that are made with it. While this lives, what is read of the body is kept.
#[derive(Debug)]
pub struct Replay {
    state: State,
    limit: u64,
}

#[derive(Debug)]
enum State {
    /// No attempt was made yet: the body as it came. One that is in memory stays here, since every attempt
    /// gets a copy of it that shares its bytes.
    Whole(Body),
    /// Attempts were made with a body that is read piece by piece.
    Shared(Rc<RefCell<Shared>>),
}

/// What the attempts share, held by the [`Replay`] as long as there may be more of them, and by the body of
/// the attempt in hand.
#[derive(Debug)]
struct Shared {
    /// The client's body. It stays here when an attempt is dropped in the middle.
    reader: Body,
    /// How long it is, if that was said. One whose length nobody said is sent on like that, although it is
    /// known at its end: trailers need the room.
    length: Option<u64>,
    /// What has come out of the reader, from the first byte on while `keeping`; else what the attempt in
    /// hand has not had yet, and perhaps a little before that.
    kept: Kept,
    /// There may be another attempt: neither has the limit been passed nor the [`Replay`] been dropped.
    keeping: bool,
    /// How much has come out of the reader.
    read: u64,
    /// How much of it may be kept.
    limit: u64,
    /// How the reader ended, if it has.
    end: Option<End>,
    /// The number of the attempt in hand. Those before it get no more of the body.
    attempt: u32,
    /// The attempt in hand has been given the body to its end.
    delivered: bool,
}

#[derive(Debug)]
enum End {
    /// With the whole body, and these trailers.
    Whole(Option<Fields>),
    /// With an error, which one attempt was told; the reader isn't asked again.
    Broken,
}

/// The body of one attempt.
struct Attempt {
    shared: Rc<RefCell<Shared>>,
    number: u32,
    /// How far it is in what is kept.
    position: Position,
}

impl Replay {
    /// Takes charge of a request's body, of which at most `limit` bytes are kept for further attempts.
    pub fn new(body: Body, limit: u64) -> Replay {
        // Whoever has had some of it before has broken it.
        Replay { state: State::Whole(body.rewound()), limit }
    }

    /// The body for the next attempt: all of it, or a spent one if that can't be had any more
    /// ([`Replay::is_possible`]). The attempt before it gets no more.
    pub fn attempt(&mut self) -> Body {
        if let State::Whole(body) = &mut self.state {
            if let Some(again) = body.shared() {
                return again;
            }
            if body.is_touched() {
                return Body::spent();
            }
            let shared = Shared {
                length: body.length(),
                reader: std::mem::take(body),
                kept: Kept::default(),
                keeping: true,
                read: 0,
                limit: self.limit,
                end: None,
                attempt: 0,
                delivered: false,
            };
            self.state = State::Shared(Rc::new(RefCell::new(shared)));
        }
        match &self.state {
            State::Shared(shared) if self.is_possible() => Attempt::begin(shared),
            _ => Body::spent(),
        }
    }

    /// The body for the last attempt: what it has read is not kept any more.
    pub fn last(mut self) -> Body {
        match &mut self.state {
            State::Whole(body) => std::mem::take(body),
            State::Shared(_) => self.attempt(),
        }
    }

    /// Whether another attempt would get the whole body.
    pub fn is_possible(&self) -> bool {
        match &self.state {
            State::Whole(body) => !body.is_touched(),
            State::Shared(shared) => {
                let shared = shared.borrow();
                shared.keeping && !matches!(shared.end, Some(End::Broken))
            }
        }
    }

    /// Whether the attempt in hand has taken all it can get: nothing more comes from the client for it.
    pub fn is_delivered(&self) -> bool {
        match &self.state {
            State::Whole(_) => true,
            State::Shared(shared) => shared.borrow().delivered,
        }
    }
}

impl Drop for Replay {
    /// The attempt in hand is the last one.
    fn drop(&mut self) {
        if let State::Shared(shared) = &self.state {
            let mut shared = shared.borrow_mut();
            shared.keeping = false;
            if shared.delivered {
                // Nobody asks for any of it again, however long the answer takes.
                shared.kept.let_go();
            }
        }
    }
}

impl Attempt {
    fn begin(shared: &Rc<RefCell<Shared>>) -> Body {
        let (number, length) = {
            let mut shared = shared.borrow_mut();
            shared.attempt += 1;
            shared.delivered = false;
            (shared.attempt, shared.length)
        };
        let attempt = Attempt { shared: Rc::clone(shared), number, position: Position::default() };
        Body::stream(Box::new(attempt), length)
    }
}

impl Source for Attempt {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        let shared = &mut *self.shared.borrow_mut();
        if shared.attempt != self.number {
            return Poll::Ready(Err(BodyError::Spent));
        }
        if shared.kept.copy(&mut self.position, out, room) {
            if !shared.keeping {
                shared.kept.let_go_before(self.position);
            }
            return Poll::Ready(Ok(Fill::Data));
        }
        let filled = ready!(shared.poll_reader(cx, out, room));
        self.position = shared.kept.end();
        Poll::Ready(filled)
    }

    fn trailers(&mut self) -> Option<Fields> {
        let mut shared = self.shared.borrow_mut();
        let keeping = shared.keeping;
        match &mut shared.end {
            Some(End::Whole(trailers)) if keeping => trailers.clone(),
            Some(End::Whole(trailers)) => trailers.take(),
            _ => None,
        }
    }

    fn release(self: Box<Self>) -> Option<Box<dyn Source>> {
        Some(self)
    }

    /// A connection that turns out dead takes an attempt's body with it, which goes out again over another one.
    fn rewind(&mut self) -> bool {
        let shared = &mut *self.shared.borrow_mut();
        let is_possible =
            shared.attempt == self.number && shared.keeping && !matches!(shared.end, Some(End::Broken));
        if is_possible {
            self.position = Position::default();
            shared.delivered = false;
        }
        is_possible
    }
}

impl Shared {
    /// Reads on where what is kept has ended, for the attempt in hand, which has had all of that.
    fn poll_reader(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        if !self.keeping {
            self.kept.let_go();
        }
        match &self.end {
            Some(End::Whole(_)) => {
                self.delivered = true;
                return Poll::Ready(Ok(Fill::End));
            }
            Some(End::Broken) => return Poll::Ready(Err(BodyError::Spent)),
            None => {}
        }
        let before = out.len();
        match ready!(self.reader.poll_fill(cx, out, room)) {
            Ok(Fill::Data) => {
                let fresh = &out[before..];
                self.read += fresh.len() as u64;
                if self.keeping && self.read <= self.limit {
                    self.kept.append(fresh);
                } else {
                    self.keeping = false;
                    self.kept.let_go();
                }
                Poll::Ready(Ok(Fill::Data))
            }
            Ok(Fill::End) => {
                self.end = Some(End::Whole(self.reader.take_trailers()));
                self.delivered = true;
                Poll::Ready(Ok(Fill::End))
            }
            Err(error) => {
                self.end = Some(End::Broken);
                Poll::Ready(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests;
