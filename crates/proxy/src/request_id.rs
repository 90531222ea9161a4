//! An id for each request, by which its traces are found in logs up and down the line.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// Makes one worker's ids: 32 hexadecimal digits, as nginx's `$request_id`.
#[derive(Debug)]
pub(crate) struct RequestIds {
    high: u64,
    low: Cell<u64>,
}

/// An id as text.
pub(crate) type RequestId = [u8; 32];

impl RequestIds {
    /// Begins at a random place.
    pub(crate) fn new() -> RequestIds {
        let random = || RandomState::new().hash_one(std::process::id());
        RequestIds { high: random(), low: Cell::new(random()) }
    }

    /// The next id. Never the same twice in one worker, and hardly ever in two.
    pub(crate) fn next(&self) -> RequestId {
        // Weyl sequence and a mixer (SplitMix64): neighbours look unrelated.
        let low = self.low.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.low.set(low);
        let mut mixed = low ^ (low >> 30);
        mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let mut id = [0; 32];
        hexadecimal(self.high ^ mixed.rotate_left(32), &mut id[..16]);
        hexadecimal(mixed, &mut id[16..]);
        id
    }
}

fn hexadecimal(value: u64, out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(value.to_be_bytes()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
}

/// The id as a string.
pub(crate) fn text(id: &RequestId) -> &str {
    // Only hexadecimal digits are ever written.
    std::str::from_utf8(id).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hexadecimal_and_differ() {
        let ids = RequestIds::new();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            let id = ids.next();
            assert!(id.iter().all(u8::is_ascii_hexdigit));
            assert!(seen.insert(id), "{} came twice", text(&id));
        }
    }
}
