//! A memcached table over HTTP: what the router knows of it, and changes. It holds routes by URL, so the
//! requests about hosts don't fit it; which of them do is in each of these.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use waypost_table::remap::{KnownRoute, RemapChange};
use waypost_table::{Outcome, StoreError};

use crate::problem::Problem;
use crate::state::{Admin, blocking};

/// How long the changes of one request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What `POST /api/v1/remap` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemapChangeRequest {
    /// Changes of the table, made one after the other.
    pub changes: Vec<RemapChange>,
}

/// What `POST /api/v1/remap` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemapApplied {
    /// What became of each change, in their order.
    pub outcomes: Vec<Outcome>,
}

/// What `GET /api/v1/remap` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownRoutes {
    /// The decisions that are cached, sorted by key. The table may hold more.
    pub known: Vec<KnownRoute>,
}

pub(crate) async fn list(State(admin): State<Arc<Admin>>) -> Result<Json<KnownRoutes>, Problem> {
    let table = admin.remap().ok_or_else(|| by_host(&admin))?;
    blocking(move || Ok(Json(KnownRoutes { known: table.known() }))).await
}

pub(crate) async fn change(
    State(admin): State<Arc<Admin>>,
    request: Request,
) -> Result<Json<RemapApplied>, Problem> {
    let table = admin.remap().ok_or_else(|| by_host(&admin))?;
    let body = match timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(body) => body.map_err(|error| Problem::new(error.status(), error.body_text()))?,
        Err(_) => {
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the changes did not arrive in time"));
        }
    };
    let request: RemapChangeRequest = serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid(format!("the changes can't be read: {error}")))?;
    blocking(move || Ok(Json(RemapApplied { outcomes: table.change(request.changes)? }))).await
}

/// Refuses what needs the entries of a table, where there are none to be had.
pub(crate) fn need_entries(admin: &Admin) -> Result<(), Problem> {
    match admin.remap() {
        None => Ok(()),
        Some(_) => Err(StoreError::ByUrl { store: admin.table().status().location }.into()),
    }
}

fn by_host(admin: &Admin) -> Problem {
    StoreError::ByHost { store: admin.table().status().location }.into()
}
