//! What every kind of table store offers: changes, an import, and the table that follows from them.
//!
//! A [`TableStore`] owns the connection to a store (or the store itself) and keeps a [`Table`] in step
//! with it. A change that [`apply`](TableStore::apply) has acknowledged is durable, and routed by. The
//! calls block; an async caller runs them where blocking is allowed.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::change::{Change, ImportMode, Outcome};
use crate::entry::EntryError;
use crate::remap::RemapTable;
use crate::snapshot::Snapshot;
use crate::table::Table;

/// A store that holds a route table.
pub trait TableStore: Send + Sync {
    /// The table this store keeps up to date.
    fn table(&self) -> &Arc<Table>;

    /// Makes all these changes or, on an error, none. When it returns they are durable and in force.
    ///
    /// # Errors
    /// If the store takes no changes, one of them is not valid, or the store could not write.
    fn apply(&self, changes: Vec<Change>) -> Result<Applied, StoreError>;

    /// Takes in many entries at once: all of them or, on an error, none. Doing it again changes nothing.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    fn import(&self, entries: Snapshot, mode: ImportMode) -> Result<Imported, StoreError>;

    /// The store itself, if it is asked key by key (memcached): then its [`table`](Self::table) is empty, and
    /// only its status says something.
    fn remap(self: Arc<Self>) -> Option<Arc<RemapTable>> {
        None
    }
}

/// What [`TableStore::apply`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The store's serial afterwards. It is incremented once if anything changed.
    pub serial: u64,
    /// What became of each change, in their order.
    pub outcomes: Vec<Outcome>,
}

/// What [`TableStore::import`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The store's serial afterwards. It is incremented once if anything changed.
    pub serial: u64,
    /// Entries that were imported.
    pub entries: usize,
    /// Instances that were imported.
    pub instances: usize,
    /// Entries that are new or differ from what was there.
    pub changed: usize,
    /// Entries that were there and are gone ([`ImportMode::Replace`]).
    pub removed: usize,
}

/// Why a store can't be opened, or didn't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process owns the directory.
    #[error(
        "the table in {} is in use by another process: talk to that router with --admin, or stop it",
        .directory.display()
    )]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory or the file in it can't be opened, made or written.
    #[error("{}: {source}: check that it is there and that this user may {wanted} it", .path.display())]
    Access {
        /// What could not be used.
        path: PathBuf,
        /// What it was wanted for: `read` or `write`.
        wanted: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is no table, or is damaged.
    #[error(
        "{} is damaged or no route table ({detail}): restore it from a copy, or move it away and import an export",
        .path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file was written by a version that keeps tables otherwise.
    #[error("{} has table format {found}, and this version reads {known}: use the version that wrote it to export", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u64,
        /// The format this version reads.
        known: u64,
    },
    /// The store could not write; nothing was changed.
    #[error("the change was not made, {} could not be written: {detail}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the database said.
        detail: String,
    },
    /// A change is not valid; nothing was changed.
    #[error("{0}")]
    Invalid(#[from] EntryError),
    /// The table is a file that people edit.
    #[error("the table {} is kept by hand: edit the file, the router follows it", .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The file's content is not a valid table.
    #[error("{}", .problems.join("; "))]
    File {
        /// Every problem, as `FILE:LINE: what`.
        problems: Vec<String>,
    },
    /// A store that is another program did not do what was asked.
    #[error("{store}: {detail}")]
    Remote {
        /// Its address.
        store: String,
        /// What happened, and what to do about it if that is known.
        detail: String,
    },
    /// The store holds routes by URL, not by host.
    #[error(
        "{store} holds one key an URL and can't list them: only `route add http://HOST:PORT/ http://TARGET:PORT/`, \
         `route remove http://HOST:PORT/`, `route explain` and, of a running router, `route list` and \
         `route check` work on it"
    )]
    ByUrl {
        /// Its address.
        store: String,
    },
    /// The store holds routes by host, not by URL.
    #[error("{store} holds routes by host: write example.com, *.example.com or *, without a scheme")]
    ByHost {
        /// Its address.
        store: String,
    },
    /// The store was closed.
    #[error("the table was closed")]
    Closed,
}
