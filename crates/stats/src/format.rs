//! A record as one JSON line.
//!
//! The line is always one line, always valid JSON and always UTF-8, whatever bytes a client sent: quotes,
//! backslashes and control characters (also DEL and U+0080–U+009F, which a terminal would obey) are escaped,
//! and what is not UTF-8 becomes U+FFFD. Text without any of that is found out in one pass and copied whole.
//!
//! The first nine fields are those of the original's nginx log, in its types; ours follow. Times are cut to
//! milliseconds, as nginx does. `time` is given in UTC (`+00:00`): a log of several routers then needs no
//! knowledge of where they stood, or of when clocks were changed. This is the hottest code of the crate, once
//! an exchange, hence the appending by hand; `examples/format_cost.rs` measures it.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use crate::record::Record;

/// The last second of the year 9999: later ones don't fit `time`'s four digits.
const LAST_SECOND: u64 = 253_402_300_799;

/// `2026-11-21T07:10:00+00:00`.
const TIME_LEN: usize = 25;

/// Formats records. It remembers the second it formatted last, so each worker should keep its own.
#[derive(Debug, Clone)]
pub struct LineFormatter {
    /// The second that `time` tells, since 1970.
    second: u64,
    time: [u8; TIME_LEN],
}

impl Default for LineFormatter {
    fn default() -> Self {
        LineFormatter { second: 0, time: iso_8601(0) }
    }
}

impl LineFormatter {
    /// A formatter that has formatted nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `record` to `out` as one JSON object and a newline.
    pub fn format(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let since_1970 = record.finished.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let (second, millis) = match since_1970.as_secs() {
            ..=LAST_SECOND => (since_1970.as_secs(), since_1970.subsec_millis()),
            _ => (LAST_SECOND, 999),
        };
        if second != self.second {
            self.second = second;
            self.time = iso_8601(second);
        }

        out.extend_from_slice(b"{\"version_type_key\":");
        key(out, record.version_type_key);
        out.extend_from_slice(b",\"node_key\":");
        key(out, record.node_key);
        out.extend_from_slice(b",\"instance_key\":");
        key(out, record.instance_key);
        out.extend_from_slice(b",\"bytes\":");
        integer(out, record.bytes);
        out.extend_from_slice(b",\"code\":");
        integer(out, record.code);
        match record.upstream_response_time {
            Some(time) => {
                out.extend_from_slice(b",\"upstream_response_time\":\"");
                seconds(out, time.as_secs(), time.subsec_millis());
                out.extend_from_slice(b"\",\"time\":\"");
            }
            None => out.extend_from_slice(b",\"upstream_response_time\":\"-\",\"time\":\""),
        }
        out.extend_from_slice(&self.time);
        out.extend_from_slice(b"\",\"timemsec\":");
        seconds(out, second, millis);
        out.extend_from_slice(b",\"nginx_response_time\":");
        seconds(out, record.total.as_secs(), record.total.subsec_millis());

        out.extend_from_slice(b",\"request_id\":");
        text(out, record.request_id.as_bytes());
        out.extend_from_slice(b",\"client\":\"");
        address(out, record.client);
        out.extend_from_slice(b"\",\"method\":");
        text(out, record.method);
        out.extend_from_slice(b",\"host\":");
        text(out, record.host);
        out.extend_from_slice(b",\"path\":");
        text(out, record.path);
        out.extend_from_slice(b",\"protocol\":");
        text(out, record.protocol.as_bytes());
        out.extend_from_slice(b",\"upstream\":");
        text_or_null(out, record.upstream.map(str::as_bytes));
        out.extend_from_slice(b",\"tries\":");
        integer(out, record.tries);
        out.extend_from_slice(b",\"bytes_received\":");
        integer(out, record.bytes_received);
        out.extend_from_slice(b",\"route\":");
        text_or_null(out, record.route.map(str::as_bytes));
        out.extend_from_slice(b",\"user_agent\":");
        text_or_null(out, record.user_agent);
        out.extend_from_slice(b",\"referer\":");
        text_or_null(out, record.referer);
        if let Some(error) = record.error {
            out.extend_from_slice(b",\"error\":");
            text(out, error.as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }
}

#[inline]
fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// `12.034`.
#[inline]
fn seconds(out: &mut Vec<u8>, whole: u64, millis: u32) {
    integer(out, whole);
    let digit = |value: u32| b'0' + (value % 10) as u8;
    out.extend_from_slice(&[b'.', digit(millis / 100), digit(millis / 10), digit(millis)]);
}

/// An instance's key; the original writes the word null where there is none.
#[inline]
fn key(out: &mut Vec<u8>, key: Option<&str>) {
    text(out, key.unwrap_or("null").as_bytes());
}

#[inline]
fn text_or_null(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => text(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            integer(out, a);
            for octet in [b, c, d] {
                out.push(b'.');
                integer(out, octet);
            }
        }
        // Writing to a Vec can't fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// A JSON string.
#[inline]
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        escape(out, bytes);
    }
    out.push(b'"');
}

/// Whether the bytes stand for themselves: printable ASCII without quote and backslash.
///
/// Blocks without an early exit, so that the compiler makes vector code of them.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let plain = |byte: u8| (byte.wrapping_sub(b' ') < 0x5f) & (byte != b'"') & (byte != b'\\');
    let (blocks, rest) = bytes.as_chunks::<16>();
    blocks.iter().all(|block| block.iter().fold(true, |all, &byte| all & plain(byte)))
        && rest.iter().fold(true, |all, &byte| all & plain(byte))
}

