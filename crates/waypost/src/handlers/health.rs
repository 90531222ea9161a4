//! `health`: whether the router can take requests, for whoever stands in front of it. It says what `/readyz` of
//! the admin API says, at a place that needs no admin API.

use http::StatusCode;

use super::{Answer, View, text};

pub(super) fn answer(view: &View) -> Answer {
    if view.life.is_draining() {
        text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if !view.table.status().loaded {
        text(StatusCode::SERVICE_UNAVAILABLE, "the route table has not been read yet\n")
    } else {
        text(StatusCode::OK, "ok\n")
    }
}
