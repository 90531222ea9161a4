//! One key's decision as all workers share it: where the key's requests go, and how old that is. Workers read
//! and write it without a lock.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use arc_swap::ArcSwapOption;

use super::target::RouteTarget;

/// What becomes of a key's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// They go there.
    To {
        /// The key that was found: the request's, or a wildcard's.
        key: Box<str>,
        /// Where to.
        target: RouteTarget,
    },
    /// The table has no such key.
    Nothing,
    /// The table has one whose value does not parse.
    Malformed {
        /// The key that was found.
        key: Box<str>,
    },
}

/// How a cached decision may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// As it is.
    Fresh,
    /// As it is, while the table is asked in the background.
    Stale,
    /// Only if the table can't be asked.
    Expired,
}

/// For how long decisions are used, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetimes {
    pub(super) ttl: u64,
    pub(super) negative_ttl: u64,
    /// Decisions of this time or before are not used while the table can be asked: it was changed since.
    pub(super) changed: u64,
}

/// The decision of one key. Times are milliseconds since the table was opened.
#[derive(Debug)]
pub(super) struct Cell {
    key: Arc<str>,
    decision: ArcSwapOption<Decision>,
    /// When the table was asked for the decision. Written behind it and read before it, so that an old decision
    /// is never taken for as young as the one that follows it.
    at: AtomicU64,
    /// Whether it is asked in the background.
    asked: AtomicBool,
    /// Before this it is not asked in the background again: it could not answer.
    not_before: AtomicU64,
    /// When a request last needed it, to a second.
    used: AtomicU64,
    /// Whether the cache has let go of it.
    evicted: AtomicBool,
}

/// How exactly it is noted when a decision was last needed.
const USED_EVERY: u64 = 1000;

/// For how long the table is not asked again in the background when it could not answer.
const PAUSE: u64 = 100;

impl Cell {
    /// A key that was never asked for.
    pub(super) fn new(key: &str, now: u64) -> Cell {
        Cell {
            key: key.into(),
            decision: ArcSwapOption::empty(),
            at: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            not_before: AtomicU64::new(0),
            used: AtomicU64::new(now),
            evicted: AtomicBool::new(false),
        }
    }

    /// The request's key.
    pub(super) fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// What is decided, if anything is.
    pub(super) fn decision(&self) -> Option<Arc<Decision>> {
        self.decision.load_full()
    }

    /// What is decided, if anything is, and how it may be used now.
    pub(super) fn usable(&self, now: u64, lifetimes: Lifetimes) -> Option<(Arc<Decision>, Standing)> {
        let at = self.decided_at();
        let decision = self.decision.load_full()?;
        let standing = standing(&decision, at, now, lifetimes);
        Some((decision, standing))
    }

    /// How the decision may be used now, if it is still this one. Nothing is counted: workers that go by the
    /// same decision don't take its memory from each other.
    pub(super) fn standing_of(
        &self,
        known: &Arc<Decision>,
        now: u64,
        lifetimes: Lifetimes,
    ) -> Option<Standing> {
        let at = self.decided_at();
        let decision = self.decision.load();
        let decision = decision.as_ref().filter(|decision| Arc::ptr_eq(decision, known))?;
        Some(standing(decision, at, now, lifetimes))
    }

    /// When the table was asked for the decision.
    pub(super) fn decided_at(&self) -> u64 {
        self.at.load(Acquire)
    }

    /// Puts a decision in force for which the table was asked at that time. The same decision again keeps its
    /// place in memory, so that workers keep what they made of it.
    pub(super) fn decide(&self, decision: Decision, at: u64) {
        if self.decision.load().as_deref() != Some(&decision) {
            self.decision.store(Some(Arc::new(decision)));
        }
        self.at.store(at, Release);
    }

    /// Whether whoever calls this is to have the table asked in the background.
    pub(super) fn may_ask(&self, now: u64) -> bool {
        now >= self.not_before.load(Relaxed)
            && !self.asked.load(Relaxed)
            && self.asked.compare_exchange(false, true, Relaxed, Relaxed).is_ok()
    }

    /// Notes that the table was asked, or could not be.
    pub(super) fn was_asked(&self, now: u64, answered: bool) {
        if !answered {
            self.not_before.store(now + PAUSE, Relaxed);
        }
        self.asked.store(false, Relaxed);
    }

