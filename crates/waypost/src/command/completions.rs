//! `waypost completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output::Output;

/// Write a completion script for a shell to standard output.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell it is for
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        // Made in memory: the generator takes a failure to write for a fault of its own.
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "waypost", &mut script);
        output.with(|out| out.write_all(&script))
    }
}
