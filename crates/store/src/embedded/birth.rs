//! How a database begins: whole, or not at all.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io, process};

use redb::Database;

/// Makes an empty redb database if there is no such file. It gets its name when it is whole, since the library
/// can't read the file of a process that was killed while it made one.
///
/// # Errors
/// If it can't be made. That somebody else has made it meanwhile is none.
pub fn make_if_missing(path: &Path) -> Result<(), redb::Error> {
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
