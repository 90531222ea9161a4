//! `waypost kv`: keys and values in any store, from the command line.
//!
//! What can't be done is one line on standard error with libmemcached's name and number for it, whatever kind
//! of store it is; `--json` has them too.

mod counters;
mod get;
mod open;
mod remove;
mod servers;
mod show;
mod write;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::output::Output;
use open::StoreArgs;

/// Read and write keys in memcached, Redis or an embedded store.
///
/// The store is named by --store or in WAYPOST_STORE. What can't be done ends with status 1 and one line that
/// has libmemcached's name and number for it.
#[derive(Debug, Args)]
pub(crate) struct Kv {
    #[command(flatten)]
    store: StoreArgs,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Get(get::Get),
    Set(write::Set),
    Add(write::Add),
    Replace(write::Replace),
    Append(write::Append),
    Prepend(write::Prepend),
    Cas(write::Cas),
    Delete(remove::Delete),
    Touch(remove::Touch),
    Incr(counters::Incr),
    Decr(counters::Decr),
    Counter(counters::Counter),
    Flush(servers::Flush),
    Stats(servers::Stats),
    Where(servers::Where),
}

impl Kv {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        let store = self.store.choice()?;
        match self.command {
            Command::Get(get) => get.run(store, output),
            Command::Set(set) => set.run(store, output),
            Command::Add(add) => add.run(store, output),
            Command::Replace(replace) => replace.run(store, output),
            Command::Append(append) => append.run(store, output),
            Command::Prepend(prepend) => prepend.run(store, output),
            Command::Cas(cas) => cas.run(store, output),
            Command::Delete(delete) => delete.run(store, output),
            Command::Touch(touch) => touch.run(store, output),
            Command::Incr(incr) => incr.run(store, output),
            Command::Decr(decr) => decr.run(store, output),
            Command::Counter(counter) => counter.run(store, output),
            Command::Flush(flush) => flush.run(store, output),
            Command::Stats(stats) => stats.run(store, output),
            Command::Where(place) => place.run(store, output),
        }
    }
}
