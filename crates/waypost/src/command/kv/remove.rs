//! `waypost kv delete` and `touch`: what ends a value, and when.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;

use super::open::{StoreChoice, parse_ttl};
use super::show::Outcome;
use crate::failure::Failure;
use crate::output::Output;

/// Remove keys.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The keys
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<OsString>,
}

impl Delete {
    pub(crate) fn run(self, store: StoreChoice, output: &mut Output) -> Result<(), Failure> {
        let session = store.open()?;
        let mut failures = Vec::new();
        for key in &self.keys {
            let done = session.with(async |store| store.delete(key.as_bytes()).await);
            if session.json {
                output.json(&Outcome::new(Some(key), &done))?;
            }
            failures.extend(done.err().map(|error| session.failure("delete", Some(key), error)));
        }
        Failure::first_of(failures)
    }
}

/// Give a value another time to live.
#[derive(Debug, Args)]
pub(crate) struct Touch {
    /// The key
    key: OsString,

    /// Time to live from now on in seconds, or as 30s, 2h or 1d; 0 is for ever
    #[arg(value_parser = parse_ttl)]
    ttl: u32,
}

impl Touch {
    pub(crate) fn run(self, store: StoreChoice, output: &mut Output) -> Result<(), Failure> {
        let session = store.open()?;
        let done = session.with(async |store| store.touch(self.key.as_bytes(), self.ttl).await);
        if session.json {
            output.json(&Outcome::new(Some(&self.key), &done))?;
        }
        done.map_err(|error| session.failure("touch", Some(&self.key), error))
    }
}
