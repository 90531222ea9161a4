//! `waypost route`: the route table, through a running router or directly on its store.

mod add;
mod check;
mod explain;
mod export;
mod import;
mod list;
mod remove;
mod source;

use clap::Subcommand;
use waypost_table::{Pattern, PatternError};

use crate::failure::Failure;
use crate::output::Output;

/// Read and change the route table.
///
/// Without --table the table is that of a running router, asked at its admin address.
#[derive(Debug, Subcommand)]
pub(crate) enum Route {
    Add(Box<add::Add>),
    Remove(remove::Remove),
    #[command(visible_alias = "dump")]
    List(list::List),
    Explain(explain::Explain),
    Check(check::Check),
    Import(import::Import),
    Export(export::Export),
}

impl Route {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(output),
            Self::Remove(remove) => remove.run(output),
            Self::List(list) => list.run(output),
            Self::Explain(explain) => explain.run(output),
            Self::Check(check) => check.run(output),
            Self::Import(import) => import.run(output),
            Self::Export(export) => export.run(output),
        }
    }
}

/// Reads the host of a route, as an argument.
fn parse_host(text: &str) -> Result<Pattern, String> {
    if text.contains("://") {
        return Err("a route is for a host: write example.com, *.example.com or *, without a scheme".into());
    }
    Pattern::parse(text).map_err(|error: PatternError| error.to_string())
}
