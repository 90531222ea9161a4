//! Where a body ends (RFC 9112 §6), with every ambiguity refused.

use http::StatusCode;

use crate::error::{RequestError, ResponseError};
use crate::fields::Fields;
use crate::name::{Name, NameSet};
use crate::request::Version;

/// How long a body is, as its message's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    Empty,
    /// Exactly this many bytes, more than none.
    Known(u64),
    /// Chunks, the last of which has no bytes.
    Chunked,
    /// All bytes until the connection closes. Responses only.
    UntilClose,
}

impl BodyLength {
    fn of(length: u64) -> BodyLength {
        if length == 0 { BodyLength::Empty } else { BodyLength::Known(length) }
    }
}

enum Stated {
    Nothing,
    Length(u64),
    Chunked,
    UnknownCoding,
    Ambiguous,
}

/// Reads the framing fields once for both directions.
fn stated(fields: &Fields, version: Version) -> Stated {
    const FRAMING: NameSet = NameSet::of(&[Name::ContentLength, Name::TransferEncoding]);
    if !fields.may_have(FRAMING) {
        return Stated::Nothing;
    }
    let (mut lengths, mut codings) = (0, 0);
    let (mut length, mut coding) = (&b""[..], &b""[..]);
    for field in fields.iter() {
        match field.name {
            Name::ContentLength => (lengths, length) = (lengths + 1, field.value),
            Name::TransferEncoding => (codings, coding) = (codings + 1, field.value),
            _ => {}
        }
    }
    match (lengths, codings) {
        (0, 0) => Stated::Nothing,
        (1, 0) => decimal(length).map_or(Stated::Ambiguous, Stated::Length),
        (0, 1) if version == Version::Http10 => Stated::Ambiguous,
        (0, 1) if coding.eq_ignore_ascii_case(b"chunked") => Stated::Chunked,
        // `chunked, chunked` and `chunked;x` are wrong, `gzip` is merely not for us.
        (0, 1) if mentions_chunked(coding) => Stated::Ambiguous,
        (0, 1) => Stated::UnknownCoding,
        _ => Stated::Ambiguous,
    }
}

fn mentions_chunked(coding: &[u8]) -> bool {
    coding.is_empty() || coding.windows(7).any(|part| part.eq_ignore_ascii_case(b"chunked"))
}

/// A length is digits and nothing else: no sign, no list, no white space; 19 digits always fit.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// How long a request's body is (RFC 9112 §6.3). Both lengths, two of either, a length that is not
/// plain digits, and any transfer coding but `chunked` are errors.
pub fn request_body_length(fields: &Fields, version: Version) -> Result<BodyLength, RequestError> {
    match stated(fields, version) {
        Stated::Nothing => Ok(BodyLength::Empty),
        Stated::Length(length) => Ok(BodyLength::of(length)),
        Stated::Chunked => Ok(BodyLength::Chunked),
        Stated::UnknownCoding => Err(RequestError::TransferCoding),
        Stated::Ambiguous => Err(RequestError::Length),
    }
}

/// How long the body of a response is that answers a request (a HEAD request, if `to_head`).
pub fn response_body_length(
    fields: &Fields,
    version: Version,
    status: StatusCode,
    to_head: bool,
) -> Result<BodyLength, ResponseError> {
    let stated = match stated(fields, version) {
        Stated::Nothing => BodyLength::UntilClose,
        Stated::Length(length) => BodyLength::of(length),
        Stated::Chunked => BodyLength::Chunked,
        Stated::UnknownCoding | Stated::Ambiguous => return Err(ResponseError::Length),
    };
    let bodiless = to_head
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    Ok(if bodiless { BodyLength::Empty } else { stated })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.push(name, value.as_bytes()).unwrap();
        }
        fields
    }

    #[test]
    fn request_lengths() {
        use BodyLength::*;
        let length = Err(RequestError::Length);
        let coding = Err(RequestError::TransferCoding);
        for (lines, expected) in [
            (&[][..], Ok(Empty)),
            (&[("Content-Length", "0")], Ok(Empty)),
            (&[("Content-Length", "12")], Ok(Known(12))),
            (&[("Content-Length", "0012")], Ok(Known(12))),
            (&[("Content-Length", "")], length),
            (&[("Content-Length", "+1")], length),
            (&[("Content-Length", "-1")], length),
            (&[("Content-Length", "0x1")], length),
            (&[("Content-Length", "1_0")], length),
            (&[("Content-Length", "1 0")], length),
            (&[("Content-Length", "5, 5")], length),
            (&[("Content-Length", "1111111111111111111111111")], length),
            (&[("Content-Length", "5"), ("content-length", "6")], length),
            (&[("Content-Length", "5"), ("content-length", "5")], length),
            (&[("Transfer-Encoding", "chunked")], Ok(Chunked)),
            (&[("transfer-encoding", "Chunked")], Ok(Chunked)),
            (&[("Transfer-Encoding", "chunked"), ("Content-Length", "5")], length),
            (&[("Content-Length", "5"), ("Transfer-Encoding", "chunked")], length),
            (&[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], length),
            (&[("Transfer-Encoding", "chunked, chunked")], length),
            (&[("Transfer-Encoding", "gzip, chunked")], length),
            (&[("Transfer-Encoding", "chunked;q=1")], length),
            (&[("Transfer-Encoding", "xchunked")], length),
            (&[("Transfer-Encoding", "")], length),
            (&[("Transfer-Encoding", "gzip")], coding),
            (&[("Transfer-Encoding", "identity")], coding),
        ] {
            assert_eq!(request_body_length(&fields(lines), Version::Http11), expected, "{lines:?}");
        }
        let chunked = fields(&[("Transfer-Encoding", "chunked")]);
        assert_eq!(request_body_length(&chunked, Version::Http10), length);
    }

    #[test]
    fn response_lengths() {
        let length = |lines, status: u16, to_head| {
            let status = StatusCode::from_u16(status).unwrap();
            response_body_length(&fields(lines), Version::Http11, status, to_head)
        };
        let five = &[("Content-Length", "5")][..];
        assert_eq!(length(five, 200, false), Ok(BodyLength::Known(5)));
        assert_eq!(length(five, 200, true), Ok(BodyLength::Empty));
        assert_eq!(length(five, 304, false), Ok(BodyLength::Empty));
        assert_eq!(length(&[], 204, false), Ok(BodyLength::Empty));
        assert_eq!(length(&[], 200, false), Ok(BodyLength::UntilClose));
        let both = &[("Content-Length", "5"), ("Transfer-Encoding", "chunked")][..];
        assert_eq!(length(both, 200, false), Err(ResponseError::Length));
        assert_eq!(length(both, 304, false), Err(ResponseError::Length));
        assert_eq!(length(&[("Transfer-Encoding", "gzip")], 200, false), Err(ResponseError::Length));
    }
}
