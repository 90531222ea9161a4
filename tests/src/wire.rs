//! One end of a connection: bytes out as given, messages in as strictly read.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::message::{Fields, Framing, Request, Response};
use crate::wait::PATIENCE;

/// Larger than any head a test sends or gets.
const MOST_HEAD: usize = 1 << 20;

/// Why nothing more could be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The peer closed where a message could have begun.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer closed inside a message; what had come of it is shown.
    #[error("the peer closed inside a message, after {0:?}")]
    Cut(String),
    /// The peer reset the connection.
    #[error("the peer reset the connection")]
    Reset,
    /// The peer sent nothing for as long as tests wait.
    #[error("the peer sent nothing for {PATIENCE:?}; so far: {0:?}")]
    Silent(String),
    /// What came is not HTTP, read strictly.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Anything else.
    #[error("the socket failed: {0}")]
    Socket(std::io::Error),
}

impl From<std::io::Error> for WireError {
    fn from(error: std::io::Error) -> WireError {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                WireError::Reset
            }
            ErrorKind::WouldBlock | ErrorKind::TimedOut => WireError::Silent(String::new()),
            _ => WireError::Socket(error),
        }
    }
}

/// A connected socket with what was read ahead of it.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    ahead: Vec<u8>,
    /// Where a copy of every byte that comes goes.
    tap: Option<Arc<Mutex<Vec<u8>>>>,
}

impl Wire {
    /// Takes over a connected socket.
    pub fn new(stream: TcpStream) -> Wire {
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline that is not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("a deadline that is not zero");
        // Pieces are to arrive as they are sent.
        stream.set_nodelay(true).expect("an open socket");
        Wire { stream, ahead: Vec::new(), tap: None }
    }

    /// Copies every byte that comes from now on.
    pub(crate) fn tapped(mut self, tap: Arc<Mutex<Vec<u8>>>) -> Wire {
        self.tap = Some(tap);
        self
    }

