//! `waypost route export`.

use clap::Args;
use waypost_table::transfer;

use super::remap::need_entries;
use super::source::{Routes, Source};
use crate::failure::Failure;
use crate::output::Output;

/// Write the table as JSON lines to standard output.
///
/// Each instance is a line, for `route import` of this table or another.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    source: Source,
}

impl Export {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        match self.source.open()? {
            Routes::Router(api) => api.copy("/api/v1/export", "application/x-ndjson", output),
            Routes::Store(store) => {
                need_entries(&store)?;
                let snapshot = store.table().snapshot();
                output.with(|out| transfer::export(&snapshot, out))
            }
        }
    }
}
