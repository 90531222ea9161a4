//! The configuration of `waypost serve`: what can be said, what it means when nothing is said, and what is
//! wrong with what was said.
//!
//! `sections` and the types of [`crate::backends`] define every key once. From there come the typed [`Config`] that the program
//! is built from, the flags and variables that override it ([`Overrides`]), and the page of the reference
//! ([`reference()`]). A file is read to its end: all that is wrong is reported at once, with lines
//! ([`Problems`]), and a `Config` exists only when nothing is.

mod address;
mod check;
mod overrides;
mod problem;
mod read;
mod reference;
mod section;
mod sections;
mod server_tls;
mod setting;
mod suggest;
mod tree;
mod units;

use std::path::{Path, PathBuf};

use toml::de::DeTable;
use waypost_table::TableAddress;

pub use address::StatsAddress;
pub(crate) use check::check_token;
pub use overrides::{Override, Overrides};
pub use problem::{Place, Problem, Problems};
pub use reference::reference;
pub use section::{Fields, Flag, Key, Section};
pub use sections::{Admin, Forwarded, General, Limits, Listen, LogLevel, Stats, Table};
pub use server_tls::ServerTls;
pub use setting::Setting;
pub use units::{Limit, Size};

pub(crate) use section::{Source, Written, read_section, section};
pub(crate) use setting::{Wrong, expected, integer, quoted, words};
pub(crate) use suggest::did_you_mean;

use section::Places;

use crate::backends::{self, Backend};

#[cfg(test)]
mod tests;

/// A configuration in which nothing is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Keys of the whole program.
    pub general: General,
    /// Where the router listens.
    pub listen: Listen,
    /// Who may use the admin API.
    pub admin: Admin,
    /// The route table.
    pub table: Table,
    /// The access log and statistics.
    pub stats: Stats,
    /// Limits for clients.
    pub limits: Limits,
    /// What instances are told of clients.
    pub forwarded: Forwarded,
    /// Every backend, `routes` among them unless nothing asks for it, in the order of their names.
    pub backends: Vec<Backend>,
}

impl Config {
    /// Reads the configuration of `file`, or the defaults when there is none, under `overrides`.
    ///
    /// # Errors
    /// Everything that is wrong, with its lines.
    pub fn load(file: Option<&Path>, overrides: &[Override]) -> Result<Self, Problems> {
        let Some(path) = file else { return Self::from_text("", None, overrides) };
        let name = path.display().to_string();
        let unreadable = |message: String, place: Place| {
            let mut problems = Problems::new(Some(name.clone()));
            problems.add(place, message);
            problems
        };
        let bytes = std::fs::read(path)
            .map_err(|error| unreadable(format!("can't be read: {error}"), Place::Default))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
            unreadable("not UTF-8: save the file as UTF-8".into(), Place::Line(line))
        })?;
        Self::from_text(&text, Some(name.clone()), overrides)
    }

    /// Reads a configuration from its text; `name` is what its errors call it.
    ///
    /// # Errors
    /// Everything that is wrong, with its lines.
    pub fn from_text(text: &str, name: Option<String>, overrides: &[Override]) -> Result<Self, Problems> {
        let (document, syntax) = DeTable::parse_recoverable(text);
        let problems = Problems::new(name);
        let mut source = Source { text, overrides, problems, places: Places::new() };
        for error in &syntax {
            let place = error.span().map_or(Place::Default, |span| source.line(&span));
            source.problems.add(place, error.message().to_owned());
        }
        let read = read::read(document.get_ref(), &mut source);
        if let Some(read) = &read {
            check::check(&read.config, &mut source);
            backends::check(&read.config, &mut source);
            tree::check(&read.config, &read.unread, &mut source);
        }
        source.problems.sort();
        match read {
            Some(read) if source.problems.is_empty() => Ok(read.config),
            _ => Err(source.problems),
        }
    }

    /// The table's store.
    pub fn table_address(&self) -> TableAddress {
        self.table.url.clone().unwrap_or_else(|| TableAddress::Embedded(self.general.data.clone()))
    }

    /// The statistics' store.
    pub fn stats_address(&self) -> StatsAddress {
        self.stats.url.clone().unwrap_or_else(|| StatsAddress::Embedded(self.general.data.clone()))
    }

    /// The file of the access log.
    pub fn access_log(&self) -> PathBuf {
        self.stats.access_log.clone().unwrap_or_else(|| self.general.data.join("access.json"))
    }

    /// The backend of a name.
    pub fn backend(&self, name: &str) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.name == name)
    }
}

/// What stands when nothing is written.
impl Default for Config {
    fn default() -> Self {
        // An empty text has no syntax, keys or names to be wrong, and no default breaks a rule: tested below.
        Self::from_text("", None, &[]).expect("the defaults are a valid configuration")
    }
}
