//! Buffers for reading, which an idle connection doesn't hold.
//!
//! Each thread keeps the buffers that are not in use; a connection takes one when bytes come and gives
//! it back when all of them have been used. Ten thousand idle connections hold none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use tokio::io::AsyncRead;

/// What one read takes at the most into a [`Buffer`].
const READ: usize = 8 * 1024;
/// Buffers that have grown beyond this are not kept.
const LARGEST_KEPT: usize = 128 * 1024;
/// How many a thread keeps.
const MOST_KEPT: usize = 256;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer of this thread's.
pub fn spare() -> Vec<u8> {
    KEPT.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(READ))
}

/// Gives a buffer back for the next that needs one.
pub fn recycle(mut bytes: Vec<u8>) {
    if bytes.capacity() < READ || bytes.capacity() > LARGEST_KEPT {
        return;
    }
    bytes.clear();
    KEPT.with_borrow_mut(|kept| {
        if kept.len() < MOST_KEPT {
            kept.push(bytes);
        }
    });
}

/// Bytes that have been read and not yet used.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// The bytes that wait to be used.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// Says that the first `count` bytes have been used.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Reads once, behind what waits. `Ok(0)`: the other side has finished.
    pub fn poll_read<T: AsyncRead + Unpin>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.capacity() == 0 {
            self.bytes = spare();
        }
        if self.start > 0 && self.bytes.capacity() - self.bytes.len() < READ / 4 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.reserve(READ / 4);
        let count = ready!(tokio_util::io::poll_read_buf(Pin::new(transport), cx, &mut self.bytes))?;
        Poll::Ready(Ok(count))
    }

    /// Gives the memory back while nothing waits.
    pub fn rest(&mut self) {
        if self.is_empty() && self.bytes.capacity() > 0 {
            recycle(std::mem::take(&mut self.bytes));
            self.start = 0;
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.capacity() > 0 {
            recycle(std::mem::take(&mut self.bytes));
        }
    }
}

/// Reads once, at most `most` bytes, onto the end of `out`. `Ok(0)`: the other side has finished.
pub(crate) fn poll_read_onto<T: AsyncRead + Unpin>(
    transport: &mut T,
    cx: &mut Context<'_>,
    out: &mut Vec<u8>,
    most: usize,
) -> Poll<io::Result<usize>> {
    out.reserve(most.min(64 * 1024));
    tokio_util::io::poll_read_buf(Pin::new(transport), cx, &mut out.limit(most))
}
