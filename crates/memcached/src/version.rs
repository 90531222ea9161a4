//! What a server's version says about the commands it has.

use std::fmt;

/// A version of memcached, as far as it is three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32, u32);

impl Version {
    /// Meta commands as they are now: the value's length behind the key of `ms`, `HD` for success. Servers
    /// before it have a draft of them.
    const META: Version = Version(1, 6, 10);
    /// `ms … MA N`: an append that makes the item where there is none.
    const VIVIFYING_APPEND: Version = Version(1, 6, 20);
    /// `mg … C`: a read that is spared when the token is still the same.
    const CONDITIONAL_GET: Version = Version(1, 6, 40);

    /// Reads `1.6.18`, with anything behind it that is no digit. Servers that are no memcached call
    /// themselves what they like.
    pub(crate) fn parse(text: &str) -> Option<Version> {
        let mut parts = text.splitn(3, '.');
        let mut next = || {
            let part = parts.next()?;
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse().ok()
        };
        Some(Version(next()?, next()?, next()?))
    }

    /// Whether it has the meta commands.
    pub(crate) fn has_meta(self) -> bool {
        self >= Version::META
    }

    /// Whether a read can be spared when nothing changed.
    pub(crate) fn has_conditional_get(self) -> bool {
        self >= Version::CONDITIONAL_GET
    }

    /// Whether an append can make an item that is missing.
    pub(crate) fn vivifies_on_append(self) -> bool {
        self >= Version::VIVIFYING_APPEND
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_by_number() {
        assert_eq!(Version::parse("1.6.18"), Some(Version(1, 6, 18)));
        assert_eq!(Version::parse("1.6.9_beta1"), Some(Version(1, 6, 9)));
        assert!(Version::parse("1.6.9") < Version::parse("1.6.10"));
        assert_eq!(Version::parse("1.6.18").map(|version| version.to_string()), Some("1.6.18".to_owned()));
        for text in ["", "1.6", "mcrouter 40.0", "v1.6.1", "1.6.x", "99999999999.1.1"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn drafts_of_the_meta_commands_are_not_spoken() {
        let has_meta = |text| Version::parse(text).is_some_and(Version::has_meta);
        assert!(has_meta("1.6.18") && has_meta("1.7.0") && has_meta("2.0.0"));
        assert!(!has_meta("1.6.0") && !has_meta("1.5.22") && !has_meta("1.4.39"));
    }
}
