//! Where a `redirect` backend sends the client: a text with placeholders for parts of the request. They are
//! filled in by the backend; here they are checked, so that a slip in one is found before anybody is sent to
//! it.

use crate::config::{Setting, did_you_mean, quoted};

/// A target with placeholders, as `https://$host$path$query`. Every placeholder in it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectTarget(String);

/// The placeholders there are: the request's scheme, its host without the port, its path, and its query with
/// the question mark (empty without one).
const PLACEHOLDERS: &[&str] = &["scheme", "host", "path", "query"];

impl RedirectTarget {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for RedirectTarget {
    fn kind() -> String {
        "a target as \"https://$host$path$query\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        // What ends up in a Location field must not end the field.
        if text.is_empty() || text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(format!("expected {}, found {text:?}", Self::kind()));
        }
        for (dollar, _) in text.match_indices('$') {
            let rest = &text[dollar + 1..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let word = &rest[..letters];
            if letters > 0 && !PLACEHOLDERS.iter().any(|name| word.starts_with(name)) {
                let suggestion = did_you_mean(word, PLACEHOLDERS.iter().copied());
                return Err(format!("unknown placeholder `${word}`{suggestion}"));
            }
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> Option<String> {
        quoted(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_placeholders_and_plain_dollars_are_taken() {
        for text in ["https://$host$path$query", "$scheme://new.$host/", "/cost$5", "$hostx", "/$"] {
            assert_eq!(RedirectTarget::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn an_unknown_placeholder_is_named() {
        let error = RedirectTarget::parse("https://$hots/").unwrap_err();
        assert_eq!(error, "unknown placeholder `$hots` (did you mean `host`?)");
        assert!(RedirectTarget::parse("$Host").is_err());
    }

    #[test]
    fn what_could_end_a_field_is_refused() {
        for text in ["", "/a b", "/a\r\nSet-Cookie: x", "/\u{e9}"] {
            assert!(RedirectTarget::parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
