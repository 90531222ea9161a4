//! Waypost's route tables: which instances, or which other backend, may serve a request.
//!
//! A [`Table`] holds the [`Snapshot`] in force: entries, each a [`Pattern`] with its instances. Workers
//! read it through a [`TableReader`] and ask [`find`] for a request's [`Host`] and path. Behind a table
//! stands a [`TableStore`] that keeps it and takes changes. All stores share one model and one matcher,
//! so they all give the same answers.
//!
//! The table itself knows neither HTTP connections nor health nor configuration: callers bring those as
//! functions. [`Routes`] brings them: it is the table as a backend.

pub mod address;
pub mod change;
pub mod check;
pub mod embedded;
pub mod entry;
pub mod explain;
pub mod file;
pub mod health;
mod leaf;
pub mod listing;
pub mod matching;
pub mod member;
pub mod pattern;
pub mod redis;
pub mod remap;
pub mod routes;
pub mod routes_toml;
pub mod snapshot;
pub mod store;
pub mod table;
pub mod transfer;

pub use address::{TableAddress, TableAddressError};
pub use change::{Change, ImportMode, Outcome};
pub use embedded::EmbeddedTable;
pub use entry::{Entry, EntryBytesError, EntryError, EntryRef, InstanceRef};
pub use file::FileTable;
pub use health::Health;
pub use matching::{Found, Indices, Match, find};
pub use member::{Member, MemberError, Scheme, Target};
pub use pattern::{Pattern, PatternError};
pub use redis::{RedisAddress, RedisTable};
pub use remap::{Remap, RemapOptions, RemapTable};
pub use routes::{Balance, Routes, RoutesOptions};
pub use snapshot::{Delta, Snapshot, SnapshotBuilder};
pub use store::{Applied, Imported, StoreError, TableStore};
pub use table::{Following, MasterStatus, OutOfStep, Skipped, SourceKind, Table, TableReader, TableStatus};
pub use waypost_http1::host;
pub use waypost_http1::{Host, HostError};
