//! What a store holds that can't be used, host by host.
//!
//! Each thing is logged once, however often its host is read, and forgotten when it is mended. The numbers
//! that are kept are bounded: a store full of rubbish costs no more than [`MAX_HOSTS`] hosts of it.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use crate::table::{MAX_SKIPPED, OutOfStep, Skipped, Table};

use super::decoded::{Decoded, Described};
use super::keys::{HostKey, shown};

/// The most hosts whose problems are remembered.
const MAX_HOSTS: usize = 10_000;

/// The most things that are logged by name while the process runs.
const MAX_LOGGED: usize = 10_000;

/// The problems of a store; see the module's description.
#[derive(Default)]
pub(super) struct Problems {
    malformed: BTreeMap<HostKey, (Vec<Described>, usize)>,
    out_of_step: BTreeMap<HostKey, (usize, usize)>,
    logged: HashSet<u64>,
    hasher: RandomState,
    changed: bool,
}

impl Problems {
    /// Takes in what was found when a host was read, in place of what was known of it.
    pub(super) fn note(&mut self, host: &HostKey, decoded: &mut Decoded) {
        for name in std::mem::take(&mut decoded.unknown) {
            if self.is_first(&("extension", &name)) {
                let host = shown(host);
                tracing::warn!(%host, %name, "an extension of a member is not known here and ignored");
            }
        }
        let problems = std::mem::take(&mut decoded.problems);
        for described in &problems {
            if self.is_first(described) {
                tracing::warn!(key = %described.key, problem = %described.problem, "left out of the table");
            }
        }
        let found = (!problems.is_empty()).then_some((problems, decoded.problem_count));
        self.changed |= put(&mut self.malformed, host, found);
        self.changed |= put(&mut self.out_of_step, host, decoded.out_of_step);
    }

    /// Forgets the hosts that are not there any more.
    pub(super) fn keep(&mut self, mut is_there: impl FnMut(&[u8]) -> bool) {
        let before = self.malformed.len() + self.out_of_step.len();
        self.malformed.retain(|host, _| is_there(host));
        self.out_of_step.retain(|host, _| is_there(host));
        self.changed |= self.malformed.len() + self.out_of_step.len() != before;
    }

    /// Tells the table, if anything has changed.
    pub(super) fn report(&mut self, table: &Table) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let named = self.malformed.values().flat_map(|(named, _)| named).take(MAX_SKIPPED);
        let skipped = |one: &Described| Skipped { key: one.key.clone(), problem: one.problem.clone() };
        let count = self.malformed.values().map(|(_, count)| count).sum();
        table.set_skipped_of(named.map(skipped).collect(), count);
        let out_of_step = self.out_of_step.iter().take(MAX_SKIPPED);
        let host = |(host, (members, ids)): (&HostKey, &(usize, usize))| OutOfStep {
            host: shown(host),
            members: *members,
            ids: *ids,
        };
        table.set_out_of_step(out_of_step.map(host).collect());
    }

    fn is_first(&mut self, thing: &impl std::hash::Hash) -> bool {
        self.logged.len() < MAX_LOGGED && self.logged.insert(self.hasher.hash_one(thing))
    }
}

/// Sets or removes what is known of a host, and says whether that is a change.
fn put<T: PartialEq>(known: &mut BTreeMap<HostKey, T>, host: &HostKey, found: Option<T>) -> bool {
    match found {
        None => known.remove(host).is_some(),
        Some(found) if known.get(host) == Some(&found) => false,
        Some(_) if known.len() >= MAX_HOSTS && !known.contains_key(host) => false,
        Some(found) => {
            known.insert(host.clone(), found);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::SourceKind;

    fn malformed(count: usize) -> Decoded {
        let mut decoded = Decoded::default();
        for index in 0..count {
            decoded.describe("instances:a".to_owned(), format!("problem {index}"));
        }
        decoded
    }

    #[test]
    fn problems_are_counted_while_they_last() {
        let table = Table::new(SourceKind::Redis, "redis://h");
        let mut problems = Problems::default();
        let host = HostKey::from(&b"a"[..]);
        problems.note(&host, &mut malformed(20));
        problems.report(&table);
        assert_eq!(table.status().skipped, 20);
        assert!(!table.skipped().is_empty());
        problems.note(&host, &mut Decoded { out_of_step: Some((2, 1)), ..Decoded::default() });
        problems.report(&table);
        assert_eq!((table.status().skipped, table.out_of_step().len()), (0, 1));
        problems.keep(|_| false);
        problems.report(&table);
        assert!(table.out_of_step().is_empty());
    }

    #[test]
    fn the_same_thing_is_logged_once() {
        let mut problems = Problems::default();
        assert!(problems.is_first(&"a") && !problems.is_first(&"a") && problems.is_first(&"b"));
    }
}
