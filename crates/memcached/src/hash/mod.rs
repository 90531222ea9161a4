//! The hashes of libmemcached 1.1 (libhashkit), bit for bit, as they come out on x86-64.
//!
//! A key's hash decides its server, so "nearly the same" loses every item that another client wrote. Some
//! of these differ from the published algorithm of their name, and those differences are what counts:
//! libhashkit reads a key as C's `char`, which is signed on x86-64, so that bytes from 0x80 on enter some
//! sums as numbers near 2³² (or 2⁶⁴). What each hash does with them stands in its file. Each is compared
//! with libmemcached's own results in `tests/golden`.

mod crc;
mod fnv;
mod hsieh;
mod jenkins;
mod md5;
mod murmur;
mod murmur3;
mod one_at_a_time;

use std::fmt;

use serde::{Serialize, Serializer};

pub(crate) use md5::points as md5_points;

/// Which hash of a key chooses its server: `MEMCACHED_BEHAVIOR_HASH` of libmemcached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Hash {
    /// Jenkins' one-at-a-time, the default.
    #[default]
    OneAtATime,
    /// The first four bytes of the MD5 digest, little-endian.
    Md5,
    /// Fifteen bits of the CRC-32.
    Crc,
    /// 64-bit FNV-1, the lower half.
    Fnv64,
    /// FNV-1a with the 64-bit parameters cut to 32 bits.
    Fnv64a,
    /// 32-bit FNV-1.
    Fnv32,
    /// 32-bit FNV-1a.
    Fnv32a,
    /// Jenkins' lookup3.
    Jenkins,
    /// MurmurHash2.
    Murmur,
    /// MurmurHash3, the 32-bit form.
    Murmur3,
    /// Paul Hsieh's SuperFastHash.
    Hsieh,
}

impl Hash {
    /// Every hash there is.
    pub const ALL: [Hash; 11] = [
        Hash::OneAtATime,
        Hash::Md5,
        Hash::Crc,
        Hash::Fnv64,
        Hash::Fnv64a,
        Hash::Fnv32,
        Hash::Fnv32a,
        Hash::Jenkins,
        Hash::Murmur,
        Hash::Murmur3,
        Hash::Hsieh,
    ];

    /// The hash of a key, or of the text of a point on the ring.
    pub fn digest(self, key: &[u8]) -> u32 {
        match self {
            Hash::OneAtATime => one_at_a_time::digest(key),
            Hash::Md5 => md5::digest(key),
            Hash::Crc => crc::digest(key),
            Hash::Fnv64 => fnv::fnv1_64(key),
            Hash::Fnv64a => fnv::fnv1a_64(key),
            Hash::Fnv32 => fnv::fnv1_32(key),
            Hash::Fnv32a => fnv::fnv1a_32(key),
            Hash::Jenkins => jenkins::digest(key),
            Hash::Murmur => murmur::digest(key),
            Hash::Murmur3 => murmur3::digest(key),
            Hash::Hsieh => hsieh::digest(key),
        }
    }

    /// The name as libmemcached's clients write it: `default`, `md5`, `fnv1a_32`.
    pub fn name(self) -> &'static str {
        match self {
            Hash::OneAtATime => "default",
            Hash::Md5 => "md5",
            Hash::Crc => "crc",
            Hash::Fnv64 => "fnv1_64",
            Hash::Fnv64a => "fnv1a_64",
            Hash::Fnv32 => "fnv1_32",
            Hash::Fnv32a => "fnv1a_32",
            Hash::Jenkins => "jenkins",
            Hash::Murmur => "murmur",
            Hash::Murmur3 => "murmur3",
            Hash::Hsieh => "hsieh",
        }
    }

    /// The hash of this name, in any case.
    pub fn from_name(name: &str) -> Option<Hash> {
        Hash::ALL.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A byte as C's `uint32_t` of a signed `char`: 0x80 is 0xffff_ff80.
fn signed_32(byte: u8) -> u32 {
    i32::from(byte.cast_signed()).cast_unsigned()
}

/// A byte as C's `uint64_t` of a signed `char`.
fn signed_64(byte: u8) -> u64 {
    i64::from(byte.cast_signed()).cast_unsigned()
}

/// Parts a key into words of four bytes, little-endian, and the up to three bytes left over.
fn words(key: &[u8]) -> (impl Iterator<Item = u32>, &[u8]) {
    let (words, rest) = key.as_chunks::<4>();
    (words.iter().map(|word| u32::from_le_bytes(*word)), rest)
}

/// Up to four bytes as a little-endian number, the missing ones zero.
fn partial_word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_read_back_in_any_case() {
        for hash in Hash::ALL {
            assert_eq!(Hash::from_name(hash.name()), Some(hash));
            assert_eq!(Hash::from_name(&hash.name().to_uppercase()), Some(hash));
        }
        assert_eq!(Hash::from_name("sha1"), None);
    }

    #[test]
    fn a_byte_from_0x80_on_is_negative() {
        assert_eq!(signed_32(0x7f), 0x7f);
        assert_eq!(signed_32(0x80), 0xffff_ff80);
        assert_eq!(signed_64(0xff), u64::MAX);
    }

    proptest! {
        #[test]
        fn every_hash_takes_any_bytes(key in prop::collection::vec(any::<u8>(), 0..600)) {
            for hash in Hash::ALL {
                prop_assert_eq!(hash.digest(&key), hash.digest(&key.clone()));
            }
            prop_assert!(Hash::Crc.digest(&key) < 0x8000);
        }
    }
}
