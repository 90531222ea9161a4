//! A request's body on its way to a handler.
//!
//! Handlers want a body that is `Send` and owned; ours is neither, since it reads the client's connection. So
//! there is a pipe between them, for one piece: the handler's end asks, and only then is the body read, by the
//! task that runs the handler. What the handler didn't ask for stays unread, for the next backend or for the
//! end of the exchange, and nothing is buffered.
//!
//! The lock is held for a few instructions and by one thread, unless the handler reads its body on another.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::head;
use crate::body::{Body, BodyError, Fill};

/// So much is read for a handler at once.
const PIECE: usize = 32 * 1024;

/// Why a handler can't have the rest of a request's body.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequestBodyError {
    /// Reading it from the client failed.
    #[error("{0}")]
    Read(String),
    /// The exchange is over: somebody kept the body longer than the handler's answer took.
    #[error("the request's body outlived its exchange")]
    Over,
}

/// What lies between the two ends.
#[derive(Debug, Default)]
struct Pipe {
    /// The handler wants the next piece.
    wanted: bool,
    /// The handler has let go of its end.
    dropped: bool,
    /// The next piece, or what ended the body; empty while there is none yet.
    next: Option<Next>,
    /// Who is waiting for it.
    reader: Option<Waker>,
    /// The task that runs the handler, while nothing is wanted.
    feeder: Option<Waker>,
}

#[derive(Debug)]
enum Next {
    Data(Bytes),
    End(Option<HeaderMap>),
    Failed(RequestBodyError),
}

fn lock(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    // What is inside is whole between any two statements, whoever panicked.
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The two ends for a body. One that is empty needs nothing between them.
pub(super) fn pipe(body: &Body) -> (Feeder, RequestBody) {
    if body.is_empty() {
        return (Feeder { pipe: None, starved: false }, RequestBody { pipe: None, left: Some(0) });
    }
    let pipe = Arc::default();
    let feeder = Feeder { pipe: Some(Arc::clone(&pipe)), starved: false };
    (feeder, RequestBody { pipe: Some(pipe), left: body.length() })
}

/// The end where the body is read.
#[derive(Debug)]
pub(super) struct Feeder {
    /// None once there is nothing more to feed.
    pipe: Option<Arc<Mutex<Pipe>>>,
    starved: bool,
}

impl Feeder {
    /// Reads the next piece, if the handler wants one, and hands it over. Wakes the task when there is more to
    /// do. An error has been told to the handler as well.
    pub(super) fn feed(&mut self, cx: &mut Context<'_>, body: &mut Body) -> Result<(), BodyError> {
        self.starved = false;
        let Some(pipe) = &self.pipe else { return Ok(()) };
        {
            let mut pipe = lock(pipe);
            if !pipe.wanted || pipe.dropped {
                pipe.feeder = Some(cx.waker().clone());
                return Ok(());
            }
        }
        let mut piece = Vec::new();
        let (next, result) = match body.poll_fill(cx, &mut piece, PIECE) {
            Poll::Pending => {
                self.starved = true;
                return Ok(());
            }
            Poll::Ready(Ok(Fill::Data)) => (Next::Data(piece.into()), Ok(())),
            Poll::Ready(Ok(Fill::End)) => {
                (Next::End(body.take_trailers().map(|fields| head::trailers(&fields))), Ok(()))
            }
            Poll::Ready(Err(error)) => (Next::Failed(RequestBodyError::Read(error.to_string())), Err(error)),
        };
        let ended = !matches!(next, Next::Data(_));
        let reader = {
            let mut pipe = lock(pipe);
            pipe.wanted = false;
            pipe.next = Some(next);
            // Whoever reads it on another thread asks for the next piece when it likes.
            pipe.feeder = Some(cx.waker().clone());
            pipe.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        if ended {
            self.pipe = None;
        }
        result
    }

    /// Whether the handler waits for bytes that the client has yet to send.
    pub(super) fn is_starved(&self) -> bool {
        self.starved
    }

    /// Whether the handler may still ask for more.
    pub(super) fn is_wanted(&self) -> bool {
        self.pipe.as_ref().is_some_and(|pipe| !lock(pipe).dropped)
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        let Some(pipe) = self.pipe.take() else { return };
        let reader = {
            let mut pipe = lock(&pipe);
            // A piece that is there already is the handler's; behind it comes nothing.
            pipe.next.get_or_insert(Next::Failed(RequestBodyError::Over));
            pipe.feeder = None;
            pipe.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// A request's body as a handler of [`super::InProcess`] has it. It is read from the client as the handler reads
/// it, a piece at a time, and ends with the exchange.
#[derive(Debug)]
pub struct RequestBody {
    /// None once it has ended.
    pipe: Option<Arc<Mutex<Pipe>>>,
    left: Option<u64>,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Some(shared) = &self.pipe else { return Poll::Ready(None) };
        let mut pipe = lock(shared);
        let frame = match pipe.next.take() {
            None => {
                if Arc::strong_count(shared) == 1 {
                    // The other end went after it had given its last piece.
                    Some(Err(RequestBodyError::Over))
                } else {
                    pipe.wanted = true;
                    pipe.reader = Some(cx.waker().clone());
                    if let Some(feeder) = pipe.feeder.take() {
                        feeder.wake();
                    }
                    return Poll::Pending;
                }
            }
            Some(Next::Data(bytes)) => {
                drop(pipe);
                self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Some(Next::End(trailers)) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Some(Next::Failed(error)) => Some(Err(error)),
        };
        drop(pipe);
        self.pipe = None;
        self.left = Some(0);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.pipe.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(pipe) = &self.pipe {
            let mut pipe = lock(pipe);
            pipe.dropped = true;
            pipe.next = None;
        }
    }
}
