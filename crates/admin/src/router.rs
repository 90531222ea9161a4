//! What the API asks of the router it belongs to, beyond its table.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};
use waypost_backend::{Explanation, Report, Sketch};
use waypost_table::{Health, InstanceRef};

/// A running router, as far as the admin API needs to know it.
pub trait Router: Send + Sync {
    /// What it knows of an instance's health.
    fn health(&self, instance: &InstanceRef<'_>) -> Health;

    /// The backend tree as it is now, from the entry.
    fn backends(&self) -> Report;

    /// Which way a request would take through the backend tree.
    fn explain(&self, request: &Sketch<'_>) -> Explanation;

    /// The backends that an entry of the table may point at.
    fn backend_names(&self) -> BTreeSet<String>;

    /// Whether it is on its way out.
    fn is_draining(&self) -> bool;
}

/// The sets of version types that make up a workspace, an application or a version; statistics are added up
/// over them.
pub trait VersionSets: Send + Sync {
    /// Adds version types to sets, all of them or none, and says how many were not there yet.
    ///
    /// # Errors
    /// If they could not be kept. The message says where, and what to do.
    fn add(&self, memberships: &[Membership]) -> Result<usize, Box<dyn Error + Send + Sync>>;
}

/// What a set of version types makes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetKind {
    /// A workspace.
    Workspace,
    /// An application.
    Application,
    /// A version of an application.
    Version,
}

impl fmt::Display for SetKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Workspace => "workspace",
            Self::Application => "application",
            Self::Version => "version",
        })
    }
}

/// One version type in one set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// What the set makes up.
    pub set: SetKind,
    /// The id of that.
    pub id: String,
    /// The version type's key.
    pub version_type: String,
}

impl Membership {
    /// Whether the ids can be part of a store's key.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn check(&self) -> Result<(), String> {
        for (what, text) in [("id", &self.id), ("version type", &self.version_type)] {
            if text.is_empty()
                || text.len() > waypost_table::member::MAX_KEY
                || text.chars().any(char::is_control)
            {
                return Err(format!("{text:?} is no {what} of a {} set: use 1 to 255 characters", self.set));
            }
        }
        Ok(())
    }

    /// The set's key in a store: `workspace:<id>` and the like.
    pub fn key(&self) -> String {
        format!("{}:{}", self.set, self.id)
    }
}
