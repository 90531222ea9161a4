//! The changes people and programs ask of a table, and what each comes to.
//!
//! A [`Change`] speaks of members; a store works by whole entries. [`plan`] turns the one into the other:
//! against the table as it is, it says what becomes of each change and which entries differ afterwards. It
//! changes nothing itself, so a store can write the deltas first and publish them when they are durable.
//! [`plan_import`] does the same for many entries at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::entry::{Entry, EntryError, EntryRef};
use crate::member::{Member, Target};
use crate::pattern::Pattern;
use crate::snapshot::{Delta, Snapshot};

/// One change that is asked of a store. In JSON: `{"op": "add", "host": "www.example.com", "member":
/// {"address": "10.0.0.1:8080"}}` and the like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Adds an instance to a host, or updates the one with the same target and path.
    #[serde(rename = "add")]
    AddInstance {
        /// The host, wildcard or `*`.
        host: Pattern,
        /// The instance.
        member: Member,
    },
    /// Removes the instances of a host that have this target, whatever their path.
    RemoveInstance {
        /// The host, wildcard or `*`.
        host: Pattern,
        /// The address or the backend.
        target: Target,
    },
    /// Removes a host with all its instances.
    RemoveEntry {
        /// The host, wildcard or `*`.
        host: Pattern,
    },
}

impl Change {
    /// The pattern whose entry this changes.
    pub fn host(&self) -> &Pattern {
        match self {
            Change::AddInstance { host, .. }
            | Change::RemoveInstance { host, .. }
            | Change::RemoveEntry { host } => host,
        }
    }
}

/// What became of one [`Change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The instance is new.
    Added,
    /// The instance was there, exactly so.
    AlreadyThere,
    /// The instance was there with other attributes, which were replaced.
    Updated,
    /// The instances, or the entry, are gone.
    Removed,
    /// There was nothing to remove.
    WasNotThere,
}

impl Outcome {
    /// Whether the table is another one afterwards.
    pub fn is_change(self) -> bool {
        matches!(self, Outcome::Added | Outcome::Updated | Outcome::Removed)
    }
}

/// What an import does with what was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportMode {
    /// It stays; instances with the same target and path are updated.
    #[default]
    Merge,
    /// It goes: afterwards the table holds what was imported and nothing else.
    Replace,
}

/// What a list of changes comes to.
#[derive(Debug)]
pub struct Plan {
    /// What becomes of each change, in their order.
    pub outcomes: Vec<Outcome>,
    /// The entries that differ afterwards, one delta each.
    pub deltas: Vec<Delta>,
}

/// Works out what these changes, made in order, do to the table. None is made unless all are valid.
///
/// # Errors
/// If a member is not valid, or a host would have too many instances.
pub fn plan(table: &Snapshot, changes: Vec<Change>) -> Result<Plan, EntryError> {
    // The members of each host that was touched, as they are after the changes so far.
    let mut touched: BTreeMap<Pattern, Vec<Member>> = BTreeMap::new();
    let mut outcomes = Vec::with_capacity(changes.len());
    for change in changes {
        let members = touched.entry(change.host().clone()).or_insert_with_key(|host| {
            table.get(host.as_str()).map(|entry| entry.members().collect()).unwrap_or_default()
        });
        outcomes.push(match change {
            Change::AddInstance { host, member } => {
                let member =
                    member.checked().map_err(|source| EntryError::Member { pattern: host, source })?;
                add(members, member)
            }
            Change::RemoveInstance { target, .. } => {
                let before = members.len();
                members.retain(|member| !member.goes_to(&target));
                removed(members.len() < before)
            }
            Change::RemoveEntry { .. } => removed(!std::mem::take(members).is_empty()),
        });
    }

    let mut deltas = Vec::new();
    for (host, members) in touched {
        let before = table.get(host.as_str());
        if members.is_empty() {
            deltas.extend(before.map(|_| Delta::Remove(host)));
        } else {
            let entry = Entry::new(&host, members)?;
            deltas.extend((before != Some(entry.view())).then_some(Delta::Put(entry)));
        }
    }
    Ok(Plan { outcomes, deltas })
}

