//! The classic text protocol, for servers without meta commands, and for `version`, `flush_all` and `stats`,
//! which have no meta command.
//!
//! Nothing in it tells which request a reply belongs to but the order, and the key in front of a value: both
//! are checked.

use super::frame::{Frame, Status, Step};
use super::{Limits, Outgoing, ProtocolError, Request, StoreMode, line};
use crate::key::KeyError;

/// How many keys are asked for in one line.
pub(super) const KEYS_PER_LINE: usize = 100;

/// Writes a request.
///
/// # Errors
/// When its key can't be sent in this protocol; nothing is written then.
pub fn encode(request: &Request, out: &mut Outgoing) -> Result<(), KeyError> {
    match request {
        Request::Get { key, cas, touch, ttl: _ } => {
            let key = key.plain()?;
            begin_get(*cas, *touch, out);
            out.put(b" ");
            out.put(key);
        }
        Request::GetIfChanged { key, .. } => {
            let key = key.plain()?;
            begin_get(true, None, out);
            out.put(b" ");
            out.put(key);
        }
        Request::Touch { key, ttl } => {
            let key = key.plain()?;
            out.put(b"touch ");
            out.put(key);
            number(*ttl, out);
        }
        Request::Store { mode, key, value, flags, ttl, cas } => {
            let key = key.plain()?;
            out.put(match (mode, cas) {
                (_, Some(_)) => b"cas ",
                (StoreMode::Set, None) => b"set ",
                (StoreMode::Add, None) => b"add ",
                (StoreMode::Replace, None) => b"replace ",
                (StoreMode::Append | StoreMode::AppendOrSet, None) => b"append ",
                (StoreMode::Prepend, None) => b"prepend ",
            });
            out.put(key);
            number(*flags, out);
            number(*ttl, out);
            number(value.len(), out);
            if let Some(cas) = cas {
                number(*cas, out);
            }
            out.put(b"\r\n");
            out.put_value(value);
        }
        Request::Delete { key, .. } => {
            let key = key.plain()?;
            out.put(b"delete ");
            out.put(key);
        }
        Request::Arithmetic { key, delta, decrement, .. } => {
            let key = key.plain()?;
            out.put(if *decrement { b"decr " } else { b"incr " });
            out.put(key);
            number(*delta, out);
        }
        Request::Version => out.put(b"version"),
        Request::Flush { delay } => {
            out.put(b"flush_all");
            if let Some(delay) = delay {
                number(*delay, out);
            }
        }
        Request::Stats { argument } => {
            out.put(b"stats");
            if let Some(argument) = argument {
                out.put(b" ");
                out.put(argument);
            }
        }
    }
    out.put(b"\r\n");
    Ok(())
}

/// The beginning of a line that asks for items; keys follow, each behind a space.
pub(super) fn begin_get(cas: bool, touch: Option<u32>, out: &mut Outgoing) {
    match touch {
        None => out.put(if cas { b"gets" } else { b"get" }),
        Some(touch) => {
            out.put(if cas { b"gats" } else { b"gat" });
            number(touch, out);
        }
    }
}

fn number(value: impl itoa::Integer, out: &mut Outgoing) {
    out.put(b" ");
    out.put_number(value);
}

/// Reads the first frame of `input`.
///
/// # Errors
/// When it is no reply of a server.
pub fn decode<'a>(input: &'a [u8], limits: &Limits) -> Result<Step<'a>, ProtocolError> {
    let Some((text, length)) = line::split(input, limits)? else {
        return Ok(Step::Partial(input.len() + 1));
    };
    let status = match text {
        b"END" => return Ok(Step::Complete(Frame::Fence { tag: None }, length)),
        b"STORED" => Status::Stored,
        b"NOT_STORED" => Status::NotStored,
        b"EXISTS" => Status::Exists,
        b"NOT_FOUND" => Status::NotFound,
        b"DELETED" => Status::Deleted,
        b"TOUCHED" => Status::Touched,
        b"OK" | b"RESET" => Status::Ok,
        _ => return decode_other(input, text, length, limits),
    };
    Ok(Step::Complete(Frame::Status { tag: None, status }, length))
}

fn decode_other<'a>(
    input: &'a [u8],
    text: &'a [u8],
    length: usize,
    limits: &Limits,
) -> Result<Step<'a>, ProtocolError> {
    if let Some(rest) = text.strip_prefix(b"VALUE ") {
        return decode_value(input, text, rest, length, limits);
    }
    let frame = if let Some(rest) = text.strip_prefix(b"STAT ") {
        let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        Frame::Stat { tag: None, name: &rest[..end], value: rest.get(end + 1..).unwrap_or_default() }
    } else if let Some(text) = text.strip_prefix(b"VERSION ") {
        Frame::Version { tag: None, text }
    } else if text.first().is_some_and(u8::is_ascii_digit) {
        // Servers may pad a number that became shorter.
        Frame::Number { tag: None, value: line::number(text.trim_ascii_end())? }
    } else {
        let refusal = line::refusal(text).ok_or_else(|| line::unknown(text))?;
        Frame::Refused { tag: None, refusal }
    };
    Ok(Step::Complete(frame, length))
}

