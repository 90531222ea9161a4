//! `waypost kv get`.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use waypost_store::{Item, StoreError};

use super::open::StoreChoice;
use super::show::{self, Outcome};
use crate::failure::Failure;
use crate::output::Output;

/// Write the values of keys to standard output.
///
/// The value of one key is written as it is, and nothing else. With several keys, or with --token, each value
/// has a line in front of it: VALUE, the key (spaces and control characters as \x20), the flags, the length in
/// bytes, and with --token the token; and a line end behind it.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The keys
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<OsString>,

    /// Show the token that `cas` wants
    #[arg(long)]
    token: bool,
}

impl Get {
    pub(crate) fn run(self, store: StoreChoice, output: &mut Output) -> Result<(), Failure> {
        let Get { keys, token } = self;
        let session = store.open()?;
        let wants_token = token || session.json;
        let names: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let found = session.with(async |store| store.get_multi(names, wants_token).await);
        let heads = token || keys.len() > 1;
        let mut failures = Vec::new();
        for (key, found) in keys.iter().zip(found) {
            let found = found.and_then(|item| item.ok_or(StoreError::NotFound));
            if session.json {
                let mut outcome = Outcome::new(Some(key), &found);
                if let Ok(item) = &found {
                    outcome = outcome.with("flags", item.flags).with_value(&item.value);
                    outcome = outcome.with("token", item.token.map(|token| token.to_string()));
                }
                output.json(&outcome)?;
            }
            match found {
                Ok(_) if session.json => {}
                Ok(item) if heads => write_with_head(output, &show::key(key.as_bytes()), &item)?,
                Ok(item) => write_plain(output, &item)?,
                Err(error) => failures.push(session.failure("get", Some(key), error)),
            }
        }
        Failure::first_of(failures)
    }
}

fn write_plain(output: &mut Output, item: &Item) -> Result<(), Failure> {
    output.with(|out| out.write_all(&item.value))?;
    // Before a person's next prompt; a program gets the value alone.
    let needs_end = io::stdout().is_terminal() && !item.value.ends_with(b"\n");
    if needs_end { output.line("") } else { Ok(()) }
}

fn write_with_head(output: &mut Output, key: &str, item: &Item) -> Result<(), Failure> {
    output.text(format_args!("VALUE {key} {} {}", item.flags, item.value.len()))?;
    if let Some(token) = item.token {
        output.text(format_args!(" {token}"))?;
    }
    output.line("")?;
    output.with(|out| out.write_all(&item.value))?;
    output.line("")
}
