//! Retries: what is tried again and what is not, with which body, and how many at the most.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use waypost_tests::{Port, Router, Upstream, answer};

fn router(url: impl std::fmt::Display, keys: &str) -> Router {
    Router::with()
        .flag("--workers", 1)
        .config(format!(
            "entry = \"again\"\n[backend.again]\ntype = \"retry\"\nbackend = \"server\"\nbackoff = \"1ms\"\n{keys}\n\
             [backend.server]\ntype = \"client\"\nurl = \"http://{url}\"\n"
        ))
        .start()
}

/// A server that answers 503 to the first `failures` requests, and from then on sends bodies back.
fn failing(failures: usize) -> Upstream {
    let seen = Arc::new(AtomicUsize::new(0));
    Upstream::serving(move |request| match seen.fetch_add(1, SeqCst) < failures {
        true => answer(503, "busy"),
        false => answer(200, &request.body),
    })
}

fn with_body(method: &str, length: usize) -> String {
    format!("{method} / HTTP/1.1\r\nHost: h.test\r\nContent-Length: {length}\r\n\r\n{}", "b".repeat(length))
}

#[test]
fn a_request_is_tried_again_with_its_whole_body_over_the_same_connection() {
    let server = failing(2);
    let router = router(server.address(), "");
    let response = router.connect().exchange(with_body("PUT", 200_000));
    assert_eq!((response.status, response.body.len()), (200, 200_000));
    assert_eq!((server.requests().len(), server.connections()), (3, 1));
    assert!(server.requests().iter().all(|request| request.body.len() == 200_000));
}

#[test]
fn after_the_last_try_the_answer_stands() {
    let server = failing(usize::MAX);
    let router_ = router(server.address(), "tries = 4");
    let response = router_.connect().get("h.test", "/");
    assert_eq!((response.status, response.text().as_str()), (503, "busy"));
    assert_eq!(server.requests().len(), 4);
    let once = router(server.address(), "tries = 1");
    assert_eq!(once.connect().get("h.test", "/").status, 503);
    assert_eq!(server.requests().len(), 5);
}

#[test]
fn a_method_that_is_not_idempotent_is_sent_once_unless_told_otherwise() {
    for (method, keys, tries) in [
        ("POST", "", 1),
        ("PATCH", "", 1),
        ("DELETE", "", 3),
        ("POST", "methods = [\"POST\"]", 3),
        ("PUT", "methods = [\"POST\"]", 1),
        ("PATCH", "any_method = true", 3),
    ] {
        let server = failing(usize::MAX);
        let router = router(server.address(), keys);
        assert_eq!(router.connect().exchange(with_body(method, 10)).status, 503);
        assert_eq!(server.requests().len(), tries, "{method} with {keys:?}");
    }
}

#[test]
fn an_answer_that_is_none_of_those_stands() {
    let server = Upstream::answering(answer(500, "broken"));
    let router_ = router(server.address(), "");
    assert_eq!(router_.connect().get("h.test", "/").status, 500);
    assert_eq!(server.requests().len(), 1);
    let told = router(server.address(), "on = [500]");
    assert_eq!(told.connect().get("h.test", "/").status, 500);
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_connection_cut_before_the_answer_is_tried_again_where_that_does_no_harm() {
    let cut = Arc::new(AtomicUsize::new(0));
    let server = Upstream::start(move |peer| {
        loop {
            let request = peer.request()?;
            if cut.fetch_add(1, SeqCst).is_multiple_of(2) {
                return Ok(());
            }
            peer.send(answer(200, &request.body))?;
        }
    });
    let router = router(server.address(), "");
    assert_eq!(router.connect().exchange(with_body("PUT", 1000)).status, 200);
    assert_eq!(router.connect().exchange(with_body("POST", 1000)).status, 502);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn nobody_there_is_tried_again_for_every_method() {
    let router_ = router(Port::free().address(), "");
    assert_eq!(router_.connect().exchange(with_body("POST", 10)).status, 502);
    assert!(listed(&router_).contains("2 retries"), "{}", listed(&router_));
    let not_told = router(Port::free().address(), "on = [502]");
    assert_eq!(not_told.connect().exchange(with_body("PUT", 10)).status, 502);
    assert!(listed(&not_told).contains("0 retries"), "{}", listed(&not_told));
}

fn listed(router: &Router) -> String {
    router.cli_ok(["backend", "list"]).stdout
}

#[test]
fn past_the_limit_the_answer_in_hand_stands() {
    let server = failing(1);
    let router = router(server.address(), "replay_limit = 1000");
    assert_eq!(router.connect().exchange(with_body("PUT", 1001)).status, 503);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(router.connect().exchange(with_body("PUT", 1001)).status, 200);
}

#[test]
fn an_outage_costs_no_more_than_the_budget() {
    let server = failing(usize::MAX);
    let router = router(server.address(), "tries = 10\nbudget = 10\nbudget_minimum = 0");
    let mut client = router.connect();
    for _ in 0..100 {
        assert_eq!(client.get("h.test", "/").status, 503);
    }
    // Ten to begin with, and one for each ten requests; the first finds the budget full.
    assert_eq!(server.requests().len(), 100 + 10 + 9);
    assert!(listed(&router).contains("19 retries"), "{}", listed(&router));
}
