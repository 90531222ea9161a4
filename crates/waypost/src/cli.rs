//! The command line: one definition from which parsing, help, completions and man pages are made. Each
//! command is a file of its own under `command/`; here stands which there are, and how they end.
//!
//! A command ends with 0 when it is done, with 1 and one line on standard error when it could not be done,
//! and with 2 when it was used wrongly (most of it is clap's own).

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::{backend, check, completions, kv, man, route};
use crate::failure::Failure;
use crate::output::Output;
use crate::serve;

/// An HTTP edge router whose decisions live in a key-value store.
#[derive(Debug, Parser)]
#[command(
    name = "waypost",
    version,
    arg_required_else_help = true,
    after_help = "Begin with `waypost serve`, and then `waypost route add example.localhost 127.0.0.1:9000`."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    #[command(subcommand)]
    Route(route::Route),
    #[command(subcommand)]
    Backend(backend::Backend),
    Kv(kv::Kv),
    Check(check::Check),
    Completions(completions::Completions),
    Man(man::Man),
}

/// Runs the program with this process's arguments.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let mut output = Output::stdout();
    let done = match cli.command {
        Command::Serve(serve) => serve.run(&mut output),
        Command::Route(route) => route.run(&mut output),
        Command::Backend(backend) => backend.run(&mut output),
        Command::Kv(kv) => kv.run(&mut output),
        Command::Check(check) => check.run(&mut output),
        Command::Completions(completions) => completions.run(&mut output),
        Command::Man(man) => man.run(&mut output),
    };
    // What was found is shown even when the command then fails.
    match done.and(output.finish()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has enough of it: `waypost route list | head`.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            match failure {
                Failure::Usage(_) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_agree_with_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_flags_of_serve_are_those_of_the_contract() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        let flags: Vec<&str> =
            serve.get_arguments().filter_map(|arg| arg.get_long()).filter(|flag| *flag != "help").collect();
        for flag in [
            "config",
            "listen",
            "admin",
            "table",
            "stats",
            "access-log",
            "data",
            "workers",
            "log-level",
            "node-id",
        ] {
            assert!(flags.contains(&flag), "--{flag} is missing from {flags:?}");
        }
        for argument in serve.get_arguments().filter(|arg| arg.get_long().is_some_and(|flag| flag != "help"))
        {
            let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
            assert!(variable.is_some_and(|name| name.starts_with("WAYPOST_")), "{argument} has no variable");
        }
    }
}
