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

/// Reads and changes the route table.
#[derive(Debug, Subcommand)]
pub(crate) enum Route {
    /// Add instances to a host
    Add(Box<add::Add>),
    /// Remove instances of a host, or the host
    Remove(remove::Remove),
    /// Show every entry with its instances
    #[command(visible_alias = "dump")]
    List(list::List),
    /// Show how a URL would be routed, without sending anything
    Explain(explain::Explain),
    /// Find entries that can't work
    Check(check::Check),
    /// Take in a table as JSON lines: all of it, or nothing
    Import(import::Import),
    /// Write the table as JSON lines
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