fn add(members: &mut Vec<Member>, member: Member) -> Outcome {
    let Some(at) = members.iter().position(|there| there.same_route(&member)) else {
        members.push(member);
        return Outcome::Added;
    };
    let was_alone = !members[at + 1..].iter().any(|there| there.same_route(&member));
    if was_alone && members[at] == member {
        return Outcome::AlreadyThere;
    }
    // A store that others write to may hold one route several times; an update leaves one.
    members.retain(|there| !there.same_route(&member));
    members.push(member);
    Outcome::Updated
}

fn removed(any: bool) -> Outcome {
    if any { Outcome::Removed } else { Outcome::WasNotThere }
}

/// What an import comes to.
#[derive(Debug)]
pub struct ImportPlan {
    /// The table as it is afterwards, under the serial it had.
    pub next: Snapshot,
    /// Patterns whose entries are new or differ from what was there.
    pub changed: Vec<Pattern>,
    /// Patterns whose entries were there and are gone.
    pub removed: Vec<Pattern>,
}

/// Works out what an import does to the table.
///
/// # Errors
/// If a host would have too many instances.
pub fn plan_import(table: &Snapshot, import: &Snapshot, mode: ImportMode) -> Result<ImportPlan, EntryError> {
    match mode {
        ImportMode::Merge => merge_all(table, import),
        ImportMode::Replace => Ok(replace_all(table, import)),
    }
}

fn merge_all(table: &Snapshot, import: &Snapshot) -> Result<ImportPlan, EntryError> {
    let mut next = table.clone();
    let mut changed = Vec::new();
    for added in import {
        let before = table.get(added.pattern());
        let after = match before {
            Some(before) => merge(before, added)?,
            None => added.to_entry(),
        };
        if before != Some(after.view()) {
            next.change(&Delta::Put(after));
            changed.push(added.to_pattern());
        }
    }
    Ok(ImportPlan { next, changed, removed: Vec::new() })
}

fn replace_all(table: &Snapshot, import: &Snapshot) -> ImportPlan {
    let differs = |entry: &EntryRef<'_>| table.get(entry.pattern()) != Some(*entry);
    let is_gone = |entry: &EntryRef<'_>| import.get(entry.pattern()).is_none();
    let changed = import.iter().filter(differs).map(EntryRef::to_pattern).collect();
    let removed = table.iter().filter(is_gone).map(EntryRef::to_pattern).collect();
    ImportPlan { next: import.clone().with_serial(table.serial()), changed, removed }
}

