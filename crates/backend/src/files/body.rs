//! The bytes of a file as a response's body: read as there is room to write them, out of the kernel's memory
//! where they are there, and on a thread that may wait where they are not.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

use crate::body::{BodyError, Fill, Source};

/// So much is read at once where it takes waiting.
const READ: usize = 256 * 1024;
/// So much where it doesn't: the rest comes when this has been written.
const QUICK: usize = 64 * 1024;

/// A piece of the body.
#[derive(Debug)]
pub(crate) enum Piece {
    /// What stands between ranges.
    Text(Bytes),
    /// A range of the file.
    Span(Range<u64>),
}

/// A file's bytes, piece by piece.
#[derive(Debug)]
pub(crate) struct FileBody {
    file: Arc<File>,
    pieces: VecDeque<Piece>,
    /// A read that waits for a disk.
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl FileBody {
    pub(crate) fn new(file: File, pieces: impl IntoIterator<Item = Piece>) -> FileBody {
        FileBody { file: Arc::new(file), pieces: pieces.into_iter().collect(), reading: None }
    }

    fn take_span(&mut self, count: usize) {
        if let Some(Piece::Span(span)) = self.pieces.front_mut() {
            span.start += count as u64;
            if span.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

impl Source for FileBody {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        if let Some(reading) = &mut self.reading {
            let read = ready!(Pin::new(reading).poll(cx));
            self.reading = None;
            let mut bytes = read.map_err(io::Error::other).flatten().map_err(BodyError::File)?;
            if bytes.is_empty() {
                return Poll::Ready(Err(shrunk()));
            }
            self.take_span(bytes.len());
            if bytes.len() > room {
                self.pieces.push_front(Piece::Text(bytes.split_off(room).into()));
            }
            out.append(&mut bytes);
            return Poll::Ready(Ok(Fill::Data));
        }
        match self.pieces.front_mut() {
            None => Poll::Ready(Ok(Fill::End)),
            Some(Piece::Text(text)) => {
                out.extend_from_slice(&text.split_to(room.min(text.len())));
                if text.is_empty() {
                    self.pieces.pop_front();
                }
                Poll::Ready(Ok(Fill::Data))
            }
            Some(Piece::Span(span)) => {
                let (start, left) = (span.start, span.end - span.start);
                let count = room.min(QUICK).min(usize::try_from(left).unwrap_or(usize::MAX));
                match read_now(&self.file, start, count, out) {
                    Some(0) => Poll::Ready(Err(shrunk())),
                    Some(count) => {
                        self.take_span(count);
                        Poll::Ready(Ok(Fill::Data))
                    }
                    None => {
                        let count = READ.min(usize::try_from(left).unwrap_or(usize::MAX));
                        let file = Arc::clone(&self.file);
                        self.reading = Some(tokio::task::spawn_blocking(move || read(&file, start, count)));
                        self.poll_fill(cx, out, room)
                    }
                }
            }
        }
    }
}

/// Reads what the kernel has in memory; none when it would have to wait, or can't say.
fn read_now(file: &File, start: u64, count: usize, out: &mut Vec<u8>) -> Option<usize> {
    let before = out.len();
    out.resize(before + count, 0);
    let read = preadv2(file, &mut [IoSliceMut::new(&mut out[before..])], start, ReadWriteFlags::NOWAIT);
    out.truncate(before + read.unwrap_or(0));
    // Whatever is wrong shows again where it is reported.
    read.ok()
}

fn read(file: &File, start: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let read = loop {
        match file.read_at(&mut bytes, start) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    bytes.truncate(read);
    Ok(bytes)
}

fn shrunk() -> BodyError {
    BodyError::File(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent"))
}
