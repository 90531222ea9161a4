//! Results as people and programs read them.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::{Map, Value};
use waypost_store::{ResultCode, StoreError};

/// What became of a key, as a line of JSON.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// The key and the value, if there is one.
    #[serde(flatten)]
    fields: Map<String, Value>,
    /// libmemcached's name.
    result: &'static str,
    /// libmemcached's number.
    number: u8,
}

impl Outcome {
    /// What became of an operation on a key, or on the whole store.
    pub(super) fn new<T>(key: Option<&OsStr>, done: &Result<T, StoreError>) -> Outcome {
        let code = done.as_ref().err().map_or(ResultCode::Success, StoreError::code);
        let mut fields = Map::new();
        if let Some(key) = key {
            bytes(&mut fields, "key", "key_base64", key.as_bytes());
        }
        Outcome { fields, result: code.name(), number: code.number() }
    }

    /// Adds something.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Outcome {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a value.
    pub(super) fn with_value(mut self, value: &[u8]) -> Outcome {
        bytes(&mut self.fields, "value", "value_base64", value);
        self
    }
}

/// Adds bytes under a name: as text if they are some, else in base64 under the other name.
fn bytes(fields: &mut Map<String, Value>, name: &str, base64_name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => fields.insert(name.to_owned(), text.into()),
        Err(_) => fields.insert(base64_name.to_owned(), BASE64_STANDARD.encode(bytes).into()),
    };
}

/// A key without a space, a line end or a control character: those are escaped, and so is the backslash.
pub(super) fn key(key: &[u8]) -> String {
    let mut shown = String::with_capacity(key.len());
    for chunk in key.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => shown.push_str("\\\\"),
                c if c.is_control() || c.is_whitespace() => {
                    let mut buffer = [0; 4];
                    escape(&mut shown, c.encode_utf8(&mut buffer).as_bytes());
                }
                c => shown.push(c),
            }
        }
        escape(&mut shown, chunk.invalid());
    }
    shown
}

fn escape(shown: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string doesn't fail.
        let _ = write!(shown, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_one_word() {
        for (bytes, shown) in [
            (&b"/a/b?c"[..], "/a/b?c"),
            ("ü日".as_bytes(), "ü日"),
            (b"a b\n\\", "a\\x20b\\x0a\\\\"),
            (b"\xff\x00", "\\xff\\x00"),
            ("\u{85}".as_bytes(), "\\xc2\\x85"),
        ] {
            assert_eq!(key(bytes), shown);
        }
    }
}
