//! Why a command could not be done, as the one line a person reads.

use std::io::{self, Write};
use std::path::PathBuf;

use waypost_admin::BindError;
use waypost_proxy::ListenError;
use waypost_stats::AccessLogError;
use waypost_table::StoreError;
use waypost_table::explain::ExplainError;
use waypost_table::transfer::ImportError;

use crate::api::ApiError;
use crate::config::Problems;
use crate::version_sets::SetsError;

/// Why a command could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] Problems),
    /// The router could not be asked, or refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The table's store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sets of version types.
    #[error(transparent)]
    Sets(#[from] SetsError),
    /// The admin API's socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A socket for requests.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The access log.
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    /// What was to be explained is no URL.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// What was to be imported is no table.
    #[error("{}: {}", .file.display(), one_line(.source))]
    Import {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: ImportError,
    },
    /// A file could not be used.
    #[error("{} can't be {wanted}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it was wanted for: `read`, `written`.
        wanted: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The data directory could not be made.
    #[error("the data directory {} can't be made: {source}: name another with --data", .path.display())]
    Data {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The system refused something that is not a file.
    #[error("{what}: {source}")]
    System {
        /// What could not be done.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Standard output could not be written.
    #[error("the output can't be written: {0}")]
    Output(#[source] io::Error),
    /// A key-value operation was not done.
    #[error("{what} in {store}: {source}: {}", .source.code())]
    Kv {
        /// The operation and the key.
        what: String,
        /// The store, without passwords.
        store: String,
        /// Why.
        source: waypost_store::StoreError,
    },
    /// Several of many could not be done: the first of them, and how many more.
    #[error("{first} (and {more} more)")]
    Several {
        /// The first.
        first: Box<Failure>,
        /// How many others.
        more: usize,
    },
    /// A check found something; what it is stands on standard output.
    #[error("{0}")]
    Found(String),
    /// Arguments that do not fit each other.
    #[error("{0}")]
    Usage(String),
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

/// The first faulty line and how many more there are: an import's own text names a hundred.
fn one_line(error: &ImportError) -> String {
    match error {
        ImportError::Lines { named, count } => {
            let first = named.first().map(ToString::to_string).unwrap_or_default();
            let more = if *count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
            format!("nothing was imported: {first}{more}")
        }
        ImportError::Read(_) => error.to_string(),
    }
}

impl Failure {
    /// Done, if there is no failure among many; else the first of them, and how many more there are.
    pub(crate) fn first_of(failures: Vec<Failure>) -> Result<(), Failure> {
        let more = failures.len().saturating_sub(1);
        match failures.into_iter().next() {
            None => Ok(()),
            Some(first) if more == 0 => Err(first),
            Some(first) => Err(Failure::Several { first: Box::new(first), more }),
        }
    }

    /// Whether whoever read the output went away.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Says it on standard error, in one line whatever its parts held.
    pub(crate) fn tell(&self) {
        let text = self.to_string();
        let line =
            text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>();
        // With standard error gone there is nobody left to tell.
        let _ = writeln!(io::stderr(), "waypost: {}", line.join("; "));
    }
}
