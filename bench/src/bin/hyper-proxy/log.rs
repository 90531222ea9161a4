//! The access log of the hyper proxy: one JSON line an exchange, with the fields that the router's own
//! log has, gathered in a buffer that a thread of its own writes to the file.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri, Version};

/// A buffer of this many bytes is handed to the writer.
const BUFFER: usize = 64 * 1024;
/// So many buffers may wait for the writer; then the proxy waits too.
const QUEUE: usize = 64;

/// What the log says about one request and its answer.
pub(crate) struct Exchange {
    began: Instant,
    client: SocketAddr,
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    pub(crate) upstream: Option<SocketAddr>,
    pub(crate) upstream_time: Duration,
    pub(crate) code: u16,
    /// Sent to the client, head and body.
    pub(crate) bytes: u64,
}

impl Exchange {
    pub(crate) fn begin<B>(request: &Request<B>, client: SocketAddr) -> Self {
        let field = |name: HeaderName| request.headers().get(name).cloned();
        Self {
            began: Instant::now(),
            client,
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            host: field(header::HOST),
            user_agent: field(header::USER_AGENT),
            referer: field(header::REFERER),
            upstream: None,
            upstream_time: Duration::ZERO,
            code: 0,
            bytes: 0,
        }
    }
}

/// The log of one thread.
pub(crate) struct AccessLog {
    buffer: RefCell<Vec<u8>>,
    writer: SyncSender<Vec<u8>>,
    /// The second that lines are stamped with, as text; renewed by `tick`.
    time: RefCell<String>,
    count: Cell<u64>,
}

impl AccessLog {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("could not open {}", path.display()))?;
        let (writer, buffers) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || write_out(file, buffers))
            .context("could not start the log's thread")?;
        Ok(Self {
            buffer: RefCell::new(Vec::with_capacity(BUFFER)),
            writer,
            time: RefCell::new(iso_time(unix_time())),
            count: Cell::new(0),
        })
    }

    /// Once a second: renews the time and lets what has gathered be written.
    pub(crate) fn tick(&self) {
        *self.time.borrow_mut() = iso_time(unix_time());
        self.hand_over();
    }

    pub(crate) fn write(&self, exchange: &Exchange) {
        self.count.set(self.count.get() + 1);
        self.line(exchange, &mut self.buffer.borrow_mut());
        if self.buffer.borrow().len() > BUFFER - 2048 {
            self.hand_over();
        }
    }

    fn hand_over(&self) {
        let full = self.buffer.replace(Vec::with_capacity(BUFFER));
        // The writer is gone only when the disk failed, which it has said.
        let _written = full.is_empty() || self.writer.send(full).is_ok();
    }

    fn line(&self, exchange: &Exchange, out: &mut Vec<u8>) {
        let taken = exchange.began.elapsed();
        // Writing into a vector can't fail.
        let _ = write!(
            out,
            r#"{{"version_type_key":"null","node_key":"null","instance_key":"null","bytes":{},"code":{},"upstream_response_time":"{:.3}","time":"{}","timemsec":{:.3},"nginx_response_time":{:.3},"request_id":"{:016x}","client":"{}","protocol":"{:?}""#,
            exchange.bytes,
            exchange.code,
            exchange.upstream_time.as_secs_f64(),
            self.time.borrow(),
            unix_time().as_secs_f64(),
            taken.as_secs_f64(),
            self.count.get(),
            exchange.client.ip(),
            exchange.version,
        );
        if let Some(upstream) = exchange.upstream {
            let _ = write!(out, r#","upstream":"{upstream}""#);
        }
        text("method", exchange.method.as_str().as_bytes(), out);
        text("host", field(&exchange.host), out);
        let path = exchange.uri.path_and_query().map(|path| path.as_str().as_bytes());
        text("path", path.unwrap_or_default(), out);
        text("user_agent", field(&exchange.user_agent), out);
        text("referer", field(&exchange.referer), out);
        out.extend_from_slice(b"}\n");
    }
}

fn field(value: &Option<HeaderValue>) -> &[u8] {
    value.as_ref().map_or(b"", HeaderValue::as_bytes)
}

/// Appends the member `key` with the string `value`.
fn text(key: &str, value: &[u8], out: &mut Vec<u8>) {
    let _ = write!(out, r#","{key}":""#);
    escape(value, out);
    out.push(b'"');
}

/// Appends `bytes` as the inside of a JSON string; what is not ASCII as a question mark.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => out.push(b'?'),
        }
    }
}

fn write_out(mut file: File, buffers: Receiver<Vec<u8>>) -> std::io::Result<()> {
    for buffer in buffers {
        file.write_all(&buffer)?;
    }
    Ok(())
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// `time` as ISO 8601, in UTC. Days to dates as in Howard Hinnant's `civil_from_days`.
fn iso_time(time: Duration) -> String {
    let (days, seconds) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_written_as_iso_8601() {
        assert_eq!(iso_time(Duration::from_secs(0)), "1970-01-01T00:00:00+00:00");
        assert_eq!(iso_time(Duration::from_secs(951_827_696)), "2000-02-29T12:34:56+00:00");
    }

    #[test]
    fn text_can_not_end_its_string() {
        let mut out = Vec::new();
        escape(b"a\"b\\c\n\xff", &mut out);
        assert_eq!(out, br#"a\"b\\c??"#);
    }
}
