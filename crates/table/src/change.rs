//! The changes people and programs ask of a table, and what each comes to.
//!
//! A [`Change`] speaks of members; a store works by whole entries. [`plan`] turns the one into the other:
//! against the table as it is, it says what becomes of each change and which entries differ afterwards. It
//! changes nothing itself, so a store can write the deltas first and publish them when they are durable.
//! [`plan_import`] does the same for many entries at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::entry::{Entry, EntryError};
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
            deltas.extend((before != Some(&entry)).then_some(Delta::Put(entry)));
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

/// Works out which entries differ after an import.
///
/// # Errors
/// If a host would have too many instances.
pub fn plan_import(table: &Snapshot, import: &Snapshot, mode: ImportMode) -> Result<Vec<Delta>, EntryError> {
    let mut deltas = Vec::new();
    for entry in import {
        let before = table.get(entry.pattern());
        let after = match (mode, before) {
            (ImportMode::Merge, Some(before)) => merge(before, entry)?,
            (ImportMode::Merge, None) | (ImportMode::Replace, _) => entry.clone(),
        };
        if before != Some(&after) {
            deltas.push(Delta::Put(after));
        }
    }
    if mode == ImportMode::Replace {
        let gone = table.iter().filter(|entry| import.get(entry.pattern()).is_none());
        deltas.extend(gone.map(|entry| Delta::Remove(entry.to_pattern())));
    }
    Ok(deltas)
}

/// The entry with the members of both; of two with the same target and path, the second entry's.
pub(crate) fn merge(before: &Entry, added: &Entry) -> Result<Entry, EntryError> {
    let new: Vec<Member> = added.members().collect();
    let kept = before.members().filter(|old| !new.iter().any(|new| new.same_route(old)));
    let members: Vec<Member> = kept.chain(new.iter().cloned()).collect();
    Entry::new(&before.to_pattern(), members)
}
