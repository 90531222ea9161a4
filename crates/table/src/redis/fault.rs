//! What can go wrong between us and a server.
//!
//! A [`Fault`] ends a connection, or keeps one from being made; whoever holds the connection makes another.
//! It says nothing of the table: while there is a fault the last good table stays.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind};

/// Why a server could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// Nobody takes the connection, or the name is not known.
    #[error("it can't be reached: {0}: check the address, and whether the server runs")]
    Unreachable(String),
    /// It takes connections, and says nothing for this long: hung, or cut off.
    #[error("it has not answered for {} s", .0.as_secs())]
    Silent(Duration),
    /// The connection ended.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// It answers with an error that will not pass by itself: no permission, a wrong password.
    #[error("it refuses: {0}")]
    Refused(String),
    /// It has no data yet: it was started, or follows a master, a moment ago.
    #[error("it is loading its data")]
    Loading,
    /// It is a replica without its master, and what it holds is not what its master held.
    #[error("it is a replica that has lost its master and not been filled again yet")]
    Filling,
    /// Sentinel says another server is the master, or this one says so itself.
    #[error("it is not the master any more")]
    NotMaster,
    /// It does not speak RESP3, or does not let us track keys.
    #[error("it does not tell of changes: {0}")]
    NoTracking(String),
    /// No Sentinel could name the master.
    #[error("no sentinel names the master '{master}': {detail}")]
    NoMaster {
        /// The name that was asked for.
        master: String,
        /// What became of asking the last one.
        detail: String,
    },
    /// A reply that no Redis gives.
    #[error("it answers otherwise than Redis does: {0}")]
    Protocol(&'static str),
    /// The files for TLS, or the address, can't be used.
    #[error("{0}")]
    Setup(String),
}

impl Fault {
    /// What a server's error means for the whole of what was asked.
    pub(super) fn of_server(error: &ServerError) -> Fault {
        match error.kind() {
            Some(ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown) => Fault::Loading,
            _ if is_no_resp3(error) => Fault::NoTracking(text(error)),
            _ => Fault::Refused(text(error)),
        }
    }
}

/// Whether a server refuses to speak RESP3: it doesn't know `HELLO` (it is old, or the command was renamed), or
/// doesn't know that version of the protocol.
fn is_no_resp3(error: &ServerError) -> bool {
    let detail = error.details().unwrap_or_default().to_lowercase();
    match error.code() {
        "NOPROTO" => true,
        "ERR" => {
            detail.starts_with("unknown command 'hello'") || detail.starts_with("unknown command `hello`")
        }
        _ => false,
    }
}

/// The error as the server wrote it.
pub(super) fn text(error: &ServerError) -> String {
    let detail = error.details().unwrap_or_default();
    match error.code() {
        "ERR" => detail.to_owned(),
        code => format!("{code} {detail}"),
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        let said = error.to_string();
        match error.kind() {
            ErrorKind::RESP3NotSupported => return Fault::NoTracking("it does not speak RESP3".to_owned()),
            ErrorKind::AuthenticationFailed => return Fault::Refused(said),
            ErrorKind::Io if error.is_connection_refusal() => return Fault::Unreachable(said),
            ErrorKind::Io if error.is_connection_dropped() => return Fault::Lost(said),
            ErrorKind::Io => return Fault::Unreachable(said),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
                return Fault::Protocol("its reply can't be read");
            }
            _ => {}
        }
        let Some(errors) = error.into_server_errors() else { return Fault::Refused(said) };
        // An aborted transaction names every command that was refused; that it loads is the first to know.
        let faults: Vec<Fault> = errors.iter().map(|(_, error)| Fault::of_server(error)).collect();
        match faults.contains(&Fault::Loading) {
            true => Fault::Loading,
            false => faults.into_iter().next().unwrap_or(Fault::Refused(said)),
        }
    }
}
