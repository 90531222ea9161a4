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
