//! What a router knows of a memcached table, for people: the decisions it has made, and how old they are.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Decision};
use super::target::RouteTarget;

/// A decision that is cached. The table may hold other keys, and others by now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownRoute {
    /// The key that requests asked for.
    pub key: String,
    /// What was decided.
    #[serde(flatten)]
    pub state: KnownState,
    /// How many seconds ago memcached was asked.
    pub age: f64,
}

/// What was decided for a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum KnownState {
    /// Its requests are sent there.
    Routed {
        /// The key that was found: this one, or a wildcard.
        found: String,
        /// Where they are sent.
        target: RouteTarget,
    },
    /// There is no such key.
    Missing,
    /// Its value does not parse.
    Malformed {
        /// The key that was found: this one, or a wildcard.
        found: String,
    },
}

impl KnownRoute {
    /// What is known of a key, if anything is.
    pub(super) fn of(cell: &Cell, now: u64) -> Option<KnownRoute> {
        let state = match &*cell.decision()? {
            Decision::To { key, target } => {
                KnownState::Routed { found: key.to_string(), target: target.clone() }
            }
            Decision::Nothing => KnownState::Missing,
            Decision::Malformed { key } => KnownState::Malformed { found: key.to_string() },
        };
        let age = now.saturating_sub(cell.decided_at()) as f64 / 1000.0;
        Some(KnownRoute { key: cell.key().to_string(), state, age })
    }
}

impl fmt::Display for KnownRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |found: &str| if found == self.key { String::new() } else { format!(" by {found}") };
        match &self.state {
            KnownState::Routed { found, target } => write!(f, "{}  {target}{}", self.key, by(found))?,
            KnownState::Missing => write!(f, "{}  not in the table", self.key)?,
            KnownState::Malformed { found } => write!(f, "{}  does not parse{}", self.key, by(found))?,
        }
        write!(f, "  {:.1} s old", self.age)
    }
}
