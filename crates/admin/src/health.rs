//! `/healthz` and `/readyz`: whether the process lives, and whether it can route.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use waypost_table::TableStatus;

use crate::state::Admin;

/// Whether the router can take requests, and what stands in the way.
#[derive(Debug, Clone, Serialize)]
pub struct Readiness {
    /// Whether it can.
    pub ready: bool,
    /// Whether it is on its way out: requests in flight finish, new connections are not taken.
    pub draining: bool,
    /// The table, with its age: it is routed by for as long as it was read once, however old.
    pub table: TableStatus,
}

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, Json<Readiness>) {
    let table = admin.table().status();
    let draining = admin.router().is_draining();
    let ready = table.loaded && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, draining, table }))
}
