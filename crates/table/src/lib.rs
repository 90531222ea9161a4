//! Waypost's route tables: which instances, or which other backend, may serve a request.
//!
//! A [`Table`] holds the [`Snapshot`] in force: entries, each a [`Pattern`] with its instances. Workers
//! read it through a [`TableReader`] and ask [`find`] for a request's [`Host`] and path. Behind a table
//! stands a [`TableStore`] that keeps it and takes changes. All stores share one model and one matcher,
//! so they all give the same answers.
//!
//! Nothing here knows HTTP connections, health or configuration; callers bring those as functions.

pub mod address;
pub mod entry;
pub mod host;
pub mod matching;
pub mod member;
pub mod pattern;
pub mod snapshot;
pub mod store;
pub mod table;

pub use address::{TableAddress, TableAddressError};
pub use entry::{Entry, EntryBytesError, EntryError, InstanceRef};
pub use host::{Host, HostError};
pub use matching::{Found, Indices, Match, find};
pub use member::{Member, MemberError, Scheme, Target};
pub use pattern::{Pattern, PatternError};
pub use snapshot::{Delta, Snapshot};
pub use store::{Applied, Change, ImportMode, Imported, Outcome, StoreError, TableStore};
pub use table::{Skipped, SourceKind, Table, TableReader, TableStatus};
