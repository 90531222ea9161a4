//! A backend that does not begin its answer in time is given up; one that has begun may go on.

use std::time::Duration;

use waypost_tests::{Router, Upstream, answer};

fn router(server: &Upstream, after: &str, entry: &str) -> Router {
    Router::with()
        .flag("--workers", 1)
        .config(format!(
            "entry = \"{entry}\"\n[backend.limit]\ntype = \"timeout\"\nbackend = \"server\"\nafter = \"{after}\"\n\
             [backend.server]\ntype = \"client\"\nurl = \"http://{}\"\n",
            server.address()
        ))
        .start()
}

#[test]
fn a_backend_that_is_silent_is_given_up_and_named() {
    let server = Upstream::start(|peer| {
        peer.request()?;
        peer.hang()
    });
    let router = router(&server, "100ms", "limit");
    for request in ["GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nContent-Length: 4\r\n"] {
        let body = if request.starts_with("POST") { "body" } else { "" };
        let response = router.connect().exchange(format!("{request}Host: h.test\r\n\r\n{body}"));
        assert_eq!(response.status, 504);
    }
    let log = router.data().join("access.json");
    waypost_tests::eventually("the log names the backend", || {
        let lines = std::fs::read_to_string(&log).unwrap_or_default();
        lines.contains("the backend server did not answer within 100ms").then_some(())
    });
}

#[test]
fn an_answer_that_has_begun_may_take_as_long_as_it_likes() {
    let server = Upstream::start(|peer| {
        peer.request()?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")?;
        peer.pause(Duration::from_millis(600));
        peer.send("half")
    });
    assert_eq!(router(&server, "100ms", "limit").connect().get("h.test", "/").text(), "halfhalf");
}

#[test]
fn an_answer_in_time_passes_untouched() {
    let server = Upstream::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\nSum: 1\r\n\r\n",
    );
    let router = router(&server, "1h", "limit");
    let mut client = router.connect();
    let response = client.get("h.test", "/");
    assert_eq!((response.status, response.text().as_str(), response.interim.len()), (200, "hi", 1));
    assert_eq!(response.trailers.get("sum"), Some("1"));
    client.get("h.test", "/");
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_backend_that_is_late_is_tried_again_by_a_retry_above_it() {
    let server = Upstream::start(|peer| {
        if peer.index() == 0 {
            return peer.hang();
        }
        let request = peer.request()?;
        peer.send(answer(200, &request.body))
    });
    let router = Router::with()
        .flag("--workers", 1)
        .config(format!(
            "entry = \"again\"\n[backend.again]\ntype = \"retry\"\nbackend = \"limit\"\n\
             [backend.limit]\ntype = \"timeout\"\nbackend = \"server\"\nafter = \"100ms\"\n\
             [backend.server]\ntype = \"client\"\nurl = \"http://{}\"\n",
            server.address()
        ))
        .start();
    let response =
        router.connect().exchange("PUT / HTTP/1.1\r\nHost: h.test\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!((response.status, response.text().as_str()), (200, "body"));
}
