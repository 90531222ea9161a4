//! The three ways bytes go to a server: TCP, TLS over TCP, and a unix socket.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connected socket.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Boxed: it is many times as large as the others.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoStream {
    Lookup(io::Error),
    Connect(io::Error),
}

impl Stream {
    /// Connects to the first of a host's addresses that takes a connection.
    pub(super) async fn tcp(
        host: &str,
        port: u16,
        tls: Option<&(Arc<ClientConfig>, ServerName<'static>)>,
    ) -> Result<Stream, NoStream> {
        let addresses = lookup_host((host, port)).await.map_err(NoStream::Lookup)?;
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Stream::begin(stream, tls).await.map_err(NoStream::Connect),
                Err(error) => failure = error,
            }
        }
        Err(NoStream::Connect(failure))
    }

    async fn begin(
        stream: TcpStream,
        tls: Option<&(Arc<ClientConfig>, ServerName<'static>)>,
    ) -> io::Result<Stream> {
        // Requests are written whole: waiting for more could only make them late.
        stream.set_nodelay(true)?;
        let Some((config, name)) = tls else { return Ok(Stream::Tcp(stream)) };
        let stream = TlsConnector::from(config.clone()).connect(name.clone(), stream).await?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// Connects to a unix socket.
    pub(super) async fn unix(path: &Path) -> Result<Stream, NoStream> {
        UnixStream::connect(path).await.map(Stream::Unix).map_err(NoStream::Connect)
    }

    /// Whether an idle connection is still of use: the server has not closed it, nor sent what nobody asked
    /// for. The runtime's word on it costs nothing, but it may not have heard yet; with `ask_kernel` the system
    /// is asked, which costs a call.
    pub(super) fn is_quiet(&self, ask_kernel: bool) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        // TLS servers send session tickets when they like.
        let (socket, may_speak, heard) = match self {
            Stream::Tcp(stream) => (stream.as_fd(), false, stream.poll_read_ready(&mut cx)),
            Stream::Unix(stream) => (stream.as_fd(), false, stream.poll_read_ready(&mut cx)),
            Stream::Tls(stream) => {
                let (stream, _) = stream.get_ref();
                (stream.as_fd(), true, stream.poll_read_ready(&mut cx))
            }
        };
        if heard.is_pending() && !ask_kernel {
            return true;
        }
        match SockRef::from(&socket).peek(&mut [MaybeUninit::uninit(); 1]) {
            Ok(0) => false,
            Ok(_) => may_speak,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
