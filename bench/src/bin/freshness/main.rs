//! How soon a change of the Redis table is routed, and what changes cost the requests that are routed
//! meanwhile.
//!
//! A single write is timed from Redis's reply to it until the router has answered the first request by it:
//! that contains one request, and the part of another that was under way. Meanwhile another thread may change
//! other hosts at a steady rate. Then a steady load of requests is timed, without such changes and with them.
//! `bench/freshness.py` starts what is measured and shows the result, a JSON object on standard output.

#![forbid(unsafe_code)]

mod background;
mod http;
mod load;
mod quantiles;
mod redis;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;

use crate::background::Background;
use crate::http::Client;
use crate::quantiles::Quantiles;
use crate::redis::Redis;

/// A write that is not routed after this long is an error.
const DEADLINE: Duration = Duration::from_secs(30);

/// Times changes of a Redis table.
#[derive(Parser)]
struct Arguments {
    /// The Redis server
    #[arg(long)]
    redis: SocketAddr,
    /// The router
    #[arg(long)]
    router: SocketAddr,
    /// An instance that answers every request with 200
    #[arg(long)]
    instance: SocketAddr,
    /// Hosts that are in the table, one a line: the load asks for them, and their entries are changed
    #[arg(long)]
    hosts_file: std::path::PathBuf,
    /// How many single writes are timed
    #[arg(long, default_value_t = 2000)]
    writes: usize,
    /// How many changes a second go on in the background
    #[arg(long, default_value_t = 5000)]
    changes: u32,
    /// How many requests a second the steady load makes
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// How many seconds the steady load lasts, each time
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

#[expect(clippy::print_stdout, reason = "the driver reads the result from standard output")]
fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let hosts = std::fs::read_to_string(&arguments.hosts_file)
        .with_context(|| format!("could not read {}", arguments.hosts_file.display()))?;
    let hosts: Vec<String> = hosts.lines().map(str::to_owned).collect();
    anyhow::ensure!(!hosts.is_empty(), "{} names no host", arguments.hosts_file.display());
    let background = || Background::start(arguments.redis, hosts.clone(), arguments.changes);
    let load = || load::run(arguments.router, &hosts, arguments.rate, arguments.seconds);

    let quiet = time_writes(&arguments)?;
    let changing = background()?;
    let busy = time_writes(&arguments)?;
    let while_timing = changing.stop()?;

    let calm_load = load()?;
    let changing = background()?;
    let busy_load = load()?;
    let while_loaded = changing.stop()?;

    println!(
        "{{\"freshness\":{{\"quiet\":{quiet},\"busy\":{busy}}},\"load\":{{\"quiet\":{calm_load},\"busy\":{busy_load}}},\
         \"changes_per_second\":{{\"freshness\":{while_timing:.0},\"load\":{while_loaded:.0}}}}}"
    );
    Ok(())
}

/// Times single writes: hosts that appear and hosts that go, in turn.
fn time_writes(arguments: &Arguments) -> anyhow::Result<Quantiles> {
    let mut redis = Redis::connect(arguments.redis)?;
    let mut router = Client::connect(arguments.router)?;
    let instance = arguments.instance.to_string();
    let mut times = Vec::with_capacity(arguments.writes);
    for number in 0..arguments.writes {
        let host = format!("single-{:04}.freshness.example.com", number / 2);
        let key = format!("instances:{host}");
        let expected = if number % 2 == 0 { 200 } else { 404 };
        match expected {
            200 => redis.run(&["SADD", &key, &instance])?,
            _ => redis.run(&["DEL", &key])?,
        }
        let written = Instant::now();
        while router.get(&host)? != expected {
            anyhow::ensure!(written.elapsed() < DEADLINE, "{host} is not answered with {expected}");
        }
        times.push(written.elapsed());
        // Out of step with whatever beats a time in the router: up to 3 ms, another each time.
        std::thread::sleep(Duration::from_micros((number as u64 * 1_103) % 3_000));
    }
    Ok(Quantiles::of(times))
}
