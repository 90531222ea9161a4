//! The binary protocol, deprecated by memcached, for those who ask for it: servers or clients that were set up
//! for nothing else.
//!
//! Every packet says how long it is and carries a tag (`opaque`), which the server repeats. Reads that are
//! one of many are quiet, with a no-op at their end.

use super::frame::{Frame, Refusal, RefusalKind, Status, Step};
use super::{Limits, Outgoing, ProtocolError, Request, StoreMode, line};

const REQUEST: u8 = 0x80;
const RESPONSE: u8 = 0x81;
const HEADER: usize = 24;
/// What a packet may have besides its value: a key, and extras.
const MOST_OVERHEAD: usize = 64 * 1024;
/// A time to live that says: don't create.
const DONT_CREATE: u32 = u32::MAX;

mod opcode {
    pub(super) const GET: u8 = 0x00;
    pub(super) const SET: u8 = 0x01;
    pub(super) const ADD: u8 = 0x02;
    pub(super) const REPLACE: u8 = 0x03;
    pub(super) const DELETE: u8 = 0x04;
    pub(super) const INCREMENT: u8 = 0x05;
    pub(super) const DECREMENT: u8 = 0x06;
    pub(super) const FLUSH: u8 = 0x08;
    pub(super) const GETQ: u8 = 0x09;
    pub(super) const NOOP: u8 = 0x0a;
    pub(super) const VERSION: u8 = 0x0b;
    pub(super) const APPEND: u8 = 0x0e;
    pub(super) const PREPEND: u8 = 0x0f;
    pub(super) const STAT: u8 = 0x10;
    pub(super) const TOUCH: u8 = 0x1c;
    pub(super) const GAT: u8 = 0x1d;
    pub(super) const GATQ: u8 = 0x1e;
    pub(super) const SASL_AUTH: u8 = 0x21;
}

/// The parts of a packet before its value.
struct Packet<'a> {
    opcode: u8,
    tag: u32,
    cas: u64,
    extras: &'a [u8],
    key: &'a [u8],
    value: usize,
}

impl Packet<'_> {
    fn put(&self, out: &mut Outgoing) {
        let mut header = [0; HEADER];
        header[0] = REQUEST;
        header[1] = self.opcode;
        // A key has at most 250 bytes, extras at most 20.
        header[2..4].copy_from_slice(&(self.key.len() as u16).to_be_bytes());
        header[4] = self.extras.len() as u8;
        let body = self.extras.len() + self.key.len() + self.value;
        // A connection refuses values of a gibibyte and more before they come here.
        header[8..12].copy_from_slice(&(body as u32).to_be_bytes());
        header[12..16].copy_from_slice(&self.tag.to_be_bytes());
        header[16..24].copy_from_slice(&self.cas.to_be_bytes());
        out.put(&header);
        out.put(self.extras);
        out.put(self.key);
    }
}

/// Writes a request, `quiet` without a word on what isn't there.
pub fn encode(request: &Request, tag: u32, quiet: bool, out: &mut Outgoing) {
    let packet = |opcode, key| Packet { opcode, tag, cas: 0, extras: &[], key, value: 0 };
    match request {
        Request::Get { key, touch: None, .. } | Request::GetIfChanged { key, .. } => {
            packet(if quiet { opcode::GETQ } else { opcode::GET }, key.as_bytes()).put(out);
        }
        Request::Get { key, touch: Some(ttl), .. } => {
            let opcode = if quiet { opcode::GATQ } else { opcode::GAT };
            Packet { extras: &ttl.to_be_bytes(), ..packet(opcode, key.as_bytes()) }.put(out);
        }
        Request::Touch { key, ttl } => {
            Packet { extras: &ttl.to_be_bytes(), ..packet(opcode::TOUCH, key.as_bytes()) }.put(out);
        }
        Request::Store { mode, key, value, flags, ttl, cas } => {
            let opcode = match mode {
                StoreMode::Set => opcode::SET,
                StoreMode::Add => opcode::ADD,
                StoreMode::Replace => opcode::REPLACE,
                StoreMode::Append | StoreMode::AppendOrSet => opcode::APPEND,
                StoreMode::Prepend => opcode::PREPEND,
            };
            let mut extras = [0; 8];
            extras[..4].copy_from_slice(&flags.to_be_bytes());
            extras[4..].copy_from_slice(&ttl.to_be_bytes());
            let joins = matches!(opcode, opcode::APPEND | opcode::PREPEND);
            let extras = if joins { &[][..] } else { &extras };
            let cas = cas.unwrap_or(0);
            Packet { extras, cas, value: value.len(), ..packet(opcode, key.as_bytes()) }.put(out);
            out.put_value(value);
        }
        Request::Delete { key, cas } => {
            Packet { cas: cas.unwrap_or(0), ..packet(opcode::DELETE, key.as_bytes()) }.put(out);
        }
        Request::Arithmetic { key, delta, decrement, create } => {
            let (initial, ttl) = create.map_or((0, DONT_CREATE), |create| (create.initial, create.ttl));
            let mut extras = [0; 20];
            extras[..8].copy_from_slice(&delta.to_be_bytes());
            extras[8..16].copy_from_slice(&initial.to_be_bytes());
            extras[16..].copy_from_slice(&ttl.to_be_bytes());
            let opcode = if *decrement { opcode::DECREMENT } else { opcode::INCREMENT };
            Packet { extras: &extras, ..packet(opcode, key.as_bytes()) }.put(out);
        }
        Request::Version => packet(opcode::VERSION, b"").put(out),
        Request::Flush { delay: None } => packet(opcode::FLUSH, b"").put(out),
        Request::Flush { delay: Some(delay) } => {
            Packet { extras: &delay.to_be_bytes(), ..packet(opcode::FLUSH, b"") }.put(out);
        }
        Request::Stats { argument } => packet(opcode::STAT, argument.as_deref().unwrap_or_default()).put(out),
    }
}

