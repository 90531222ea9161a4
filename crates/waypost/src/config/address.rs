//! The addresses of stores as the configuration writes them.

use std::path::PathBuf;

use waypost_table::{RedisAddress, TableAddress};

use super::setting::{Setting, quoted};

/// Where statistics are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatsAddress {
    /// In a directory of this machine.
    Embedded(PathBuf),
    /// In a Redis or Valkey server.
    Redis(Box<RedisAddress>),
}

impl std::fmt::Display for StatsAddress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded(dir) => write!(out, "embedded:{}", dir.display()),
            Self::Redis(address) => address.fmt(out),
        }
    }
}

impl Setting for StatsAddress {
    fn kind() -> String {
        "an address as \"embedded:DIR\" or \"redis://HOST\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if let Some(address) = RedisAddress::parse(text) {
            let address = address.map_err(|error| format!("{text:?} is no address of a server: {error}"))?;
            return Ok(Self::Redis(Box::new(address)));
        }
        match text.split_once(':') {
            Some(("embedded", dir)) if !dir.is_empty() && !dir.contains('\0') => {
                Ok(Self::Embedded(dir.into()))
            }
            _ => Err(format!("expected {}, found {text:?}", Self::kind())),
        }
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

impl Setting for TableAddress {
    fn kind() -> String {
        "an address as \"embedded:DIR\", \"file:ROUTES.toml\", \"redis://HOST\" or \"memcached://HOST\""
            .into()
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
    fn statistics_live_in_a_directory_or_in_a_server() {
        assert_eq!(StatsAddress::parse("embedded:/var/x"), Ok(StatsAddress::Embedded("/var/x".into())));
        let address = StatsAddress::parse("redis://:secret@10.0.0.2").unwrap();
        assert_eq!(address.to_string(), "redis://:***@10.0.0.2:6379");
        for text in ["", "embedded:", "embedded", "/var/x", "sqlite:x", "redis:x"] {
            assert!(StatsAddress::parse(text).unwrap_err().starts_with("expected an address"), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_servers_address_is_said() {
        let error = StatsAddress::parse("redis://10.0.0.2:x").unwrap_err();
        assert!(error.contains("HOST:PORT"), "{error}");
    }
}
