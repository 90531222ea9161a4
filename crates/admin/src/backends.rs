//! The backend tree over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use waypost_backend::{Explanation, Report};

use crate::asked::{Asked, Questions};
use crate::problem::Problem;
use crate::routes::read_url;
use crate::state::{Admin, blocking};

pub(crate) async fn list(State(admin): State<Arc<Admin>>) -> Result<Json<Report>, Problem> {
    let router = admin.router();
    blocking(move || Ok(Json(router.backends()))).await
}

pub(crate) async fn explain(
    State(admin): State<Arc<Admin>>,
    questions: Questions,
) -> Result<Json<Explanation>, Problem> {
    let asked = Asked::read(questions)?;
    let router = admin.router();
    blocking(move || {
        let url = read_url(&asked)?;
        Ok(Json(router.explain(&asked.sketch(&url))))
    })
    .await
}
