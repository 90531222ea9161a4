//! `/metrics`: numbers for Prometheus, in the OpenMetrics text format.
//!
//! Taken when they are asked for: what is counted is counted elsewhere, and costs nothing here.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use waypost_backend::Report;
use waypost_table::TableStatus;

use crate::problem::Problem;
use crate::state::Admin;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let mut registry = Registry::with_prefix("waypost");
    table(&mut registry, &admin.table().status());
    backends(&mut registry, &admin.router().backends());
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            let detail = format!("the metrics can't be written: {error}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
        }
    }
}

/// What is held of the backends that are probed, each once however many clusters have it.
fn backends(registry: &mut Registry, tree: &Report) {
    let up = Family::<[(&str, String); 1], Gauge>::default();
    let changes = Family::<[(&str, String); 1], Counter>::default();
    let (mut open, mut seen) = (vec![tree], BTreeSet::new());
    while let Some(backend) = open.pop() {
        open.extend(&backend.children);
        let Some(health) = &backend.health else { continue };
        if seen.insert(&backend.name) {
            let label = [("backend", backend.name.clone())];
            up.get_or_create(&label).set(i64::from(backend.up));
            changes.get_or_create(&label).inc_by(health.changes);
        }
    }
    registry.register("backend_up", "1 while a backend that is probed takes requests", up);
    registry.register(
        "backend_health_changes",
        "How many times a backend that is probed has gone down or come up again",
        changes,
    );
}

fn table(registry: &mut Registry, status: &TableStatus) {
    let mut gauge = |name: &str, help: &str, value: f64| {
        registry.register(name, help, ConstGauge::<f64>::new(value));
    };
    gauge("table_loaded", "1 once the route table has been read", f64::from(u8::from(status.loaded)));
    gauge("table_entries", "Entries of the route table", status.entries as f64);
    gauge("table_instances", "Instances of all entries", status.instances as f64);
    gauge("table_serial", "The table's serial", status.serial as f64);
    gauge(
        "table_skipped",
        "Members and keys of the store that are malformed and left out",
        status.skipped as f64,
    );
    if let Some(age) = status.age {
        gauge("table_age_seconds", "How long ago the table was last known to agree with its store", age);
    }
    if let Some(following) = &status.following {
        let connected = f64::from(u8::from(following.connected));
        gauge("table_store_connected", "1 while the table's store is there", connected);
        if let Some(cached) = following.cached {
            let help = "Keys of the table whose decision is cached";
            registry.register("table_cached", help, ConstGauge::<f64>::new(cached as f64));
        }
        registry.register(
            "table_repaired",
            "Changes that the store did not tell of, found by comparing",
            ConstCounter::<u64>::new(following.repaired),
        );
    }
}
