//! Whether a backend works, as far as asking it and using it tells.
//!
//! A [`Health`] is shared by the trees of all workers, so that they agree. It is fed with the outcome of
//! probes, and with calls that failed; so many in a row ([`Pace`]) make the difference, and a single
//! one never does. A change is told to the log once, by whoever caused it, and counted. Reading it, which
//! every request does, costs a load or two; the lock is for outcomes that are not the usual ones.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

/// A member that begins anew gets no less than this share of what it would get.
const LEAST_SHARE: f32 = 0.05;

/// How often a backend is asked, and how many outcomes in a row change what is held of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// From one probe to the next, on average: each wait is up to a tenth shorter or longer, so that what
    /// began together does not go on together.
    pub interval: Duration,
    /// So many failures in a row, and it is down. At least 1.
    pub fall: u32,
    /// So many good probes in a row, and it is up again. At least 1.
    pub rise: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { interval: Duration::from_secs(1), fall: 3, rise: 2 }
    }
}

/// Whose health it is, and who finds out: for the log.
#[derive(Debug, Clone, Copy)]
pub struct Finding<'a> {
    /// The backend.
    pub backend: &'a str,
    /// The cluster that asks, or uses, the backend as a member.
    pub cluster: Option<&'a str>,
}

/// What is held of one backend. It is up until found otherwise.
#[derive(Debug)]
pub struct Health {
    up: AtomicBool,
    /// Calls that failed since the last one that did not.
    failed_calls: AtomicU32,
    /// When it last came up again, in milliseconds of [`clock`]; 0 if it never was down.
    recovered: AtomicU64,
    /// How many would probe it.
    attended: AtomicU32,
    record: Mutex<Record>,
}

#[derive(Debug)]
struct Record {
    since: SystemTime,
    changes: u64,
    reason: Option<String>,
    failed_probes: u32,
    good_probes: u32,
    /// Who probes it, of those who would, and how often.
    prober: Option<(u64, Duration)>,
}

/// The health of a backend as `waypost backend list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// Whether it is up.
    pub up: bool,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// How many times it has gone down or come up again.
    pub changes: u64,
    /// Why it last went down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// As long as this lives, a backend is probed by its holder, or by somebody else who does so more often.
#[derive(Debug)]
pub struct Attendance {
    health: Arc<Health>,
    /// Another one for each.
    id: u64,
    interval: Duration,
}

/// Milliseconds since the process first asked, never 0.
fn clock() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    1 + START.elapsed().as_millis() as u64
}

impl Default for Health {
    fn default() -> Health {
        Health {
            up: AtomicBool::new(true),
            failed_calls: AtomicU32::new(0),
            recovered: AtomicU64::new(0),
            attended: AtomicU32::new(0),
            record: Mutex::new(Record {
                since: SystemTime::now(),
                changes: 0,
                reason: None,
                failed_probes: 0,
                good_probes: 0,
                prober: None,
            }),
        }
    }
}

impl Health {
    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    /// Which part of its usual share of requests it gets, more than 0 and at most 1: one that has come up
    /// again within the last `slow_start` gets less, in proportion to how long ago that was.
    pub fn share(&self, slow_start: Duration) -> f32 {
        let recovered = self.recovered.load(Relaxed);
        if recovered == 0 || slow_start.is_zero() {
            return 1.0;
        }
        let ago = clock().saturating_sub(recovered) as f32;
        (ago / slow_start.as_millis() as f32).clamp(LEAST_SHARE, 1.0)
    }

    /// Notes a call that was answered.
    pub fn call_answered(&self) {
        // The load keeps the usual case from writing to a line that all workers read.
        if self.failed_calls.load(Relaxed) != 0 {
            self.failed_calls.store(0, Relaxed);
        }
    }

    /// Notes a call that failed by the backend's fault, and says whether that has changed anything.
    pub fn call_failed(&self, pace: &Pace, error: &dyn std::fmt::Display, finding: Finding<'_>) -> bool {
        let failed = self.failed_calls.fetch_add(1, Relaxed).saturating_add(1);
        if failed < pace.fall || !self.is_up() {
            return false;
        }
        let mut record = self.record();
        self.down(&mut record, format!("{failed} requests in a row failed, the last: {error}"), finding)
    }

    /// Notes what a probe has found, and says whether that has changed anything.
    pub fn probed(&self, pace: &Pace, outcome: Result<(), String>, finding: Finding<'_>) -> bool {
        let mut record = self.record();
        match outcome {
            Ok(()) => {
                record.failed_probes = 0;
                record.good_probes = record.good_probes.saturating_add(1);
                record.good_probes >= pace.rise && self.up(&mut record, finding)
            }
            Err(reason) => {
                record.good_probes = 0;
                record.failed_probes = record.failed_probes.saturating_add(1);
                record.failed_probes >= pace.fall && self.down(&mut record, reason, finding)
            }
        }
    }

    /// How it is, to be shown.
    pub fn report(&self) -> HealthReport {
        let record = self.record();
        let since = record.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        HealthReport {
            up: self.is_up(),
            since: since.as_secs(),
            changes: record.changes,
            reason: record.reason.clone(),
        }
    }

