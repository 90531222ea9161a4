//! The commands on a memcached table, whose routes are by URL.

use std::sync::Arc;

use serde::Deserialize;
use waypost_admin::{KnownRoutes, RemapApplied, RemapChangeRequest};
use waypost_table::remap::{RemapChange, RouteKey, RouteTarget};
use waypost_table::{Outcome, RemapTable, SourceKind, StoreError, TableStore};

use super::source::{Routes, Source};
use crate::api::Api;
use crate::failure::Failure;
use crate::output::Output;

const PATH: &str = "/api/v1/remap";

/// Sends the requests of a key somewhere.
pub(super) fn add(
    source: Source,
    key: RouteKey,
    target: RouteTarget,
    json: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let change = RemapChange::Set { key: key.clone(), target: target.clone() };
    let applied = change_table(source.open_to_change()?, change)?;
    if json {
        return output.json(&applied);
    }
    output.line(match applied.outcomes.first() {
        Some(Outcome::Added) => format!("added {key}, which leads to {target}"),
        Some(Outcome::Updated) => format!("updated {key}, which leads to {target} now"),
        _ => format!("{key} leads to {target} already: nothing changed"),
    })
}

/// Removes a key; if a target is given, only if it leads there.
pub(super) fn remove(
    source: Source,
    key: RouteKey,
    target: Option<RouteTarget>,
    json: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let change = RemapChange::Remove { key: key.clone(), target: target.clone() };
    let applied = change_table(source.open_to_remove()?, change)?;
    if json {
        return output.json(&applied);
    }
    let what = match target {
        Some(target) => format!("{key} to {target}"),
        None => key.to_string(),
    };
    output.line(match applied.outcomes.first() {
        Some(Outcome::Removed) => format!("removed {what}"),
        _ => format!("{what} is not there: nothing changed"),
    })
}

fn change_table(routes: Routes, change: RemapChange) -> Result<RemapApplied, Failure> {
    let request = RemapChangeRequest { changes: vec![change] };
    match routes {
        Routes::Router(api) => Ok(api.post(PATH, &request)?),
        Routes::Store(store) => match Arc::clone(&store).remap() {
            Some(table) => Ok(RemapApplied { outcomes: table.change(request.changes)? }),
            None => Err(StoreError::ByHost { store: store.table().status().location }.into()),
        },
    }
}

/// What a router knows of its table, each key on a line.
pub(super) fn show_known(api: &Api, json: bool, output: &mut Output) -> Result<(), Failure> {
    let routes: KnownRoutes = api.get(PATH, &[])?;
    if json {
        return output.json(&routes);
    }
    for route in &routes.known {
        output.line(route)?;
    }
    match routes.known.len() {
        0 => output.line("no key was asked for yet: memcached does not list its keys"),
        count => output.line(format_args!(
            "{count} {} known; memcached does not list its keys, there may be more",
            if count == 1 { "key is" } else { "keys are" }
        )),
    }
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    source: Option<SourceKind>,
}

/// Whether a router's table is in memcached.
pub(super) fn is_remap(api: &Api) -> Result<bool, Failure> {
    let Kind { source } = api.get("/api/v1/table", &[])?;
    Ok(source == Some(SourceKind::Memcached))
}

/// Refuses what needs the entries of a store, where it can't list them.
pub(super) fn need_entries(store: &Arc<dyn TableStore>) -> Result<(), Failure> {
    match Arc::clone(store).remap().as_deref().map(RemapTable::table) {
        None => Ok(()),
        Some(table) => Err(StoreError::ByUrl { store: table.status().location }.into()),
    }
}