#[cold]
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let mut copied = 0;
        for (at, character) in valid.char_indices() {
            if !(character.is_control() || character == '"' || character == '\\') {
                continue;
            }
            out.extend_from_slice(&valid.as_bytes()[copied..at]);
            copied = at + character.len_utf8();
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                // Writing to a Vec can't fail.
                other => drop(write!(out, "\\u{:04x}", u32::from(other))),
            }
        }
        out.extend_from_slice(&valid.as_bytes()[copied..]);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// The time of `second` (since 1970, at most `LAST_SECOND`) in UTC.
fn iso_8601(second: u64) -> [u8; TIME_LEN] {
    let (days, in_day) = (second / 86_400, second % 86_400);
    // Howard Hinnant's civil_from_days: years that begin in March put the leap day last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);

    let mut time = *b"0000-00-00T00:00:00+00:00";
    let mut put = |at: usize, digits: usize, mut value: u64| {
        for place in time[at..at + digits].iter_mut().rev() {
            *place = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, in_day / 3_600);
    put(14, 2, in_day / 60 % 60);
    put(17, 2, in_day % 60);
    time
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn record() -> Record<'static> {
        Record {
            version_type_key: Some("vt-7"),
            node_key: Some("node-1"),
            instance_key: Some("i-42"),
            bytes: 1234,
            code: 200,
            upstream_response_time: Some(Duration::from_micros(12_999)),
            finished: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            total: Duration::from_micros(13_001),
            request_id: "0af7651916cd43dd8448eb211c80319c",
            client: IpAddr::from([192, 0, 2, 7]),
            method: b"GET",
            host: b"example.com",
            path: b"/a?b=c",
            protocol: "HTTP/1.1",
            upstream: Some("10.0.0.1:8080"),
            tries: 1,
            bytes_received: 321,
            route: Some("example.com/a"),
            user_agent: Some(b"curl/8"),
            referer: Some(b"http://example.com/"),
            error: None,
        }
    }

    fn line(record: &Record<'_>) -> String {
        let mut out = Vec::new();
        LineFormatter::new().format(record, &mut out);
        String::from_utf8(out).expect("a line is UTF-8")
    }

    fn parsed(record: &Record<'_>) -> Value {
        serde_json::from_str(&line(record)).expect("a line is JSON")
    }

    #[test]
    fn fields_stand_in_the_order_and_types_of_the_format() {
        assert_eq!(
            line(&Record { error: Some("cut short"), ..record() }),
            concat!(
                r#"{"version_type_key":"vt-7","node_key":"node-1","instance_key":"i-42","bytes":1234,"#,
                r#""code":200,"upstream_response_time":"0.012","time":"2023-11-14T22:13:20+00:00","#,
                r#""timemsec":1700000000.123,"nginx_response_time":0.013,"#,
                r#""request_id":"0af7651916cd43dd8448eb211c80319c","client":"192.0.2.7","method":"GET","#,
                r#""host":"example.com","path":"/a?b=c","protocol":"HTTP/1.1","upstream":"10.0.0.1:8080","#,
                r#""tries":1,"bytes_received":321,"route":"example.com/a","user_agent":"curl/8","#,
                r#""referer":"http://example.com/","error":"cut short"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_is_missing_is_the_word_null_in_the_originals_fields_and_null_in_ours() {
        let value = parsed(&Record {
            version_type_key: None,
            node_key: None,
            instance_key: None,
            upstream_response_time: None,
            upstream: None,
            route: None,
            user_agent: None,
            referer: None,
            ..record()
        });
        for field in ["version_type_key", "node_key", "instance_key"] {
            assert_eq!(value[field], "null", "{field}");
        }
        assert_eq!(value["upstream_response_time"], "-");
        for field in ["upstream", "route", "user_agent", "referer"] {
            assert!(value.get(field).is_some_and(Value::is_null), "{field}");
        }
        assert!(value.get("error").is_none());
    }

    #[test]
    fn seconds_have_three_decimals_and_are_cut_not_rounded() {
        let cases = [
            (Duration::ZERO, "0.000"),
            (Duration::from_micros(1_999), "0.001"),
            (Duration::from_millis(59_999), "59.999"),
            (Duration::MAX, "18446744073709551615.999"),
        ];
        for (time, expected) in cases {
            let line = line(&Record { total: time, upstream_response_time: Some(time), ..record() });
            assert!(line.contains(&format!(r#""nginx_response_time":{expected},"#)), "{line}");
            assert!(line.contains(&format!(r#""upstream_response_time":"{expected}","#)), "{line}");
        }
    }

    #[test]
    fn time_follows_the_calendar() {
        let cases = [
            (0, "1970-01-01T00:00:00+00:00"),
            (951_782_399, "2000-02-28T23:59:59+00:00"),
            (951_782_400, "2000-02-29T00:00:00+00:00"),
            (951_868_800, "2000-03-01T00:00:00+00:00"),
            (1_735_689_599, "2024-12-31T23:59:59+00:00"),
            (1_735_689_600, "2025-01-01T00:00:00+00:00"),
            (4_107_542_400, "2100-03-01T00:00:00+00:00"),
            (LAST_SECOND, "9999-12-31T23:59:59+00:00"),
        ];
        for (second, expected) in cases {
            assert_eq!(std::str::from_utf8(&iso_8601(second)), Ok(expected));
        }
    }

    #[test]
    fn one_formatter_follows_the_time_forward_and_back() {
        let mut formatter = LineFormatter::new();
        for second in [10, 10, 11, 9, 0, 86_400] {
            let mut out = Vec::new();
            formatter
                .format(&Record { finished: UNIX_EPOCH + Duration::from_secs(second), ..record() }, &mut out);
            let value: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(value["time"], std::str::from_utf8(&iso_8601(second)).unwrap());
        }
    }

    #[test]
    fn times_beyond_the_calendar_are_its_ends() {
        let early = parsed(&Record { finished: UNIX_EPOCH - Duration::from_secs(5), ..record() });
        assert_eq!((&early["time"], &early["timemsec"]), (&json!("1970-01-01T00:00:00+00:00"), &json!(0.0)));
        let late = UNIX_EPOCH.checked_add(Duration::from_secs(LAST_SECOND + 1)).unwrap();
        assert_eq!(parsed(&Record { finished: late, ..record() })["time"], "9999-12-31T23:59:59+00:00");
    }

    #[test]
    fn what_a_terminal_or_a_parser_would_obey_is_escaped() {
        let cases: [(&[u8], &str); 7] = [
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\r\n\t", r#""\r\n\t""#),
            (b"\0\x1b[2J\x7f", r#""\u0000\u001b[2J\u007f""#),
            ("\u{9b}2J".as_bytes(), r#""\u009b2J""#),
            ("grün 🦀".as_bytes(), "\"grün 🦀\""),
            (b"a\xffb\xe2\x82", "\"a\u{fffd}b\u{fffd}\""),
            (b"", r#""""#),
        ];
        for (bytes, expected) in cases {
            let mut out = Vec::new();
            text(&mut out, bytes);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn ipv6_clients_are_written_short() {
        assert_eq!(
            parsed(&Record { client: "2001:db8::7".parse().unwrap(), ..record() })["client"],
            "2001:db8::7"
        );
    }

    #[test]
    fn lines_are_appended_to_what_is_there() {
        let mut out = b"before\n".to_vec();
        let mut formatter = LineFormatter::new();
        formatter.format(&record(), &mut out);
        formatter.format(&record(), &mut out);
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 3);
        assert!(out.starts_with(b"before\n{"));
    }

    /// Bytes that are mostly text, so that every path of the escaping is taken.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            ".{0,40}".prop_map(String::into_bytes),
            "[ -~]{0,80}".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_make_one_line_that_parses_to_what_went_in(
            (method, host, path) in (bytes(), bytes(), bytes()),
            (user_agent, referer) in (proptest::option::of(bytes()), proptest::option::of(bytes())),
            (key, other, route) in (proptest::option::of(any::<String>()), any::<String>(), any::<String>()),
            (count, received, code, tries) in (any::<u64>(), any::<u64>(), any::<u16>(), any::<u32>()),
            (millis, took) in (0..253_402_300_800_000_u64, proptest::option::of(0..10_000_000_000_u64)),
            client in any::<IpAddr>(),
        ) {
            let finished: SystemTime = UNIX_EPOCH + Duration::from_millis(millis);
            let record = Record {
                version_type_key: key.as_deref(),
                node_key: key.as_deref(),
                instance_key: Some(&other),
                bytes: count,
                code,
                upstream_response_time: took.map(Duration::from_millis),
                finished,
                total: Duration::from_millis(millis),
                request_id: &other,
                client,
                method: &method,
                host: &host,
                path: &path,
                protocol: &route,
                upstream: key.as_deref(),
                tries,
                bytes_received: received,
                route: Some(&route),
                user_agent: user_agent.as_deref(),
                referer: referer.as_deref(),
                error: key.as_deref(),
            };
            let mut line = Vec::new();
            LineFormatter::new().format(&record, &mut line);
            prop_assert_eq!(line.pop(), Some(b'\n'));
            prop_assert!(!line.iter().any(u8::is_ascii_control));

            let value: Value = serde_json::from_slice(&line).unwrap();
            let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let or_word = key.as_deref().unwrap_or("null");
            let in_millis = |field: &str| (value[field].as_f64().unwrap() * 1000.0).round() as u64;
            prop_assert_eq!(&value["version_type_key"], or_word);
            prop_assert_eq!(&value["node_key"], or_word);
            prop_assert_eq!(&value["instance_key"], &json!(other));
            prop_assert_eq!(&value["bytes"], &json!(count));
            prop_assert_eq!(&value["code"], &json!(code));
            let spent = took.map_or("-".to_owned(), |took| format!("{}.{:03}", took / 1000, took % 1000));
            prop_assert_eq!(&value["upstream_response_time"], &json!(spent));
            let time = iso_8601(millis / 1000);
            prop_assert_eq!(&value["time"], std::str::from_utf8(&time).unwrap());
            prop_assert_eq!(in_millis("timemsec"), millis);
            prop_assert_eq!(in_millis("nginx_response_time"), millis);
            prop_assert_eq!(&value["request_id"], &json!(other));
            prop_assert_eq!(&value["client"], &json!(client.to_string()));
            prop_assert_eq!(&value["method"], &json!(lossy(&method)));
            prop_assert_eq!(&value["host"], &json!(lossy(&host)));
            prop_assert_eq!(&value["path"], &json!(lossy(&path)));
            prop_assert_eq!(&value["protocol"], &json!(route));
            prop_assert_eq!(&value["upstream"], &json!(key));
            prop_assert_eq!(&value["tries"], &json!(tries));
            prop_assert_eq!(&value["bytes_received"], &json!(received));
            prop_assert_eq!(&value["route"], &json!(route));
            prop_assert_eq!(&value["user_agent"], &json!(user_agent.as_deref().map(lossy)));
            prop_assert_eq!(&value["referer"], &json!(referer.as_deref().map(lossy)));
            prop_assert_eq!(value.get("error").cloned(), key.map(Value::from));
        }
    }
}
