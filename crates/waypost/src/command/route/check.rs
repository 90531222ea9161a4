//! `waypost route check`.

use clap::Args;
use serde::{Deserialize, Serialize};
use waypost_admin::{Pruned, PrunedInstance};
use waypost_table::check::{self, Connect, Problem};

use super::remap::need_entries;
use super::source::{Routes, Source};
use crate::failure::Failure;
use crate::output::Output;

/// Find entries that can't work.
///
/// Malformed ones, ones that name an unknown backend, ones of which no instance accepts a connection. The
/// status is 1 if there is one.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// First remove instances that accept no connection when asked twice
    #[arg(long)]
    prune: bool,

    #[command(flatten)]
    source: Source,

    /// Show the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize, Deserialize)]
struct Checked {
    serial: u64,
    problems: Vec<Problem>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<PrunedInstance>,
}

impl Check {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        let routes = self.source.open()?;
        let removed = if self.prune { prune(&routes)?.removed } else { Vec::new() };
        let checked = Checked { removed, ..check(&routes)? };
        if self.json {
            output.json(&checked)?;
        } else {
            for PrunedInstance { host, address, error } in &checked.removed {
                output.line(format_args!("removed {address} of {host}: {error}"))?;
            }
            for problem in &checked.problems {
                output.line(problem)?;
            }
            if checked.problems.is_empty() {
                output.line("every entry can work")?;
            }
        }
        match checked.problems.len() {
            0 => Ok(()),
            1 => Err(Failure::Found("an entry of the table can't work: mend or remove it".into())),
            count => {
                Err(Failure::Found(format!("{count} entries of the table can't work: mend or remove them")))
            }
        }
    }
}

fn check(routes: &Routes) -> Result<Checked, Failure> {
    match routes {
        Routes::Router(api) => Ok(api.get("/api/v1/check", &[])?),
        Routes::Store(store) => {
            need_entries(store)?;
            let table = store.table();
            let snapshot = table.snapshot();
            let mut problems = check::check(&snapshot, &table.skipped(), None, Some(&Connect::default()));
            problems.extend(check::out_of_step(table));
            Ok(Checked { serial: snapshot.serial(), problems, removed: Vec::new() })
        }
    }
}

fn prune(routes: &Routes) -> Result<Pruned, Failure> {
    match routes {
        Routes::Router(api) => Ok(api.post("/api/v1/prune", &serde_json::json!({}))?),
        Routes::Store(store) => {
            need_entries(store)?;
            let unreachable = check::unreachable(&store.table().snapshot(), &Connect::default());
            let applied = store.apply(check::prune(&unreachable))?;
            Ok(Pruned::of(unreachable, &applied))
        }
    }
}