    /// Notes that a request needs it.
    pub(super) fn touch(&self, now: u64) {
        // Rarely written, as all workers read what lies beside it.
        if self.used.load(Relaxed) + USED_EVERY <= now {
            self.used.store(now, Relaxed);
        }
    }

    /// What the cache goes by when it has to let go of some: of decisions that lead nowhere first, then of
    /// those that were not needed for longest.
    pub(super) fn worth(&self) -> (bool, u64) {
        let leads = matches!(self.decision.load().as_deref(), Some(Decision::To { .. }));
        (leads, self.used.load(Relaxed))
    }

    pub(super) fn evict(&self) {
        self.evicted.store(true, Relaxed);
    }

    /// Whether the cache has let go of it: another cell may stand in its place.
    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.load(Relaxed)
    }
}

/// How a decision may be used for which the table was asked at that time.
fn standing(decision: &Decision, at: u64, now: u64, lifetimes: Lifetimes) -> Standing {
    // With no lifetime at all every request asks.
    if lifetimes.ttl == 0 || at <= lifetimes.changed {
        return Standing::Expired;
    }
    let age = now.saturating_sub(at);
    match decision {
        Decision::To { .. } if age < lifetimes.ttl => Standing::Fresh,
        Decision::To { .. } => Standing::Stale,
        _ if age < lifetimes.negative_ttl => Standing::Fresh,
        // Who has just made a route must not be told once more that there is none.
        _ => Standing::Expired,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIMES: Lifetimes = Lifetimes { ttl: 1000, negative_ttl: 500, changed: 0 };

    fn to(target: &str) -> Decision {
        Decision::To { key: "k".into(), target: target.parse().unwrap() }
    }

    fn standing_at(cell: &Cell, now: u64, lifetimes: Lifetimes) -> Standing {
        let (decision, standing) = cell.usable(now, lifetimes).unwrap();
        assert_eq!(cell.standing_of(&decision, now, lifetimes), Some(standing));
        standing
    }

    #[test]
    fn a_route_is_fresh_then_stale_and_a_miss_is_fresh_then_expired() {
        let cell = Cell::new("k", 0);
        assert_eq!(cell.usable(0, LIFETIMES), None);
        cell.decide(to("http://a:1/"), 100);
        assert_eq!(standing_at(&cell, 1099, LIFETIMES), Standing::Fresh);
        assert_eq!(standing_at(&cell, 1100, LIFETIMES), Standing::Stale);
        let route = cell.decision().unwrap();
        cell.decide(Decision::Nothing, 2000);
        assert_eq!(cell.standing_of(&route, 2000, LIFETIMES), None, "it is another one");
        assert_eq!(standing_at(&cell, 2499, LIFETIMES), Standing::Fresh);
        assert_eq!(standing_at(&cell, 2500, LIFETIMES), Standing::Expired);
    }

    #[test]
    fn without_a_lifetime_or_before_a_change_nothing_is_used_unasked() {
        let cell = Cell::new("k", 0);
        cell.decide(to("http://a:1/"), 100);
        assert_eq!(standing_at(&cell, 100, Lifetimes { ttl: 0, ..LIFETIMES }), Standing::Expired);
        assert_eq!(standing_at(&cell, 101, Lifetimes { changed: 100, ..LIFETIMES }), Standing::Expired);
    }

    #[test]
    fn one_asks_in_the_background_and_after_a_failure_nobody_for_a_moment() {
        let cell = Cell::new("k", 0);
        assert!(cell.may_ask(10));
        assert!(!cell.may_ask(10));
        cell.was_asked(20, true);
        assert!(cell.may_ask(20));
        cell.was_asked(20, false);
        assert!(!cell.may_ask(20 + PAUSE - 1));
        assert!(cell.may_ask(20 + PAUSE));
    }

    #[test]
    fn the_same_decision_again_is_no_other() {
        let cell = Cell::new("k", 0);
        cell.decide(to("http://a:1/"), 1);
        let first = cell.decision().unwrap();
        cell.decide(to("http://a:1/"), 2);
        assert!(Arc::ptr_eq(&first, &cell.decision().unwrap()));
        assert_eq!(cell.decided_at(), 2);
    }
}
