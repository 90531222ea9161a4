//! The program `waypost`: an HTTP edge router and the commands around it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Requests allocate a handful of times each, always of the same sizes: what a thread-local free list is
/// made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    waypost::cli::run()
}
