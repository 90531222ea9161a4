//! Values that do not parse: said once each, by key, and kept for the table's status until they are mended.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::target::{RouteTargetError, excerpt};
use crate::table::{MAX_SKIPPED, Skipped, Table};

/// What is malformed in the table, as far as it was asked for. At most [`MAX_SKIPPED`] are kept, and said.
pub(super) struct Problems {
    table: Arc<Table>,
    known: BTreeMap<String, String>,
}

impl Problems {
    pub(super) fn new(table: Arc<Table>) -> Problems {
        Problems { table, known: BTreeMap::new() }
    }

    /// Notes that a key's value does not parse, and says so unless it was said of this value.
    pub(super) fn note(&mut self, key: &str, value: &[u8], error: &RouteTargetError) {
        let problem = format!("'{}' is no target: {error}", excerpt(value));
        let known = self.known.get(key);
        if known == Some(&problem) || (known.is_none() && self.known.len() >= MAX_SKIPPED) {
            return;
        }
        tracing::warn!(%key, %problem, "a value of the memcached table does not parse: its requests are answered 404");
        self.known.insert(key.to_owned(), problem);
        self.publish();
    }

    /// Notes that there is nothing wrong with a key.
    pub(super) fn clear(&mut self, key: &str) {
        if !self.known.is_empty() && self.known.remove(key).is_some() {
            self.publish();
        }
    }

    fn publish(&self) {
        let skipped = self.known.iter();
        let skipped = skipped.map(|(key, problem)| Skipped { key: key.clone(), problem: problem.clone() });
        self.table.set_skipped(skipped.collect());
    }
}
