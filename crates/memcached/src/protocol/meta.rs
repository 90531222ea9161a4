//! The meta protocol: `mg`, `ms`, `md`, `ma` and `mn`, as memcached 1.6.10 and later have them.
//!
//! Every request carries a tag (`O`), which the server repeats in its reply: a reply with another tag is
//! noticed rather than taken for an answer. Reads that are one of many are quiet (`q`): the server says
//! nothing of what it doesn't have, and `mn` at their end tells that it said everything.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::frame::{Frame, Status, Step};
use super::{Limits, Outgoing, ProtocolError, Request, StoreMode, line};
use crate::key::Key;

/// The end of a run of quiet requests.
pub const FENCE: &[u8] = b"mn\r\n";

/// Writes a request that has a meta command, `quiet` without a word on what isn't there. Returns whether it
/// has one: `version`, `flush_all` and `stats` are written by [`super::text::encode`].
pub fn encode(request: &Request, tag: u32, quiet: bool, out: &mut Outgoing) -> bool {
    match request {
        Request::Get { key, cas, ttl, touch } => {
            begin(b"mg ", key, out);
            out.put(match (*cas, *ttl) {
                (false, false) => b" v f",
                (true, false) => b" v f c",
                (false, true) => b" v f t",
                (true, true) => b" v f c t",
            });
            if let Some(touch) = touch {
                number(b" T", *touch, out);
            }
            if quiet {
                out.put(b" q");
            }
        }
        Request::GetIfChanged { key, token } => {
            begin(b"mg ", key, out);
            number(b" v f c C", *token, out);
            if quiet {
                out.put(b" q");
            }
        }
        Request::Touch { key, ttl } => {
            begin(b"mg ", key, out);
            number(b" T", *ttl, out);
        }
        Request::Store { mode, key, value, flags, ttl, cas } => {
            begin_store(key, value.len(), out);
            match mode {
                StoreMode::Set => {}
                StoreMode::Add => out.put(b" ME"),
                StoreMode::Replace => out.put(b" MR"),
                StoreMode::Append => out.put(b" MA"),
                StoreMode::AppendOrSet => {
                    out.put(b" MA");
                    number(b" N", *ttl, out);
                }
                StoreMode::Prepend => out.put(b" MP"),
            }
            if *flags != 0 {
                number(b" F", *flags, out);
            }
            if *ttl != 0 && *mode != StoreMode::AppendOrSet {
                number(b" T", *ttl, out);
            }
            if let Some(cas) = cas {
                number(b" C", *cas, out);
            }
            number(b" O", tag, out);
            out.put(b"\r\n");
            out.put_value(value);
            out.put(b"\r\n");
            return true;
        }
        Request::Delete { key, cas } => {
            begin(b"md ", key, out);
            if let Some(cas) = cas {
                number(b" C", *cas, out);
            }
        }
        Request::Arithmetic { key, delta, decrement, create } => {
            begin(b"ma ", key, out);
            out.put(b" v");
            if *decrement {
                out.put(b" MD");
            }
            number(b" D", *delta, out);
            if let Some(create) = create {
                number(b" N", create.ttl, out);
                number(b" J", create.initial, out);
            }
        }
        Request::Version | Request::Flush { .. } | Request::Stats { .. } => return false,
    }
    number(b" O", tag, out);
    out.put(b"\r\n");
    true
}

fn begin(command: &[u8], key: &Key, out: &mut Outgoing) {
    out.put(command);
    if key.is_plain() {
        out.put(key.as_bytes());
    } else {
        put_encoded(key, out);
        out.put(b" b");
    }
}

/// `ms` has the value's length behind the key.
fn begin_store(key: &Key, length: usize, out: &mut Outgoing) {
    out.put(b"ms ");
    if key.is_plain() {
        out.put(key.as_bytes());
    } else {
        put_encoded(key, out);
    }
    out.put(b" ");
    out.put_number(length);
    if !key.is_plain() {
        out.put(b" b");
    }
}

fn put_encoded(key: &Key, out: &mut Outgoing) {
    out.put(STANDARD.encode(key.as_bytes()).as_bytes());
}

fn number(name: &[u8], value: impl itoa::Integer, out: &mut Outgoing) {
    out.put(name);
    out.put_number(value);
}

/// Reads the first frame of `input`.
///
/// # Errors
/// When it is no reply to a meta command.
pub fn decode<'a>(input: &'a [u8], limits: &Limits) -> Result<Step<'a>, ProtocolError> {
    let Some((text, length)) = line::split(input, limits)? else {
        return Ok(Step::Partial(input.len() + 1));
    };
    let (word, mut flags) = next_token(text);
    let status = match word {
        b"HD" => Status::Done,
        b"EN" => Status::Miss,
        b"NF" => Status::NotFound,
        b"NS" => Status::NotStored,
        b"EX" => Status::Exists,
        b"MN" => return Ok(Step::Complete(Frame::Fence { tag: None }, length)),
        b"VA" => {
            let size;
            (size, flags) = next_token(flags);
            let size = line::number(size)?;
            let flags = Flags::read(flags)?;
            return Ok(match line::value(input, length, size, limits)? {
                Ok((value, end)) => {
                    let Flags { tag, client, cas, ttl } = flags;
                    Step::Complete(Frame::Item { tag, key: None, flags: client, cas, ttl, value }, end)
                }
                Err(needed) => Step::Partial(needed),
            });
        }
        _ => {
            let refusal = line::refusal(text).ok_or_else(|| line::unknown(text))?;
            return Ok(Step::Complete(Frame::Refused { tag: None, refusal }, length));
        }
    };
    let tag = Flags::read(flags)?.tag;
    Ok(Step::Complete(Frame::Status { tag, status }, length))
}

