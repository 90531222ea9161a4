//! The table in memory, as the store's hosts come in.
//!
//! A [`Mirror`] takes in what was read of hosts and publishes what has changed, entry by entry; the table is
//! never built anew, and what is equal stays the same memory. Before the store was read whole for the first
//! time nothing is published: half a table would answer 404 for the other half.

use std::sync::Arc;
use std::time::Instant;

use crate::pattern::Pattern;
use crate::snapshot::{Delta, Snapshot};
use crate::table::Table;

use super::copy::Changes;
use super::decoded::decode;
use super::expiring::Expiring;
use super::keys::HostKey;
use super::problems::Problems;
use super::stored::Stored;

/// The table and what is known beside it; see the module's description.
pub(super) struct Mirror {
    table: Arc<Table>,
    /// What the copy on disk has to catch up with, if there is one.
    copy: Option<Arc<Changes>>,
    problems: Problems,
    /// Hosts that run out.
    pub(super) expiring: Expiring,
    /// Whether a whole table was ever there.
    is_loaded: bool,
    /// The first table, until it is whole.
    first: Snapshot,
}

impl Mirror {
    /// A mirror of whatever the table holds by now.
    pub(super) fn new(table: Arc<Table>, copy: Option<Arc<Changes>>) -> Mirror {
        let is_loaded = table.snapshot().is_loaded();
        let (problems, expiring) = (Problems::default(), Expiring::default());
        Mirror { table, copy, problems, expiring, is_loaded, first: Snapshot::empty() }
    }

    pub(super) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Whether a whole table was ever there.
    pub(super) fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// Takes in hosts as the store holds them now and the serial read with them, and returns those that
    /// were otherwise in the table.
    pub(super) fn take_in(&mut self, hosts: Vec<Stored>, serial: Option<u64>) -> Vec<HostKey> {
        let now = Instant::now();
        let mut next = self.next();
        let mut changed = Vec::new();
        for stored in hosts {
            self.expiring.set(&stored.host, stored.expires.map(|after| now + after));
            let mut decoded = decode(&stored);
            self.problems.note(&stored.host, &mut decoded);
            let Some(pattern) = decoded.pattern else { continue };
            let before = next.get(pattern.as_str());
            let delta = match decoded.entry {
                Some(entry) if before == Some(entry.view()) => continue,
                Some(entry) => Delta::Put(entry),
                None if before.is_none() => continue,
                None => Delta::Remove(pattern.clone()),
            };
            next.change(&delta);
            self.note(&pattern);
            changed.push(stored.host);
        }
        self.problems.report(&self.table);
        let serial_moved = serial.is_some_and(|serial| serial != next.serial());
        if let Some(serial) = serial {
            next.set_serial(serial);
        }
        if !self.is_loaded {
            self.first = next;
        } else if serial_moved || !changed.is_empty() {
            self.table.publish_part(next);
        }
        changed
    }

    /// The entries of hosts that were not met when the store was gone through.
    pub(super) fn missing(&self, met: impl Fn(&[u8]) -> bool) -> Vec<Pattern> {
        let table = if self.is_loaded { (*self.table.snapshot()).clone() } else { self.first.clone() };
        let missing = table.iter().filter(|entry| !met(entry.pattern().as_bytes()));
        missing.map(|entry| entry.to_pattern()).collect()
    }

    /// Ends a reading of the whole store: what is `missing` is gone, and the table is what the store holds.
    pub(super) fn complete(
        &mut self,
        missing: Vec<Pattern>,
        met: impl Fn(&[u8]) -> bool,
        serial: Option<u64>,
    ) {
        self.problems.keep(met);
        self.problems.report(&self.table);
        let mut next = self.next();
        let serial_moved = serial.is_some_and(|serial| serial != next.serial());
        if let Some(serial) = serial {
            next.set_serial(serial);
        }
        let changes = !missing.is_empty() || serial_moved;
        if missing.len() == next.len() {
            next = Snapshot::empty().with_serial(next.serial());
            self.note_all();
        } else {
            for pattern in missing {
                self.note(&pattern);
                next.change(&Delta::Remove(pattern));
            }
        }
        if !std::mem::replace(&mut self.is_loaded, true) {
            self.note_all();
            self.table.publish(next);
        } else if changes {
            self.table.publish(next);
        } else {
            self.table.synced();
        }
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        if self.is_loaded { self.table.snapshot().len() } else { self.first.len() }
    }

