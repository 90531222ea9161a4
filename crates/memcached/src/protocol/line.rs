//! Lines, tokens and numbers, as the text and the meta protocol share them.

use std::ops::Range;

use memchr::memchr;

use super::frame::{Refusal, RefusalKind};
use super::{Limits, ProtocolError};

/// How much of a strange line is shown in a message.
const SHOWN: usize = 80;

/// The first line, without its end, and how many bytes it takes with it. `None`: it has no end yet.
pub(super) fn split<'a>(
    input: &'a [u8],
    limits: &Limits,
) -> Result<Option<(&'a [u8], usize)>, ProtocolError> {
    let window = &input[..input.len().min(limits.line)];
    match memchr(b'\n', window) {
        Some(end) => {
            // Servers end lines with both; a bare line feed never is one.
            let line = window[..end].strip_suffix(b"\r").ok_or_else(|| unknown(&window[..end]))?;
            Ok(Some((line, end + 1)))
        }
        None if input.len() >= limits.line => Err(ProtocolError::LongLine(limits.line)),
        None => Ok(None),
    }
}

/// Where the value lies that follows a line of `line` bytes, and where its end is. `Err(Ok(n))`: it has not
/// arrived, `n` bytes are needed.
pub(super) fn value(
    input: &[u8],
    line: usize,
    length: u64,
    limits: &Limits,
) -> Result<Result<(Range<usize>, usize), usize>, ProtocolError> {
    if length > limits.value as u64 {
        return Err(ProtocolError::LongValue { announced: length, limit: limits.value });
    }
    // At most the limit, which is a `usize`.
    let end = line + length as usize;
    match input.get(end..end + 2) {
        Some(b"\r\n") => Ok(Ok((line..end, end + 2))),
        Some(_) => Err(ProtocolError::Unterminated),
        None => Ok(Err(end + 2)),
    }
}

/// A decimal number of at most 64 bits, digits only.
#[inline]
pub(super) fn number(digits: &[u8]) -> Result<u64, ProtocolError> {
    let parse = || {
        let mut number: u64 = 0;
        // So many digits fit in any case.
        if digits.len() < 20 {
            for digit in digits {
                let digit = digit.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                number = number * 10 + u64::from(digit);
            }
        } else {
            for digit in digits {
                let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
                number = number.checked_mul(10)?.checked_add(digit)?;
            }
        }
        (!digits.is_empty()).then_some(number)
    };
    parse().ok_or_else(|| ProtocolError::Number(shown(digits)))
}

/// As [`number`], of at most 32 bits.
pub(super) fn number32(digits: &[u8]) -> Result<u32, ProtocolError> {
    u32::try_from(number(digits)?).map_err(|_| ProtocolError::Number(shown(digits)))
}

/// `ERROR`, `CLIENT_ERROR …` and `SERVER_ERROR …`.
pub(super) fn refusal(line: &[u8]) -> Option<Refusal> {
    let said = |rest: &[u8]| shown(rest.strip_prefix(b" ").unwrap_or(rest));
    let (kind, message) = if let Some(rest) = line.strip_prefix(b"SERVER_ERROR") {
        let kind = if rest.starts_with(b" object too large") {
            RefusalKind::TooLarge { limit: None }
        } else {
            RefusalKind::Server
        };
        (kind, said(rest))
    } else if let Some(rest) = line.strip_prefix(b"CLIENT_ERROR") {
        let kind = match rest {
            b" unauthenticated" | b" authentication failure" => RefusalKind::Auth,
            _ if rest.ends_with(b"non-numeric value") => RefusalKind::NotANumber,
            _ => RefusalKind::Client,
        };
        (kind, said(rest))
    } else if line == b"ERROR" || line.starts_with(b"ERROR ") {
        (RefusalKind::UnknownCommand, shown(line))
    } else {
        return None;
    };
    Some(Refusal { kind, message })
}

/// The error for a line that is no reply.
pub(super) fn unknown(line: &[u8]) -> ProtocolError {
    ProtocolError::UnknownLine(shown(line))
}

/// Bytes of a server for people: the beginning, without what a terminal would act on.
pub(super) fn shown(bytes: &[u8]) -> String {
    let cut = bytes.len() > SHOWN;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let mut text: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if cut {
        text.push('…');
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::frame::Step;
    use super::*;

    /// What holds for every decoder and all bytes: no panic, a frame lies within its input, and an input
    /// that is cut says that it is partial or is read the same.
    pub(in super::super) fn check_decoder(
        decode: for<'a> fn(&'a [u8], &Limits) -> Result<Step<'a>, ProtocolError>,
        input: &[u8],
    ) {
        let limits = Limits { line: 64, value: 100, stats: 10 };
        let Ok(Step::Complete(frame, length)) = decode(input, &limits) else { return };
        assert!(length <= input.len());
        for cut in 0..length {
            match decode(&input[..cut], &limits) {
                Ok(Step::Partial(needed)) => {
                    assert!(needed > cut && needed <= length, "{needed} of {length}, at {cut}")
                }
                other => panic!("cut at {cut}: {other:?}"),
            }
        }
        assert_eq!(decode(&input[..length], &limits), Ok(Step::Complete(frame, length)));
    }

    #[test]
    fn numbers_are_digits_and_fit() {
        assert_eq!(number(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(number32(b"0"), Ok(0));
        for digits in [&b""[..], b"-1", b"+1", b" 1", b"1 ", b"18446744073709551616", b"0x1"] {
            assert!(number(digits).is_err(), "{}", digits.escape_ascii());
        }
        assert!(number32(b"4294967296").is_err());
    }

    #[test]
    fn a_message_has_nothing_a_terminal_acts_on() {
        assert_eq!(shown(b"\x1b[2Jhello"), "\u{fffd}[2Jhello");
        assert_eq!(shown(&[b'x'; 100]), format!("{}…", "x".repeat(80)));
    }
}