    /// Says that the caller would probe it from now on, this often.
    pub fn attend(self: &Arc<Health>, interval: Duration) -> Attendance {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        self.attended.fetch_add(1, Relaxed);
        Attendance { health: Arc::clone(self), id: NEXT.fetch_add(1, Relaxed), interval }
    }

    /// Whether anybody would probe it.
    pub fn is_attended(&self) -> bool {
        self.attended.load(Relaxed) > 0
    }

    fn down(&self, record: &mut Record, reason: String, finding: Finding<'_>) -> bool {
        if !self.up.swap(false, Relaxed) {
            return false;
        }
        let Finding { backend, cluster } = finding;
        tracing::warn!(backend, cluster, reason, "backend down");
        // What was good before it went down is no sign that it is back.
        record.good_probes = 0;
        record.changed(Some(reason));
        true
    }

    fn up(&self, record: &mut Record, finding: Finding<'_>) -> bool {
        if self.is_up() {
            return false;
        }
        self.failed_calls.store(0, Relaxed);
        self.recovered.store(clock(), Relaxed);
        self.up.store(true, Relaxed);
        let Finding { backend, cluster } = finding;
        tracing::info!(backend, cluster, "backend up again");
        record.changed(None);
        true
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // What is inside is whole between any two statements, whoever panicked.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn changed(&mut self, reason: Option<String>) {
        self.since = SystemTime::now();
        self.changes += 1;
        self.reason = reason.or(self.reason.take());
    }
}

impl Attendance {
    /// Whether it is the holder who probes. Only one does at a time, or a member of two clusters would be asked
    /// twice as often as either says, and reach their thresholds in half the time.
    pub fn is_prober(&self) -> bool {
        let prober = &mut self.health.record().prober;
        let yields = |(id, interval): (u64, Duration)| id == self.id || self.interval < interval;
        let is_prober = prober.is_none_or(yields);
        if is_prober {
            *prober = Some((self.id, self.interval));
        }
        is_prober
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.health.attended.fetch_sub(1, Relaxed);
        self.health.record().prober.take_if(|(id, _)| *id == self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: Finding<'_> = Finding { backend: "b", cluster: Some("c") };

    fn bad() -> Result<(), String> {
        Err("it answered 500".into())
    }

    #[test]
    fn so_many_failed_probes_in_a_row_take_it_down_and_good_ones_bring_it_back() {
        let (health, pace) = (Health::default(), Pace::default());
        for outcome in [bad(), bad(), Ok(()), bad(), bad()] {
            assert!(!health.probed(&pace, outcome, WHO) && health.is_up());
        }
        assert!(health.probed(&pace, bad(), WHO) && !health.is_up());
        assert_eq!(health.report().reason.as_deref(), Some("it answered 500"));
        for outcome in [Ok(()), bad(), Ok(())] {
            assert!(!health.probed(&pace, outcome, WHO) && !health.is_up());
        }
        assert!(health.probed(&pace, Ok(()), WHO) && health.is_up());
        assert_eq!(health.report().changes, 2);
    }

    #[test]
    fn an_answer_between_failed_calls_keeps_it_up() {
        let (health, pace) = (Health::default(), Pace::default());
        for _ in 0..5 {
            health.call_failed(&pace, &"closed", WHO);
            health.call_failed(&pace, &"closed", WHO);
            health.call_answered();
        }
        assert!(health.is_up());
        assert!(!health.call_failed(&pace, &"closed", WHO));
        assert!(!health.call_failed(&pace, &"closed", WHO));
        assert!(health.call_failed(&pace, &"refused", WHO), "the third in a row");
        let reason = health.report().reason;
        assert_eq!(reason.as_deref(), Some("3 requests in a row failed, the last: refused"));
        assert!(!health.call_failed(&pace, &"refused", WHO), "it is down already");
        assert_eq!(health.report().changes, 1);
    }

    #[test]
    fn of_those_who_would_probe_it_the_one_that_asks_most_often_does() {
        let health = Arc::new(Health::default());
        let (slow, other) = (health.attend(Duration::from_secs(2)), health.attend(Duration::from_secs(2)));
        assert!(slow.is_prober() && !other.is_prober() && slow.is_prober());
        let quick = health.attend(Duration::from_secs(1));
        assert!(quick.is_prober() && !slow.is_prober() && !other.is_prober());
        drop(slow);
        assert!(quick.is_prober() && !other.is_prober());
        drop(quick);
        assert!(other.is_prober());
        drop(other);
        assert!(!health.is_attended());
    }

    #[test]
    fn a_recovered_one_gets_a_growing_share() {
        let health = Health::default();
        let pace = Pace { fall: 1, rise: 1, ..Pace::default() };
        assert_eq!(health.share(Duration::from_secs(3600)), 1.0, "it never was down");
        health.probed(&pace, bad(), WHO);
        health.probed(&pace, Ok(()), WHO);
        assert_eq!(health.share(Duration::from_secs(3600)), LEAST_SHARE);
        assert_eq!(health.share(Duration::ZERO), 1.0);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(health.share(Duration::from_millis(1)), 1.0);
    }
}