/// Writes a no-op: the end of a run of quiet requests.
pub fn encode_fence(tag: u32, out: &mut Outgoing) {
    Packet { opcode: opcode::NOOP, tag, cas: 0, extras: &[], key: b"", value: 0 }.put(out);
}

/// Writes SASL's `PLAIN` with user and password (RFC 4616).
pub fn encode_auth(user: &str, password: &str, tag: u32, out: &mut Outgoing) {
    let token = [b"\0", user.as_bytes(), b"\0", password.as_bytes()].concat();
    let packet =
        Packet { opcode: opcode::SASL_AUTH, tag, cas: 0, extras: &[], key: b"PLAIN", value: token.len() };
    packet.put(out);
    out.put(&token);
}

/// Reads the first frame of `input`.
///
/// # Errors
/// When it is no reply of a server.
pub fn decode<'a>(input: &'a [u8], limits: &Limits) -> Result<Step<'a>, ProtocolError> {
    if input.first().is_some_and(|magic| *magic != RESPONSE) {
        return Err(ProtocolError::Binary("its first byte is not 0x81"));
    }
    let Some((header, body)) = input.split_at_checked(HEADER) else {
        return Ok(Step::Partial(HEADER));
    };
    let key = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let extras = usize::from(header[4]);
    let status = u16::from_be_bytes([header[6], header[7]]);
    let length = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let tag = u32::from_be_bytes([header[12], header[13], header[14], header[15]]);
    if extras + key > length {
        return Err(ProtocolError::Binary("its parts are longer than all of it"));
    }
    if length - extras - key > limits.value || extras + key > MOST_OVERHEAD {
        return Err(ProtocolError::LongValue { announced: length as u64, limit: limits.value });
    }
    let total = HEADER + length;
    let Some(body) = body.get(..length) else { return Ok(Step::Partial(total)) };
    let (extras, rest) = body.split_at(extras);
    let (key, value) = rest.split_at(key);
    let packet = Reply { opcode: header[1], tag, cas: cas_of(header), extras, key, value, total };
    let frame = if status == 0 { packet.success()? } else { packet.failure(status) };
    Ok(Step::Complete(frame, total))
}

fn cas_of(header: &[u8]) -> u64 {
    header[16..HEADER].iter().fold(0, |cas, byte| cas << 8 | u64::from(*byte))
}

/// A packet of a server, taken apart.
struct Reply<'a> {
    opcode: u8,
    tag: u32,
    cas: u64,
    extras: &'a [u8],
    key: &'a [u8],
    value: &'a [u8],
    total: usize,
}

