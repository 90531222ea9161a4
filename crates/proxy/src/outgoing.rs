//! What goes to the client: heads, bodies with their framing, and how much of it has gone.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::io::AsyncWrite;
use waypost_backend::{Body, BodyError, Deadline, Fill, Interim, Response, recycle, spare};
use waypost_http1::chunked::{LARGEST_CHUNK, begin_chunk, end_body, end_chunk};
use waypost_http1::{Name, RequestHead, Version};

use crate::date::Date;
use crate::downlink::Downlink;
use crate::finish::Story;

/// So much of a response is gathered before it is written.
const WRITE: usize = 64 * 1024;

/// How a response's body is told from what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length, or by the connection's end.
    Plain,
    /// By chunks.
    Chunked,
}

/// How sending a response ended.
#[derive(Debug)]
pub(crate) enum Sent {
    Whole,
    ClientGone,
    ClientSlow,
    Broken(BodyError),
    Panicked,
}

/// The client is not there any more.
#[derive(Debug)]
pub(crate) struct Gone;

/// Bytes on their way to the client.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    /// So many of them have been written.
    written: usize,
    /// Bytes of this exchange that have gone to the client.
    sent: u64,
    deadline: Deadline,
}

impl Outgoing {
    pub(crate) fn new(deadline: Deadline) -> Outgoing {
        Outgoing { bytes: Vec::new(), written: 0, sent: 0, deadline }
    }

    /// Counts anew, for the next exchange.
    pub(crate) fn begin(&mut self) {
        self.sent = 0;
    }

    /// Gives the memory back while nothing is to be sent.
    pub(crate) fn rest(&mut self) {
        recycle(std::mem::take(&mut self.bytes));
    }

    /// Where what is to be sent is put.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = spare();
        }
        &mut self.bytes
    }

    /// How many bytes of this exchange have gone to the client.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Counts bytes that went to the client on another way.
    pub(crate) fn add_sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// Sends interim responses, if there are any, as far as they go.
    pub(crate) fn poll_interim(
        &mut self,
        link: &Downlink,
        interim: &Interim,
        cx: &mut Context<'_>,
    ) -> Result<(), Gone> {
        interim.drain_into(&mut self.bytes);
        while self.written < self.bytes.len() {
            match self.poll_write(link, cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Puts the head of a response down, with what frames the body. Returns whether the connection can
    /// be kept.
    pub(crate) fn write_head(
        &mut self,
        request: &RequestHead,
        response: &mut Response,
        mut keep: bool,
        date: &Date,
    ) -> (Framing, bool) {
        let Response { head, body, .. } = response;
        let bodiless = request.method == Method::HEAD
            || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let out = self.buffer();
        head.write_to(out);
        let mut framing = Framing::Plain;
        if bodiless {
            *body = Body::empty();
        } else {
            match body.length() {
                Some(_) if head.fields.has(Name::ContentLength) => {}
                Some(length) => {
                    out.extend_from_slice(b"Content-Length: ");
                    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
                None if request.version == Version::Http11 => {
                    out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                    framing = Framing::Chunked;
                }
                None => keep = false,
            }
        }
        if !head.fields.has(Name::Date) {
            date.write_to(out);
        }
        if !keep {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if request.version == Version::Http10 {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        (framing, keep)
    }

    /// Sends what has been put down, and a body behind it. The client has `idle` to take more of it.
    pub(crate) async fn send_body(
        &mut self,
        link: &Downlink,
        body: &mut Body,
        framing: Framing,
        idle: Duration,
        story: &mut Story,
    ) -> Sent {
        let mut ended = false;
        // The client's time runs from when it takes nothing of what there is for it.
        let mut runs = false;
        let sent = poll_fn(|cx| {
            loop {
                let mut starved = false;
                while !ended && self.bytes.len() - self.written < WRITE {
                    let filled = catch_unwind(AssertUnwindSafe(|| fill(body, framing, &mut self.bytes, cx)));
                    match filled {
                        Ok(Poll::Ready(Ok(Fill::Data))) => {}
                        Ok(Poll::Ready(Ok(Fill::End))) => {
                            ended = true;
                            story.upstream_ended();
                        }
                        Ok(Poll::Ready(Err(error))) => return Poll::Ready(Sent::Broken(error)),
                        Ok(Poll::Pending) => {
                            starved = true;
                            break;
                        }
                        Err(_) => return Poll::Ready(Sent::Panicked),
                    }
                }
                if self.written == self.bytes.len() {
                    if ended {
                        return Poll::Ready(Sent::Whole);
                    }
                    return link.poll_gone(cx).map(|()| Sent::ClientGone);
                }
                if !std::mem::replace(&mut runs, true) {
                    self.deadline.set(idle);
                }
                match self.poll_write(link, cx) {
                    Poll::Ready(Ok(())) => runs = false,
                    Poll::Ready(Err(Gone)) => return Poll::Ready(Sent::ClientGone),
                    Poll::Pending if self.deadline.has_passed(cx) => return Poll::Ready(Sent::ClientSlow),
                    Poll::Pending => return Poll::Pending,
                }
                if starved && self.written == self.bytes.len() {
                    return link.poll_gone(cx).map(|()| Sent::ClientGone);
                }
            }
        })
        .await;
        self.deadline.clear();
        self.bytes.clear();
        self.written = 0;
        sent
    }

    /// Writes once.
    fn poll_write(&mut self, link: &Downlink, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let mut transport = link.transport.borrow_mut();
        match ready!(Pin::new(&mut *transport).poll_write(cx, &self.bytes[self.written..])) {
            Ok(0) | Err(_) => Poll::Ready(Err(Gone)),
            Ok(count) => {
                self.written += count;
                self.sent += count as u64;
                if self.written == self.bytes.len() {
                    self.bytes.clear();
                    self.written = 0;
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// Appends the body's next bytes, framed.
fn fill(
    body: &mut Body,
    framing: Framing,
    out: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<Result<Fill, BodyError>> {
    if framing == Framing::Plain {
        return body.poll_fill(cx, out, WRITE);
    }
    let start = begin_chunk(out);
    let filled = body.poll_fill(cx, out, LARGEST_CHUNK);
    end_chunk(out, start);
    if let Poll::Ready(Ok(Fill::End)) = filled {
        end_body(out, body.take_trailers().as_ref());
    }
    filled
}
