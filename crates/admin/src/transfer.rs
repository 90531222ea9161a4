//! Whole tables in and out, as JSON lines. Neither direction holds the text of a table in memory.

use std::io::BufReader;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use waypost_table::transfer::{self, ImportError};
use waypost_table::{ImportMode, Imported};

use crate::pipe;
use crate::problem::Problem;
use crate::remap::need_entries;
use crate::state::{Admin, blocking};

/// The longest import, in bytes: some ten million instances.
const MAX_IMPORT: u64 = 2 << 30;

#[derive(Deserialize)]
pub(crate) struct ImportQuery {
    #[serde(default)]
    mode: ImportMode,
}

pub(crate) async fn import(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<ImportQuery>, QueryRejection>,
    body: Body,
) -> Result<Json<Imported>, Problem> {
    let Query(ImportQuery { mode }) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    need_entries(&admin)?;
    let place = admin.transfers().acquire_owned().await;
    let store = admin.store();
    let (feed, reader) = pipe::reader_of(body, MAX_IMPORT);
    let import = blocking(move || {
        let entries = transfer::import(BufReader::with_capacity(64 << 10, reader)).map_err(unreadable)?;
        let imported = store.import(entries, mode)?;
        drop(place);
        Ok(Json(imported))
    });
    let ((), imported) = futures_util::future::join(feed, import).await;
    imported
}

fn unreadable(error: ImportError) -> Problem {
    match error {
        ImportError::Lines { named, count } => {
            let first = named.first().map(ToString::to_string).unwrap_or_default();
            let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
            Problem::invalid(format!("nothing was imported: {first}{more}"))
                .with_errors(named.iter().map(ToString::to_string).collect())
        }
        ImportError::Read(_) => Problem::bad_request(error.to_string()),
    }
}

pub(crate) async fn export(State(admin): State<Arc<Admin>>) -> Result<Response, Problem> {
    need_entries(&admin)?;
    let snapshot = admin.table().snapshot();
    let place = admin.transfers().acquire_owned().await;
    let body = pipe::body_of(move |out| {
        let written = transfer::export(&snapshot, out);
        drop(place);
        written
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}
