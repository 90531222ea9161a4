//! The address of a store, as `--store` and the configuration give it.
//!
//! ```text
//! embedded:DIR                          a directory of this machine
//! redis://…  rediss://…  redis+sentinel://…  valkey://…
//! memcached://…  memcached+unix:///path  or a libmemcached string (--SERVER=…)
//! ```

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::redis::{self, RedisAddress, RedisAddressError};

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAddress {
    /// A directory that one process owns at a time.
    Embedded(PathBuf),
    /// Redis or Valkey.
    Redis(Box<RedisAddress>),
    /// One memcached, or several.
    Memcached(Box<waypost_memcached::Address>),
}

/// Why a text is no address of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreAddressError {
    /// Not an address of any kind.
    #[error(
        "'{text}' is not a store: use memcached://HOST, redis://HOST or embedded:DIR{}",
        .suggestion.map(|kind| format!(" (did you mean '{kind}:'?)")).unwrap_or_default()
    )]
    Unknown {
        /// The text as given.
        text: String,
        /// A kind that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// The directory is missing.
    #[error("'embedded:' lacks its directory: write embedded:DIR")]
    NoDirectory,
    /// What follows the kind is no address of a Redis server.
    #[error("this is no address of a server: {0}")]
    Redis(#[from] RedisAddressError),
    /// What follows the kind is no address of memcached servers.
    #[error(transparent)]
    Memcached(#[from] waypost_memcached::AddressError),
}

impl StoreAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// A [`StoreAddressError`] whose text is one line that says what can be used.
    pub fn parse(text: &str) -> Result<StoreAddress, StoreAddressError> {
        if let Some(directory) = text.strip_prefix("embedded:") {
            return match directory {
                "" => Err(StoreAddressError::NoDirectory),
                directory => Ok(StoreAddress::Embedded(directory.into())),
            };
        }
        if let Some(address) = RedisAddress::parse(text) {
            return Ok(StoreAddress::Redis(Box::new(address?)));
        }
        let kind = text.split_once(':').map_or("", |(kind, _)| kind);
        if text.trim_start().starts_with("--")
            || matches!(kind, "memcached" | "memcached+unix") && text.contains("://")
        {
            return Ok(StoreAddress::Memcached(Box::new(waypost_memcached::Address::parse(text)?)));
        }
        let kinds = ["embedded", "memcached", "memcached+unix"];
        let mut kinds = kinds.into_iter().chain(redis::KINDS);
        let suggestion = kinds.find(|known| strsim::damerau_levenshtein(known, kind) <= 2);
        Err(StoreAddressError::Unknown { text: text.to_owned(), suggestion })
    }
}

impl FromStr for StoreAddress {
    type Err = StoreAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        StoreAddress::parse(text)
    }
}

/// The address in its normal form, without passwords.
impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreAddress::Embedded(directory) => write!(f, "embedded:{}", directory.display()),
            StoreAddress::Redis(address) => address.fmt(f),
            StoreAddress::Memcached(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_of_the_contract_is_read() {
        for (text, shown) in [
            ("embedded:/var/lib/x", "embedded:/var/lib/x"),
            ("redis://h", "redis://h:6379"),
            ("rediss://u:p@h:1/2", "rediss://u:***@h:1/2"),
            ("redis+sentinel://a,b/m", "redis+sentinel://a:26379,b:26379/m"),
            ("valkey://h", "valkey://h:6379"),
        ] {
            assert_eq!(StoreAddress::parse(text).unwrap().to_string(), shown);
        }
        for text in
            ["memcached://h,g:1/2?hash=md5", "memcached+unix:///run/m.sock", "--SERVER=a --SERVER=b:11212/?5"]
        {
            assert!(matches!(StoreAddress::parse(text), Ok(StoreAddress::Memcached(_))), "{text}");
        }
    }

    #[test]
    fn what_is_no_store_is_refused_with_what_is_one() {
        for (text, part) in [
            ("", "use memcached://HOST"),
            ("127.0.0.1:11211", "use memcached://HOST"),
            ("memcache://h", "did you mean 'memcached:'?"),
            ("memcached:h", "did you mean 'memcached:'?"),
            ("embeded:d", "did you mean 'embedded:'?"),
            ("embedded:", "embedded:DIR"),
            ("file:routes.toml", "use memcached://HOST"),
            ("redis://h:x", "HOST:PORT"),
            ("memcached://", "memcached"),
        ] {
            let error = StoreAddress::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_again_from_its_normal_form(
            text in "(redis|valkey|embedded|memcached|memcached\\+unix|x)(:|://)[a-z0-9./:,?=%-]{0,20}",
        ) {
            if let Ok(address) = StoreAddress::parse(&text) {
                prop_assert_eq!(StoreAddress::parse(&address.to_string()), Ok(address));
            }
        }
    }
}