fn decode_value<'a>(
    input: &'a [u8],
    text: &[u8],
    rest: &'a [u8],
    length: usize,
    limits: &Limits,
) -> Result<Step<'a>, ProtocolError> {
    let mut tokens = rest.split(|byte| *byte == b' ');
    let (Some(key), Some(flags), Some(size)) = (tokens.next(), tokens.next(), tokens.next()) else {
        return Err(line::unknown(text));
    };
    let flags = line::number32(flags)?;
    let size = line::number(size)?;
    let cas = tokens.next().map(line::number).transpose()?;
    if tokens.next().is_some() {
        return Err(line::unknown(text));
    }
    Ok(match line::value(input, length, size, limits)? {
        Ok((value, end)) => {
            Step::Complete(Frame::Item { tag: None, key: Some(key), flags, cas, ttl: None, value }, end)
        }
        Err(needed) => Step::Partial(needed),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::key::Key;

    fn written(request: &Request) -> Result<String, KeyError> {
        let mut out = Outgoing::default();
        encode(request, &mut out).map(|()| String::from_utf8(out.to_vec()).unwrap())
    }

    fn key(name: &str) -> Key {
        Key::new(b"", name.as_bytes()).unwrap()
    }

    #[test]
    fn requests_are_written_as_memcached_reads_them() {
        let get = |cas, touch| Request::Get { key: key("k"), cas, ttl: false, touch };
        assert_eq!(written(&get(false, None)).unwrap(), "get k\r\n");
        assert_eq!(written(&get(true, Some(60))).unwrap(), "gats 60 k\r\n");
        let store = |mode, cas| Request::Store {
            mode,
            key: key("k"),
            value: Bytes::from_static(b"value"),
            flags: 3,
            ttl: 9,
            cas,
        };
        assert_eq!(written(&store(StoreMode::Add, None)).unwrap(), "add k 3 9 5\r\nvalue\r\n");
        assert_eq!(written(&store(StoreMode::Set, Some(8))).unwrap(), "cas k 3 9 5 8\r\nvalue\r\n");
        assert_eq!(written(&Request::Flush { delay: Some(5) }).unwrap(), "flush_all 5\r\n");
    }

    #[test]
    fn a_key_that_would_break_the_line_is_not_written() {
        let mut out = Outgoing::default();
        let request = Request::Delete { key: key("a\r\nflush_all"), cas: None };
        assert!(matches!(encode(&request, &mut out), Err(KeyError::Unsendable { position: 1, .. })));
        assert!(out.is_empty());
    }

    #[test]
    fn replies_are_read() {
        let read = |input: &'static str| decode(input.as_bytes(), &Limits::default()).unwrap();
        let item =
            Frame::Item { tag: None, key: Some(b"k"), flags: 5, cas: Some(9), ttl: None, value: 15..17 };
        assert_eq!(read("VALUE k 5 2 9\r\nhi\r\nEND\r\n"), Step::Complete(item, 19));
        assert_eq!(read("12  \r\n"), Step::Complete(Frame::Number { tag: None, value: 12 }, 6));
        let stat = Frame::Stat { tag: None, name: b"inter", value: b"a b" };
        assert_eq!(read("STAT inter a b\r\n"), Step::Complete(stat, 16));
        let stat = Frame::Stat { tag: None, name: b"empty", value: b"" };
        assert_eq!(read("STAT empty\r\n"), Step::Complete(stat, 12));
        assert_eq!(read("VALUE k 5 2\r\nhi\r"), Step::Partial(17));
    }

    #[test]
    fn replies_that_no_server_sends_are_errors() {
        let limits = Limits { line: 64, value: 100, stats: 10 };
        for input in [
            &b"VALUE k\r\n"[..],
            b"VALUE k 0 -1\r\n",
            b"VALUE k 0 101\r\n",
            b"VALUE k 4294967296 1\r\n",
            b"VALUE k 0 1 2 3\r\n",
            b"VALUE k 0 2\r\nhi there\r\n",
            b"12x\r\n",
            b"END\n",
            b"stored\r\n",
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
            input in "(VALUE|STAT|END|STORED|VERSION|SERVER_ERROR|[0-9]{1,3})?( [a-z0-9-]{0,3}){0,4}\r?\n?[a-z]{0,5}\r?\n?"
        ) {
            crate::protocol::line::tests::check_decoder(decode, input.as_bytes());
        }
    }
}
