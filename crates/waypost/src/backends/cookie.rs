//! Cookies as a configuration names them.

use crate::config::{Setting, quoted};

/// The name of a cookie (RFC 6265, 4.1.1: a token).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieName(pub String);

impl Setting for CookieName {
    fn kind() -> String {
        "the name of a cookie".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || !text.bytes().all(token) {
            return Err(format!("expected {}, found {text:?}", Self::kind()));
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> Option<String> {
        quoted(&self.0)
    }
}
