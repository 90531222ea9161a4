//! The sets `workspace:<id>`, `application:<id>` and `version:<id>`: which version types make them up.
//! Statistics are added up over them; `route add` fills them. They are kept with the statistics: in a server,
//! as sets of these names; or embedded, in `stats.redb`, which one process owns, where what was added
//! survives the process being killed.

use std::error::Error;
use std::path::{Path, PathBuf};

use redb::{Database, MultimapTableDefinition, ReadableDatabase};
use waypost_admin::Membership;
use waypost_store::embedded::{Unusable, open_database};
use waypost_table::redis::{add_to_sets, set_members};
use waypost_table::{RedisAddress, StoreError};

use crate::config::StatsAddress;

/// Set → version types.
const SETS: MultimapTableDefinition<'_, &str, &str> = MultimapTableDefinition::new("version_sets");

/// The file's name in the statistics' directory.
const FILE_NAME: &str = "stats.redb";

/// The database's cache: sets are small and rarely asked for.
const CACHE_BYTES: usize = 4 << 20;

/// The sets, wherever they are.
pub struct VersionSets(Kept);

enum Kept {
    Embedded(EmbeddedSets),
    Redis(Box<RedisAddress>),
}

/// The sets in a directory of this machine.
struct EmbeddedSets {
    database: Database,
    path: PathBuf,
}

/// Why the sets can't be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum SetsError {
    /// Another process has them.
    #[error(
        "the statistics in {} are in use by another process: talk to that router with --admin, or stop it",
        .0.display()
    )]
    InUse(PathBuf),
    /// The directory can't be made or written.
    #[error("{}: {source}: check that this user may write there", .path.display())]
    Access {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("the statistics in {} can't be used: {detail}", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database said.
        detail: String,
    },
    /// The server did not do it.
    #[error(transparent)]
    Remote(#[from] StoreError),
}

impl VersionSets {
    /// Opens the sets that are kept there. A directory is made if it is missing; a server is asked only when
    /// something is added.
    ///
    /// # Errors
    /// If another process has them, or the directory or the file can't be used.
    pub fn open(address: &StatsAddress) -> Result<Self, SetsError> {
        Ok(Self(match address {
            StatsAddress::Embedded(directory) => Kept::Embedded(EmbeddedSets::open(directory)?),
            StatsAddress::Redis(address) => Kept::Redis(address.clone()),
        }))
    }

    /// Adds version types to sets, all or none, and says how many were not there yet.
    ///
    /// # Errors
    /// If they could not be written; then nothing was.
    pub fn add(&self, memberships: &[Membership]) -> Result<usize, SetsError> {
        match &self.0 {
            Kept::Embedded(sets) => sets.add(memberships),
            Kept::Redis(address) => {
                let member = |one: &'_ Membership| (one.key(), one.version_type.clone());
                let members: Vec<(String, String)> = memberships.iter().map(member).collect();
                Ok(add_to_sets(address, &members)?)
            }
        }
    }

    /// The version types of a set, sorted; none for one that does not exist.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn of(&self, key: &str) -> Result<Vec<String>, SetsError> {
        match &self.0 {
            Kept::Embedded(sets) => sets.of(key),
            Kept::Redis(address) => Ok(set_members(address, key)?),
        }
    }
}

impl EmbeddedSets {
    fn open(directory: &Path) -> Result<Self, SetsError> {
        std::fs::create_dir_all(directory)
            .map_err(|source| SetsError::Access { path: directory.to_owned(), source })?;
        let path = directory.join(FILE_NAME);
        match open_database(&path, CACHE_BYTES, |_| Ok(())) {
            Ok((database, ())) => Ok(Self { database, path }),
            Err(Unusable::InUse) => Err(SetsError::InUse(directory.to_owned())),
            Err(Unusable::Access(source)) => Err(SetsError::Access { path, source }),
            Err(Unusable::Damaged(detail)) => Err(SetsError::Database { path, detail }),
        }
    }

    fn add(&self, memberships: &[Membership]) -> Result<usize, SetsError> {
        self.write(memberships).map_err(|error| self.failed(&error))
    }

    fn write(&self, memberships: &[Membership]) -> Result<usize, redb::Error> {
        let transaction = self.database.begin_write()?;
        let mut new = 0;
        {
            let mut sets = transaction.open_multimap_table(SETS)?;
            for membership in memberships {
                let there = sets.insert(membership.key().as_str(), membership.version_type.as_str())?;
                new += usize::from(!there);
            }
        }
        transaction.commit()?;
        Ok(new)
    }

    fn of(&self, key: &str) -> Result<Vec<String>, SetsError> {
        self.read(key).map_err(|error| self.failed(&error))
    }

    fn read(&self, key: &str) -> Result<Vec<String>, redb::Error> {
        let transaction = self.database.begin_read()?;
        let sets = match transaction.open_multimap_table(SETS) {
            Ok(sets) => sets,
            // Nothing was ever added.
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        sets.get(key)?.map(|value| Ok(value?.value().to_owned())).collect()
    }

    fn failed(&self, error: &redb::Error) -> SetsError {
        SetsError::Database { path: self.path.clone(), detail: error.to_string() }
    }
}

impl waypost_admin::VersionSets for VersionSets {
    fn add(&self, memberships: &[Membership]) -> Result<usize, Box<dyn Error + Send + Sync>> {
        Ok(Self::add(self, memberships)?)
    }
}

#[cfg(test)]
mod tests {
    use waypost_admin::SetKind;

    use super::*;

    fn member(set: SetKind, id: &str, version_type: &str) -> Membership {
        Membership { set, id: id.into(), version_type: version_type.into() }
    }

    #[test]
    fn what_was_added_is_there_after_opening_again_and_not_twice() {
        let directory = tempfile::tempdir().unwrap();
        let sets = EmbeddedSets::open(directory.path()).unwrap();
        assert_eq!(sets.of("workspace:1").unwrap(), [""; 0]);
        let both = [member(SetKind::Workspace, "1", "b"), member(SetKind::Workspace, "1", "a")];
        assert_eq!(sets.add(&both).unwrap(), 2);
        assert_eq!(sets.add(&both).unwrap(), 0);
        assert_eq!(sets.add(&[member(SetKind::Version, "1", "a")]).unwrap(), 1);
        drop(sets);
        let sets = EmbeddedSets::open(directory.path()).unwrap();
        assert_eq!(sets.of("workspace:1").unwrap(), ["a", "b"]);
        assert_eq!(sets.of("version:1").unwrap(), ["a"]);
    }

    #[test]
    fn a_second_owner_is_told_so() {
        let directory = tempfile::tempdir().unwrap();
        let _sets = EmbeddedSets::open(directory.path()).unwrap();
        let error = EmbeddedSets::open(directory.path()).err().unwrap();
        assert!(matches!(error, SetsError::InUse(_)), "{error}");
    }
}
