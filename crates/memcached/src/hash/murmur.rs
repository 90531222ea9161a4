//! MurmurHash2, seeded with the key's length.

use super::{partial_word, words};

const FACTOR: u32 = 0x5bd1_e995;

pub(super) fn digest(key: &[u8]) -> u32 {
    // A key is far shorter than 2³² bytes; libmemcached cuts the length in the same way.
    let length = key.len() as u32;
    let (words, rest) = words(key);
    let mut hash = words.fold(0xdead_beef_u32.wrapping_mul(length) ^ length, |hash, word| {
        let word = word.wrapping_mul(FACTOR);
        hash.wrapping_mul(FACTOR) ^ (word ^ word >> 24).wrapping_mul(FACTOR)
    });
    if !rest.is_empty() {
        hash = (hash ^ partial_word(rest)).wrapping_mul(FACTOR);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(FACTOR);
    hash ^ hash >> 15
}
