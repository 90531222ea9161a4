//! The route table over HTTP: what is in it, how it routes, what can't work in it, and changes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use waypost_backend::Explanation as Way;
use waypost_table::check::{self, Connect};
use waypost_table::explain::{self as table_explain, Explanation, Url};
use waypost_table::listing::Listing;
use waypost_table::remap::RemapExplanation;
use waypost_table::{Applied, Change, InstanceRef, Outcome, Pattern, TableStatus, Target, member};

use crate::asked::{Asked, Questions};
use crate::listing::{ListingFormat, write_listing};
use crate::pipe;
use crate::problem::Problem;
use crate::remap::need_entries;
use crate::router::Membership;
use crate::state::{Admin, blocking};

/// How long the changes of one request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What `POST /api/v1/routes` takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest {
    /// Changes of the table: all of them are made, or none.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// Version types for the sets of workspaces, applications and versions. They are added first: a set may
    /// name what no route has yet, and asking again adds nothing twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memberships: Vec<Membership>,
}

/// What `POST /api/v1/prune` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// The table's serial afterwards.
    pub serial: u64,
    /// The instances that did not answer, and are gone.
    pub removed: Vec<PrunedInstance>,
}

impl Pruned {
    /// What became of the removal of these instances, as [`check::prune`] plans it.
    pub fn of(unreachable: Vec<(Pattern, check::Unreachable)>, applied: &Applied) -> Self {
        let gone = unreachable.into_iter().zip(&applied.outcomes);
        let removed =
            gone.filter(|(_, outcome)| **outcome == Outcome::Removed).map(|((host, instance), _)| {
                PrunedInstance { host, address: instance.address, error: instance.error }
            });
        Self { serial: applied.serial, removed: removed.collect() }
    }
}

/// An instance that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunedInstance {
    /// The entry it stood in.
    pub host: Pattern,
    /// Its address.
    pub address: SocketAddr,
    /// Why it did not answer.
    pub error: String,
}

/// What `GET /api/v1/explain` says.
#[derive(Serialize)]
pub(crate) struct Explained {
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<Explanation>,
    /// In place of the above, where the table is in memcached.
    #[serde(skip_serializing_if = "Option::is_none")]
    remap: Option<RemapExplanation>,
    backends: Way,
}

pub(crate) async fn status(State(admin): State<Arc<Admin>>) -> Json<TableStatus> {
    Json(admin.table().status())
}

#[derive(Deserialize)]
pub(crate) struct ListQuery {
    host: Option<String>,
}

/// The listing as one JSON object or, where JSON lines are asked for, in those.
pub(crate) async fn list(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<ListQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    need_entries(&admin)?;
    let (snapshot, router) = (admin.table().snapshot(), admin.router());
    if let Some(host) = query.host {
        let pattern = Pattern::parse(&host).map_err(|error| Problem::bad_request(error.to_string()))?;
        let health = |instance: &InstanceRef<'_>| Some(router.health(instance));
        return Ok(Json(Listing::of_host(&snapshot, pattern.as_str(), health)).into_response());
    }
    let accepts = headers.get(header::ACCEPT).and_then(|field| field.to_str().ok()).unwrap_or_default();
    let (kind, format) = match accepts.contains("application/x-ndjson") {
        true => ("application/x-ndjson", ListingFormat::Lines),
        false => ("application/json", ListingFormat::Object),
    };
    let place = admin.transfers().acquire_owned().await;
    let body = pipe::body_of(move |out| {
        let health = |instance: &InstanceRef<'_>| Some(router.health(instance));
        let written = write_listing(out, &snapshot, format, health);
        drop(place);
        written
    });
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}

pub(crate) async fn change(
    State(admin): State<Arc<Admin>>,
    request: Request,
) -> Result<Json<Applied>, Problem> {
    let body = match timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(body) => body.map_err(|error| Problem::new(error.status(), error.body_text()))?,
        Err(_) => {
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the changes did not arrive in time"));
        }
    };
    let request: ChangeRequest = serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid(format!("the changes can't be read: {error}")))?;
    for membership in &request.memberships {
        membership.check().map_err(Problem::invalid)?;
    }
    let (store, sets) = (admin.store(), admin.sets());
    let applied = blocking(move || {
        if !request.memberships.is_empty() {
            let sets = sets.ok_or_else(|| Problem::invalid("this router keeps no sets of version types"))?;
            sets.add(&request.memberships).map_err(|error| Problem::internal(error.to_string()))?;
        }
        Ok(store.apply(request.changes)?)
    });
    Ok(Json(applied.await?))
}

