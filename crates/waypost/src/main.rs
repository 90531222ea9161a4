//! The program `waypost`: an HTTP edge router and the commands around it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    waypost::cli::run()
}
