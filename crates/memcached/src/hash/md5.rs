//! MD5, of which a key's hash takes the first four bytes and the weighted ring all sixteen.

use md5::{Digest, Md5};

pub(super) fn digest(key: &[u8]) -> u32 {
    let [first, ..] = points(key);
    first
}

/// The digest as four little-endian numbers: four points of the weighted ring.
pub(crate) fn points(text: &[u8]) -> [u32; 4] {
    let digest: [u8; 16] = Md5::digest(text).into();
    let (words, _) = digest.as_chunks::<4>();
    std::array::from_fn(|word| u32::from_le_bytes(words[word]))
}
