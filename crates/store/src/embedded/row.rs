//! A value as it stands in the database: token, end of life, flags, and the value itself.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// Bytes in front of the value: two numbers of 8 bytes, one of 4, little-endian.
const HEAD: usize = 20;

/// A value and what is kept with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Another one with every write in this database.
    pub(super) token: u64,
    /// When it is over, in milliseconds since 1970; 0 for never.
    pub(super) expires: u64,
    pub(super) flags: u32,
    pub(super) value: Bytes,
}

impl Row {
    /// Reads a row; none if it is too short to be one.
    pub(super) fn read(bytes: &[u8]) -> Option<Row> {
        let (token, rest) = bytes.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (flags, value) = rest.split_first_chunk()?;
        Some(Row {
            token: u64::from_le_bytes(*token),
            expires: u64::from_le_bytes(*expires),
            flags: u32::from_le_bytes(*flags),
            value: Bytes::copy_from_slice(value),
        })
    }

    /// The row as bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.value.len());
        bytes.extend_from_slice(&self.token.to_le_bytes());
        bytes.extend_from_slice(&self.expires.to_le_bytes());
        bytes.extend_from_slice(&self.flags.to_le_bytes());
        bytes.extend_from_slice(&self.value);
        bytes
    }

    /// Whether it is there at this time.
    pub(super) fn is_alive(&self, now: u64) -> bool {
        self.expires == 0 || self.expires > now
    }
}

/// The time in milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// When something is over that lives so many seconds from now.
pub(super) fn end(ttl: u32, now: u64) -> u64 {
    if ttl == 0 { 0 } else { now.saturating_add(u64::from(ttl) * 1000) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_reads_back(
            token in any::<u64>(), expires in any::<u64>(), flags in any::<u32>(), value in any::<Vec<u8>>(),
        ) {
            let row = Row { token, expires, flags, value: value.into() };
            prop_assert_eq!(Row::read(&row.bytes()), Some(row));
        }

        #[test]
        fn what_is_too_short_is_no_row(bytes in prop::collection::vec(any::<u8>(), 0..HEAD)) {
            prop_assert_eq!(Row::read(&bytes), None);
        }
    }
}
