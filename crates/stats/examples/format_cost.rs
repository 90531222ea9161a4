//! Prints what a line of the access log costs the request path: formatting alone, and a whole push with the
//! buffer handed over and written to a file (`/dev/null` unless one is given; it grows by 7 GB).
//!
//! `cargo run --release -p waypost-stats --example format_cost [FILE]`
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use waypost_stats::{AccessLog, AccessLogOptions, LineFormatter, Record};

const LINES: u32 = 2_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plain = record();
    let escaped = Record { path: "/grün?q=\"ü\"".as_bytes(), ..record() };
    let mut formatter = LineFormatter::new();
    let mut out = Vec::with_capacity(128 * 1024);
    formatter.format(&plain, &mut out);
    println!("a line of {} bytes", out.len());
    for (name, record) in [("plain", &plain), ("with a path to escape", &escaped)] {
        let best = best_of(5, || {
            out.clear();
            formatter.format(black_box(record), &mut out);
            black_box(&out);
        });
        println!("format, {name}: {best:.0} ns");
    }

    let file = std::env::args_os().nth(1).unwrap_or_else(|| "/dev/null".into());
    let log = AccessLog::open(file, AccessLogOptions::default())?;
    let mut handle = log.handle();
    let best = best_of(5, || handle.push(black_box(&plain)));
    println!("push, with the writer's thread on another core: {best:.0} ns");
    drop(handle);
    log.close()?;
    println!("{:?}", log.stats());
    Ok(())
}

/// Nanoseconds a call, in the best of `rounds` rounds.
fn best_of(rounds: usize, mut call: impl FnMut()) -> f64 {
    let round = || {
        let start = Instant::now();
        (0..LINES).for_each(|_| call());
        start.elapsed().as_nanos() as f64 / f64::from(LINES)
    };
    std::iter::repeat_with(round).take(rounds).fold(f64::INFINITY, f64::min)
}

fn record() -> Record<'static> {
    Record {
        version_type_key: Some("0b0f4a52-58c9-4a0b-9c5e-6c7a1e1f2a01"),
        node_key: Some("7f9b2d7c-43aa-4a4c-8d10-4e2f8a9d3b77"),
        instance_key: Some("c2b1a3f4-9f0e-4d6b-8a53-2f1e0d9c8b7a"),
        bytes: 10_482,
        code: 200,
        upstream_response_time: Some(Duration::from_micros(12_345)),
        finished: SystemTime::now(),
        total: Duration::from_micros(12_999),
        request_id: "0af7651916cd43dd8448eb211c80319c",
        client: IpAddr::from([203, 0, 113, 77]),
        method: b"GET",
        host: b"www.example.com",
        path: b"/articles/2026/11/on-routers?page=2&sort=date",
        protocol: "HTTP/1.1",
        upstream: Some("10.0.12.34:8080"),
        tries: 1,
        bytes_received: 612,
        route: Some("www.example.com/articles"),
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        referer: Some(b"https://www.example.com/articles"),
        error: None,
    }
}
