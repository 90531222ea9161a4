//! Fowler, Noll and Vo's hashes, in four variants. Bytes are sign-extended in all of them.
//!
//! `fnv1a_64` is not the published one: libmemcached computes it in 32 bits, with the lower halves of the
//! 64-bit offset and prime.

use super::{signed_32, signed_64};

const OFFSET_64: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME_64: u64 = 0x100_0000_01b3;
const OFFSET_64_LOW: u32 = 0x8422_2325;
const PRIME_64_LOW: u32 = 0x1b3;
const OFFSET_32: u32 = 0x811c_9dc5;
const PRIME_32: u32 = 0x0100_0193;

pub(super) fn fnv1_64(key: &[u8]) -> u32 {
    let hash = key.iter().fold(OFFSET_64, |hash, byte| hash.wrapping_mul(PRIME_64) ^ signed_64(*byte));
    // libmemcached cuts it, too.
    hash as u32
}

pub(super) fn fnv1a_64(key: &[u8]) -> u32 {
    key.iter().fold(OFFSET_64_LOW, |hash, byte| (hash ^ signed_32(*byte)).wrapping_mul(PRIME_64_LOW))
}

pub(super) fn fnv1_32(key: &[u8]) -> u32 {
    key.iter().fold(OFFSET_32, |hash, byte| hash.wrapping_mul(PRIME_32) ^ signed_32(*byte))
}

pub(super) fn fnv1a_32(key: &[u8]) -> u32 {
    key.iter().fold(OFFSET_32, |hash, byte| (hash ^ signed_32(*byte)).wrapping_mul(PRIME_32))
}
