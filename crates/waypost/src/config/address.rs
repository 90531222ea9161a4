//! The addresses of stores as the configuration writes them.

use std::path::PathBuf;

use waypost_table::TableAddress;

use super::setting::{Setting, quoted};

/// Where statistics are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatsAddress {
    /// In a directory of this machine.
    Embedded(PathBuf),
}

impl std::fmt::Display for StatsAddress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded(dir) => write!(out, "embedded:{}", dir.display()),
        }
    }
}

impl Setting for StatsAddress {
    fn kind() -> String {
        "an address as \"embedded:DIR\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("embedded", dir)) if !dir.is_empty() && !dir.contains('\0') => {
                Ok(Self::Embedded(dir.into()))
            }
            Some(("redis" | "rediss" | "redis+sentinel" | "valkey", _)) => Err(format!(
                "{text:?}: statistics in Redis are not supported in this version: use embedded:DIR"
            )),
            _ => Err(format!("expected {}, found {text:?}", Self::kind())),
        }
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

impl Setting for TableAddress {
    fn kind() -> String {
        "an address as \"embedded:DIR\" or \"file:ROUTES.toml\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_live_in_a_directory() {
        assert_eq!(StatsAddress::parse("embedded:/var/x"), Ok(StatsAddress::Embedded("/var/x".into())));
        for text in ["", "embedded:", "embedded", "/var/x", "sqlite:x"] {
            assert!(StatsAddress::parse(text).unwrap_err().starts_with("expected an address"), "{text}");
        }
    }

    #[test]
    fn a_store_of_a_later_version_is_refused_as_such() {
        let error = StatsAddress::parse("redis://10.0.0.2:6379").unwrap_err();
        assert!(error.contains("not supported in this version"), "{error}");
    }
}
