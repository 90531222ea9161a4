//! Errors as a client of the API sees them: RFC 9457, problem details for HTTP APIs.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use waypost_table::StoreError;

/// What could not be done, and why. The kind of problem is its status alone: `type` is `about:blank`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The status, as in the response's head.
    pub status: u16,
    /// The status in words.
    pub title: String,
    /// What happened, where, and what to do: one line for people.
    pub detail: String,
    /// Each single thing that is wrong, where there can be several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

impl Problem {
    /// A problem with this status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Unknown").to_owned();
        Self { status: status.as_u16(), title, detail: detail.into(), errors: Vec::new() }
    }

    /// The request itself is wrong (400).
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The request is well-formed, and what it asks for is not valid (422).
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// What happened is not the client's doing (500); said in the log as well.
    pub fn internal(detail: impl Into<String>) -> Self {
        let detail = detail.into();
        tracing::error!(%detail, "an admin request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// With each single thing that is wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<String>) -> Self {
        self.errors = errors;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Invalid(_) => Self::invalid(detail),
            StoreError::ReadOnly { .. } | StoreError::ByUrl { .. } | StoreError::ByHost { .. } => {
                Self::new(StatusCode::CONFLICT, detail)
            }
            StoreError::Closed | StoreError::Remote { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
            StoreError::InUse { .. }
            | StoreError::Access { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Format { .. }
            | StoreError::Write { .. }
            | StoreError::File { .. } => Self::internal(detail),
        }
    }
}
