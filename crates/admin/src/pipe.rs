//! Bytes between the API's one thread and threads that block: what is listed or exported goes out as it is
//! written, what is imported is read as it arrives. Between them stand a few chunks; whoever is faster waits,
//! and a peer that stalls is given up, so that none holds a thread for ever. The end is told apart from a side
//! that is gone: a part is never taken for the whole.

use std::io::{self, Read, Write};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Buf, Bytes};
use futures_util::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The size of a chunk that is sent.
const CHUNK: usize = 64 << 10;

/// So many pieces stand between the two sides.
const PIECES: usize = 4;

/// How long the other side may do nothing.
const STALL: Duration = Duration::from_secs(60);

enum Piece {
    Bytes(Bytes),
    /// All that came before is the whole.
    End,
    /// The rest will not come.
    Failed(io::Error),
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it was cut short")
}

/// A body that holds what `write` writes, on a thread that may block. An error cuts the body short. Called
/// where a runtime is.
pub(crate) fn body_of(write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static) -> Body {
    let (pieces, received) = mpsc::channel(PIECES);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut writer = PieceWriter { pieces, runtime, chunk: Vec::with_capacity(CHUNK) };
        let written = write(&mut writer).and_then(|()| writer.flush()).and_then(|()| writer.send(Piece::End));
        if let Err(error) = written {
            tracing::debug!(%error, "a response of the admin API was cut short");
        }
    });
    let next = |received: Option<mpsc::Receiver<Piece>>| async {
        let mut received = received?;
        match received.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(received))),
            Some(Piece::End) => None,
            Some(Piece::Failed(error)) => Some((Err(error), None)),
            None => Some((Err(cut_short()), None)),
        }
    };
    Body::from_stream(stream::unfold(Some(received), next))
}

struct PieceWriter {
    pieces: mpsc::Sender<Piece>,
    runtime: Handle,
    chunk: Vec<u8>,
}

impl PieceWriter {
    fn send(&mut self, piece: Piece) -> io::Result<()> {
        match self.runtime.block_on(timeout(STALL, self.pieces.send(piece))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        self.send(Piece::Bytes(chunk.into()))
    }
}

/// A body of at most `limit` bytes as something that a thread that may block reads. The future moves the
/// bytes, and ends when the reader has them all or is gone.
pub(crate) fn reader_of(body: Body, limit: u64) -> (impl Future<Output = ()>, impl Read + Send) {
    let (pieces, received) = mpsc::channel(PIECES);
    let reader = PieceReader { pieces: received, chunk: Bytes::new(), ended: false };
    (feed(body.into_data_stream(), limit, pieces), reader)
}

async fn feed(mut body: BodyDataStream, limit: u64, pieces: mpsc::Sender<Piece>) {
    let mut left = limit;
    loop {
        let piece = match timeout(STALL, body.next()).await {
            Err(_) => Piece::Failed(io::Error::new(io::ErrorKind::TimedOut, "nothing came for a minute")),
            Ok(None) => Piece::End,
            Ok(Some(Err(error))) => Piece::Failed(io::Error::other(error)),
            Ok(Some(Ok(bytes))) => match left.checked_sub(bytes.len() as u64) {
                Some(rest) => {
                    left = rest;
                    Piece::Bytes(bytes)
                }
                None => Piece::Failed(io::Error::other(format!("it is longer than {limit} bytes"))),
            },
        };
        let last = !matches!(piece, Piece::Bytes(_));
        if pieces.send(piece).await.is_err() || last {
            return;
        }
    }
}

struct PieceReader {
    pieces: mpsc::Receiver<Piece>,
    chunk: Bytes,
    ended: bool,
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            if self.ended {
                return Ok(0);
            }
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.chunk = bytes,
                Some(Piece::End) => self.ended = true,
                Some(Piece::Failed(error)) => return Err(error),
                None => return Err(cut_short()),
            }
        }
        let length = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
