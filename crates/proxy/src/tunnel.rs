//! A connection that has left HTTP behind (RFC 9110 §7.8): bytes both ways until both sides have
//! finished, with backpressure, over one buffer a direction.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use waypost_backend::{Buffer, Deadline, Tunnel};

/// Bytes moved by a tunnel.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Moved {
    /// From the client to the upstream.
    pub(crate) up: u64,
    /// From the upstream to the client.
    pub(crate) down: u64,
}

/// Moves bytes both ways until both sides have finished, one has broken off, or nothing has moved for
/// `timeout`.
pub(crate) async fn run(
    client: &RefCell<TcpStream>,
    ahead: &mut Buffer,
    mut tunnel: Tunnel,
    deadline: &Deadline,
    timeout: Duration,
) -> Moved {
    let mut moved = Moved::default();
    let (mut up, mut down) = (Direction::default(), Direction::default());
    deadline.set(timeout);
    poll_fn(|cx| {
        let before = (moved.up, moved.down);
        let client = &mut *client.borrow_mut();
        let up = up.poll(cx, client, &mut tunnel.transport, ahead, &mut moved.up);
        let down = down.poll(cx, &mut tunnel.transport, client, &mut tunnel.early, &mut moved.down);
        if before != (moved.up, moved.down) {
            deadline.set(timeout);
        }
        match (up, down) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(()),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(()),
            _ if deadline.has_passed(cx) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
    moved
}

/// How far one direction is.
#[derive(Debug, Default)]
enum Direction {
    #[default]
    Open,
    /// The source has finished; the destination has yet to be told.
    Finished,
    Closed,
}

impl Direction {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        buffer: &mut Buffer,
        moved: &mut u64,
    ) -> Poll<io::Result<()>> {
        loop {
            match self {
                Direction::Closed => return Poll::Ready(Ok(())),
                Direction::Finished if buffer.is_empty() => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    *self = Direction::Closed;
                }
                Direction::Open if buffer.is_empty() => {
                    // TLS may have taken more than its socket has; if there is no room yet, the task is woken
                    // when there is, and what comes meanwhile goes behind.
                    let _ = Pin::new(&mut *to).poll_flush(cx)?;
                    if ready!(buffer.poll_read(from, cx))? == 0 {
                        *self = Direction::Finished;
                    }
                }
                Direction::Open | Direction::Finished => {
                    let count = ready!(Pin::new(&mut *to).poll_write(cx, buffer.unread()))?;
                    if count == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    buffer.consume(count);
                    *moved += count as u64;
                    buffer.rest();
                }
            }
        }
    }
}