/// The bytes before the first space, and those behind it. A loop, since tokens are short.
#[inline]
fn next_token(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b' ') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[]),
    }
}

/// The flags of a reply that mean something here. Others are skipped: servers may add some.
#[derive(Default)]
struct Flags {
    tag: Option<u32>,
    client: u32,
    cas: Option<u64>,
    ttl: Option<u32>,
}

impl Flags {
    fn read(mut text: &[u8]) -> Result<Flags, ProtocolError> {
        let mut flags = Flags::default();
        while !text.is_empty() {
            let token;
            (token, text) = next_token(text);
            let Some((name, argument)) = token.split_first() else { continue };
            match name {
                b'O' => flags.tag = Some(line::number32(argument)?),
                b'f' => flags.client = line::number32(argument)?,
                b'c' => flags.cas = Some(line::number(argument)?),
                b't' if argument == b"-1" => flags.ttl = Some(u32::MAX),
                b't' => flags.ttl = Some(line::number32(argument)?),
                _ => {}
            }
        }
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::{Create, RefusalKind};

    fn written(request: &Request, quiet: bool) -> String {
        let mut out = Outgoing::default();
        assert!(encode(request, 7, quiet, &mut out));
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn key(name: &str) -> Key {
        Key::new(b"", name.as_bytes()).unwrap()
    }

    #[test]
    fn requests_are_written_as_memcached_reads_them() {
        let get = |cas, touch| Request::Get { key: key("k"), cas, ttl: false, touch };
        assert_eq!(written(&get(false, None), true), "mg k v f q O7\r\n");
        assert_eq!(written(&get(true, Some(60)), false), "mg k v f c T60 O7\r\n");
        let conditional = Request::GetIfChanged { key: key("k"), token: 9 };
        assert_eq!(written(&conditional, false), "mg k v f c C9 O7\r\n");
        assert_eq!(written(&Request::Touch { key: key("k"), ttl: 0 }, false), "mg k T0 O7\r\n");
        let store = |key, mode, cas| Request::Store {
            mode,
            key,
            value: Bytes::from_static(b"value"),
            flags: 3,
            ttl: 9,
            cas,
        };
        assert_eq!(written(&store(key("k"), StoreMode::Set, None), false), "ms k 5 F3 T9 O7\r\nvalue\r\n");
        assert_eq!(
            written(&store(key("k"), StoreMode::Set, Some(8)), false),
            "ms k 5 F3 T9 C8 O7\r\nvalue\r\n"
        );
        assert_eq!(
            written(&store(key("a b"), StoreMode::Add, None), false),
            "ms YSBi 5 b ME F3 T9 O7\r\nvalue\r\n"
        );
        assert_eq!(written(&Request::Delete { key: key("a\n"), cas: None }, false), "md YQo= b O7\r\n");
        let create = Some(Create { initial: 5, ttl: 0 });
        let count = Request::Arithmetic { key: key("k"), delta: 2, decrement: true, create };
        assert_eq!(written(&count, false), "ma k v MD D2 N0 J5 O7\r\n");
    }

    #[test]
    fn replies_are_read() {
        let read = |input: &'static str| decode(input.as_bytes(), &Limits::default()).unwrap();
        let item = Frame::Item { tag: Some(7), key: None, flags: 5, cas: Some(9), ttl: None, value: 15..17 };
        assert_eq!(read("VA 2 f5 c9 O7\r\nhi\r\nMN\r\n"), Step::Complete(item, 19));
        assert_eq!(
            read("EN O7\r\n"),
            Step::Complete(Frame::Status { tag: Some(7), status: Status::Miss }, 7)
        );
        assert_eq!(read("MN\r\n"), Step::Complete(Frame::Fence { tag: None }, 4));
        assert_eq!(read("VA 2 t-1 W\r\nh"), Step::Partial(16));
        assert_eq!(read("VA"), Step::Partial(3));
        let Step::Complete(Frame::Refused { refusal, .. }, _) =
            read("SERVER_ERROR object too large for cache\r\n")
        else {
            panic!("a refusal")
        };
        assert_eq!(refusal.kind, RefusalKind::TooLarge { limit: None });
    }

    #[test]
    fn replies_that_no_server_sends_are_errors() {
        let limits = Limits { line: 64, value: 100, stats: 10 };
        for input in [
            &b"VA x\r\n"[..],
            b"VA -1\r\n",
            b"VA 101 f0\r\n",
            b"VA 99999999999999999999\r\n",
            b"VA 2\r\nhi!!",
            b"HD Oseven\r\n",
            b"EN O4294967296\r\n",
            b"HD\n",
            b"\r\n",
            b"STORED\r\n",
            &[b'x'; 64],
        ] {
            assert!(decode(input, &limits).is_err(), "{}", input.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(input in prop::collection::vec(any::<u8>(), 0..200)) {
            crate::protocol::line::tests::check_decoder(decode, &input);
        }

        #[test]
        fn what_looks_like_replies_is_read_without_harm(
            input in "(VA|HD|EN|NF|NS|EX|MN|ERROR)?( [0-9]{1,3})?( [Ofctk][0-9-]{0,4}){0,3}\r?\n?[a-z]{0,5}\r?\n?"
        ) {
            crate::protocol::line::tests::check_decoder(decode, input.as_bytes());
        }
    }
}