    /// This end's address.
    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket")
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), WireError> {
        Ok(self.stream.write_all(bytes.as_ref())?)
    }

    /// Sends bytes in pieces of `size`, each a segment of its own.
    pub fn send_pieces(&mut self, bytes: impl AsRef<[u8]>, size: usize) -> Result<(), WireError> {
        for piece in bytes.as_ref().chunks(size) {
            self.send(piece)?;
            // Long enough that the peer wakes for each; the order of events does not depend on it.
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Ends this side's sending; reading goes on.
    pub fn finish(&mut self) {
        // The peer may have closed already, which is as good.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes by a reset rather than an orderly end.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("an open socket");
    }

    /// Another handle of the same socket, to write while this one reads.
    pub fn writer(&self) -> TcpStream {
        self.stream.try_clone().expect("a handle of an open socket")
    }

    /// Reads what comes next, some bytes or none when the peer has closed.
    pub fn read_some(&mut self) -> Result<Vec<u8>, WireError> {
        if self.ahead.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Reads exactly `length` bytes.
    pub fn read_exactly(&mut self, length: usize) -> Result<Vec<u8>, WireError> {
        while self.ahead.len() < length {
            if self.fill()? == 0 {
                return Err(self.cut());
            }
        }
        Ok(self.ahead.drain(..length).collect())
    }

    /// Reads until the peer closes.
    pub fn read_to_end(&mut self) -> Result<Vec<u8>, WireError> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Whether the peer closes now, or resets: without sending anything more.
    pub fn is_closed_by_peer(&mut self) -> Result<bool, WireError> {
        if !self.ahead.is_empty() {
            return Ok(false);
        }
        match self.fill() {
            Ok(0) | Err(WireError::Reset) => Ok(true),
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a head up to and with its empty line.
    pub(crate) fn head(&mut self) -> Result<Vec<u8>, WireError> {
        let mut looked_at = 0;
        loop {
            let from = looked_at;
            if let Some(at) = self.ahead[from..].windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok(self.ahead.drain(..from + at + 4).collect());
            }
            looked_at = self.ahead.len().saturating_sub(3);
            if self.ahead.len() > MOST_HEAD {
                return Err(WireError::Malformed("a head without end".into()));
            }
            if self.fill()? == 0 {
                return Err(if self.ahead.is_empty() { WireError::Closed } else { self.cut() });
            }
        }
    }

    /// Reads a request's head; the body is still to be read.
    pub fn read_request_head(&mut self) -> Result<Request, WireError> {
        let head = self.head()?;
        Request::read(&head).map_err(WireError::Malformed)
    }

    /// Reads a request with its body.
    pub fn read_request(&mut self) -> Result<Request, WireError> {
        let mut request = self.read_request_head()?;
        let body = &mut request.body;
        request.trailers = self.read_body(request.framing, &mut |piece| body.extend_from_slice(piece))?;
        Ok(request)
    }

    /// Reads the head of the next response, interim or final, to a request of `method`.
    pub fn read_response_head(&mut self, method: &str) -> Result<Response, WireError> {
        let head = self.head()?;
        Response::read(&head, method).map_err(WireError::Malformed)
    }

    /// Reads the final response to a request of `method`, with the interim ones before it and its body.
    pub fn read_response(&mut self, method: &str) -> Result<Response, WireError> {
        let mut interim = Vec::new();
        let mut response = loop {
            let response = self.read_response_head(method)?;
            if response.status >= 200 || response.status == 101 {
                break response;
            }
            interim.push(response);
        };
        response.interim = interim;
        let body = &mut response.body;
        response.trailers = self.read_body(response.framing, &mut |piece| body.extend_from_slice(piece))?;
        Ok(response)
    }

    /// Reads a body, hands on its pieces as they come, and returns its trailers.
    pub fn read_body(&mut self, framing: Framing, sink: &mut dyn FnMut(&[u8])) -> Result<Fields, WireError> {
        match framing {
            Framing::None => {}
            Framing::Length(length) => self.pass(length, sink)?,
            Framing::UntilClose => loop {
                sink(&std::mem::take(&mut self.ahead));
                if self.fill()? == 0 {
                    break;
                }
            },
            Framing::Chunked => return self.read_chunks(sink),
        }
        Ok(Fields::default())
    }

    /// Reads the next chunk; an empty one is the last, behind which the trailers are still to be read.
    pub fn read_chunk(&mut self) -> Result<Vec<u8>, WireError> {
        let mut chunk = Vec::new();
        self.pass_chunk(&mut |piece| chunk.extend_from_slice(piece))?;
        Ok(chunk)
    }

    /// Hands on a chunk; whether it was not the last.
    fn pass_chunk(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<bool, WireError> {
        let line = self.line()?;
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(size)
            .ok()
            .filter(|size| !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|size| u64::from_str_radix(size, 16).ok())
            .ok_or_else(|| WireError::Malformed(format!("chunk size {:?}", lossy(&line))))?;
        if size == 0 {
            return Ok(false);
        }
        self.pass(size, sink)?;
        if self.read_exactly(2)? != b"\r\n" {
            return Err(WireError::Malformed("a chunk longer than it said".into()));
        }
        Ok(true)
    }

    fn read_chunks(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<Fields, WireError> {
        while self.pass_chunk(sink)? {}
        let mut trailers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Fields::read(&trailers).map_err(WireError::Malformed);
            }
            trailers.extend_from_slice(&line);
            trailers.extend_from_slice(b"\r\n");
        }
    }

    /// Hands on `length` bytes.
    fn pass(&mut self, length: u64, sink: &mut dyn FnMut(&[u8])) -> Result<(), WireError> {
        let mut left = length;
        while left > 0 {
            if self.ahead.is_empty() && self.fill()? == 0 {
                return Err(WireError::Cut(format!("{} of {length} bytes of a body", length - left)));
            }
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(self.ahead.len());
            sink(&self.ahead[..now]);
            self.ahead.drain(..now);
            left -= now as u64;
        }
        Ok(())
    }

    /// A line, without its CR LF.
    fn line(&mut self) -> Result<Vec<u8>, WireError> {
        loop {
            if let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.ahead.drain(..=end).collect();
                line.pop();
                return match line.pop() {
                    Some(b'\r') => Ok(line),
                    _ => Err(WireError::Malformed("a line without CR".into())),
                };
            }
            if self.fill()? == 0 {
                return Err(self.cut());
            }
        }
    }

    fn cut(&self) -> WireError {
        WireError::Cut(lossy(&self.ahead))
    }

    /// Reads once; 0 at the end.
    fn fill(&mut self) -> Result<usize, WireError> {
        let mut buffer = [0; 64 * 1024];
        let length = loop {
            match self.stream.read(&mut buffer) {
                Ok(length) => break length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(match WireError::from(error) {
                        WireError::Silent(_) => WireError::Silent(lossy(&self.ahead)),
                        other => other,
                    });
                }
            }
        };
        self.ahead.extend_from_slice(&buffer[..length]);
        if let Some(tap) = &self.tap {
            tap.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..length]);
        }
        Ok(length)
    }
}

/// What came, for a message: its beginning is enough.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
}