#[derive(Deserialize)]
pub(crate) struct RemoveQuery {
    address: Option<String>,
    backend: Option<String>,
}

pub(crate) async fn remove(
    State(admin): State<Arc<Admin>>,
    host: Result<Path<String>, PathRejection>,
    query: Result<Query<RemoveQuery>, QueryRejection>,
) -> Result<Json<Applied>, Problem> {
    let Path(host) = host.map_err(|error| Problem::bad_request(error.body_text()))?;
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let host = Pattern::parse(&host).map_err(|error| Problem::bad_request(error.to_string()))?;
    let target = match (query.address, query.backend) {
        (None, None) => None,
        (Some(address), None) => {
            let address =
                member::parse_address(&address).map_err(|error| Problem::bad_request(error.to_string()))?;
            Some(Target::Address(address))
        }
        (None, Some(name)) => Some(Target::Backend(name)),
        (Some(_), Some(_)) => return Err(Problem::bad_request("give an address or a backend, not both")),
    };
    let change = match target {
        Some(target) => Change::RemoveInstance { host, target },
        None => Change::RemoveEntry { host },
    };
    let store = admin.store();
    Ok(Json(blocking(move || Ok(store.apply(vec![change])?)).await?))
}

pub(crate) async fn explain(
    State(admin): State<Arc<Admin>>,
    questions: Questions,
) -> Result<Json<Explained>, Problem> {
    let asked = Asked::read(questions)?;
    let (snapshot, router) = (admin.table().snapshot(), admin.router());
    blocking(move || {
        let url = read_url(&asked)?;
        let (table, remap) = match admin.remap() {
            Some(remap) => (None, Some(remap.explain(url.scheme, &url.host, url.port)?)),
            None => {
                let health = |instance: &InstanceRef<'_>| router.health(instance);
                let explained = table_explain::explain(&snapshot, &asked.url, health);
                (Some(explained.map_err(|error| Problem::bad_request(error.to_string()))?), None)
            }
        };
        Ok(Json(Explained { table, remap, backends: router.explain(&asked.sketch(&url)) }))
    })
    .await
}

pub(crate) fn read_url(asked: &Asked) -> Result<Url, Problem> {
    Url::parse(&asked.url).map_err(|error| Problem::bad_request(error.to_string()))
}

#[derive(Deserialize)]
pub(crate) struct CheckQuery {
    #[serde(default = "yes")]
    connect: bool,
}

fn yes() -> bool {
    true
}

#[derive(Serialize)]
pub(crate) struct Checked {
    serial: u64,
    problems: Vec<check::Problem>,
}

pub(crate) async fn check(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<CheckQuery>, QueryRejection>,
) -> Result<Json<Checked>, Problem> {
    let Query(CheckQuery { connect }) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let place = admin.transfers().acquire_owned().await;
    blocking(move || {
        let (snapshot, skipped) = (admin.table().snapshot(), admin.table().skipped());
        let connect = connect.then(Connect::default);
        if let Some(remap) = admin.remap() {
            let problems = remap.check(connect.as_ref());
            drop(place);
            return Ok(Json(Checked { serial: 0, problems }));
        }
        let backends = admin.router().backend_names();
        let mut problems = check::check(&snapshot, &skipped, Some(&backends), connect.as_ref());
        problems.extend(check::out_of_step(admin.table()));
        drop(place);
        Ok(Json(Checked { serial: snapshot.serial(), problems }))
    })
    .await
}

/// Takes no body; one that is sent is not read.
pub(crate) async fn prune(State(admin): State<Arc<Admin>>, _body: Body) -> Result<Json<Pruned>, Problem> {
    need_entries(&admin)?;
    let place = admin.transfers().acquire_owned().await;
    blocking(move || {
        let snapshot = admin.table().snapshot();
        let unreachable = check::unreachable(&snapshot, &Connect::default());
        drop(snapshot);
        let applied = admin.store().apply(check::prune(&unreachable))?;
        drop(place);
        Ok(Json(Pruned::of(unreachable, &applied)))
    })
    .await
}
