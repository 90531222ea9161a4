//! Chunked bodies (RFC 9112 §7.1), taken apart strictly.
//!
//! The decoder is fed whatever bytes have come and says how many of them it has used and which of them
//! are data. Sizes are plain hexadecimal; extensions are skipped, within a limit a body; every line ends
//! in CR LF; trailers are collected within a limit, and those that frame, route or authorise are left
//! out. The other way round, chunks are put together in the buffer that is written from.

use std::ops::Range;

use crate::fields::Fields;
use crate::name::Name;

/// Extensions of one body may be this long together.
pub const MOST_EXTENSIONS: usize = 4 * 1024;
/// The trailer section may be this long.
pub const MOST_TRAILERS: usize = 8 * 1024;
/// And have this many fields.
const MOST_TRAILER_FIELDS: usize = 64;

/// A body that is not chunked as it says; the connection it came on can't be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A size that is no hexadecimal number of at most 16 digits.
    #[error("a chunk's size is malformed")]
    Size,
    /// An extension with a control byte or longer than allowed.
    #[error("a chunk's extension is malformed or too long")]
    Extension,
    /// A chunk that is not followed by CR LF.
    #[error("a chunk is longer than its size says")]
    End,
    /// A trailer section that is malformed or too long.
    #[error("the trailer section is malformed or too long")]
    Trailers,
}

/// What a call of [`ChunkedDecoder::decode`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// This many bytes have been used, data included.
    pub used: usize,
    /// Which of them are data; at most one run a call.
    pub data: Range<usize>,
    /// The body has ended.
    pub done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a chunk's size; how many digits have come.
    Size(u8),
    Extension,
    /// Behind the CR of the size's line.
    SizeLineFeed,
    Data,
    DataCarriageReturn,
    DataLineFeed,
    Trailers,
    Done,
}

/// Takes one chunked body apart.
#[derive(Debug, Clone)]
pub struct ChunkedDecoder {
    state: State,
    /// What is left of the chunk.
    left: u64,
    extensions: usize,
    trailers: Vec<u8>,
}

impl Default for ChunkedDecoder {
    fn default() -> ChunkedDecoder {
        ChunkedDecoder { state: State::Size(0), left: 0, extensions: 0, trailers: Vec::new() }
    }
}

