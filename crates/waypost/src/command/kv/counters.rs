//! `waypost kv incr`, `decr` and `counter`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use waypost_store::StoreError;

use super::open::{Session, StoreChoice, parse_ttl};
use super::show::Outcome;
use crate::failure::Failure;
use crate::output::Output;

/// Add to a number, and show what it is then.
///
/// The number must be there. Above 18446744073709551615 it begins again at 0.
#[derive(Debug, Args)]
pub(crate) struct Incr {
    /// The key
    key: OsString,

    /// How much to add
    #[arg(value_name = "N", default_value_t = 1)]
    by: u64,
}

/// Take off a number, and show what it is then.
///
/// The number must be there. It doesn't go below 0.
#[derive(Debug, Args)]
pub(crate) struct Decr {
    /// The key
    key: OsString,

    /// How much to take off
    #[arg(value_name = "N", default_value_t = 1)]
    by: u64,
}

/// Change a counter, and show what it is then.
///
/// A counter that isn't there counts from 0. It doesn't go below 0. Without a number it is shown as it is.
#[derive(Debug, Args)]
pub(crate) struct Counter {
    /// Set the counter to N, whatever is there
    #[arg(long, requires = "number")]
    set: bool,

    /// The key
    key: OsString,

    /// How much to add, or with a minus to take off
    #[arg(value_name = "N", id = "number", allow_negative_numbers = true, value_parser = parse_number)]
    number: Option<i128>,

    /// Time to live of a counter that is made or set, in seconds, or as 30s, 2h or 1d
    #[arg(long, value_name = "TTL", value_parser = parse_ttl, default_value = "0")]
    ttl: u32,
}

fn parse_number(text: &str) -> Result<i128, String> {
    let range = i128::from(i64::MIN)..=i128::from(u64::MAX);
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| "expected a whole number of 64 bits".to_owned())
}

impl Incr {
    pub(crate) fn run(self, store: StoreChoice, output: &mut Output) -> Result<(), Failure> {
        let session = store.open()?;
        let done = session.with(async |store| store.increment(self.key.as_bytes(), self.by).await);
        show(&session, "incr", &self.key, done, output)
    }
}

impl Decr {
    pub(crate) fn run(self, store: StoreChoice, output: &mut Output) -> Result<(), Failure> {
        let session = store.open()?;
        let done = session.with(async |store| store.decrement(self.key.as_bytes(), self.by).await);
        show(&session, "decr", &self.key, done, output)
    }
}

impl Counter {
    pub(crate) fn run(self, store: StoreChoice, output: &mut Output) -> Result<(), Failure> {
        let Counter { set, key, number, ttl } = self;
        let number = number.unwrap_or(0);
        let done = if set {
            let number = u64::try_from(number).unwrap_or_else(|_| wrong(number, "set: it is below 0"));
            let session = store.open_or_make()?;
            let done = session.with(async |store| store.set_counter(key.as_bytes(), number, ttl).await);
            (session, done.map(|()| number))
        } else {
            let by =
                i64::try_from(number).unwrap_or_else(|_| wrong(number, "added at once: it is too large"));
            let session = store.open_or_make()?;
            let done = session.with(async |store| store.counter(key.as_bytes(), by, ttl).await);
            (session, done)
        };
        show(&done.0, "counter", &key, done.1, output)
    }
}

/// Ends the program as for any other wrong usage.
fn wrong(number: i128, why: &str) -> ! {
    let message = format!("a counter can't have {number} {why}\n");
    clap::Error::raw(clap::error::ErrorKind::ValueValidation, message).exit()
}

fn show(
    session: &Session,
    word: &str,
    key: &OsStr,
    done: Result<u64, StoreError>,
    output: &mut Output,
) -> Result<(), Failure> {
    if session.json {
        let outcome = Outcome::new(Some(key), &done);
        output.json(&match &done {
            Ok(number) => outcome.with("value", *number),
            Err(_) => outcome,
        })?;
    }
    let number = done.map_err(|error| session.failure(word, Some(key), error))?;
    if session.json { Ok(()) } else { output.line(number) }
}
