//! The table as a list for people and programs.
//!
//! Entries are sorted by their labels from the right, so that subdomains stand behind their domain:
//! `example.com`, `*.example.com`, `a.example.com`, `example.org`.

use serde::{Deserialize, Serialize};

use crate::entry::{EntryRef, InstanceRef};
use crate::health::Health;
use crate::member::Member;
use crate::snapshot::Snapshot;

/// A table, or part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The table's serial.
    pub serial: u64,
    /// The entries, sorted.
    pub entries: Vec<ListedEntry>,
}

/// One entry of a [`Listing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedEntry {
    /// The host, wildcard or `*`.
    pub host: String,
    /// Its instances, those with the longest path prefix first.
    pub instances: Vec<ListedInstance>,
}

/// One instance of a [`ListedEntry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedInstance {
    /// What the table holds of it.
    #[serde(flatten)]
    pub member: Member,
    /// Whether it can be used; none where nobody watches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

impl Listing {
    /// Lists every entry. `health` is asked for each instance.
    pub fn of(snapshot: &Snapshot, health: impl Fn(&InstanceRef<'_>) -> Option<Health>) -> Listing {
        let entries = sorted(snapshot).into_iter().map(|entry| ListedEntry::of(entry, &health)).collect();
        Listing { serial: snapshot.serial(), entries }
    }

    /// Lists the entry of this pattern (in its normal form), if there is one.
    pub fn of_host(
        snapshot: &Snapshot,
        pattern: &str,
        health: impl Fn(&InstanceRef<'_>) -> Option<Health>,
    ) -> Listing {
        let entries =
            snapshot.get(pattern).map(|entry| ListedEntry::of(entry, &health)).into_iter().collect();
        Listing { serial: snapshot.serial(), entries }
    }
}

impl ListedEntry {
    /// Lists one entry; for tables too large to list at once.
    pub fn of<'a>(
        entry: impl Into<EntryRef<'a>>,
        health: impl Fn(&InstanceRef<'_>) -> Option<Health>,
    ) -> ListedEntry {
        let entry = entry.into();
        let instances = entry
            .instances()
            .map(|instance| ListedInstance { member: instance.to_member(), health: health(&instance) })
            .collect();
        ListedEntry { host: entry.pattern().to_owned(), instances }
    }
}

/// Every entry, sorted by its labels from the right.
pub fn sorted(snapshot: &Snapshot) -> Vec<EntryRef<'_>> {
    let mut entries: Vec<EntryRef<'_>> = snapshot.iter().collect();
    entries.sort_by_cached_key(|entry| reversed_labels(entry.pattern()));
    entries
}

/// A key that sorts as the labels do, from the right. `*` sorts before every label.
fn reversed_labels(pattern: &str) -> String {
    let mut key = String::with_capacity(pattern.len());
    for label in pattern.rsplit('.') {
        if !key.is_empty() {
            // Sorts before every byte of a label, so `example.com` stands before `example-x.com`'s hosts.
            key.push('\0');
        }
        key.push_str(label);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::pattern::Pattern;

    fn table(patterns: &[&str]) -> Snapshot {
        let member = Member::at(([10, 0, 0, 1], 80).into());
        patterns
            .iter()
            .map(|pattern| Entry::new(&Pattern::parse(pattern).unwrap(), [member.clone()]).unwrap())
            .collect()
    }

    #[test]
    fn subdomains_stand_behind_their_domain() {
        let in_order = [
            "*",
            "[::1]",
            "com",
            "*.com",
            "example.com",
            "*.example.com",
            "a.example.com",
            "*.a.example.com",
            "b.example.com",
            "example-x.com",
            "a.example-x.com",
            "example.org",
        ];
        let mut shuffled = in_order;
        shuffled.reverse();
        let listing = Listing::of(&table(&shuffled), |_| None);
        let hosts: Vec<&str> = listing.entries.iter().map(|entry| entry.host.as_str()).collect();
        assert_eq!(hosts, in_order);
    }

    #[test]
    fn a_listing_survives_json() {
        let down = Health::Down { reason: "connection refused".to_owned() };
        let listing = Listing::of(&table(&["example.com"]), |_| Some(down.clone()));
        let json = serde_json::to_string(&listing).unwrap();
        assert_eq!(
            json,
            r#"{"serial":0,"entries":[{"host":"example.com","instances":[{"address":"10.0.0.1:80","health":{"state":"down","reason":"connection refused"}}]}]}"#
        );
        assert_eq!(serde_json::from_str::<Listing>(&json).unwrap(), listing);
    }

    #[test]
    fn one_host_is_listed_alone() {
        let table = table(&["example.com", "example.org"]);
        assert_eq!(Listing::of_host(&table, "example.org", |_| None).entries.len(), 1);
        assert_eq!(Listing::of_host(&table, "example.net", |_| None).entries.len(), 0);
    }
}
