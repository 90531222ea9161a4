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

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::Output;

/// Read and write keys in memcached, Redis or an embedded store.
///
/// The store is named by --store or in WAYPOST_STORE. What can't be done ends with status 1 and one line that
/// has libmemcached's name and number for it.
#[derive(Debug, Subcommand)]
pub(crate) enum Kv {
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
        match self {
            Self::Get(get) => get.run(output),
            Self::Set(set) => set.run(output),
            Self::Add(add) => add.run(output),
            Self::Replace(replace) => replace.run(output),
            Self::Append(append) => append.run(output),
            Self::Prepend(prepend) => prepend.run(output),
            Self::Cas(cas) => cas.run(output),
            Self::Delete(delete) => delete.run(output),
            Self::Touch(touch) => touch.run(output),
            Self::Incr(incr) => incr.run(output),
            Self::Decr(decr) => decr.run(output),
            Self::Counter(counter) => counter.run(output),
            Self::Flush(flush) => flush.run(output),
            Self::Stats(stats) => stats.run(output),
            Self::Where(place) => place.run(output),
        }
    }
}
