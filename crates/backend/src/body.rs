//! Bodies, in both directions.
//!
//! A body is asked for bytes and appends them to the buffer that is about to be written: nothing is read
//! before there is room for it, which is all there is to backpressure, and a large body is never held
//! whole. What ends a body early is an error and never an end.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use waypost_http1::Fields;
use waypost_http1::chunked::ChunkError;

/// Where the bytes of a streamed body come from.
pub trait Source {
    /// Appends at least one and at most `room` bytes to `out`, or says that the body has ended.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>>;

    /// The trailers, once the body has ended.
    fn trailers(&mut self) -> Option<Fields> {
        None
    }

    /// Called instead of dropping a source whose body has ended: a connection goes back to its pool, and one
    /// that could be [rewound](Source::rewind) comes back for that.
    fn release(self: Box<Self>) -> Option<Box<dyn Source>> {
        None
    }

    /// Goes back to the body's first byte, wherever it is. `false`: what has been read can't be had again.
    fn rewind(&mut self) -> bool {
        false
    }
}

/// What [`Source::poll_fill`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// There are more bytes in `out`.
    Data,
    /// The body has ended; `out` is as it was.
    End,
}

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client closed its connection in the middle of the request.
    #[error("the client went away in the middle of the request's body")]
    ClientClosed,
    /// The client stopped sending.
    #[error("the client sent no more of the request's body in time")]
    ClientTimeout,
    /// The client's body is not chunked as it says.
    #[error("the request's body is malformed: {0}")]
    ClientMalformed(ChunkError),
    /// The client's body is larger than `max_body`.
    #[error("the request's body is larger than allowed")]
    TooLarge,
    /// The body was read once already and is gone.
    #[error("the request's body has been read already")]
    Spent,
    /// The upstream closed its connection in the middle of the response.
    #[error("the upstream closed the connection in the middle of the response")]
    UpstreamClosed,
    /// The upstream stopped sending.
    #[error("the upstream sent no more of the response in time")]
    UpstreamTimeout,
    /// The upstream's body is not chunked as it says.
    #[error("the response's body is malformed: {0}")]
    UpstreamMalformed(ChunkError),
    /// A file that is sent could not be read to its end.
    #[error("reading the file failed: {0}")]
    File(io::Error),
    /// Reading from the upstream failed.
    #[error("reading the response failed: {0}")]
    UpstreamIo(io::Error),
    /// A handler inside this process broke off its answer.
    #[error("{what}")]
    Handler {
        /// Which one, and how.
        what: String,
    },
}

impl BodyError {
    /// Whether the client is at fault, and not the upstream.
    pub fn is_clients(&self) -> bool {
        matches!(
            self,
            BodyError::ClientClosed
                | BodyError::ClientTimeout
                | BodyError::ClientMalformed(_)
                | BodyError::TooLarge
        )
    }
}

/// The body of a request or a response.
#[derive(Default)]
pub struct Body {
    content: Content,
    trailers: Option<Fields>,
}

#[derive(Default)]
enum Content {
    #[default]
    Empty,
    Bytes {
        bytes: Bytes,
        taken: usize,
    },
    Stream {
        source: Box<dyn Source>,
        length: Option<u64>,
        /// What is left of it, if that is known.
        left: Option<u64>,
        touched: bool,
    },
    /// A stream that has been read to its end, with the source and its length if it could be rewound.
    Ended(Option<(Box<dyn Source>, Option<u64>)>),
    /// Read by somebody else.
    Spent,
}

impl Body {
    /// No body.
    pub fn empty() -> Body {
        Body::default()
    }

    /// A body that is in memory already.
    pub fn bytes(bytes: impl Into<Bytes>) -> Body {
        let bytes = bytes.into();
        let content = if bytes.is_empty() { Content::Empty } else { Content::Bytes { bytes, taken: 0 } };
        Body { content, trailers: None }
    }

    /// A body that comes from elsewhere, of `length` bytes if that is known. The source keeps to it.
    pub fn stream(source: Box<dyn Source>, length: Option<u64>) -> Body {
        Body { content: Content::Stream { source, length, left: length, touched: false }, trailers: None }
    }

    /// What is left where a body has been read: asking it for bytes is an error.
    pub fn spent() -> Body {
        Body { content: Content::Spent, trailers: None }
    }

    /// How many bytes are still to come, if that is known.
    pub fn length(&self) -> Option<u64> {
        match &self.content {
            Content::Empty | Content::Ended(_) | Content::Spent => Some(0),
            Content::Bytes { bytes, taken } => Some((bytes.len() - taken) as u64),
            Content::Stream { left, .. } => *left,
        }
    }

    /// Whether there never was one.
    pub fn is_empty(&self) -> bool {
        matches!(self.content, Content::Empty)
    }

