//! The address of a table's store, as `--table` and the configuration give it.
//!
//! The form is `KIND:PLACE`; of memcached servers also a configuration string of libmemcached.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use waypost_memcached::{Address, AddressError};

use crate::embedded::EmbeddedTable;
use crate::file::FileTable;
use crate::redis::{KINDS, RedisAddress, RedisAddressError, RedisTable};
use crate::remap::RemapTable;
use crate::store::{StoreError, TableStore};

/// Where a table is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableAddress {
    /// `embedded:DIR`: in a directory that this process owns.
    Embedded(PathBuf),
    /// `file:ROUTES.toml`: in a file kept by hand.
    File(PathBuf),
    /// `redis://…`, `rediss://…`, `redis+sentinel://…`, `valkey://…`: in a server.
    Redis(Box<RedisAddress>),
    /// `memcached://…`, `memcached+unix://…`, `--SERVER=…`: in servers that are asked key by key.
    Memcached(Box<Address>),
}

/// Why a text is no table address that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableAddressError {
    /// Not an address of any kind.
    #[error("'{text}' is not a table address: use embedded:DIR, file:ROUTES.toml, redis://HOST or memcached://HOST{}", did_you_mean(.suggestion))]
    Unknown {
        /// The text as given.
        text: String,
        /// A kind that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// The kind is right, and what follows is no address of a server.
    #[error("this is no address of a server: {0}")]
    Redis(#[from] RedisAddressError),
    /// The kind is right, and what follows are no memcached servers.
    #[error(transparent)]
    Memcached(#[from] AddressError),
    /// The kind is right, and the place is missing.
    #[error("'{kind}:' lacks its {place}: write {kind}:{place}")]
    NoPlace {
        /// The kind.
        kind: &'static str,
        /// What must follow it.
        place: &'static str,
    },
}

fn did_you_mean(kind: &Option<&'static str>) -> String {
    kind.map(|kind| format!(" (did you mean '{kind}:'?)")).unwrap_or_default()
}

/// What the addresses of memcached servers begin with.
const MEMCACHED: [&str; 3] = ["memcached://", "memcached+unix://", "--SERVER"];

impl TableAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// A [`TableAddressError`] whose text is one line that says what can be used.
    pub fn parse(text: &str) -> Result<TableAddress, TableAddressError> {
        let unknown = |suggestion| TableAddressError::Unknown { text: text.to_owned(), suggestion };
        if let Some(address) = RedisAddress::parse(text) {
            return Ok(TableAddress::Redis(Box::new(address?)));
        }
        if MEMCACHED.iter().any(|start| text.starts_with(start)) {
            return Ok(TableAddress::Memcached(Box::new(Address::parse(text)?)));
        }
        let Some((kind, place)) = text.split_once(':') else { return Err(unknown(None)) };
        let (kind, hint) = match kind {
            "embedded" => ("embedded", "DIR"),
            "file" => ("file", "ROUTES.toml"),
            other => {
                let close = |kind: &&&str| strsim::damerau_levenshtein(kind, other) <= 2;
                let kinds = ["embedded", "file", "memcached"];
                return Err(unknown(kinds.iter().chain(&KINDS).find(close).copied()));
            }
        };
        if place.is_empty() {
            return Err(TableAddressError::NoPlace { kind, place: hint });
        }
        let place = PathBuf::from(place);
        Ok(if kind == "file" { TableAddress::File(place) } else { TableAddress::Embedded(place) })
    }
}

impl TableAddress {
    /// Opens the store at this address for a router, which keeps what it has to keep in `data`.
    ///
    /// A store that is another program's need not be there: the router follows it as soon as it is.
    ///
    /// # Errors
    /// If the store can't be opened, or what it holds is no table.
    pub fn follow(&self, data: &Path) -> Result<Arc<dyn TableStore>, StoreError> {
        match self {
            TableAddress::Redis(address) => Ok(Arc::new(RedisTable::follow(address, data)?)),
            TableAddress::Memcached(address) => Ok(Arc::new(RemapTable::follow(address)?)),
            TableAddress::Embedded(_) | TableAddress::File(_) => self.open(),
        }
    }

    /// Opens the store at this address and reads its table.
    ///
    /// # Errors
    /// If the store can't be opened or reached, or what it holds is no table.
    pub fn open(&self) -> Result<Arc<dyn TableStore>, StoreError> {
        Ok(match self {
            TableAddress::Embedded(directory) => Arc::new(EmbeddedTable::open(directory)?),
            TableAddress::File(path) => Arc::new(FileTable::open(path)?),
            TableAddress::Redis(address) => Arc::new(RedisTable::open(address)?),
            TableAddress::Memcached(address) => Arc::new(RemapTable::open(address)?),
        })
    }

    /// Opens the store at this address for changes alone: its table may not be read, so don't look at it.
    ///
    /// # Errors
    /// As [`open`](Self::open); that a server can't be reached may show only with the first change.
    pub fn open_to_change(&self) -> Result<Arc<dyn TableStore>, StoreError> {
        match self {
            TableAddress::Redis(address) => Ok(Arc::new(RedisTable::open_to_change(address)?)),
            TableAddress::Embedded(_) | TableAddress::File(_) | TableAddress::Memcached(_) => self.open(),
        }
    }
}

impl FromStr for TableAddress {
    type Err = TableAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        TableAddress::parse(text)
    }
}

impl fmt::Display for TableAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableAddress::Embedded(directory) => write!(f, "embedded:{}", directory.display()),
            TableAddress::File(path) => write!(f, "file:{}", path.display()),
            TableAddress::Redis(address) => address.fmt(f),
            TableAddress::Memcached(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_kind_and_a_place() {
        assert_eq!(TableAddress::parse("embedded:d"), Ok(TableAddress::Embedded("d".into())));
        assert_eq!(
            TableAddress::parse("file:/etc/routes.toml"),
            Ok(TableAddress::File("/etc/routes.toml".into()))
        );
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for text in ["", "waypost-data", "redis:h", "http://h/", "embeded:d"] {
            let error = TableAddress::parse(text).unwrap_err();
            assert!(matches!(error, TableAddressError::Unknown { .. }), "{text}: {error}");
            assert!(!error.to_string().contains('\n'));
        }
        for text in ["redis://h:1", "rediss://h", "redis+sentinel://a,b/x", "valkey://h"] {
            assert!(matches!(TableAddress::parse(text), Ok(TableAddress::Redis(_))), "{text}");
        }
        for text in ["memcached://a,b:1?hash=md5", "memcached+unix:///x", "--SERVER=a --SERVER=b:1/?3"] {
            assert!(matches!(TableAddress::parse(text), Ok(TableAddress::Memcached(_))), "{text}");
        }
        let error = TableAddress::parse("memcached://a?hash=md6").unwrap_err();
        assert!(error.to_string().contains("md5") && !error.to_string().contains('\n'), "{error}");
        let error = TableAddress::parse("redis://h:x").unwrap_err();
        assert!(error.to_string().contains("HOST:PORT"), "{error}");
        let error = TableAddress::parse("embeded:d").unwrap_err();
        assert!(error.to_string().contains("did you mean 'embedded:'?"), "{error}");
        assert!(matches!(TableAddress::parse("file:"), Err(TableAddressError::NoPlace { .. })));
    }
}