/// The entry with the members of both; of two with the same target and path, the second entry's.
fn merge(before: EntryRef<'_>, added: EntryRef<'_>) -> Result<Entry, EntryError> {
    let new: Vec<Member> = added.members().collect();
    let kept = before.members().filter(|old| !new.iter().any(|new| new.same_route(old)));
    let members: Vec<Member> = kept.chain(new.iter().cloned()).collect();
    Entry::new(&before.to_pattern(), members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn member(text: &str) -> Member {
        Member::parse(text).unwrap().0
    }

    fn added(name: &str, text: &str) -> Change {
        Change::AddInstance { host: host(name), member: member(text) }
    }

    fn removed(name: &str, address: &str) -> Change {
        Change::RemoveInstance { host: host(name), target: Target::Address(address.parse().unwrap()) }
    }

    fn table(routes: &[(&str, &str)]) -> Snapshot {
        let changes = routes.iter().map(|(name, text)| added(name, text)).collect();
        Snapshot::empty().with(plan(&Snapshot::empty(), changes).unwrap().deltas)
    }

    fn members(table: &Snapshot, name: &str) -> Vec<String> {
        let entry = table.get(name);
        entry.map(|entry| entry.members().map(|member| member.to_string()).collect()).unwrap_or_default()
    }

    #[test]
    fn each_change_has_its_outcome_and_sees_those_before_it() {
        let table = table(&[("a.example", "10.0.0.1:80")]);
        let changes = vec![
            added("a.example", "10.0.0.1:80"),
            added("a.example", "10.0.0.1:80####weight=3"),
            added("a.example", "10.0.0.1:80####path=/api"),
            added("b.example", "10.0.0.1:80"),
            removed("b.example", "10.0.0.1:80"),
            removed("b.example", "10.0.0.1:80"),
            Change::RemoveEntry { host: host("b.example") },
            Change::RemoveEntry { host: host("a.example") },
            added("a.example", "-####backend=content"),
        ];
        let plan = plan(&table, changes).unwrap();
        use Outcome::{Added, AlreadyThere, Removed, Updated, WasNotThere};
        assert_eq!(
            plan.outcomes,
            [AlreadyThere, Updated, Added, Added, Removed, WasNotThere, WasNotThere, Removed, Added]
        );
        assert_eq!(plan.deltas.len(), 1, "b.example is as it was");
        assert_eq!(members(&table.with(plan.deltas), "a.example"), ["-####backend=content"]);
    }

    #[test]
    fn removing_an_address_removes_it_under_every_path_and_the_entry_with_its_last_instance() {
        let table = table(&[
            ("a.example", "10.0.0.1:80"),
            ("a.example", "10.0.0.1:80####path=/api"),
            ("a.example", "10.0.0.1:80####path=/x&backend=content"),
        ]);
        let after = table.with(plan(&table, vec![removed("a.example", "10.0.0.1:80")]).unwrap().deltas);
        assert_eq!(members(&after, "a.example"), ["10.0.0.1:80####path=/x&backend=content"]);
        let target = Target::Backend("content".to_owned());
        let change = Change::RemoveInstance { host: host("a.example"), target };
        let after = after.with(plan(&after, vec![change]).unwrap().deltas);
        assert!(after.is_empty());
    }

    #[test]
    fn an_invalid_change_spoils_the_whole_list() {
        let nowhere = Member { address: None, ..member("10.0.0.1:80") };
        let changes = vec![
            added("a.example", "10.0.0.1:80"),
            Change::AddInstance { host: host("b.example"), member: nowhere },
        ];
        let error = plan(&Snapshot::empty(), changes).unwrap_err();
        assert_eq!(error.to_string(), "b.example: there is neither an address nor a backend");
    }

    #[test]
    fn a_merging_import_keeps_what_it_does_not_name_and_a_replacing_one_does_not() {
        let before = table(&[
            ("a.example", "10.0.0.1:80"),
            ("a.example", "10.0.0.2:80"),
            ("b.example", "10.0.0.1:80"),
        ]);
        let import = table(&[("a.example", "10.0.0.2:80####weight=3"), ("c.example", "10.0.0.1:80")]);
        let merged = plan_import(&before, &import, ImportMode::Merge).unwrap().next;
        assert_eq!(members(&merged, "a.example"), ["10.0.0.1:80", "10.0.0.2:80####weight=3"]);
        assert_eq!(merged.len(), 3);
        let again = plan_import(&merged, &import, ImportMode::Merge).unwrap();
        assert!(again.changed.is_empty(), "it can be repeated");

        let plan = plan_import(&before, &import, ImportMode::Replace).unwrap();
        assert_eq!((plan.changed.len(), plan.removed.len()), (2, 1));
        let replaced = plan.next;
        assert_eq!(members(&replaced, "a.example"), ["10.0.0.2:80####weight=3"]);
        assert_eq!((replaced.len(), replaced.get("b.example").is_none()), (2, true));
        let again = plan_import(&replaced, &import, ImportMode::Replace).unwrap();
        assert!(again.changed.is_empty() && again.removed.is_empty(), "it can be repeated");
    }

    #[test]
    fn changes_are_written_in_json_as_documented() {
        for (json, change) in [
            (
                r#"{"op":"add","host":"a.example","member":{"address":"10.0.0.1:80"}}"#,
                added("a.example", "10.0.0.1:80"),
            ),
            (
                r#"{"op":"remove_instance","host":"a.example","target":{"address":"10.0.0.1:80"}}"#,
                removed("a.example", "10.0.0.1:80"),
            ),
            (r#"{"op":"remove_entry","host":"a.example"}"#, Change::RemoveEntry { host: host("a.example") }),
        ] {
            assert_eq!(serde_json::to_string(&change).unwrap(), json);
            assert_eq!(serde_json::from_str::<Change>(json).unwrap(), change);
        }
        assert!(serde_json::from_str::<Change>(r#"{"op":"remove_entry","host":"a b"}"#).is_err());
    }
}