impl ChunkedDecoder {
    /// A decoder for a new body.
    pub fn new() -> ChunkedDecoder {
        ChunkedDecoder::default()
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Looks at `input` up to the end of its first run of data, of at most `room` bytes. `used` is 0
    /// only if `input` is empty, or the body has ended, or `room` is 0.
    pub fn decode(&mut self, input: &[u8], room: usize) -> Result<Decoded, ChunkError> {
        let mut at = 0;
        while at < input.len() {
            let byte = input[at];
            match self.state {
                State::Size(digits) => match (hexadecimal(byte), byte) {
                    (Some(_), _) if digits == 16 => return Err(ChunkError::Size),
                    (Some(digit), _) => {
                        self.left = self.left << 4 | u64::from(digit);
                        self.state = State::Size(digits + 1);
                    }
                    (None, _) if digits == 0 => return Err(ChunkError::Size),
                    (None, b'\r') => self.state = State::SizeLineFeed,
                    (None, b';') => self.state = State::Extension,
                    (None, _) => return Err(ChunkError::Size),
                },
                State::Extension => {
                    self.extensions += 1;
                    match byte {
                        b'\r' => self.state = State::SizeLineFeed,
                        b'\t' | b' '..=b'~' | 0x80.. if self.extensions <= MOST_EXTENSIONS => {}
                        _ => return Err(ChunkError::Extension),
                    }
                }
                State::SizeLineFeed => match byte {
                    b'\n' if self.left == 0 => self.state = State::Trailers,
                    b'\n' => self.state = State::Data,
                    _ => return Err(ChunkError::Size),
                },
                State::Data => {
                    let run =
                        usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at).min(room);
                    self.left -= run as u64;
                    if self.left == 0 {
                        self.state = State::DataCarriageReturn;
                    }
                    return Ok(Decoded { used: at + run, data: at..at + run, done: false });
                }
                State::DataCarriageReturn if byte == b'\r' => self.state = State::DataLineFeed,
                State::DataLineFeed if byte == b'\n' => self.state = State::Size(0),
                State::DataCarriageReturn | State::DataLineFeed => return Err(ChunkError::End),
                State::Trailers => {
                    if byte == b'\n' && self.trailers.last() != Some(&b'\r') {
                        return Err(ChunkError::Trailers);
                    }
                    self.trailers.push(byte);
                    if self.trailers.len() > MOST_TRAILERS {
                        return Err(ChunkError::Trailers);
                    }
                    if self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n") {
                        self.state = State::Done;
                        return Ok(Decoded { used: at + 1, data: 0..0, done: true });
                    }
                }
                State::Done => return Ok(Decoded { used: at, data: 0..0, done: true }),
            }
            at += 1;
        }
        Ok(Decoded { used: at, data: 0..0, done: self.is_done() })
    }

    /// The trailers of a body that has ended, without those that may not come as trailers; none in the
    /// usual case.
    pub fn trailers(&mut self) -> Result<Option<Fields>, ChunkError> {
        let text = std::mem::take(&mut self.trailers);
        if text.len() <= 2 {
            return Ok(None);
        }
        let mut slots = [httparse::EMPTY_HEADER; MOST_TRAILER_FIELDS];
        let Ok(httparse::Status::Complete((length, parsed))) = httparse::parse_headers(&text, &mut slots)
        else {
            return Err(ChunkError::Trailers);
        };
        if length != text.len() {
            return Err(ChunkError::Trailers);
        }
        let mut fields = Fields::new();
        fields.load(&text, parsed).map_err(|_| ChunkError::Trailers)?;
        fields.retain(|field| !Name::is_forbidden_in_trailers(field.name, field.spelled));
        Ok((!fields.is_empty()).then_some(fields))
    }
}

/// Begins a chunk behind `out`; its data is appended next, then [`end_chunk`] is told what this returned.
pub fn begin_chunk(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(b"0000\r\n");
    out.len()
}

/// The most data a chunk begun by [`begin_chunk`] can hold.
pub const LARGEST_CHUNK: usize = 0xffff;

/// Ends the chunk whose data begins at `start`, or takes it back if there is none.
pub fn end_chunk(out: &mut Vec<u8>, start: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let length = out.len() - start;
    debug_assert!(length <= LARGEST_CHUNK);
    if length == 0 {
        out.truncate(start - 6);
        return;
    }
    for (place, byte) in out[start - 6..start - 2].iter_mut().enumerate() {
        *byte = DIGITS[length >> (12 - 4 * place) & 0xf];
    }
    out.extend_from_slice(b"\r\n");
}

/// Ends a chunked body, with trailers if there are any.
pub fn end_body(out: &mut Vec<u8>, trailers: Option<&Fields>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        trailers.write_to(out);
    }
    out.extend_from_slice(b"\r\n");
}

