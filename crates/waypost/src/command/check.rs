//! `waypost check [FILE]`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::config::{Config, Place};
use crate::failure::Failure;
use crate::output::Output;

/// Check a configuration: all errors at once, with their lines.
///
/// Each is shown as FILE:LINE: what, and the status is 1 if there is one.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The configuration file
    #[arg(
        value_name = "FILE",
        env = "WAYPOST_CONFIG",
        hide_env_values = true,
        default_value = "waypost.toml"
    )]
    file: PathBuf,

    /// Show the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Checked {
    file: String,
    errors: Vec<CheckedError>,
}

#[derive(Serialize)]
struct CheckedError {
    line: Option<usize>,
    message: String,
}

impl Check {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        let file = self.file.display().to_string();
        let problems = Config::load(Some(&self.file), &[]).err();
        if self.json {
            let errors = problems.iter().flat_map(|problems| problems.iter()).map(|problem| CheckedError {
                line: if let Place::Line(line) = problem.place { Some(line) } else { None },
                message: problem.message.clone(),
            });
            output.json(&Checked { file: file.clone(), errors: errors.collect() })?;
        } else if let Some(problems) = &problems {
            for line in problems.lines() {
                output.line(line)?;
            }
        } else {
            output.line(format_args!("{file} is a valid configuration"))?;
        }
        match problems.map_or(0, |problems| problems.len()) {
            0 => Ok(()),
            1 => Err(Failure::Found(format!("{file} has an error: mend it and check again"))),
            count => Err(Failure::Found(format!("{file} has {count} errors: mend them and check again"))),
        }
    }
}
