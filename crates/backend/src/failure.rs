//! Why a backend has no response.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use waypost_http1::ResponseError;

use crate::body::BodyError;

/// A request that got no response.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct Failure {
    /// What happened.
    pub kind: FailureKind,
    /// Whether any of the request may have been acted upon: if not, it can be sent again whatever it is.
    pub sent: bool,
}

/// What happened to a request that got no response.
#[derive(Debug, thiserror::Error)]
pub enum FailureKind {
    /// No connection could be had.
    #[error("connecting to {address} failed: {error}")]
    Connect {
        /// To whom.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// A server's name has no addresses, as far as anybody could say.
    #[error("the name {host} could not be resolved: {error}")]
    Unresolved {
        /// The name.
        host: String,
        /// Why.
        error: String,
    },
    /// The connection ended before any of the response had come.
    #[error("{address} closed the connection before it answered: {error}")]
    Closed {
        /// Whose connection.
        address: SocketAddr,
        /// How.
        error: io::Error,
    },
    /// The response did not begin in time.
    #[error("{address} did not answer in time")]
    Timeout {
        /// Who.
        address: SocketAddr,
    },
    /// What came is no response that could be passed on.
    #[error("{address} answered with something that is no valid response: {error}")]
    Malformed {
        /// Who.
        address: SocketAddr,
        /// What is wrong with it.
        error: ResponseError,
    },
    /// The upstream changed the protocol without being asked, or never came to the final response.
    #[error("{address} broke the protocol: {what}")]
    Protocol {
        /// Who.
        address: SocketAddr,
        /// How.
        what: &'static str,
    },
    /// The request's body could not be read.
    #[error(transparent)]
    RequestBody(BodyError),
    /// Something other than a server took longer than it may.
    #[error("{what}")]
    Late {
        /// What took how long.
        what: String,
    },
    /// A handler inside this process failed.
    #[error("{what}")]
    Handler {
        /// Which one, and how.
        what: String,
    },
    /// None of a cluster's members takes requests.
    #[error("all members of {cluster} are down")]
    Down {
        /// The cluster's name.
        cluster: String,
        /// After this it is worth trying again.
        retry_after: Duration,
    },
    /// Nobody is there to ask.
    #[error("{what}")]
    Unavailable {
        /// Who is not there.
        what: String,
    },
}

impl Failure {
    /// A failure before anything of the request was sent.
    pub fn unsent(kind: FailureKind) -> Failure {
        Failure { kind, sent: false }
    }

    /// A failure after some of the request may have been acted upon.
    pub fn sent(kind: FailureKind) -> Failure {
        Failure { kind, sent: true }
    }

    /// The status a client is answered with.
    pub fn status(&self) -> StatusCode {
        match &self.kind {
            FailureKind::Connect { error, .. } if error.kind() == io::ErrorKind::TimedOut => {
                StatusCode::GATEWAY_TIMEOUT
            }
            FailureKind::Connect { .. }
            | FailureKind::Closed { .. }
            | FailureKind::Malformed { .. }
            | FailureKind::Protocol { .. } => StatusCode::BAD_GATEWAY,
            FailureKind::Timeout { .. } | FailureKind::Late { .. } => StatusCode::GATEWAY_TIMEOUT,
            FailureKind::Handler { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            FailureKind::RequestBody(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            FailureKind::RequestBody(BodyError::ClientTimeout) => StatusCode::REQUEST_TIMEOUT,
            FailureKind::RequestBody(BodyError::ClientClosed | BodyError::ClientMalformed(_)) => {
                StatusCode::BAD_REQUEST
            }
            FailureKind::RequestBody(_) => StatusCode::BAD_GATEWAY,
            FailureKind::Unresolved { .. } | FailureKind::Down { .. } | FailureKind::Unavailable { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}
