//! The address of a table's store, as `--table` and the configuration give it.
//!
//! The form is `KIND:PLACE`. Every kind the contract names is recognised; those that this version has no
//! store for are told apart from addresses that are simply wrong.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use crate::embedded::EmbeddedTable;
use crate::file::FileTable;
use crate::store::{StoreError, TableStore};

/// Where a table is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableAddress {
    /// `embedded:DIR`: in a directory that this process owns.
    Embedded(PathBuf),
    /// `file:ROUTES.toml`: in a file kept by hand.
    File(PathBuf),
}

/// Why a text is no table address that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableAddressError {
    /// A kind that is known, and not built in.
    #[error("'{kind}' tables are not supported by this version: use embedded:DIR or file:ROUTES.toml")]
    Unsupported {
        /// The kind, such as `redis`.
        kind: String,
    },
    /// Not an address of any kind.
    #[error("'{text}' is not a table address: use embedded:DIR or file:ROUTES.toml{}", did_you_mean(.suggestion))]
    Unknown {
        /// The text as given.
        text: String,
        /// A kind that was probably meant.
        suggestion: Option<&'static str>,
    },
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

/// Kinds of the contract whose stores this version doesn't have.
const LATER: [&str; 5] = ["redis", "rediss", "redis+sentinel", "valkey", "memcached"];

impl TableAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// A [`TableAddressError`] whose text is one line that says what can be used.
    pub fn parse(text: &str) -> Result<TableAddress, TableAddressError> {
        let unknown = |suggestion| TableAddressError::Unknown { text: text.to_owned(), suggestion };
        let Some((kind, place)) = text.split_once(':') else { return Err(unknown(None)) };
        let (kind, hint) = match kind {
            "embedded" => ("embedded", "DIR"),
            "file" => ("file", "ROUTES.toml"),
            later if LATER.contains(&later) && place.starts_with("//") => {
                return Err(TableAddressError::Unsupported { kind: later.to_owned() });
            }
            other => {
                let close = |kind: &&&str| strsim::damerau_levenshtein(kind, other) <= 2;
                return Err(unknown(["embedded", "file"].iter().find(close).copied()));
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
    /// Opens the store at this address and reads its table.
    ///
    /// # Errors
    /// If the store can't be opened, or what it holds is no table.
    pub fn open(&self) -> Result<Arc<dyn TableStore>, StoreError> {
        Ok(match self {
            TableAddress::Embedded(directory) => Arc::new(EmbeddedTable::open(directory)?),
            TableAddress::File(path) => Arc::new(FileTable::open(path)?),
        })
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
    fn a_kind_of_a_later_version_is_told_from_a_wrong_address() {
        for text in ["redis://h:1", "rediss://h", "redis+sentinel://a,b/x", "valkey://h", "memcached://a,b"] {
            let error = TableAddress::parse(text).unwrap_err();
            assert!(matches!(error, TableAddressError::Unsupported { .. }), "{text}: {error}");
        }
        for text in ["", "waypost-data", "redis:h", "http://h/", "embeded:d"] {
            let error = TableAddress::parse(text).unwrap_err();
            assert!(matches!(error, TableAddressError::Unknown { .. }), "{text}: {error}");
            assert!(!error.to_string().contains('\n'));
        }
        let error = TableAddress::parse("embeded:d").unwrap_err();
        assert!(error.to_string().contains("did you mean 'embedded:'?"), "{error}");
        assert!(matches!(TableAddress::parse("file:"), Err(TableAddressError::NoPlace { .. })));
    }
}
