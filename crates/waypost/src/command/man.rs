//! `waypost man`.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output::Output;

/// Write the manual page to standard output, or every page to a directory.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write every page, a file a command, to this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        let Some(directory) = self.dir else {
            return output.with(|out| clap_mangen::Man::new(Cli::command()).render(out));
        };
        std::fs::create_dir_all(&directory)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), &directory))
            .map_err(|source| Failure::File { path: directory, wanted: "written", source })
    }
}
