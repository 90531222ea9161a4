//! Finding the end of a head in bytes that arrive in pieces.
//!
//! Every byte is looked at once however it is dripped in, so that a slow sender costs no more than a
//! fast one. A bare line feed is found here, before anything is parsed: programs disagree on whether it
//! ends a line, which is how requests are smuggled.

use crate::error::RequestError;

/// How large a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the first line, its end included.
    pub line: usize,
    /// Bytes of the whole head, first line and empty line included.
    pub size: usize,
    /// Number of fields; [`HeadLimits::MOST_FIELDS`] at most.
    pub fields: usize,
}

impl HeadLimits {
    /// No head may have more fields, whatever the configuration says.
    pub const MOST_FIELDS: usize = 256;
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits { line: 8 * 1024, size: 32 * 1024, fields: 100 }
    }
}

/// What is known of the bytes seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// The head is not complete; more bytes are needed.
    Partial,
    /// The head is this many bytes long, its empty line included.
    Complete(usize),
}

/// Remembers how far a head has been looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadScanner {
    /// All bytes before this are known to hold no end of the head.
    seen: usize,
    /// Where the line begins in which `seen` stands.
    line_start: usize,
    /// How many lines have ended.
    lines: usize,
}

impl HeadScanner {
    /// A scanner for a new head.
    pub fn new() -> HeadScanner {
        HeadScanner::default()
    }

    /// Looks at `bytes`, which begin with the head and begin with all bytes of the call before.
    pub fn scan(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Scan, RequestError> {
        let from = self.seen;
        for offset in memchr::memchr_iter(b'\n', &bytes[from..]) {
            let feed = from + offset;
            if feed == 0 || bytes[feed - 1] != b'\r' {
                return Err(RequestError::BareLineFeed);
            }
            let empty = feed == self.line_start + 1;
            if self.lines == 0 && feed + 1 - self.line_start > limits.line {
                return Err(RequestError::RequestLineTooLong);
            }
            if feed + 1 > limits.size {
                return Err(RequestError::HeadTooLarge);
            }
            self.seen = feed + 1;
            self.line_start = feed + 1;
            self.lines += 1;
            if empty {
                return Ok(Scan::Complete(feed + 1));
            }
        }
        self.seen = bytes.len();
        if self.lines == 0 && bytes.len() > limits.line {
            return Err(RequestError::RequestLineTooLong);
        }
        if bytes.len() > limits.size {
            return Err(RequestError::HeadTooLarge);
        }
        Ok(Scan::Partial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn the_end_is_found_however_the_head_is_cut() {
        for cut in 0..HEAD.len() {
            let mut scanner = HeadScanner::new();
            let limits = HeadLimits::default();
            assert_eq!(scanner.scan(&HEAD[..cut], &limits), Ok(Scan::Partial), "cut at {cut}");
            let mut more = HEAD.to_vec();
            more.extend_from_slice(b"GET /next");
            assert_eq!(scanner.scan(&more, &limits), Ok(Scan::Complete(HEAD.len())), "cut at {cut}");
        }
    }

    #[test]
    fn a_bare_line_feed_is_refused_wherever_it_stands() {
        for head in
            [&b"\n"[..], b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nHost: a\n\r\n", b"GET / HTTP/1.1\r\n\n"]
        {
            let result = HeadScanner::new().scan(head, &HeadLimits::default());
            assert_eq!(result, Err(RequestError::BareLineFeed), "{head:?}");
        }
    }

    #[test]
    fn limits_hold_before_the_head_is_complete() {
        let limits = HeadLimits { line: 20, size: 40, fields: 10 };
        assert_eq!(HeadScanner::new().scan(&[b'a'; 21], &limits), Err(RequestError::RequestLineTooLong));
        let long = [b"GET / HTTP/1.1\r\n", &[b'a'; 40][..]].concat();
        assert_eq!(HeadScanner::new().scan(&long, &limits), Err(RequestError::HeadTooLarge));
    }
}
