//! Flags of a value in Redis: a head in front of the value, where they are not 0.

use bytes::{Bytes, BytesMut};

/// How a head begins. Eight hexadecimal digits follow, and a NUL byte.
pub(super) const HEAD: &[u8] = b"\0waypost:flags=";

/// Bytes of a whole head.
pub(super) const HEAD_BYTES: usize = HEAD.len() + 9;

/// What is stored for a value with these flags.
pub(super) fn stored(flags: u32, value: Bytes) -> Bytes {
    // A value that looks as if it had a head gets one, so that it comes back as it is.
    if flags == 0 && split(&value).is_none() {
        return value;
    }
    let mut stored = BytesMut::with_capacity(HEAD_BYTES + value.len());
    stored.extend_from_slice(HEAD);
    stored.extend_from_slice(format!("{flags:08x}\0").as_bytes());
    stored.extend_from_slice(&value);
    stored.freeze()
}

/// Flags and value of what is stored.
pub(super) fn read(stored: Bytes) -> (u32, Bytes) {
    match split(&stored) {
        Some(flags) => (flags, stored.slice(HEAD_BYTES..)),
        None => (0, stored),
    }
}

/// The flags in the head, if there is one.
fn split(stored: &[u8]) -> Option<u32> {
    let digits = stored.strip_prefix(HEAD)?.get(..9)?.strip_suffix(b"\0")?;
    let is_ours = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let digits = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(is_ours))?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_without_flags_is_stored_as_it_is() {
        assert_eq!(stored(0, "abc".into()), "abc");
        assert_eq!(stored(0, Bytes::from_static(HEAD)), HEAD);
        assert_eq!(stored(42, "abc".into()), &b"\0waypost:flags=0000002a\0abc"[..]);
    }

    proptest! {
        #[test]
        fn flags_and_value_come_back(flags in any::<u32>(), value in any::<Vec<u8>>(), heads in 0usize..3) {
            let mut value = Bytes::from(value);
            for _ in 0..heads {
                value = stored(flags, value);
            }
            for flags in [0, flags] {
                prop_assert_eq!(read(stored(flags, value.clone())), (flags, value.clone()));
            }
        }
    }
}
