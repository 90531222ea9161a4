//! What the API is made of: the table's store, the router behind it, and who may use it.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Router as Service, middleware};
use tokio::sync::Semaphore;
use waypost_table::{RemapTable, Table, TableStore};

use crate::guard::guard;
use crate::problem::Problem;
use crate::router::{Router, VersionSets};
use crate::{backends, health, index, metrics, remap, routes, transfer};

/// The longest body of a request that is taken whole. An import is not: it is read as it arrives.
const MAX_BODY: usize = 8 << 20;

/// So many listings, imports and exports are made at once; more wait.
const MAX_TRANSFERS: usize = 4;

/// The admin API, before it is served.
pub struct Admin {
    store: Arc<dyn TableStore>,
    router: Arc<dyn Router>,
    sets: Option<Arc<dyn VersionSets>>,
    token: Option<String>,
    transfers: Arc<Semaphore>,
}

impl Admin {
    /// The API of this table and router, for loopback: anyone on this machine may use it.
    pub fn new(store: Arc<dyn TableStore>, router: Arc<dyn Router>) -> Self {
        Self { store, router, sets: None, token: None, transfers: Arc::new(Semaphore::new(MAX_TRANSFERS)) }
    }

    /// Takes requests from whoever has the token, and from nobody else.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Keeps the version types of workspaces, applications and versions here. Without, adding one is an error.
    #[must_use]
    pub fn with_sets(mut self, sets: Arc<dyn VersionSets>) -> Self {
        self.sets = Some(sets);
        self
    }

    pub(crate) fn store(&self) -> Arc<dyn TableStore> {
        Arc::clone(&self.store)
    }

    pub(crate) fn table(&self) -> &Arc<Table> {
        self.store.table()
    }

    /// The table, if it holds routes by URL.
    pub(crate) fn remap(&self) -> Option<Arc<RemapTable>> {
        self.store().remap()
    }

    pub(crate) fn router(&self) -> Arc<dyn Router> {
        Arc::clone(&self.router)
    }

    pub(crate) fn sets(&self) -> Option<Arc<dyn VersionSets>> {
        self.sets.clone()
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub(crate) fn transfers(&self) -> Arc<Semaphore> {
        Arc::clone(&self.transfers)
    }

    pub(crate) fn into_service(self) -> Service {
        let admin = Arc::new(self);
        Service::new()
            .route("/", get(index::index))
            .route("/healthz", get(health::alive))
            .route("/readyz", get(health::ready))
            .route("/metrics", get(metrics::metrics))
            .route("/api/v1/table", get(routes::status))
            .route("/api/v1/routes", get(routes::list).post(routes::change))
            .route("/api/v1/routes/{host}", delete(routes::remove))
            .route("/api/v1/remap", get(remap::list).post(remap::change))
            .route("/api/v1/explain", get(routes::explain))
            .route("/api/v1/check", get(routes::check))
            .route("/api/v1/prune", post(routes::prune))
            .route("/api/v1/import", post(transfer::import).layer(DefaultBodyLimit::disable()))
            .route("/api/v1/export", get(transfer::export))
            .route("/api/v1/backends", get(backends::list))
            .route("/api/v1/backends/explain", get(backends::explain))
            .fallback(nothing_here)
            .method_not_allowed_fallback(not_so)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(middleware::from_fn_with_state(Arc::clone(&admin), guard))
            .with_state(admin)
    }
}

async fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path: GET / lists what is here")
}

async fn not_so() -> Problem {
    let detail = "this path does not take this method: GET / lists what is here";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// Runs what blocks where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Problem::internal(format!("the request could not be finished: {error}"))),
    }
}