    /// Whether bytes have been taken from it that can't be had again as it stands.
    pub fn is_touched(&self) -> bool {
        matches!(self.content, Content::Ended(_) | Content::Spent | Content::Stream { touched: true, .. })
    }

    /// The same body from its beginning, or a spent one if that can't be had.
    pub fn rewound(mut self) -> Body {
        match self.content {
            Content::Stream { mut source, length, touched: true, .. }
            | Content::Ended(Some((mut source, length))) => match source.rewind() {
                true => Body::stream(source, length),
                false => Body::spent(),
            },
            Content::Ended(None) => Body::spent(),
            Content::Bytes { ref mut taken, .. } => {
                *taken = 0;
                self
            }
            Content::Empty | Content::Spent | Content::Stream { .. } => self,
        }
    }

    /// Another body of the same bytes, if this one is in memory.
    pub(crate) fn shared(&self) -> Option<Body> {
        match &self.content {
            Content::Empty => Some(Body::empty()),
            Content::Bytes { bytes, .. } => Some(Body::bytes(bytes.clone())),
            Content::Stream { .. } | Content::Ended(_) | Content::Spent => None,
        }
    }

    /// Appends at least one and at most `room` bytes to `out`, or says that the body has ended. `room`
    /// is more than 0.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        match &mut self.content {
            Content::Empty | Content::Ended(_) => Poll::Ready(Ok(Fill::End)),
            Content::Spent => Poll::Ready(Err(BodyError::Spent)),
            Content::Bytes { bytes, taken } if *taken == bytes.len() => Poll::Ready(Ok(Fill::End)),
            Content::Bytes { bytes, taken } => {
                let end = bytes.len().min(*taken + room);
                out.extend_from_slice(&bytes[*taken..end]);
                *taken = end;
                Poll::Ready(Ok(Fill::Data))
            }
            Content::Stream { source, left, touched, .. } => {
                *touched = true;
                let before = out.len();
                match source.poll_fill(cx, out, room) {
                    Poll::Ready(Ok(Fill::Data)) => {
                        if let Some(left) = left {
                            *left = left.saturating_sub((out.len() - before) as u64);
                        }
                        Poll::Ready(Ok(Fill::Data))
                    }
                    Poll::Ready(Ok(Fill::End)) => {
                        self.trailers = source.trailers();
                        if let Content::Stream { source, length, .. } =
                            std::mem::replace(&mut self.content, Content::Ended(None))
                        {
                            self.content = Content::Ended(source.release().map(|source| (source, length)));
                        }
                        Poll::Ready(Ok(Fill::End))
                    }
                    other => other,
                }
            }
        }
    }

    /// The trailers, once the body has ended.
    pub fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.length() {
            Some(length) => write!(f, "Body({length} bytes)"),
            None => f.write_str("Body(stream)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn fill(body: &mut Body, room: usize) -> (Vec<u8>, Fill) {
        let mut out = Vec::new();
        match body.poll_fill(&mut Context::from_waker(Waker::noop()), &mut out, room) {
            Poll::Ready(Ok(fill)) => (out, fill),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bytes_come_in_pieces_and_again_from_the_beginning() {
        let mut body = Body::bytes("hello");
        assert_eq!(fill(&mut body, 3), (b"hel".to_vec(), Fill::Data));
        assert_eq!(body.length(), Some(2));
        let mut body = body.rewound();
        assert_eq!(fill(&mut body, 9), (b"hello".to_vec(), Fill::Data));
        assert_eq!(fill(&mut body, 9), (vec![], Fill::End));
    }

    struct Once(bool);
    impl Source for Once {
        fn poll_fill(
            &mut self,
            _: &mut Context<'_>,
            out: &mut Vec<u8>,
            _: usize,
        ) -> Poll<Result<Fill, BodyError>> {
            if std::mem::replace(&mut self.0, false) {
                out.push(b'x');
                return Poll::Ready(Ok(Fill::Data));
            }
            Poll::Ready(Ok(Fill::End))
        }
    }

    #[test]
    fn a_stream_can_not_be_had_again_once_it_was_touched() {
        let mut body = Body::stream(Box::new(Once(true)), Some(1)).rewound();
        assert!(!body.is_touched());
        assert_eq!(fill(&mut body, 9).1, Fill::Data);
        assert_eq!(fill(&mut body, 9).1, Fill::End);
        assert_eq!(fill(&mut body, 9).1, Fill::End);
        let mut spent = body.rewound();
        let mut out = Vec::new();
        let polled = spent.poll_fill(&mut Context::from_waker(Waker::noop()), &mut out, 9);
        assert!(matches!(polled, Poll::Ready(Err(BodyError::Spent))));
    }
}
