//! Connections on both sides: kept alive, pipelined, used again, and tried once more when one closes as it
//! is picked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use waypost_tests::{Router, Upstream, answer, eventually};

/// One worker, so that one pool decides.
fn site(upstream: Upstream) -> (Router, Upstream) {
    let router = Router::with().flag("--workers", 1).start();
    router.route("c.test", &upstream);
    (router, upstream)
}

/// Answers each request with its own target.
fn target_echo() -> Upstream {
    Upstream::serving(|request| answer(200, &request.target))
}

#[test]
fn a_client_connection_serves_many_requests() {
    let (router, _upstream) = site(target_echo());
    let mut client = router.connect();
    for number in 0..200 {
        assert_eq!(client.get("c.test", &format!("/{number}")).text(), format!("/{number}"));
    }
}

#[test]
fn close_is_honoured_and_said() {
    let (router, _upstream) = site(target_echo());
    let mut client = router.connect();
    let response = client.exchange("GET /a HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n");
    assert_eq!(response.text(), "/a");
    let connection = response.fields.get("connection").unwrap_or_default();
    assert!(connection.eq_ignore_ascii_case("close"), "{response:?}");
    assert!(client.is_closed_by_peer().unwrap());
}

#[test]
fn an_upstream_that_closes_does_not_close_the_client() {
    let (router, upstream) = site(Upstream::start(|peer| {
        let request = peer.request()?;
        let length = request.target.len();
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{}",
            request.target
        ))
    }));
    let mut client = router.connect();
    for number in 0..5 {
        let response = client.get("c.test", &format!("/{number}"));
        assert_eq!(response.text(), format!("/{number}"));
        assert!(!response.fields.has("connection"), "{response:?}");
    }
    assert_eq!(upstream.connections(), 5);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (router, _upstream) = site(target_echo());
    let mut client = router.connect();
    let requests: String =
        (0..100).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: c.test\r\n\r\n")).collect();
    client.send(requests).unwrap();
    for number in 0..100 {
        assert_eq!(client.read_response("GET").unwrap().text(), format!("/{number}"));
    }
}

#[test]
fn pipelined_requests_with_bodies_stay_apart() {
    let (router, upstream) = site(Upstream::echo());
    let mut client = router.connect();
    let chunked =
        "POST / HTTP/1.1\r\nHost: c.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n";
    let length = "POST / HTTP/1.1\r\nHost: c.test\r\nContent-Length: 3\r\n\r\none";
    let get = "GET / HTTP/1.1\r\nHost: c.test\r\n\r\n";
    client.send([length, chunked, get, length].concat()).unwrap();
    for expected in ["one", "two", "", "one"] {
        assert_eq!(client.read_response("POST").unwrap().text(), expected);
    }
    assert_eq!(upstream.requests().len(), 4);
}

