//! A steady load: requests at fixed times, whatever became of those before.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::http::Client;
use crate::quantiles::Quantiles;

/// How many clients share the load.
const CLIENTS: u32 = 4;

/// Asks for these hosts at `rate` requests a second, for so many seconds; how long each request took.
///
/// A request that could not be sent when it was due, because the one before it had not been answered, is
/// timed from when it was due.
pub(crate) fn run(
    router: SocketAddr,
    hosts: &[String],
    rate: u32,
    seconds: u32,
) -> anyhow::Result<Quantiles> {
    let interval = Duration::from_secs(1) * CLIENTS / rate;
    let count = rate * seconds / CLIENTS;
    let times = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let hosts = hosts.iter().cycle().skip(client as usize * hosts.len() / CLIENTS as usize);
                scope.spawn(move || ask(router, hosts, interval, count))
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow!("a client of the load panicked"))?)
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    Ok(Quantiles::of(times.concat()))
}

fn ask<'a>(
    router: SocketAddr,
    hosts: impl Iterator<Item = &'a String>,
    interval: Duration,
    count: u32,
) -> anyhow::Result<Vec<Duration>> {
    let mut client = Client::connect(router)?;
    let mut times = Vec::with_capacity(count as usize);
    let mut due = Instant::now();
    for host in hosts.take(count as usize) {
        let now = Instant::now();
        // Waking up late is our own doing; being late because of the answer before is the router's.
        let sent = if due > now {
            std::thread::sleep(due - now);
            Instant::now()
        } else {
            due
        };
        let status = client.get(host)?;
        anyhow::ensure!(status == 200, "{host} was answered with {status}");
        times.push(sent.elapsed());
        due += interval;
    }
    Ok(times)
}
