//! `status`: how the router is, in numbers. No names and no addresses: it may be looked at from outside.

use serde_json::json;

use super::{Answer, View, json};

pub(super) fn answer(view: &View) -> Answer {
    let table = view.table.status();
    json(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": view.life.age().as_secs(),
        "draining": view.life.is_draining(),
        "table": {
            "loaded": table.loaded,
            "entries": table.entries,
            "instances": table.instances,
        },
        "servers": {
            "known": view.registry.all().len(),
            "down": view.registry.down(),
        },
    }))
}
