//! The name an entry stands under: one host, all hosts below a name, or every host.
//!
//! A [`Pattern`] is valid and in its normal form, like a [`Host`]: `www.example.com`, `*.example.com`
//! (any depth below `example.com`, not `example.com` itself), or `*`. How the patterns of a request's
//! host are tried is the matter of [`crate::matching`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::host::{Host, HostError};

/// The longest pattern in bytes: `*.` and the longest host.
pub const MAX_PATTERN: usize = crate::host::MAX_HOST + 2;

/// What an entry matches; see the module's description.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Box<str>);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The host, or the host behind `*.`, is not valid.
    #[error("'{pattern}' is not a host, '*.' and a host, or '*': {source}")]
    Host {
        /// The text as given.
        pattern: String,
        /// What is wrong with the host in it.
        source: HostError,
    },
    /// A port is written; routes are by host alone.
    #[error("'{0}' has a port; a route is for a host, whatever the port: leave it out")]
    Port(String),
    /// `*.` stands before an IP address.
    #[error("'{0}' is a wildcard below an IP address, which has nothing below it")]
    Address(String),
}

impl Pattern {
    /// Reads a pattern, lower-cases it, and takes off one trailing dot.
    ///
    /// # Errors
    /// A [`PatternError`] for anything but a valid host, `*.` and a valid host name, or `*`.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        if text == "*" {
            return Ok(Pattern::any());
        }
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(suffix) => (true, suffix),
            None => (false, text),
        };
        let (host, port) = Host::parse(name.as_bytes())
            .map_err(|source| PatternError::Host { pattern: text.to_owned(), source })?;
        if port.is_some() {
            return Err(PatternError::Port(text.to_owned()));
        }
        if !wildcard {
            return Ok(Pattern(host.as_str().into()));
        }
        if host.as_str().starts_with('[') || host.as_str().parse::<std::net::Ipv4Addr>().is_ok() {
            return Err(PatternError::Address(text.to_owned()));
        }
        Ok(Pattern(format!("*.{host}").into()))
    }

    /// The pattern of every host, `*`.
    pub fn any() -> Pattern {
        Pattern("*".into())
    }

    /// The pattern as text, in its normal form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this pattern matches the host. The router looks patterns up instead; this is for
    /// explaining and for tests.
    pub fn matches(&self, host: &Host) -> bool {
        let host = host.as_str();
        match self.0.strip_prefix('*') {
            None => *self.0 == *host,
            Some("") => true,
            Some(suffix) => !host.starts_with('[') && host.len() > suffix.len() && host.ends_with(suffix),
        }
    }
}

/// The number of labels behind the `*.` of a wildcard; none for an exact host or `*`.
pub(crate) fn wildcard_depth(pattern: &str) -> Option<usize> {
    let suffix = pattern.strip_prefix("*.")?;
    Some(1 + suffix.bytes().filter(|&b| b == b'.').count())
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.0)
    }
}

impl AsRef<str> for Pattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&Host> for Pattern {
    fn from(host: &Host) -> Self {
        Pattern(host.as_str().into())
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Pattern::parse(text)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Pattern::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_host_a_wildcard_or_a_star() {
        for (text, normal) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("*.Example.com", "*.example.com"),
            ("*.com", "*.com"),
            ("*", "*"),
            ("10.0.0.1", "10.0.0.1"),
            ("[0::1]", "[::1]"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap().as_str(), normal, "{text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in
            ["", "*.", "**", "*example.com", "a.*.com", "*.*.com", "*.[::1]", "*.10.0.0.1", "a:80", "a b"]
        {
            assert!(Pattern::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_wildcard_matches_any_depth_below_its_name_and_not_the_name() {
        let matches = |pattern: &str, host: &str| {
            Pattern::parse(pattern).unwrap().matches(&Host::parse(host.as_bytes()).unwrap().0)
        };
        assert!(matches("*.example.com", "www.example.com"));
        assert!(matches("*.example.com", "a.b.example.com"));
        assert!(!matches("*.example.com", "example.com"));
        assert!(!matches("*.example.com", "badexample.com"));
        assert!(matches("*", "example.com"));
        assert!(matches("*", "[::1]"));
        assert!(matches("example.com", "EXAMPLE.com."));
    }
}
