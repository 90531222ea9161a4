//! Changes that go on beside what is measured, at a steady rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::redis::{Redis, encode};

/// How often a batch of changes is written.
const BEAT: Duration = Duration::from_millis(1);

/// A thread that changes hosts until it is stopped.
pub(crate) struct Background {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<f64>>,
}

impl Background {
    /// Begins to change these hosts, one after the other: each gets a further instance, and loses it when its
    /// turn comes again. The further instance has weight 0, so no request goes there.
    pub(crate) fn start(
        redis: SocketAddr,
        hosts: Vec<String>,
        per_second: u32,
    ) -> anyhow::Result<Background> {
        let redis = Redis::connect(redis)?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || change(redis, &hosts, per_second, &stop)
        });
        Ok(Background { stop, thread })
    }

    /// Ends it; how many changes a second there were.
    pub(crate) fn stop(self) -> anyhow::Result<f64> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().map_err(|_| anyhow!("the thread of the changes panicked"))?
    }
}

fn change(mut redis: Redis, hosts: &[String], per_second: u32, stop: &AtomicBool) -> anyhow::Result<f64> {
    let began = Instant::now();
    let (mut done, mut commands) = (0_u64, Vec::new());
    // An even number of rounds, so that everything is as it was.
    while !stop.load(Ordering::SeqCst) || !(done / hosts.len() as u64).is_multiple_of(2) {
        let due = (began.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
        let round_end = (done / hosts.len() as u64 + 1) * hosts.len() as u64;
        let until = due.min(round_end).min(done + u64::from(per_second));
        commands.clear();
        for turn in done..until {
            let host = &hosts[(turn % hosts.len() as u64) as usize];
            let command = if (turn / hosts.len() as u64).is_multiple_of(2) { "SADD" } else { "SREM" };
            encode(&[command, &format!("instances:{host}"), "127.0.0.1:9####weight=0"], &mut commands);
        }
        redis.run_all(&commands, (until - done) as usize)?;
        done = until;
        std::thread::sleep(BEAT);
    }
    Ok(done as f64 / began.elapsed().as_secs_f64())
}
