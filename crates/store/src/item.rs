//! What is stored, and what is said about it.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::Serialize;

use crate::error::StoreError;

/// A value as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The value.
    pub value: Bytes,
    /// A number that whoever wrote it gave it.
    pub flags: u32,
    /// What [`Mode::Swap`] wants; only when it was asked for.
    pub token: Option<Token>,
}

/// A value's state at the time it was read: another one whenever the value is written, whatever wrote it.
///
/// What it is differs by store, so that it is of use only with the store it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Token {
    /// A number that counts writes: memcached's `cas unique`, and embedded.
    Number(u64),
    /// The SHA-1 of what is stored: Redis, where nothing counts the writes of others. A value that was changed
    /// and changed back has the token it had.
    Digest([u8; 20]),
}

/// A text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token is a number, or 40 hexadecimal digits, as it came with the value")]
pub struct TokenError;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Number(number) => number.fmt(f),
            Token::Digest(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Token, TokenError> {
        if text.len() == 40 {
            let mut bytes = [0; 20];
            for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
                let digits =
                    std::str::from_utf8(pair).ok().filter(|_| pair.iter().all(u8::is_ascii_hexdigit));
                let digits = digits.ok_or(TokenError)?;
                *byte = u8::from_str_radix(digits, 16).map_err(|_| TokenError)?;
            }
            return Ok(Token::Digest(bytes));
        }
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number).map(Token::Number).ok_or(TokenError)
    }
}

/// On what condition, and how, a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Whatever is there.
    Set,
    /// Only if nothing is there.
    Add,
    /// Only if something is there.
    Replace,
    /// Behind what is there, whose flags and time to live stay.
    Append,
    /// In front of what is there, whose flags and time to live stay.
    Prepend,
    /// Only if what is there is what the token was read with.
    Swap(Token),
}

/// A value to write.
#[derive(Debug, Clone)]
pub struct Write {
    /// How.
    pub mode: Mode,
    /// The value.
    pub value: Bytes,
    /// A number to keep with it.
    pub flags: u32,
    /// Seconds until it is gone; 0 for never. 2,592,001 means just that, other than on memcached's wire.
    pub ttl: u32,
}

/// What a server says of itself, in its own names.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// The server, or the directory.
    pub server: String,
    /// Names and values, in the server's order, or why there are none.
    pub values: Result<Vec<(String, String)>, StoreError>,
}

/// Which server a key is on, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Place {
    /// The server, or the directory.
    pub server: String,
    /// The reason, for people; a line, or some.
    pub why: String,
    /// How the server was found, where it takes finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", "-1", "+1", "x", "18446744073709551616", &"g".repeat(40), &"+f".repeat(20)] {
            assert_eq!(text.parse::<Token>(), Err(TokenError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_token_reads_back_as_it_was_shown(number in any::<u64>(), digest in any::<[u8; 20]>()) {
            for token in [Token::Number(number), Token::Digest(digest)] {
                prop_assert_eq!(token.to_string().parse(), Ok(token));
            }
        }

        #[test]
        fn no_text_ends_in_a_panic(text in ".{0,50}") {
            let _ = text.parse::<Token>();
        }
    }
}
