//! Which store a command works on, and what goes wrong there.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use clap::Args;
use tokio::runtime::{Builder, Runtime};
use waypost_store::embedded::FILE_NAME;
use waypost_store::{OpenOptions, Store, StoreAddress, StoreError};

use super::show;
use crate::config::Setting;
use crate::failure::Failure;

/// Which store to work on, and how: the same for every command, before its name or behind it.
#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    /// The store: memcached://HOST, redis://HOST, embedded:DIR or a libmemcached string
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "WAYPOST_STORE",
        hide_env_values = true,
        // A libmemcached string begins with one.
        allow_hyphen_values = true
    )]
    // clap can't require what may stand before the command's name or behind it: `choice` does.
    store: Option<StoreAddress>,

    /// What is put in front of every key
    #[arg(long, global = true, value_name = "P")]
    prefix: Option<OsString>,

    /// How long an operation may take, as 500ms or 5s
    #[arg(long, global = true, value_name = "TIME", value_parser = <Duration as Setting>::parse)]
    timeout: Option<Duration>,

    /// Show the result as JSON, an object a line
    #[arg(long, global = true)]
    json: bool,
}

/// A store to work on, which is not open yet.
pub(super) struct StoreChoice {
    address: StoreAddress,
    prefix: Option<OsString>,
    timeout: Option<Duration>,
    json: bool,
}

/// An open store, and the runtime it is used in.
pub(super) struct Session {
    // In the order in which they are to be let go of.
    store: Store,
    runtime: Runtime,
    address: String,
    pub(super) json: bool,
}

impl StoreArgs {
    /// The store that was named; that none was is wrong usage.
    pub(super) fn choice(self) -> Result<StoreChoice, Failure> {
        let StoreArgs { store, prefix, timeout, json } = self;
        let address = store.ok_or_else(|| {
            Failure::Usage("no store is named: say which with --store URL or in WAYPOST_STORE".to_owned())
        })?;
        Ok(StoreChoice { address, prefix, timeout, json })
    }
}

impl StoreChoice {
    /// Opens a store that must be there: a slip in the address of an embedded one is not to make a new one.
    pub(super) fn open(self) -> Result<Session, Failure> {
        if let StoreAddress::Embedded(directory) = &self.address {
            let there = directory.join(FILE_NAME).try_exists();
            // What can't even be looked at is the store's to explain.
            if matches!(there, Ok(false)) {
                let directory = directory.display();
                return Err(Failure::Other(format!(
                    "there is no store in {directory}: check --store, or make one with `waypost kv set`"
                )));
            }
        }
        self.open_or_make()
    }

    /// Opens a store, which is made if it is an embedded one and missing.
    pub(super) fn open_or_make(self) -> Result<Session, Failure> {
        let StoreChoice { address, prefix, timeout, json } = self;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|source| Failure::System { what: "the event loop can't be started", source })?;
        let options = OpenOptions { prefix: prefix.map(OsString::into_vec), timeout, ttl: None };
        let store = runtime.block_on(Store::open(&address, options));
        let address = address.to_string();
        let store =
            store.map_err(|source| Failure::Kv { what: "open".into(), store: address.clone(), source })?;
        Ok(Session { store, runtime, address, json })
    }
}

impl Session {
    /// Does something with the store.
    pub(super) fn with<T>(&self, work: impl AsyncFnOnce(&Store) -> T) -> T {
        self.runtime.block_on(work(&self.store))
    }

    /// What is said of an operation that failed.
    pub(super) fn failure(&self, operation: &str, key: Option<&OsStr>, source: StoreError) -> Failure {
        let what = match key {
            Some(key) => format!("{operation} {}", show::key(key.as_bytes())),
            None => operation.to_owned(),
        };
        Failure::Kv { what, store: self.address.clone(), source }
    }
}

/// Reads a time to live: seconds, or a duration with its unit.
pub(super) fn parse_ttl(text: &str) -> Result<u32, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let whole = Duration::parse(text).ok().filter(|duration| duration.subsec_nanos() == 0);
    whole.and_then(|duration| u32::try_from(duration.as_secs()).ok()).ok_or_else(|| {
        "expected seconds, or a duration as \"30s\", \"2h\" or \"1d\"; 0 is for ever".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_seconds_or_a_duration() {
        for (text, seconds) in [("0", 0), ("90", 90), ("90s", 90), ("2m", 120), ("30d", 2_592_000)] {
            assert_eq!(parse_ttl(text), Ok(seconds), "{text}");
        }
        for text in ["", "-1", "1.5", "500ms", "1w", "4294967296", "99999d"] {
            assert!(parse_ttl(text).is_err(), "{text}");
        }
    }
}
