//! MurmurHash3 for 32-bit machines, seeded with a multiple of the key's length.

use super::{partial_word, words};

fn scramble(word: u32) -> u32 {
    word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

pub(super) fn digest(key: &[u8]) -> u32 {
    // As in `murmur`: the length is cut as libmemcached cuts it.
    let length = key.len() as u32;
    let (words, rest) = words(key);
    let mut hash = words.fold(0xdead_beef_u32.wrapping_mul(length), |hash, word| {
        (hash ^ scramble(word)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    // Scrambled, nothing stays nothing: the rest may be empty.
    hash ^= scramble(partial_word(rest)) ^ length;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}
