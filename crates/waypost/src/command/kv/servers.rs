//! `waypost kv flush`, `stats` and `where`: the servers behind a store.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use serde_json::{Map, Value};

use super::open::StoreChoice;
use super::show::Outcome;
use crate::failure::Failure;
use crate::output::{Colour, Output};

/// Remove everything from the store, or with --prefix everything below it.
///
/// In Redis that is the database the address names. memcached can only be emptied whole.
#[derive(Debug, Args)]
pub(crate) struct Flush;

impl Flush {
    pub(crate) fn run(self, store: StoreChoice, output: &mut Output) -> Result<(), Failure> {
        let session = store.open()?;
        let done = session.with(async |store| store.flush().await);
        if session.json {
            output.json(&Outcome::new(None, &done))?;
        }
        done.map_err(|error| session.failure("flush", None, error))
    }
}

/// Show what each server of the store says of itself.
#[derive(Debug, Args)]
pub(crate) struct Stats;

impl Stats {
    pub(crate) fn run(self, store: StoreChoice, output: &mut Output) -> Result<(), Failure> {
        let session = store.open()?;
        let servers = session.with(async |store| store.statistics().await);
        let servers = servers.map_err(|error| session.failure("stats", None, error))?;
        let mut failures = Vec::new();
        for server in servers {
            if session.json {
                let mut outcome = Outcome::new(None, &server.values).with("server", server.server.clone());
                if let Ok(values) = &server.values {
                    let stats = values.iter().map(|(name, value)| (name.clone(), value.clone().into()));
                    outcome = outcome.with("stats", stats.collect::<Map<String, Value>>());
                }
                output.json(&outcome)?;
            }
            match server.values {
                Ok(_) if session.json => {}
                Ok(values) => {
                    output.line(output.paint(Colour::Strong, &server.server))?;
                    let width = values.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
                    for (name, value) in values {
                        output.line(format_args!("  {name:width$}  {value}"))?;
                    }
                }
                Err(error) => failures.push(session.failure("stats", None, error)),
            }
        }
        Failure::first_of(failures)
    }
}

/// Show which server a key is on, and why.
#[derive(Debug, Args)]
pub(crate) struct Where {
    /// The key
    key: OsString,
}

impl Where {
    pub(crate) fn run(self, store: StoreChoice, output: &mut Output) -> Result<(), Failure> {
        let session = store.open()?;
        let place = session.with(async |store| store.place(self.key.as_bytes()).await);
        if session.json {
            let mut outcome = Outcome::new(Some(&self.key), &place);
            if let Ok(place) = &place {
                outcome = outcome.with("server", place.server.clone());
                outcome = match &place.placement {
                    Some(placement) => outcome.with("placement", placement.clone()),
                    None => outcome.with("why", place.why.clone()),
                };
            }
            output.json(&outcome)?;
        }
        let place = place.map_err(|error| session.failure("where", Some(&self.key), error))?;
        match place.placement {
            _ if session.json => Ok(()),
            // It names the server itself.
            Some(_) => output.line(place.why),
            None => output.line(format_args!("server  {}\nwhy     {}", place.server, place.why)),
        }
    }
}
