//! Paul Hsieh's SuperFastHash. One byte of it is sign-extended: the last, where three are left over.

use super::{partial_word, signed_32, words};

pub(super) fn digest(key: &[u8]) -> u32 {
    let (words, rest) = words(key);
    let mut hash = words.fold(0u32, |hash, word| {
        let hash = hash.wrapping_add(word & 0xffff);
        let hash = hash << 16 ^ (word >> 16) << 11 ^ hash;
        hash.wrapping_add(hash >> 11)
    });
    match *rest {
        [first, second, third] => {
            hash = hash.wrapping_add(partial_word(&[first, second]));
            hash ^= hash << 16;
            hash ^= signed_32(third) << 18;
            hash = hash.wrapping_add(hash >> 11);
        }
        [first, second] => {
            hash = hash.wrapping_add(partial_word(&[first, second]));
            hash ^= hash << 11;
            hash = hash.wrapping_add(hash >> 17);
        }
        [first] => {
            hash = hash.wrapping_add(u32::from(first));
            hash ^= hash << 10;
            hash = hash.wrapping_add(hash >> 1);
        }
        _ => {}
    }
    hash ^= hash << 3;
    hash = hash.wrapping_add(hash >> 5);
    hash ^= hash << 4;
    hash = hash.wrapping_add(hash >> 17);
    hash ^= hash << 25;
    hash.wrapping_add(hash >> 6)
}
