//! How a database is opened: made whole or not at all, and a damaged one told from one that can't be reached.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io, process};

use redb::Database;

/// Why a redb database can't be used.
#[derive(Debug)]
pub enum Unusable {
    /// Another process has it.
    InUse,
    /// The system refuses.
    Access(io::Error),
    /// The file is none, or damaged.
    Damaged(String),
}

impl From<redb::Error> for Unusable {
    fn from(error: redb::Error) -> Self {
        let is_damage = |kind| matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof);
        match error {
            redb::Error::DatabaseAlreadyOpen => Unusable::InUse,
            redb::Error::Io(error) if !is_damage(error.kind()) => Unusable::Access(error),
            error => Unusable::Damaged(error.to_string()),
        }
    }
}

/// Opens the redb database in this file, which is made if it is missing, and has `first` look at it. The lock is
/// the library's own, on the file; it ends with the process.
///
/// # Errors
/// If it can't be used, or `first` finds that it can't.
pub fn open_database<T>(
    path: &Path,
    cache_bytes: usize,
    first: impl FnOnce(&Database) -> Result<T, redb::Error>,
) -> Result<(Database, T), Unusable> {
    // The library asserts what it expects of a file, so a damaged one may end in a panic.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        make_if_missing(path)?;
        let database = Database::builder().set_cache_size(cache_bytes).create(path)?;
        let looked = first(&database)?;
        Ok::<_, redb::Error>((database, looked))
    }));
    match opened {
        Ok(opened) => Ok(opened?),
        Err(_) => Err(Unusable::Damaged("reading it fails".to_owned())),
    }
}

/// Makes an empty redb database if there is no such file. It gets its name when it is whole, since the library
/// can't read the file of a process that was killed while it made one.
///
/// # Errors
/// If it can't be made. That somebody else has made it meanwhile is none.
fn make_if_missing(path: &Path) -> Result<(), redb::Error> {
    if path.try_exists()? {
        return Ok(());
    }
    static MADE: AtomicU64 = AtomicU64::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let unfinished = path.with_extension(format!("redb.{}-{number}", process::id()));
    // What an earlier process with this id may have left would not be empty.
    let _ = fs::remove_file(&unfinished);
    drop(Database::create(&unfinished)?);
    let linked = fs::hard_link(&unfinished, path);
    let _ = fs::remove_file(&unfinished);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_database_is_told_from_what_can_t_be_reached() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.redb");
        fs::write(&path, [0x5a; 20_000]).unwrap();
        let opened = open_database(&path, 1 << 20, |_| Ok(()));
        assert!(matches!(opened, Err(Unusable::Damaged(_))), "{opened:?}");
        let opened = open_database(directory.path(), 1 << 20, |_| Ok(()));
        assert!(matches!(opened, Err(Unusable::Access(_))), "{opened:?}");
        let path = directory.path().join("y.redb");
        let _owner = open_database(&path, 1 << 20, |_| Ok(())).unwrap();
        let opened = open_database(&path, 1 << 20, |_| Ok(()));
        assert!(matches!(opened, Err(Unusable::InUse)), "{opened:?}");
        let path = directory.path().join("z.redb");
        let opened = open_database::<()>(&path, 1 << 20, |_| panic!("as the library does"));
        assert!(matches!(opened, Err(Unusable::Damaged(_))), "{opened:?}");
    }

    #[test]
    fn a_database_is_made_once_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.redb");
        make_if_missing(&path).unwrap();
        let made = fs::read(&path).unwrap();
        make_if_missing(&path).unwrap();
        assert!(fs::read(&path).unwrap() == made);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        Database::open(&path).unwrap();
    }
}
