//! What the caller knows of an instance's health, as listings and explanations show it.
//!
//! The table doesn't watch instances; the router that does answers for each one when asked.

use serde::{Deserialize, Serialize};

/// Whether an instance can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Health {
    /// It answered when it was last tried.
    Up,
    /// It is passed over.
    Down {
        /// Why, for people.
        reason: String,
    },
    /// Nobody has tried it yet, or nobody who is asked here would know. It is used like one that is up.
    Unknown,
}

impl Health {
    /// Whether requests are sent there.
    pub fn is_usable(&self) -> bool {
        !matches!(self, Health::Down { .. })
    }
}
