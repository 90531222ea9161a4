//! Keys, checked once: a [`Key`] fits memcached, so that no key can end a line, start another command or
//! make a server answer what nobody asked.

use std::fmt;

use thiserror::Error;

/// Keys up to this length, prefix included, need no memory of their own.
const SHORT: usize = 38;

/// A key as it is sent: the prefix and what the caller named, at most 250 bytes.
///
/// Spaces and control bytes can only be sent as base64, which the meta protocol has and the text protocol
/// has not. The server's limit counts the encoded form, so such a key has at most 186 bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    wire: Wire,
    prefix: u8,
    plain: bool,
}

/// The prefix, then the name.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Wire {
    /// The bytes behind the length are zero.
    Short {
        length: u8,
        bytes: [u8; SHORT],
    },
    Long(Box<[u8]>),
}

/// Why a key can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No byte at all.
    #[error("the key is empty: a key has 1 to {} bytes", Key::MAX)]
    Empty,
    /// More than 250 bytes with the prefix, or more than 186 where it is sent as base64.
    #[error("the key has {length} bytes{}: at most {limit} are allowed", prefix_note(*.prefix))]
    TooLong {
        /// Bytes with the prefix.
        length: usize,
        /// Bytes of the prefix.
        prefix: usize,
        /// What would have been allowed.
        limit: usize,
    },
    /// A space or control byte, in a protocol that can't send it.
    #[error("byte {position} of the key is {}, which can't be sent in the text protocol", byte_name(*.byte))]
    Unsendable {
        /// Which byte, counted from 0, without the prefix.
        position: usize,
        /// The byte.
        byte: u8,
    },
}

fn prefix_note(prefix: usize) -> String {
    match prefix {
        0 => String::new(),
        _ => format!(" with its prefix of {prefix}"),
    }
}

fn byte_name(byte: u8) -> String {
    match byte {
        b' ' => "a space".to_owned(),
        _ => format!("the control byte 0x{byte:02x}"),
    }
}

/// Whether a byte can stand in a key on a line of the protocol.
fn is_plain(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

/// Whether all are; all of them are looked at, which takes less time than to stop at one.
fn are_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, byte| plain & is_plain(*byte))
}

impl Key {
    /// The longest key, prefix included.
    pub const MAX: usize = 250;
    /// The longest key that is sent as base64: 248 bytes when it is encoded.
    pub const MAX_ENCODED: usize = 186;

    /// Checks a name and puts the prefix in front of it.
    ///
    /// # Errors
    /// When it is empty, or too long.
    pub fn new(prefix: &[u8], name: &[u8]) -> Result<Key, KeyError> {
        if name.is_empty() {
            return Err(KeyError::Empty);
        }
        let length = prefix.len() + name.len();
        let plain = are_plain(prefix) & are_plain(name);
        let limit = if plain { Key::MAX } else { Key::MAX_ENCODED };
        if length > limit {
            return Err(KeyError::TooLong { length, prefix: prefix.len(), limit });
        }
        let wire = if length <= SHORT {
            let mut bytes = [0; SHORT];
            let (front, back) = bytes.split_at_mut(prefix.len());
            front.copy_from_slice(prefix);
            back[..name.len()].copy_from_slice(name);
            Wire::Short { length: length as u8, bytes }
        } else {
            Wire::Long([prefix, name].concat().into())
        };
        // Both lengths are at most 250.
        Ok(Key { wire, prefix: prefix.len() as u8, plain })
    }

    /// The whole key, prefix included.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.wire {
            Wire::Short { length, bytes } => &bytes[..usize::from(*length)],
            Wire::Long(bytes) => bytes,
        }
    }

    /// What the caller named, without the prefix.
    pub fn name(&self) -> &[u8] {
        &self.as_bytes()[usize::from(self.prefix)..]
    }

    /// Whether it can be sent as it is, in every protocol.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// The key as a line of the text protocol can carry it.
    pub(crate) fn plain(&self) -> Result<&[u8], KeyError> {
        if self.plain {
            return Ok(self.as_bytes());
        }
        let found = self.as_bytes().iter().copied().enumerate().find(|(_, byte)| !is_plain(*byte));
        // A key is not plain because of a byte in it.
        let (at, byte) = found.unwrap_or_default();
        Err(KeyError::Unsendable { position: at.saturating_sub(usize::from(self.prefix)), byte })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.as_bytes().escape_ascii())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_prefix_counts() {
        let prefix = [b'p'; 100];
        assert!(Key::new(&prefix, &[b'k'; 150]).is_ok());
        let error = Key::new(&prefix, &[b'k'; 151]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the key has 251 bytes with its prefix of 100: at most 250 are allowed"
        );
    }

    #[test]
    fn an_empty_name_is_refused_even_with_a_prefix() {
        assert_eq!(Key::new(b"prefix", b""), Err(KeyError::Empty));
    }

    #[test]
    fn a_key_that_needs_base64_is_shorter() {
        assert!(Key::new(b"", &[b' '; 186]).is_ok());
        assert!(matches!(Key::new(b"", &[b' '; 187]), Err(KeyError::TooLong { limit: 186, .. })));
    }

    #[test]
    fn the_byte_that_the_text_protocol_lacks_is_named() {
        let error = Key::new(b"p:", b"a\nb").unwrap().plain().unwrap_err();
        let text = "byte 1 of the key is the control byte 0x0a, which can't be sent in the text protocol";
        assert_eq!(error.to_string(), text);
    }

    proptest! {
        #[test]
        fn a_key_is_its_prefix_and_its_name(
            prefix in prop::collection::vec(33..127u8, 0..60), name in prop::collection::vec(33..127u8, 1..60)
        ) {
            let key = Key::new(&prefix, &name).unwrap();
            prop_assert_eq!(key.as_bytes(), [prefix.clone(), name.clone()].concat());
            prop_assert_eq!(key.name(), name);
            prop_assert_eq!(&key.clone(), &key);
        }

        #[test]
        fn a_plain_key_has_no_byte_that_ends_a_token(name in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(key) = Key::new(b"", &name) {
                let breaks = name.iter().any(|byte| matches!(byte, b' ' | b'\r' | b'\n' | b'\t' | 0));
                prop_assert!(!(key.is_plain() && breaks));
                prop_assert_eq!(key.plain().is_ok(), key.is_plain());
            }
        }
    }
}
