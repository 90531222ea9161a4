//! What can go wrong, in terms a caller can act on and a person can read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::key::KeyError;
use crate::protocol::ProtocolError;
use crate::result_code::ResultCode;

/// Why an operation has no result. `NotFound`, `NotStored` and `Exists` are answers of a server that works;
/// everything else says that something is wrong, and names the server where there is one.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Error {
    /// The key can't be used; nothing was sent.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There is no item under this key.
    #[error("there is no item under this key")]
    NotFound,
    /// `add` found an item, or `replace`, `append`, `prepend` found none.
    #[error("not stored: an item is there already (add), or there is none (replace, append, prepend)")]
    NotStored,
    /// The item changed since its token was read.
    #[error("not stored: the item changed since it was read")]
    Exists,
    /// The value doesn't fit the server.
    #[error("memcached {server}: a value of {size} bytes is too large{}", limit_note(.limit))]
    TooLarge {
        /// The server.
        server: Arc<str>,
        /// The value's bytes.
        size: usize,
        /// The server's item size (`-I`), when it is known: the value is less by some 50 bytes and the key.
        limit: Option<usize>,
    },
    /// The time limit passed.
    #[error("memcached {server}: {phase} took longer than {limit:?}")]
    Timeout {
        /// The server.
        server: Arc<str>,
        /// What was waited for.
        phase: Phase,
        /// The limit.
        limit: Duration,
    },
    /// The server's name has no address.
    #[error("memcached {server}: can't look up its address: {source}")]
    Lookup {
        /// The server.
        server: Arc<str>,
        /// What the resolver said.
        source: Arc<io::Error>,
    },
    /// No connection could be made.
    #[error("memcached {server}: can't connect: {source}")]
    Connect {
        /// The server.
        server: Arc<str>,
        /// What the system, or TLS, said.
        source: Arc<io::Error>,
    },
    /// The connection broke while the request was sent.
    #[error("memcached {server}: the connection broke while sending: {source}")]
    Write {
        /// The server.
        server: Arc<str>,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The connection broke before the answer was complete: whether the request was carried out is unknown.
    #[error("memcached {server}: the connection broke before the answer was complete: {source}")]
    Read {
        /// The server.
        server: Arc<str>,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The server answered what can't be understood. The connection was closed.
    #[error("memcached {server}: {source}")]
    Protocol {
        /// The server.
        server: Arc<str>,
        /// What was wrong with it.
        source: ProtocolError,
    },
    /// The server found fault with the request (`ERROR`, `CLIENT_ERROR`).
    #[error("memcached {server} refused the request: {message}")]
    Refused {
        /// The server.
        server: Arc<str>,
        /// What it said.
        message: String,
    },
    /// The server could not do it (`SERVER_ERROR`).
    #[error("memcached {server} failed: {message}")]
    Server {
        /// The server.
        server: Arc<str>,
        /// What it said.
        message: String,
    },
    /// User and password were not accepted.
    #[error("memcached {server} did not accept user and password: {message}")]
    Auth {
        /// The server.
        server: Arc<str>,
        /// What it said.
        message: String,
    },
    /// The server, or the protocol that is spoken with it, can't do this.
    #[error("memcached {server}: {what}")]
    Unsupported {
        /// The server.
        server: Arc<str>,
        /// What it can't do, and what would help.
        what: String,
    },
    /// The server failed a moment ago: it is tried again when its retry time has passed.
    #[error("memcached {server} failed a moment ago ({cause}) and is left alone for {remaining:?}")]
    Disabled {
        /// The server.
        server: Arc<str>,
        /// Why it is left alone.
        cause: Arc<str>,
        /// Until it is tried again.
        remaining: Duration,
    },
    /// With `failover`: no server is left for this key.
    #[error("memcached: all servers are out of use; {server} failed last: {cause}")]
    AllDead {
        /// The server that would be first.
        server: Arc<str>,
        /// Why it is out of use.
        cause: Arc<str>,
    },
    /// The address names no server.
    #[error("no memcached server is configured")]
    NoServers,
    /// The client can't be set up as asked.
    #[error("{0}")]
    Configuration(String),
    /// A value that should be a number is none.
    #[error("memcached {server}: the item is no number: {message}")]
    NotANumber {
        /// The server.
        server: Arc<str>,
        /// What the server said.
        message: String,
    },
}

/// What a time limit was spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Waiting until one of the pool's connections was free.
    Pool,
    /// Connecting, with TLS, authentication and the question for the server's version.
    Connect,
    /// Waiting for the answer.
    Answer,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Phase::Pool => "waiting for a free connection",
            Phase::Connect => "connecting",
            Phase::Answer => "the answer",
        })
    }
}

fn limit_note(limit: &Option<usize>) -> String {
    match limit {
        Some(limit) => format!(": its limit for an item is {limit}"),
        None => ": raise its limit with -I".to_owned(),
    }
}

impl Error {
    /// libmemcached's number and name for it.
    pub fn code(&self) -> ResultCode {
        match self {
            Error::Key(KeyError::TooLong { .. }) => ResultCode::KeyTooBig,
            Error::Key(_) => ResultCode::BadKeyProvided,
            Error::NotFound => ResultCode::NotFound,
            Error::NotStored => ResultCode::NotStored,
            Error::Exists => ResultCode::DataExists,
            Error::TooLarge { .. } => ResultCode::E2Big,
            Error::Timeout { .. } => ResultCode::Timeout,
            Error::Lookup { .. } => ResultCode::HostLookupFailure,
            Error::Connect { .. } => ResultCode::ConnectionFailure,
            Error::Write { .. } => ResultCode::WriteFailure,
            Error::Read { .. } => ResultCode::UnknownReadFailure,
            Error::Protocol { .. } => ResultCode::ProtocolError,
            Error::Refused { .. } | Error::NotANumber { .. } => ResultCode::ClientError,
            Error::Server { .. } => ResultCode::ServerError,
            Error::Auth { .. } => ResultCode::AuthFailure,
            Error::Unsupported { .. } => ResultCode::NotSupported,
            Error::Disabled { .. } => ResultCode::ServerTemporarilyDisabled,
            Error::AllDead { .. } => ResultCode::ServerMarkedDead,
            Error::NoServers => ResultCode::NoServers,
            Error::Configuration(_) => ResultCode::InvalidArguments,
        }
    }

    /// Whether a server that works gave it as its answer, so that nothing is broken.
    pub fn is_answer(&self) -> bool {
        matches!(self, Error::NotFound | Error::NotStored | Error::Exists)
    }
}
