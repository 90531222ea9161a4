//! The database file, shared by the writer and those who read.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition, WriteTransaction};

use super::check;
use super::open::{Unusable, open_database};
use super::row::Row;
use crate::error::StoreError;

/// The database's name in the store's directory.
pub const FILE_NAME: &str = "store.redb";

/// The layout of the rows; another number is not read.
const FORMAT: u64 = 1;

/// Key → [`Row`].
pub(super) const ITEMS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("items");
/// What has an end: when, and the key.
pub(super) const ENDS: TableDefinition<'_, (u64, &[u8]), ()> = TableDefinition::new("ends");
/// The format, and the last token that was given out.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The database's own cache.
const CACHE_BYTES: usize = 64 << 20;

/// A key's row, if there is one.
pub(super) type Found = Result<Option<Row>, StoreError>;

/// An open database.
pub(super) struct Shared {
    pub(super) directory: PathBuf,
    pub(super) path: PathBuf,
    /// None after a failed write: a database that has failed once refuses everything until it is opened again,
    /// so that a full disk that has room again would be of no use.
    database: RwLock<Option<Database>>,
}

impl Shared {
    /// Opens the database in this directory, which is made if it is missing.
    pub(super) fn open(directory: &Path) -> Result<Shared, StoreError> {
        let path = directory.join(FILE_NAME);
        let database = RwLock::new(Some(open(directory, &path)?));
        Ok(Shared { directory: directory.to_owned(), path, database })
    }

    /// Runs one transaction. If it fails nothing of it is in the database.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.reopen()?;
        let written = self.guarded(|database| {
            // A transaction's durability is immediate unless told otherwise: commit returns after the flush.
            let transaction = database.begin_write()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        written.map_err(|detail| {
            let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
            let failed = database.take();
            // Closing writes, and so may fail as writing did; what was acknowledged is on disk already.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(failed)));
            tracing::error!(%detail, path = %self.path.display(), "the embedded store could not be written");
            StoreError::Write { path: self.path.clone(), detail }
        })
    }

    /// The rows of these keys that are there at this time, in the keys' order.
    pub(super) fn read(&self, keys: &[Bytes], now: u64) -> Result<Vec<Found>, StoreError> {
        self.look(|database| {
            let items = database.begin_read()?.open_table(ITEMS)?;
            keys.iter()
                .map(|key| {
                    if let Err(error) = check(key) {
                        return Ok(Err(error));
                    }
                    let Some(found) = items.get(&key[..])? else { return Ok(Ok(None)) };
                    let row = Row::read(found.value());
                    let row = row.ok_or_else(|| redb::Error::Corrupted("a row is too short".to_owned()))?;
                    Ok(Ok(row.is_alive(now).then_some(row)))
                })
                .collect()
        })
    }

    /// What there is to say of the database.
    pub(super) fn statistics(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut values = self.look(|database| {
            let transaction = database.begin_read()?;
            let items = transaction.open_table(ITEMS)?;
            let stored = items.stats()?.stored_bytes();
            let with_end = transaction.open_table(ENDS)?.len()?;
            let tokens = transaction.open_table(META)?.get("token")?.map_or(0, |token| token.value());
            let values =
                [("keys", items.len()?), ("keys_with_ttl", with_end), ("bytes", stored), ("writes", tokens)];
            Ok(values.map(|(name, value)| (name.to_owned(), value.to_string())).to_vec())
        })?;
        let file = fs::metadata(&self.path).map_err(|error| access(&self.path, &error))?;
        values.push(("file_bytes".to_owned(), file.len().to_string()));
        values.push(("file".to_owned(), self.path.display().to_string()));
        Ok(values)
    }

    /// What is said when the writer is gone.
    pub(super) fn closed(&self) -> StoreError {
        StoreError::Write { path: self.path.clone(), detail: "the store is closed".to_owned() }
    }

    fn look<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.reopen()?;
        }
        self.guarded(work).map_err(|detail| StoreError::Corrupt { path: self.path.clone(), detail })
    }

    /// Runs what uses the database. A damaged one may end in a panic of the library; who asked is to be told.
    fn guarded<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, String> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else { return Err("it is not open".to_owned()) };
        match catch_unwind(AssertUnwindSafe(|| work(database))) {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => Err("the database is damaged".to_owned()),
        }
    }

    /// Opens the database again if it was let go of.
    fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            *database = Some(open(&self.directory, &self.path)?);
            tracing::info!(path = %self.path.display(), "the embedded store was opened again after a failed write");
        }
        Ok(())
    }
}

fn open(directory: &Path, path: &Path) -> Result<Database, StoreError> {
    fs::create_dir_all(directory).map_err(|error| access(directory, &error))?;
    let corrupt = |detail: String| StoreError::Corrupt { path: path.to_owned(), detail };
    let opened = open_database(path, CACHE_BYTES, prepare);
    let (database, format) = opened.map_err(|unusable| match unusable {
        Unusable::InUse => StoreError::InUse(directory.to_owned()),
        Unusable::Access(error) => access(path, &error),
        Unusable::Damaged(detail) => corrupt(detail),
    })?;
    if format != FORMAT {
        return Err(corrupt(format!("it has format {format}, and this version reads {FORMAT}")));
    }
    // The file's name in the directory must be as durable as what is in the file.
    let synced = File::open(directory).and_then(|opened| opened.sync_all());
    synced.map_err(|error| access(directory, &error))?;
    Ok(database)
}

/// The database's format; a new one is given its tables.
fn prepare(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_read()?;
    if transaction.list_tables()?.next().is_none() {
        let transaction = database.begin_write()?;
        transaction.open_table(ITEMS)?;
        transaction.open_table(ENDS)?;
        transaction.open_table(META)?.insert("format", FORMAT)?;
        transaction.commit()?;
        return Ok(FORMAT);
    }
    let format = transaction.open_table(META)?.get("format")?.map_or(0, |format| format.value());
    Ok(format)
}

fn access(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Access { path: path.to_owned(), detail: error.to_string() }
}
