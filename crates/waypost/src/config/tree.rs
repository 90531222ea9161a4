//! The check of the backend tree before it runs: every name leads to a backend, none leads back to itself,
//! and every backend is reached from the entry.

use std::collections::{BTreeMap, BTreeSet};

use super::Config;
use super::problem::Place;
use super::read::Unread;
use super::section::Source;
use super::suggest::did_you_mean;
use crate::backends::{Backend, Child};

/// Adds the problems of the tree of `config` to those of `source`. Backends that could not be read are said to
/// be wrong already: here they exist, and lead to whatever they mention.
pub(super) fn check(config: &Config, unread: &[Unread], source: &mut Source<'_>) {
    let tree = Tree {
        backends: config.backends.iter().map(|backend| (backend.name.as_str(), backend)).collect(),
        unread: unread.iter().map(|backend| (backend.name.as_str(), backend)).collect(),
    };
    let entry = config.general.entry.as_str();
    if !tree.has(entry) {
        let message = format!("`entry`: there is no backend {entry:?}{}", tree.suggestion(entry));
        source.problems.add(place(source, "entry"), message);
    } else {
        tree.unreached(entry, source);
    }
    tree.unknown_children(source);
    tree.cycles(source);
}

fn place(source: &Source<'_>, key: &str) -> Place {
    source.places.get(key).cloned().unwrap_or(Place::Default)
}

struct Tree<'c> {
    backends: BTreeMap<&'c str, &'c Backend>,
    unread: BTreeMap<&'c str, &'c Unread>,
}

impl<'c> Tree<'c> {
    fn has(&self, name: &str) -> bool {
        self.backends.contains_key(name) || self.unread.contains_key(name)
    }

    fn suggestion(&self, name: &str) -> String {
        did_you_mean(name, self.backends.keys().chain(self.unread.keys()).copied())
    }

    fn children(&self, name: &str) -> std::vec::IntoIter<Child<'c>> {
        self.backends.get(name).map_or_else(Vec::new, |backend| backend.spec.children()).into_iter()
    }

    fn unknown_children(&self, source: &mut Source<'_>) {
        for backend in self.backends.values() {
            let mut seen = BTreeSet::new();
            for Child { key, name: child } in backend.spec.children() {
                let full = format!("backend.{}.{key}", backend.name);
                if !self.has(child) {
                    let message =
                        format!("`{full}`: there is no backend {child:?}{}", self.suggestion(child));
                    source.problems.add(place(source, &full), message);
                } else if !seen.insert((key, child)) {
                    source
                        .problems
                        .add(place(source, &full), format!("`{full}`: {child:?} stands there twice"));
                }
            }
        }
    }

    /// Reports each cycle once, at the first of its backends.
    fn cycles(&self, source: &mut Source<'_>) {
        let mut done = BTreeSet::new();
        for &start in self.backends.keys() {
            let mut path = vec![(start, self.children(start))];
            while let Some((name, children)) = path.last_mut() {
                let name = *name;
                let Some(Child { key, name: child }) = children.next() else {
                    done.insert(name);
                    path.pop();
                    continue;
                };
                if let Some(position) = path.iter().position(|(name, _)| *name == child) {
                    let round: Vec<&str> =
                        path[position..].iter().map(|(name, _)| *name).chain([child]).collect();
                    let message = format!("the backends lead back to {child:?}: {}", round.join(" -> "));
                    source.problems.add(place(source, &format!("backend.{name}.{key}")), message);
                } else if !done.contains(child) {
                    path.push((child, self.children(child)));
                }
            }
        }
    }

    fn unreached(&self, entry: &'c str, source: &mut Source<'_>) {
        let mut reached = BTreeSet::from([entry]);
        let mut open = vec![entry];
        while let Some(name) = open.pop() {
            let mentioned = self.unread.get(name).map_or(&[][..], |backend| &backend.texts);
            let below = self.children(name).map(|child| child.name);
            open.extend(
                below.chain(mentioned.iter().map(String::as_str)).filter(|name| reached.insert(name)),
            );
        }
        for name in self.backends.keys().filter(|name| !reached.contains(*name)) {
            let message = format!(
                "nothing reaches the backend {name:?}: make it the `entry`, name it in one that is reached, or \
                 take it out"
            );
            source.problems.add(place(source, &format!("backend.{name}")), message);
        }
    }
}