#[test]
fn upstream_connections_are_used_again_across_clients() {
    let (router, upstream) = site(target_echo());
    for number in 0..50 {
        assert_eq!(router.connect().get("c.test", &format!("/{number}")).status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_connection_is_not_used_again_before_its_response_has_ended() {
    let (router, upstream) = site(Upstream::start(|peer| {
        loop {
            let request = peer.request()?;
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")?;
            if request.target == "/slow" {
                return peer.hang();
            }
            peer.send("0\r\n\r\n")?;
        }
    }));
    let mut slow = router.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: c.test\r\n\r\n").unwrap();
    slow.read_response_head("GET").unwrap();
    assert_eq!(router.connect().get("c.test", "/quick").text(), "a");
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn a_client_that_leaves_takes_its_upstream_connection_with_it() {
    let left = Arc::new(AtomicUsize::new(0));
    let seen = left.clone();
    let (router, _upstream) = site(Upstream::start(move |peer| {
        peer.request()?;
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")?;
        let end = peer.hang();
        seen.fetch_add(1, Ordering::SeqCst);
        end
    }));
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: c.test\r\n\r\n").unwrap();
    client.read_response_head("GET").unwrap();
    drop(client);
    eventually("the upstream's connection to be closed", || (left.load(Ordering::SeqCst) == 1).then_some(()));
}

/// An upstream whose first connection answers one request and then closes on the next one it gets, without
/// a byte of a response.
fn closes_when_picked() -> Upstream {
    Upstream::start(|peer| {
        if peer.index() > 0 {
            loop {
                let request = peer.request()?;
                peer.send(answer(200, &request.method))?;
            }
        }
        peer.request()?;
        peer.send(answer(200, "first"))?;
        // Closed with the request in it.
        peer.read_request_head().map(|_| ())
    })
}

#[test]
fn an_idempotent_request_is_tried_again_when_its_pooled_connection_closes() {
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let (router, upstream) = site(closes_when_picked());
        let mut client = router.connect();
        assert_eq!(client.get("c.test", "/").text(), "first", "{method}");
        let response = client.exchange(format!("{method} / HTTP/1.1\r\nHost: c.test\r\n\r\n"));
        assert_eq!(response.status, 200, "{method}");
        assert_eq!(upstream.connections(), 2, "{method}");
    }
}

#[test]
fn a_post_that_was_sent_is_not_sent_twice() {
    for request in [
        "POST /once HTTP/1.1\r\nHost: c.test\r\nContent-Length: 4\r\n\r\nbody",
        "POST /once HTTP/1.1\r\nHost: c.test\r\nContent-Length: 0\r\n\r\n",
        "PATCH /once HTTP/1.1\r\nHost: c.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ] {
        let (router, upstream) = site(closes_when_picked());
        let mut client = router.connect();
        assert_eq!(client.get("c.test", "/").text(), "first");
        assert_eq!(client.exchange(request).status, 502, "{request:?}");
        let received = String::from_utf8_lossy(&upstream.received()).into_owned();
        assert_eq!(received.matches("/once").count(), 1, "{received}");
    }
}

#[test]
fn a_pooled_connection_that_was_closed_before_costs_no_request() {
    let mut upstream = target_echo();
    let router = Router::with().flag("--workers", 1).start();
    router.route("c.test", &upstream);
    let mut client = router.connect();
    for round in 0..10 {
        assert_eq!(client.get("c.test", "/get").text(), "/get", "round {round}");
        upstream.stop();
        upstream.resume();
        // Even a POST: the router sees that the connection has ended, and has sent nothing.
        let post = "POST /post HTTP/1.1\r\nHost: c.test\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(client.exchange(post).text(), "/post", "round {round}");
    }
}

#[test]
fn a_request_is_not_tried_again_once_its_response_has_begun() {
    let (router, upstream) = site(Upstream::start(|peer| {
        peer.request()?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    }));
    assert!(router.connect().try_exchange("GET / HTTP/1.1\r\nHost: c.test\r\n\r\n").is_err());
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn many_clients_at_once_get_their_own_answers() {
    let upstream = target_echo();
    let router = Router::start();
    router.route("c.test", &upstream);
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let router = &router;
            scope.spawn(move || {
                let mut client = router.connect();
                for number in 0..100 {
                    let target = format!("/{thread}/{number}");
                    assert_eq!(client.get("c.test", &target).text(), target);
                }
            });
        }
    });
}

/// As with nginx: who still wants an answer keeps its side open.
#[test]
fn a_client_that_ends_its_side_while_it_waits_has_gone_and_is_logged_as_499() {
    let left = Arc::new(AtomicUsize::new(0));
    let seen = left.clone();
    let (router, _upstream) = site(Upstream::start(move |peer| {
        peer.request()?;
        let end = peer.hang();
        seen.fetch_add(1, Ordering::SeqCst);
        end
    }));
    let mut client = router.connect();
    client.send("GET /gone HTTP/1.1\r\nHost: c.test\r\n\r\n").unwrap();
    client.finish();
    eventually("the upstream's connection to be closed", || (left.load(Ordering::SeqCst) == 1).then_some(()));
    let line = eventually("the request to be in the access log", || {
        let log = std::fs::read_to_string(router.data().join("access.json")).ok()?;
        log.lines().find(|line| line.contains("\"/gone\"")).map(str::to_owned)
    });
    let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
    assert_eq!((&line["code"], &line["bytes"]), (&499.into(), &0.into()), "{line}");
}
