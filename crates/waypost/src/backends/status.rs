//! Statuses that a configuration may name, each held to what it is for.

use http::StatusCode;
use toml::de::DeValue;

use crate::config::{Setting, integer};

/// Reads a status that is one of those allowed.
fn status(value: u16, kind: &str, allowed: impl Fn(u16) -> bool) -> Result<StatusCode, String> {
    StatusCode::from_u16(value)
        .ok()
        .filter(|status| allowed(status.as_u16()))
        .ok_or_else(|| format!("expected {kind}, found {value}"))
}

macro_rules! status_setting {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $type(pub StatusCode);

        impl Setting for $type {
            fn kind() -> String {
                $kind.into()
            }

            fn parse(text: &str) -> Result<Self, String> {
                let number = text.parse().map_err(|_| format!("expected {}, found {text:?}", $kind))?;
                status(number, $kind, $allowed).map(Self)
            }

            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                status(integer(value, $kind)?, $kind, $allowed).map(Self)
            }

            fn show(&self) -> Option<String> {
                Some(self.0.as_str().to_owned())
            }
        }
    };
}

status_setting!(
    /// The status of a redirect.
    RedirectStatus,
    "301, 302, 303, 307 or 308",
    |code| matches!(code, 301 | 302 | 303 | 307 | 308)
);
status_setting!(
    /// The status of a final answer.
    AnswerStatus,
    "a status from 200 to 599",
    |code| (200..600).contains(&code)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_held_to_what_they_are_for() {
        assert!(RedirectStatus::parse("308").is_ok());
        assert!(RedirectStatus::parse("304").is_err());
        assert!(AnswerStatus::parse("503").is_ok());
        assert!(AnswerStatus::parse("101").is_err());
        assert!(AnswerStatus::parse("600").is_err());
    }
}
