//! Just enough of WebSocket (RFC 6455) for an echo: handshakes on both sides, unfragmented frames, masks.
//! Anything else is refused, so that a byte changed on the way fails the test.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1_smol::Sha1;

use crate::client::Client;
use crate::message::{Request, Response};
use crate::random::Random;
use crate::upstream::Peer;
use crate::wire::{Wire, WireError};

/// A text frame's opcode.
pub const TEXT: u8 = 1;
/// A binary frame's opcode.
pub const BINARY: u8 = 2;
/// A closing frame's opcode.
pub const CLOSE: u8 = 8;
/// A ping's opcode.
pub const PING: u8 = 9;
/// A pong's opcode.
pub const PONG: u8 = 10;

/// One unfragmented frame, unmasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub opcode: u8,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// The client's end of a WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    wire: Wire,
    random: Random,
}

/// The request that opens a WebSocket, and what `Sec-WebSocket-Accept` must answer it with.
pub fn handshake(host: &str, path: &str) -> (String, String) {
    let key = BASE64_STANDARD.encode(Random::new().bytes(16));
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    (request, accept(&key))
}

impl WebSocket {
    /// Opens a WebSocket over a fresh connection; the response, if the server says anything but 101.
    pub fn open(mut client: Client, host: &str, path: &str) -> Result<WebSocket, Box<Response>> {
        let (request, accept) = handshake(host, path);
        let response = client.exchange(request);
        if response.status != 101 {
            return Err(Box::new(response));
        }
        assert_eq!(response.fields.get("sec-websocket-accept"), Some(accept.as_str()), "{response:?}");
        let upgrade = response.fields.get("upgrade").unwrap_or_default();
        assert!(upgrade.eq_ignore_ascii_case("websocket"), "{response:?}");
        let connection = response.fields.get("connection").unwrap_or_default();
        assert!(connection.to_ascii_lowercase().contains("upgrade"), "{response:?}");
        Ok(WebSocket { wire: client.into_wire(), random: Random::new() })
    }

    /// Sends a frame, masked as a client must.
    pub fn send(&mut self, opcode: u8, payload: &[u8]) -> Result<(), WireError> {
        let mask: [u8; 4] = std::array::from_fn(|_| self.random.below(256) as u8);
        self.wire.send(encode(opcode, payload, Some(mask)))
    }

    /// Reads a frame, which a server must not mask.
    pub fn receive(&mut self) -> Result<Frame, WireError> {
        read(&mut self.wire, false)
    }

    /// The connection below.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

/// Answers the handshake and sends back every frame, until a closing one, which it answers. What a script
/// for [`crate::Upstream::start`] calls.
pub fn echo(peer: &mut Peer) -> Result<(), WireError> {
    let request = peer.request()?;
    answer_handshake(peer, &request)?;
    loop {
        let frame = read(peer, true)?;
        let opcode = if frame.opcode == PING { PONG } else { frame.opcode };
        peer.send(encode(opcode, &frame.payload, None))?;
        if opcode == CLOSE {
            return Ok(());
        }
    }
}

/// Sends the 101 that opens the server's end.
pub fn answer_handshake(wire: &mut Wire, request: &Request) -> Result<(), WireError> {
    let key = request.fields.get("sec-websocket-key").ok_or_else(|| malformed("no Sec-WebSocket-Key"))?;
    wire.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    ))
}

/// Section 4.2.2
fn accept(key: &str) -> String {
    let digest = Sha1::from(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")).digest();
    BASE64_STANDARD.encode(digest.bytes())
}

/// Section 5.2
pub fn encode(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..=125 => frame.push(masked | length as u8),
        length @ 126..=0xffff => {
            frame.push(masked | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(masked | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    match mask {
        None => frame.extend_from_slice(payload),
        Some(mask) => {
            frame.extend_from_slice(&mask);
            frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
    }
    frame
}

/// Reads one frame, which must be masked or must not.
pub fn read(wire: &mut Wire, masked: bool) -> Result<Frame, WireError> {
    let head = wire.read_exactly(2)?;
    if head[0] & 0xf0 != 0x80 {
        return Err(malformed("a fragmented frame or reserved bits"));
    }
    if (head[1] & 0x80 != 0) != masked {
        return Err(malformed("a frame masked the wrong way"));
    }
    let length = match head[1] & 0x7f {
        126 => wire.read_exactly(2)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        127 => wire.read_exactly(8)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        length => usize::from(length),
    };
    let mask = if masked { wire.read_exactly(4)? } else { vec![0; 4] };
    let payload = wire.read_exactly(length)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Ok(Frame { opcode: head[0] & 0x0f, payload })
}

fn malformed(what: &str) -> WireError {
    WireError::Malformed(format!("WebSocket: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of section 1.3.
    #[test]
    fn the_handshake_is_the_standards() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
