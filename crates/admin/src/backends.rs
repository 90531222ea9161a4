//! The backend tree over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use waypost_backend::{Explanation, Report};

use crate::problem::Problem;
use crate::routes::{UrlQuery, explain_backends, explain_table};
use crate::state::{Admin, blocking};

pub(crate) async fn list(State(admin): State<Arc<Admin>>) -> Result<Json<Report>, Problem> {
    let router = admin.router();
    blocking(move || Ok(Json(router.backends()))).await
}

pub(crate) async fn explain(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<UrlQuery>, QueryRejection>,
) -> Result<Json<Explanation>, Problem> {
    let Query(UrlQuery { url }) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let (snapshot, router) = (admin.table().snapshot(), admin.router());
    blocking(move || {
        let table = explain_table(&snapshot, &url, &*router)?;
        Ok(Json(explain_backends(&table, &url, &*router)?))
    })
    .await
}
