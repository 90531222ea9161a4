//! What bytes travel over to a server: TCP, or TLS over it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::tls::in_words;

/// A resting TLS connection may hear this many times of things that are TLS's own (session tickets, above
/// all) before it counts as one that talks out of turn.
const MOST_HEARD: usize = 16;

/// A connection to a server.
#[derive(Debug)]
pub enum Transport {
    /// TCP alone.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Whether nothing has been heard on a connection where nothing is due: neither its end, nor bytes
    /// nobody asked for. What the runtime knows costs nothing; `ask_kernel` costs a system call.
    pub(super) fn is_quiet(&mut self, ask_kernel: bool) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match self {
            Transport::Plain(tcp) => {
                let peek = || SockRef::from(&*tcp).peek(&mut [MaybeUninit::uninit()]);
                tcp.poll_read_ready(&mut cx).is_pending() && (!ask_kernel || would_block(peek()))
            }
            Transport::Tls(tls) => {
                let (tcp, session) = tls.get_mut();
                for _ in 0..MOST_HEARD {
                    // What was deciphered together with the last response, or just now.
                    match session.process_new_packets() {
                        Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                        Ok(_) | Err(_) => return false,
                    }
                    if !ask_kernel && tcp.poll_read_ready(&mut cx).is_pending() {
                        return true;
                    }
                    match session.read_tls(&mut &*SockRef::from(&*tcp)) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                        Ok(0) | Err(_) => return false,
                        Ok(_) => {}
                    }
                }
                false
            }
        }
    }

    /// Whether bytes that were taken have not gone into the socket yet: a flush sends them.
    pub fn holds_back(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(tls) => tls.get_ref().1.wants_write(),
        }
    }
}

fn would_block<T>(result: io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

impl AsyncRead for Transport {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(cx, into),
            Transport::Tls(tls) => Pin::new(tls).poll_read(cx, into).map_err(in_words),
        }
    }
}

impl AsyncWrite for Transport {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Transport::Tls(tls) => Pin::new(tls).poll_write(cx, bytes).map_err(in_words),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(_) => Poll::Ready(Ok(())),
            Transport::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
