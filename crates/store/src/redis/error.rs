//! What an error of Redis means for whoever asked.

use redis::{ErrorKind, RedisError};

use crate::error::StoreError;

/// The meaning of an error.
pub(super) fn meaning(error: &RedisError, sizes: (usize, usize)) -> StoreError {
    let said = said(error);
    match error.kind() {
        ErrorKind::AuthenticationFailed => return StoreError::Auth(said),
        ErrorKind::InvalidClientConfig => return StoreError::Setup(said),
        ErrorKind::Io if error.is_connection_refusal() => return StoreError::Unreachable(said),
        ErrorKind::Io if said.contains("lookup address") => return StoreError::Lookup(said),
        ErrorKind::Io => return StoreError::Lost(said),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            return StoreError::Protocol("its reply can't be read");
        }
        _ => {}
    }
    match error.code() {
        Some("WRONGTYPE") => StoreError::OtherKind("WRONGTYPE".to_owned()),
        Some("WPNOTANUMBER") => StoreError::NotANumber,
        Some("NOAUTH" | "WRONGPASS") => StoreError::Auth(said),
        Some("NOPERM") => StoreError::Refused(said),
        _ if said.contains("exceeds maximum allowed size") => {
            StoreError::TooLarge { store: "Redis".to_owned(), size: sizes.0, limit: sizes.1 }
        }
        _ => StoreError::Busy(said),
    }
}

/// Whether the connection is of no use after it, or leads to the wrong server.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_connection_dropped()
        || matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN"))
}

/// The error in the server's words, or the library's.
fn said(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some("ERR"), Some(detail)) => detail.to_owned(),
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}
