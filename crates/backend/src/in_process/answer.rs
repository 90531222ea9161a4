//! The body of a handler's answer, as a [`Source`]: asked for the next frame when there is room for it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Buf;
use http_body::Frame;
use waypost_http1::{Fields, Name};

use super::request_body::Feeder;
use super::{AnyError, Failed, Patience, head};
use crate::body::{Body, BodyError, Fill, Source};

/// A handler's answer while it is taken.
pub(super) struct Answer<R: http_body::Body> {
    handler: Rc<str>,
    body: Pin<Box<R>>,
    /// What there was no room for.
    left_over: Option<R::Data>,
    /// What is still to come, if that is known: what falls short of it or goes beyond is an error.
    left: Option<u64>,
    ended: bool,
    trailers: Option<Fields>,
    /// The request's body, while the handler goes on reading it.
    request: Option<(Feeder, Body)>,
    patience: Patience,
}

impl<R> Answer<R>
where
    R: http_body::Body,
    R::Error: Into<AnyError>,
{
    /// The body of an answer. Its length is what the head states, or what the body knows of itself.
    pub(super) fn new(
        handler: Rc<str>,
        body: R,
        stated: Option<u64>,
        request: Option<(Feeder, Body)>,
        patience: Patience,
    ) -> Answer<R> {
        let left = stated.or_else(|| body.size_hint().exact());
        Answer {
            handler,
            body: Box::pin(body),
            left_over: None,
            left,
            ended: false,
            trailers: None,
            request,
            patience,
        }
    }

    /// How long it is, if that is known.
    pub(super) fn length(&self) -> Option<u64> {
        self.left
    }

    /// How long the handler's body says it is.
    pub(super) fn hint(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Whether nothing will come of it, no trailers either.
    pub(super) fn is_empty(&self) -> bool {
        self.left.unwrap_or(0) == 0 && self.body.is_end_stream()
    }

    fn failed(&self, how: impl std::fmt::Display) -> BodyError {
        BodyError::Handler { what: format!("the handler of {} {how}", self.handler) }
    }

    /// Takes as much of `data` as there is room for.
    fn take(&mut self, mut data: R::Data, out: &mut Vec<u8>, mut room: usize) {
        while room > 0 && data.has_remaining() {
            let chunk = data.chunk();
            let count = chunk.len().min(room);
            out.extend_from_slice(&chunk[..count]);
            data.advance(count);
            room -= count;
        }
        if data.has_remaining() {
            self.left_over = Some(data);
        }
    }

    /// Takes a frame; `true` when it brought bytes.
    fn receive(&mut self, frame: Frame<R::Data>, out: &mut Vec<u8>, room: usize) -> Result<bool, BodyError> {
        match frame.into_data() {
            Ok(data) => {
                let length = data.remaining() as u64;
                if let Some(left) = self.left {
                    let rest = left.checked_sub(length);
                    self.left = Some(rest.ok_or_else(|| self.failed("sent more than the length it stated"))?);
                }
                self.take(data, out, room);
                Ok(length > 0)
            }
            Err(frame) => {
                if let Ok(headers) = frame.into_trailers() {
                    let mut fields = head::fields(&headers).map_err(|what| self.failed(what))?;
                    fields.retain(|field| !Name::is_forbidden_in_trailers(field.name, field.spelled));
                    self.trailers = Some(fields).filter(|fields| !fields.is_empty());
                }
                Ok(false)
            }
        }
    }

    /// Lets the handler read on in the request's body.
    fn feed(&mut self, cx: &mut Context<'_>) {
        if let Some((feeder, body)) = &mut self.request {
            // The handler was told of an error; what it makes of it is its own affair.
            let fed = feeder.feed(cx, body);
            if fed.is_err() || !feeder.is_wanted() {
                self.request = None;
            }
        }
    }
}

impl<R> Source for Answer<R>
where
    R: http_body::Body,
    R::Error: Into<AnyError>,
{
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        if let Some(data) = self.left_over.take() {
            self.take(data, out, room);
            return Poll::Ready(Ok(Fill::Data));
        }
        while !self.ended {
            match self.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.patience.rest();
                    if self.receive(frame, out, room)? {
                        return Poll::Ready(Ok(Fill::Data));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let error = self.failed(Failed(error.into()));
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Pending => {
                    self.feed(cx);
                    let starved = self.request.as_ref().is_some_and(|(feeder, _)| feeder.is_starved());
                    if self.patience.has_ended(cx, starved) {
                        return Poll::Ready(Err(self.failed("sent no more of its answer in time")));
                    }
                    return Poll::Pending;
                }
            }
        }
        if self.left.is_some_and(|left| left > 0) {
            return Poll::Ready(Err(self.failed("sent less than the length it stated")));
        }
        Poll::Ready(Ok(Fill::End))
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }
}
