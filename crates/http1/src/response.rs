//! The head of a response (RFC 9112 §4).

use std::mem::MaybeUninit;

use http::StatusCode;

use crate::error::{RequestError, ResponseError};
use crate::fields::Fields;
use crate::head::HeadLimits;
use crate::request::Version;

/// The head of a response.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// The version the sender speaks.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
    /// The reason phrase, in the fields' text; the status's usual one if it is empty.
    reason: (u32, u32),
}

impl ResponseHead {
    /// A head without fields.
    pub fn new(status: StatusCode) -> ResponseHead {
        ResponseHead { status, version: Version::Http11, fields: Fields::new(), reason: (0, 0) }
    }

    /// Reads a complete head, as [`crate::HeadScanner`] found it. `fields` gives its buffers.
    pub fn read(head: &[u8], limits: &HeadLimits, mut fields: Fields) -> Result<ResponseHead, ResponseError> {
        let mut slots = [const { MaybeUninit::uninit() }; HeadLimits::MOST_FIELDS];
        let most = limits.fields.min(HeadLimits::MOST_FIELDS);
        let mut parsed = httparse::Response::new(&mut []);
        match httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            head,
            &mut slots[..most],
        ) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::HeadTooLarge),
            Err(httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine) => {
                return Err(ResponseError::Field);
            }
            Ok(_) | Err(_) => return Err(ResponseError::StatusLine),
        }
        let (Some(code), Some(minor)) = (parsed.code, parsed.version) else {
            return Err(ResponseError::StatusLine);
        };
        if !head.starts_with(b"HTTP/1.") {
            return Err(ResponseError::StatusLine);
        }
        let status = StatusCode::from_u16(code).map_err(|_| ResponseError::StatusLine)?;
        fields.load(head, parsed.headers).map_err(|_| ResponseError::Field)?;
        // Empty, too, when it held bytes that are not text.
        let reason = match parsed.reason {
            Some(reason) if !reason.is_empty() => {
                let start = (reason.as_ptr() as usize - head.as_ptr() as usize) as u32;
                (start, start + reason.len() as u32)
            }
            _ => (0, 0),
        };
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        Ok(ResponseHead { status, version, fields, reason })
    }

    /// Whether the connection stays open behind this response (RFC 9112 §9.3), as far as its sender
    /// is concerned.
    pub fn keeps_alive(&self) -> bool {
        self.fields.keep_alive(self.version)
    }

    /// Appends the status line and the fields, without the empty line that ends the head. Always
    /// HTTP/1.1 (RFC 9110 §2.5: a proxy sends its own version).
    pub fn write_to(&self, out: &mut Vec<u8>) {
        if self.status == StatusCode::OK && self.reason_text() == b"OK" {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        } else {
            out.extend_from_slice(b"HTTP/1.1 ");
            out.extend_from_slice(self.status.as_str().as_bytes());
            out.push(b' ');
            out.extend_from_slice(self.reason_text());
            out.extend_from_slice(b"\r\n");
        }
        self.fields.write_to(out);
    }

    fn reason_text(&self) -> &[u8] {
        match self.reason {
            (0, 0) => self.status.canonical_reason().unwrap_or("").as_bytes(),
            (start, end) => &self.fields.text()[start as usize..end as usize],
        }
    }
}

impl From<RequestError> for ResponseError {
    /// What the head scanner found, said of a response.
    fn from(error: RequestError) -> ResponseError {
        match error {
            RequestError::BareLineFeed => ResponseError::BareLineFeed,
            RequestError::RequestLineTooLong | RequestError::HeadTooLarge => ResponseError::HeadTooLarge,
            _ => ResponseError::StatusLine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<ResponseHead, ResponseError> {
        ResponseHead::read(text, &HeadLimits::default(), Fields::new())
    }

    #[test]
    fn a_head_is_read_and_written() {
        for (text, written) in [
            (&b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n"[..], &b"HTTP/1.1 200 OK\r\nA: 1\r\n"[..]),
            (b"HTTP/1.0 404 Gone fishing\r\n\r\n", b"HTTP/1.1 404 Gone fishing\r\n"),
            (b"HTTP/1.1 503 \r\n\r\n", b"HTTP/1.1 503 Service Unavailable\r\n"),
            (b"HTTP/1.1 299\r\n\r\n", b"HTTP/1.1 299 \r\n"),
        ] {
            let mut out = Vec::new();
            read(text).expect("a good head").write_to(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(written));
        }
    }

    #[test]
    fn malformed_heads_are_refused() {
        use ResponseError::*;
        for (text, expected) in [
            (&b"HTTP/2.0 200 OK\r\n\r\n"[..], StatusLine),
            (b"HTTP/1.1 20 OK\r\n\r\n", StatusLine),
            (b"HTTP/1.1 099 OK\r\n\r\n", StatusLine),
            (b"ICY 200 OK\r\n\r\n", StatusLine),
            (b"HTTP/1.1 200 OK\r\nA : 1\r\n\r\n", Field),
            (b"HTTP/1.1 200 OK\r\nA: 1\r\n 2\r\n\r\n", Field),
            (b"HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n", Field),
        ] {
            assert_eq!(read(text).err(), Some(expected), "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn persistence_follows_version_and_connection() {
        assert!(read(b"HTTP/1.1 200 OK\r\n\r\n").unwrap().keeps_alive());
        assert!(!read(b"HTTP/1.0 200 OK\r\n\r\n").unwrap().keeps_alive());
        assert!(read(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n").unwrap().keeps_alive());
        assert!(!read(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap().keeps_alive());
    }
}