impl<'a> Reply<'a> {
    fn success(&self) -> Result<Frame<'a>, ProtocolError> {
        let tag = Some(self.tag);
        Ok(match self.opcode {
            opcode::GET | opcode::GETQ | opcode::GAT | opcode::GATQ => {
                let flags = self.extras.try_into().map(u32::from_be_bytes);
                let flags = flags.map_err(|_| ProtocolError::Binary("an item without its flags"))?;
                let value = self.total - self.value.len()..self.total;
                Frame::Item { tag, key: None, flags, cas: Some(self.cas), ttl: None, value }
            }
            opcode::INCREMENT | opcode::DECREMENT => {
                let value = self.value.try_into().map(u64::from_be_bytes);
                let value = value.map_err(|_| ProtocolError::Binary("a number without its eight bytes"))?;
                Frame::Number { tag, value }
            }
            opcode::NOOP => Frame::Fence { tag },
            opcode::STAT if self.key.is_empty() => Frame::Fence { tag },
            opcode::STAT => Frame::Stat { tag, name: self.key, value: self.value },
            opcode::VERSION => Frame::Version { tag, text: self.value },
            _ => Frame::Status { tag, status: Status::Done },
        })
    }

    fn failure(&self, status: u16) -> Frame<'a> {
        let tag = Some(self.tag);
        let kind = match status {
            0x01 => return Frame::Status { tag, status: Status::NotFound },
            0x02 => return Frame::Status { tag, status: Status::Exists },
            0x05 => return Frame::Status { tag, status: Status::NotStored },
            0x03 => RefusalKind::TooLarge { limit: None },
            0x04 => RefusalKind::Client,
            0x06 => RefusalKind::NotANumber,
            0x08 | 0x20 | 0x21 => RefusalKind::Auth,
            0x81 => RefusalKind::UnknownCommand,
            _ => RefusalKind::Server,
        };
        let message = match self.value {
            [] => format!("status {status}"),
            text => line::shown(text),
        };
        Frame::Refused { tag, refusal: Refusal { kind, message } }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::key::Key;
    use crate::protocol::Create;

    fn key() -> Key {
        Key::new(b"", b"Hello").unwrap()
    }

    fn packet(opcode: u8, status: u16, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x81, opcode];
        bytes.extend((key.len() as u16).to_be_bytes());
        bytes.extend([extras.len() as u8, 0]);
        bytes.extend(status.to_be_bytes());
        bytes.extend(((extras.len() + key.len() + value.len()) as u32).to_be_bytes());
        bytes.extend(7u32.to_be_bytes());
        bytes.extend(9u64.to_be_bytes());
        [&bytes, extras, key, value].concat()
    }

    #[test]
    fn an_add_is_written_as_the_specifications_example() {
        let mut out = Outgoing::default();
        let request = Request::Store {
            mode: StoreMode::Add,
            key: key(),
            value: Bytes::from_static(b"World"),
            flags: 0xdead_beef,
            ttl: 0xe10,
            cas: None,
        };
        encode(&request, 0, false, &mut out);
        let mut expected = vec![0x80, 0x02, 0, 5, 8, 0, 0, 0, 0, 0, 0, 0x12];
        expected.extend([0; 12]);
        expected.extend([0xde, 0xad, 0xbe, 0xef, 0, 0, 0x0e, 0x10]);
        expected.extend(b"HelloWorld");
        assert_eq!(out.to_vec(), expected);
    }

    #[test]
    fn an_increment_is_written_as_the_specifications_example() {
        let mut out = Outgoing::default();
        let create = Some(Create { initial: 0, ttl: 0xe10 });
        let key = Key::new(b"", b"counter").unwrap();
        encode(&Request::Arithmetic { key, delta: 1, decrement: false, create }, 0, false, &mut out);
        let mut expected = vec![0x80, 0x05, 0, 7, 0x14, 0, 0, 0, 0, 0, 0, 0x1b];
        expected.extend([0; 12]);
        expected.extend(1u64.to_be_bytes());
        expected.extend(0u64.to_be_bytes());
        expected.extend(0xe10u32.to_be_bytes());
        expected.extend(b"counter");
        assert_eq!(out.to_vec(), expected);
    }

    #[test]
    fn replies_are_read() {
        let limits = Limits::default();
        let bytes = packet(opcode::GETQ, 0, &[0, 0, 0, 5], b"", b"World");
        let item = Frame::Item { tag: Some(7), key: None, flags: 5, cas: Some(9), ttl: None, value: 28..33 };
        assert_eq!(decode(&bytes, &limits), Ok(Step::Complete(item, 33)));
        let bytes = packet(opcode::INCREMENT, 0, b"", b"", &5u64.to_be_bytes());
        assert_eq!(decode(&bytes, &limits), Ok(Step::Complete(Frame::Number { tag: Some(7), value: 5 }, 32)));
        let bytes = packet(opcode::STAT, 0, b"", b"pid", b"42");
        let stat = Frame::Stat { tag: Some(7), name: b"pid", value: b"42" };
        assert_eq!(decode(&bytes, &limits), Ok(Step::Complete(stat, 29)));
        let bytes = packet(opcode::SET, 2, b"", b"", b"Data exists for key.");
        let exists = Frame::Status { tag: Some(7), status: Status::Exists };
        assert_eq!(decode(&bytes, &limits), Ok(Step::Complete(exists, 44)));
    }

    #[test]
    fn replies_that_contradict_themselves_are_errors() {
        let limits = Limits { line: 64, value: 100, stats: 10 };
        let mut wrong_magic = packet(opcode::GET, 0, &[0; 4], b"", b"x");
        wrong_magic[0] = 0x80;
        let mut short_body = packet(opcode::GET, 0, &[0; 4], b"", b"");
        short_body[11] = 3;
        for (what, bytes) in [
            ("magic", wrong_magic),
            ("parts", short_body),
            ("flags", packet(opcode::GET, 0, &[0; 3], b"", b"x")),
            ("number", packet(opcode::INCREMENT, 0, b"", b"", b"1")),
            ("length", packet(opcode::GET, 0, &[0; 4], b"", &[0; 101])),
        ] {
            assert!(decode(&bytes, &limits).is_err(), "{what}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(mut input in prop::collection::vec(any::<u8>(), 24..120)) {
            crate::protocol::line::tests::check_decoder(decode, &input);
            // Near enough to a packet to come further.
            input[0] = RESPONSE;
            input[2] = 0;
            input[3] %= 8;
            input[4] %= 24;
            input[6..11].fill(0);
            input[11] %= 100;
            crate::protocol::line::tests::check_decoder(decode, &input);
        }
    }
}
