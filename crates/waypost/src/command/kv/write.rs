//! `waypost kv set`, `add`, `replace`, `append`, `prepend` and `cas`.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::Args;
use waypost_store::{Attributes, Mode, Token};

use super::open::{StoreChoice, parse_ttl};
use super::show::Outcome;
use crate::failure::Failure;
use crate::output::Output;

/// More than any store takes: so much of standard input is read at most.
const MOST_INPUT: u64 = (512 << 20) + 1;

/// A key and its value.
#[derive(Debug, Args)]
struct Pair {
    /// The key
    key: OsString,

    /// The value; `-` reads it from standard input
    #[arg(allow_hyphen_values = true)]
    value: OsString,
}

/// What is kept with a value.
#[derive(Debug, Args)]
struct Kept {
    /// Time to live in seconds, or as 30s, 2h or 1d; 0 is for ever
    #[arg(long, value_name = "TTL", value_parser = parse_ttl)]
    ttl: Option<u32>,

    /// A number to keep with the value
    #[arg(long, value_name = "N", default_value_t = 0)]
    flags: u32,
}

impl From<Kept> for Attributes {
    fn from(kept: Kept) -> Attributes {
        Attributes { flags: kept.flags, ttl: kept.ttl }
    }
}

/// A command that takes nothing but a pair and what is kept with it.
macro_rules! write_command {
    ($(#[doc = $doc:literal])+ $name:ident $word:literal) => {
        $(#[doc = $doc])+
        #[derive(Debug, Args)]
        pub(crate) struct $name {
            #[command(flatten)]
            pair: Pair,

            #[command(flatten)]
            kept: Kept,
        }

        impl $name {
            pub(crate) fn run(self, store: StoreChoice, output: &mut Output) -> Result<(), Failure> {
                write($word, Mode::$name, self.pair, self.kept.into(), store, output)
            }
        }
    };
}

/// A command that changes a value, and nothing of what is kept with it.
macro_rules! extend_command {
    ($(#[doc = $doc:literal])+ $name:ident $word:literal) => {
        $(#[doc = $doc])+
        #[derive(Debug, Args)]
        pub(crate) struct $name {
            #[command(flatten)]
            pair: Pair,
        }

        impl $name {
            pub(crate) fn run(self, store: StoreChoice, output: &mut Output) -> Result<(), Failure> {
                write($word, Mode::$name, self.pair, Attributes::default(), store, output)
            }
        }
    };
}

write_command! {
    /// Write a value, whatever is there.
    Set "set"
}

write_command! {
    /// Write a value if nothing is there.
    Add "add"
}

write_command! {
    /// Write a value if something is there.
    Replace "replace"
}

extend_command! {
    /// Put bytes behind a value. Its flags and time to live stay.
    Append "append"
}

extend_command! {
    /// Put bytes in front of a value. Its flags and time to live stay.
    Prepend "prepend"
}

/// Write a value if nobody has written it since it was read.
///
/// `get --token` shows the token.
#[derive(Debug, Args)]
pub(crate) struct Cas {
    #[command(flatten)]
    pair: Pair,

    /// The token that the value was read with
    #[arg(long, value_name = "T")]
    token: Token,

    #[command(flatten)]
    kept: Kept,
}

impl Cas {
    pub(crate) fn run(self, store: StoreChoice, output: &mut Output) -> Result<(), Failure> {
        write("cas", Mode::Swap(self.token), self.pair, self.kept.into(), store, output)
    }
}

fn write(
    word: &str,
    mode: Mode,
    pair: Pair,
    attributes: Attributes,
    store: StoreChoice,
    output: &mut Output,
) -> Result<(), Failure> {
    let Pair { key, value } = pair;
    let value = match value.as_bytes() {
        b"-" => input()?,
        _ => value.into_vec(),
    };
    let session = match mode {
        Mode::Set | Mode::Add => store.open_or_make()?,
        _ => store.open()?,
    };
    let done = session.with(async |store| store.write(mode, key.as_bytes(), value, attributes).await);
    if session.json {
        output.json(&Outcome::new(Some(&key), &done))?;
    }
    done.map_err(|error| session.failure(word, Some(&key), error))
}

fn input() -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    let read = io::stdin().lock().take(MOST_INPUT).read_to_end(&mut value);
    read.map_err(|source| Failure::System { what: "standard input can't be read", source })?;
    Ok(value)
}