fn hexadecimal(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Data, trailers, and what is left behind the body.
    type Whole = (Vec<u8>, Option<Fields>, Vec<u8>);

    /// Decodes `input`, fed in pieces of `step` bytes.
    fn decode(input: &[u8], step: usize) -> Result<Whole, ChunkError> {
        let mut decoder = ChunkedDecoder::new();
        let (mut data, mut pending, mut rest) = (Vec::new(), Vec::new(), input);
        loop {
            let decoded = decoder.decode(&pending, usize::MAX)?;
            data.extend_from_slice(&pending[decoded.data.clone()]);
            pending.drain(..decoded.used);
            if decoded.done {
                pending.extend_from_slice(rest);
                return Ok((data, decoder.trailers()?, pending));
            }
            if decoded.used == 0 {
                assert!(!rest.is_empty(), "the body never ends");
                let (now, later) = rest.split_at(step.min(rest.len()));
                pending.extend_from_slice(now);
                rest = later;
            }
        }
    }

    #[test]
    fn bodies_are_decoded_and_what_follows_is_left() {
        for step in [1, 2, 3, 7, 1000] {
            let input = b"5\r\nhello\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\nX-T: 1\r\nHost: evil\r\n\r\nGET /";
            let (data, trailers, rest) = decode(input, step).unwrap();
            assert_eq!(data, b"hello0123456789");
            assert_eq!(rest, b"GET /");
            let trailers = trailers.expect("one trailer");
            assert_eq!(trailers.len(), 1);
            assert_eq!(trailers.find("x-t"), Some(&b"1"[..]));
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        use ChunkError::*;
        let long = [b"1;", &[b'x'; MOST_EXTENSIONS + 1][..], b"\r\n"].concat();
        let many = [b"0\r\n", &b"A: b\r\n".repeat(MOST_TRAILERS / 6 + 1)[..], b"\r\n"].concat();
        for (input, expected) in [
            (&b"\r\n"[..], Size),
            (b"g\r\n", Size),
            (b"-1\r\n", Size),
            (b"+1\r\n", Size),
            (b"0x1\r\n", Size),
            (b" 1\r\n", Size),
            (b"1 \r\n", Size),
            (b"1\n", Size),
            (b"1\rx", Size),
            (b"11111111111111111\r\n", Size),
            (b"1;a\nb\r\n", Extension),
            (b"1;a\0\r\n", Extension),
            (b"1;a\rb\r\n", Size),
            (&long, Extension),
            (b"1\r\nab\r\n", End),
            (b"1\r\na\n", End),
            (b"1\r\na\rb", End),
            (b"0\r\nA: b\n\r\n\r\n", Trailers),
            (b"0\r\nA : b\r\n\r\n", Trailers),
            (b"0\r\n A: b\r\n\r\n", Trailers),
            (&many, Trailers),
        ] {
            assert_eq!(decode(input, 1).err(), Some(expected), "{:?}", String::from_utf8_lossy(input));
            assert_eq!(decode(input, 10_000).err(), Some(expected), "{:?}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut out = Vec::new();
        for length in [1, 15, 16, 4096, LARGEST_CHUNK, 0] {
            let start = begin_chunk(&mut out);
            out.resize(start + length, b'x');
            end_chunk(&mut out, start);
        }
        let mut trailers = Fields::new();
        trailers.push("A", b"b").unwrap();
        end_body(&mut out, Some(&trailers));
        let (data, trailers, rest) = decode(&out, 100).unwrap();
        assert_eq!(data.len(), 1 + 15 + 16 + 4096 + LARGEST_CHUNK);
        assert_eq!(trailers.unwrap().find("a"), Some(&b"b"[..]));
        assert!(rest.is_empty());
    }

    proptest! {
        #[test]
        fn any_chunking_of_a_body_decodes_to_it(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..20),
            step in 1usize..400,
        ) {
            let mut input = Vec::new();
            for chunk in &chunks {
                input.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                input.extend_from_slice(chunk);
                input.extend_from_slice(b"\r\n");
            }
            input.extend_from_slice(b"0\r\n\r\nrest");
            let (data, trailers, rest) = decode(&input, step).unwrap();
            prop_assert_eq!(data, chunks.concat());
            prop_assert!(trailers.is_none());
            prop_assert_eq!(rest, b"rest".to_vec());
        }

        #[test]
        fn no_bytes_make_it_panic_or_read_past_its_input(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = ChunkedDecoder::new();
            let mut at = 0;
            while let Ok(decoded) = decoder.decode(&input[at..], 10) {
                prop_assert!(decoded.used <= input.len() - at);
                prop_assert!(decoded.data.end <= decoded.used);
                at += decoded.used;
                if decoded.used == 0 || decoded.done {
                    break;
                }
            }
            let _ = decoder.trailers();
        }
    }
}
