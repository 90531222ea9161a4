//! Random numbers that a failing test can repeat: the seed is printed with the failure.

use std::hash::{BuildHasher, RandomState};

/// A small generator (SplitMix64): good enough to pick test cases, and the same everywhere for one seed.
#[derive(Debug, Clone)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// The generator of `WAYPOST_TEST_SEED` if that is set, else of a seed that differs each time.
    pub fn new() -> Random {
        match std::env::var("WAYPOST_TEST_SEED") {
            Ok(text) => Random::seeded(text.parse().expect("WAYPOST_TEST_SEED is a number")),
            Err(_) => Random::unseeded(),
        }
    }

    /// A generator that differs each time, whatever the environment says.
    pub(crate) fn unseeded() -> Random {
        Random::seeded(RandomState::new().hash_one(std::process::id()))
    }

    fn seeded(seed: u64) -> Random {
        Random { seed, state: seed }
    }

    /// A generator for another thread, which gives numbers of its own, the same for one seed.
    pub fn branch(&mut self) -> Random {
        let state = self.below(usize::MAX) as u64;
        Random { seed: self.seed, state }
    }

    /// What to set `WAYPOST_TEST_SEED` to for the same numbers again.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    /// One of `items`, of which there is at least one.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Bytes without a pattern that a fault in copying could leave unchanged.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}

impl Default for Random {
    fn default() -> Random {
        Random::new()
    }
}
