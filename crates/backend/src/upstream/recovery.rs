//! Finding out that a server has come back, without a client having to try.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::registry::{PeerState, Registry};

const INTERVAL: Duration = Duration::from_millis(250);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// A server that stays away is asked less and less often, down to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// And is forgotten after this if no request has asked for it.
const FORGET: Duration = Duration::from_secs(600);
/// How often servers that are not used any more are forgotten.
const SWEEP: Duration = Duration::from_secs(10);
/// How many are asked at once.
const AT_ONCE: usize = 64;

struct Probe {
    next: Instant,
    pause: Duration,
    since: Instant,
}

/// Tries to connect to the servers that are down, for as long as the runtime runs, and marks those up
/// that can be connected to. Needs a runtime that can spawn.
pub async fn watch(registry: Arc<Registry>) {
    let mut probes: HashMap<SocketAddr, Probe> = HashMap::new();
    let mut last_sweep = Instant::now();
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if last_sweep.elapsed() > SWEEP {
            registry.sweep();
            last_sweep = Instant::now();
        }
        if registry.down() == 0 {
            probes.clear();
            continue;
        }
        let now = Instant::now();
        let down = registry.all_down();
        probes.retain(|address, _| down.iter().any(|state| state.address() == *address));
        let mut asked = tokio::task::JoinSet::new();
        for state in down {
            let probe =
                probes.entry(state.address()).or_insert(Probe { next: now, pause: INTERVAL, since: now });
            if now.duration_since(probe.since) > FORGET && registry.forget(&state) {
                continue;
            }
            if probe.next <= now && asked.len() < AT_ONCE {
                probe.next = now + probe.pause;
                probe.pause = (probe.pause * 2).min(LONGEST_PAUSE);
                asked.spawn(ask(Arc::clone(&registry), state));
            }
        }
        while asked.join_next().await.is_some() {}
    }
}

async fn ask(registry: Arc<Registry>, state: Arc<PeerState>) {
    if let Ok(Ok(_)) = timeout(PROBE_TIMEOUT, TcpStream::connect(state.address())).await {
        registry.connection_succeeded(&state);
    }
}
