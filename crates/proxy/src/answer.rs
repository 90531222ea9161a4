//! Answers that are made here: what is wrong, in a line of text.

use http::StatusCode;
use waypost_backend::{Failure, FailureKind, Response};
use waypost_http1::{Name, RequestError};

/// The answer to a request that was not taken.
pub(crate) fn to_refused(error: RequestError) -> Response {
    Response::text(error.status(), format!("waypost: {error}"))
}

/// The answer when the backend has none.
///
/// A client is told what kind of thing went wrong; addresses and details are for the log.
pub(crate) fn to_failure(failure: &Failure) -> Response {
    let status = failure.status();
    let mut retry_after = 1;
    let text = match &failure.kind {
        FailureKind::Connect { .. } => "waypost: no connection to the server could be had",
        FailureKind::Closed { .. } => "waypost: the server closed the connection before it answered",
        FailureKind::Timeout { .. } | FailureKind::Late { .. } => {
            "waypost: the server did not answer in time"
        }
        FailureKind::Malformed { .. } | FailureKind::Protocol { .. } => {
            "waypost: the server's answer was not valid HTTP"
        }
        FailureKind::RequestBody(_) => "waypost: the request's body could not be read",
        FailureKind::Handler { .. } => "waypost: internal error",
        FailureKind::Unresolved { .. } | FailureKind::Unavailable { .. } => {
            "waypost: no server is available for this request"
        }
        FailureKind::Down { cluster, retry_after: pause } => {
            retry_after = pause.as_millis().div_ceil(1000).max(1);
            &format!("waypost: all members of {cluster} are down")
        }
    };
    let mut response = Response::text(status, text);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.add(Name::RetryAfter, retry_after.to_string().as_bytes());
    }
    response
}

/// The answer after a panic, which is ours to mend.
pub(crate) fn to_panic() -> Response {
    Response::text(StatusCode::INTERNAL_SERVER_ERROR, "waypost: internal error")
}