    /// Whether the table holds something else than the store does.
    pub(super) fn differs(&self, stored: &Stored) -> bool {
        let decoded = decode(stored);
        let table = self.table.snapshot();
        decoded.pattern.is_some_and(|pattern| {
            table.get(pattern.as_str()) != decoded.entry.as_ref().map(|entry| entry.view())
        })
    }

    /// What the next table begins as. The first one is taken out: changed alone, it is changed in place.
    fn next(&mut self) -> Snapshot {
        if self.is_loaded {
            (*self.table.snapshot()).clone()
        } else {
            std::mem::replace(&mut self.first, Snapshot::empty())
        }
    }

    fn note_all(&self) {
        if let Some(copy) = &self.copy {
            copy.note_all();
        }
    }

    fn note(&self, pattern: &Pattern) {
        // The first table goes to the copy whole.
        if let (true, Some(copy)) = (self.is_loaded, &self.copy) {
            copy.note(pattern);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stored::Set;
    use super::*;
    use crate::table::SourceKind;

    fn stored(host: &str, members: &[&str]) -> Stored {
        let members = members.iter().map(|member| member.as_bytes().to_vec()).collect();
        Stored {
            host: host.as_bytes().into(),
            members: Set::Whole(members),
            ids: Set::Whole(Vec::new()),
            links: Vec::new(),
            expires: None,
        }
    }

    #[test]
    fn nothing_is_published_before_the_first_table_is_whole() {
        let table = Table::new(SourceKind::Redis, "redis://h");
        let mut mirror = Mirror::new(Arc::clone(&table), None);
        mirror.take_in(vec![stored("a", &["10.0.0.1:80"])], Some(1));
        assert!(!table.snapshot().is_loaded() && mirror.len() == 1);
        mirror.complete(Vec::new(), |_| true, Some(2));
        assert_eq!((table.snapshot().len(), table.snapshot().serial()), (1, 2));
    }

    #[test]
    fn only_what_has_changed_is_published() {
        let table = Table::new(SourceKind::Redis, "redis://h");
        let mut mirror = Mirror::new(Arc::clone(&table), None);
        mirror.complete(Vec::new(), |_| true, None);
        let changed = mirror.take_in(vec![stored("a", &["10.0.0.1:80"]), stored("b", &["x"])], None);
        assert_eq!(changed, [HostKey::from(&b"a"[..])]);
        let before = table.snapshot();
        assert!(mirror.take_in(vec![stored("a", &["10.0.0.1:80"])], None).is_empty());
        assert!(Arc::ptr_eq(&before, &table.snapshot()));
        assert!(mirror.differs(&stored("a", &["10.0.0.2:80"])) && !mirror.differs(&stored("b", &[])));
        assert_eq!(mirror.take_in(vec![stored("a", &[])], None).len(), 1);
        assert!(table.snapshot().is_empty());
    }

    #[test]
    fn what_was_not_met_is_gone_in_the_end() {
        let table = Table::new(SourceKind::Redis, "redis://h");
        let mut mirror = Mirror::new(Arc::clone(&table), None);
        mirror.take_in(vec![stored("a", &["10.0.0.1:80"]), stored("b", &["10.0.0.1:80"])], None);
        let met = |host: &[u8]| host == b"a";
        let missing = mirror.missing(met);
        assert_eq!(missing.len(), 1);
        mirror.complete(missing, met, None);
        assert!(table.snapshot().get("a").is_some() && table.snapshot().get("b").is_none());
    }
}
