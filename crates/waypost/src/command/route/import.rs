//! `waypost route import`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use waypost_table::transfer;
use waypost_table::{ImportMode, Imported};

use super::source::{Routes, Source};
use crate::api::ApiError;
use crate::failure::Failure;
use crate::output::Output;

/// Take in a table as JSON lines: all of it or, if a line is wrong, nothing.
///
/// The lines are those that `route export` writes. Doing it again changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; - is standard input
    file: PathBuf,

    /// Remove what is not in the file
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    source: Source,

    /// Show the result as JSON
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        let mode = if self.replace { ImportMode::Replace } else { ImportMode::Merge };
        let input = open(&self.file)?;
        let imported: Imported = match self.source.open_to_change()? {
            Routes::Router(api) => {
                let mode = if self.replace { "replace" } else { "merge" };
                api.send_lines("/api/v1/import", &[("mode", mode)], input).map_err(|error| match error {
                    // What the router says of a line says nothing of the file.
                    ApiError::Refused(detail) => Failure::Other(format!("{}: {detail}", self.file.display())),
                    other => other.into(),
                })?
            }
            Routes::Store(store) => {
                let entries = transfer::import(BufReader::with_capacity(64 << 10, input))
                    .map_err(|source| Failure::Import { file: self.file, source })?;
                store.import(entries, mode)?
            }
        };
        if self.json {
            return output.json(&imported);
        }
        let Imported { entries, instances, changed, removed, .. } = imported;
        output.line(format_args!(
            "imported {entries} entries with {instances} instances: {changed} changed, {removed} removed"
        ))
    }
}

fn open(file: &Path) -> Result<Box<dyn Read>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let opened = File::open(file).and_then(|opened| {
        if opened.metadata()?.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(opened) }
    });
    let opened = opened.map_err(|source| Failure::File { path: file.to_owned(), wanted: "read", source })?;
    Ok(Box::new(opened))
}
