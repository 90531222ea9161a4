//! The decisions that are known, by the requests' keys. Bounded: when it is full it lets go of what leads
//! nowhere first (a flood of invented hosts is made of that), then of what was not needed for longest.
//!
//! Its lock is taken when a worker meets a key for the first time, and never for a key it knows.

use std::collections::HashMap;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::cell::Cell;

/// How many keys are known at most: some 30 MB if all are as long as can be.
pub(super) const MOST: usize = 65_536;

/// Such a part of a full cache is let go of at once, so that finding it costs each new key little.
const PART: usize = 16;

type Cells = HashMap<Arc<str>, Arc<Cell>, foldhash::fast::RandomState>;

#[derive(Debug)]
pub(super) struct Cache {
    cells: Mutex<Cells>,
    most: usize,
    epoch: Instant,
    /// When the table was last changed through this router, or is looked at otherwise than before.
    changed: AtomicU64,
    wildcards: AtomicBool,
}

impl Cache {
    /// A cache of so many keys.
    pub(super) fn new(most: usize) -> Cache {
        Cache {
            cells: Mutex::default(),
            most,
            epoch: Instant::now(),
            changed: AtomicU64::new(0),
            wildcards: AtomicBool::new(false),
        }
    }

    /// Milliseconds since the cache was made; never 0.
    pub(super) fn now(&self) -> u64 {
        self.epoch.elapsed().as_millis() as u64 + 1
    }

    /// The cell of that key; it is known from now on.
    pub(super) fn cell(&self, key: &str) -> Arc<Cell> {
        let mut cells = self.lock();
        if let Some(cell) = cells.get(key) {
            return Arc::clone(cell);
        }
        if cells.len() >= self.most {
            evict(&mut cells, (self.most / PART).max(1));
        }
        let cell = Arc::new(Cell::new(key, self.now()));
        cells.insert(Arc::clone(cell.key()), Arc::clone(&cell));
        cell
    }

    /// Every cell that is known, by its key.
    pub(super) fn all(&self) -> Vec<Arc<Cell>> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        all
    }

    /// How many keys are known.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// When the table was last changed through this router.
    pub(super) fn changed(&self) -> u64 {
        self.changed.load(Relaxed)
    }

    /// Whether keys with `*` in place of a host's left labels are tried. A lookup asks behind the time at which it
    /// begins, so that one which was told otherwise began before the change and is not gone by.
    pub(super) fn wildcards(&self) -> bool {
        self.wildcards.load(SeqCst)
    }

    pub(super) fn set_wildcards(&self, wildcards: bool) {
        if self.wildcards.swap(wildcards, SeqCst) != wildcards {
            self.expire();
        }
    }

    /// Has every decision asked for anew: the table was changed. With wildcards one key may tell on any other.
    pub(super) fn expire(&self) {
        self.changed.store(self.now(), Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Cells> {
        // Whole between any two statements, whoever panicked.
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of the `count` that are worth least.
fn evict(cells: &mut Cells, count: usize) {
    let mut worth: Vec<_> = cells.values().map(|cell| (cell.worth(), Arc::clone(cell))).collect();
    let count = count.min(worth.len());
    if count < worth.len() {
        worth.select_nth_unstable_by_key(count, |(worth, _)| *worth);
    }
    for (_, cell) in &worth[..count] {
        cell.evict();
        cells.remove(cell.key());
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::Decision;
    use super::*;

    #[test]
    fn a_full_cache_lets_go_of_what_leads_nowhere_first() {
        let cache = Cache::new(64);
        let route = cache.cell("http://a:80/");
        let target = "http://b:1/".parse().unwrap();
        route.decide(Decision::To { key: "http://a:80/".into(), target }, 1);
        let missing: Vec<_> = (0..1000)
            .map(|number| {
                let cell = cache.cell(&format!("http://{number}:80/"));
                cell.decide(Decision::Nothing, 1);
                cell
            })
            .collect();
        assert!(cache.len() <= 64, "{}", cache.len());
        assert!(!route.is_evicted());
        assert!(Arc::ptr_eq(&route, &cache.cell("http://a:80/")));
        assert!(missing.iter().filter(|cell| !cell.is_evicted()).count() < 64);
    }

    #[test]
    fn of_routes_it_lets_go_of_those_that_were_not_needed_for_longest() {
        let cache = Cache::new(4);
        for number in 1..=4u64 {
            let cell = cache.cell(&number.to_string());
            let target = "http://b:1/".parse().unwrap();
            cell.decide(Decision::To { key: "k".into(), target }, 1);
            cell.touch(number * 10_000);
        }
        cache.cell("5");
        let known: Vec<String> = cache.all().iter().map(|cell| cell.key().to_string()).collect();
        assert_eq!(known, ["2", "3", "4", "5"]);
    }
}
