//! The check of the backend tree before it runs: every name leads to a backend, none leads back to itself,
//! and every backend is reached from the entry.

use std::collections::{BTreeMap, BTreeSet};

use super::Config;
use super::backend::Backend;
use super::problem::Place;
use super::section::Source;
use super::suggest::did_you_mean;

/// Adds the problems of the tree of `config` to those of `source`.
pub(super) fn check(config: &Config, source: &mut Source<'_>) {
    let tree =
        Tree { backends: config.backends.iter().map(|backend| (backend.name.as_str(), backend)).collect() };
    let entry = config.general.entry.as_str();
    if !tree.backends.contains_key(entry) {
        let message = format!("`entry`: there is no backend {entry:?}{}", tree.suggestion(entry));
        source.problems.add(place(source, "entry"), message);
        return;
    }
    tree.unknown_children(source);
    tree.cycles(source);
    tree.unreached(entry, source);
}

fn place(source: &Source<'_>, key: &str) -> Place {
    source.places.get(key).cloned().unwrap_or(Place::Default)
}

struct Tree<'c> {
    backends: BTreeMap<&'c str, &'c Backend>,
}

impl<'c> Tree<'c> {
    fn suggestion(&self, name: &str) -> String {
        did_you_mean(name, self.backends.keys().copied())
    }

    fn children(&self, name: &str) -> impl Iterator<Item = &'c str> + use<'c> {
        let children = self.backends.get(name).map_or(&[][..], |backend| backend.spec.children().1);
        children.iter().map(String::as_str)
    }

    fn unknown_children(&self, source: &mut Source<'_>) {
        for backend in self.backends.values() {
            let (key, children) = backend.spec.children();
            let mut seen = BTreeSet::new();
            let key = format!("backend.{}.{key}", backend.name);
            for child in children {
                if !self.backends.contains_key(child.as_str()) {
                    let message = format!("`{key}`: there is no backend {child:?}{}", self.suggestion(child));
                    source.problems.add(place(source, &key), message);
                } else if !seen.insert(child) {
                    source
                        .problems
                        .add(place(source, &key), format!("`{key}`: {child:?} stands there twice"));
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
                let Some(child) = children.next() else {
                    done.insert(name);
                    path.pop();
                    continue;
                };
                if let Some(position) = path.iter().position(|(name, _)| *name == child) {
                    let round: Vec<&str> =
                        path[position..].iter().map(|(name, _)| *name).chain([child]).collect();
                    let key = self.backends.get(name).map_or("", |backend| backend.spec.children().0);
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
            open.extend(self.children(name).filter(|child| reached.insert(child)));
        }
        for name in self.backends.keys().filter(|name| !reached.contains(*name)) {
            let message = format!(
                "nothing reaches the backend {name:?}: make it the `entry`, name it in `backends` of the \
                 route table's backend (`[backend.routes]`), or take it out"
            );
            source.problems.add(place(source, &format!("backend.{name}")), message);
        }
    }
}
