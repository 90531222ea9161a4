//! Which of several usable instances serves a request. Random choices are counted over many requests and
//! held to bounds that chance does not leave.

use std::collections::BTreeMap;

use waypost_tests::{Router, Upstream, answer};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A router with one worker and three instances for `b.test`.
fn site(config: &str) -> (Router, [Upstream; 3]) {
    let upstreams = NAMES.map(Upstream::named);
    let router = Router::with().config(config).flag("--workers", 1).start();
    for upstream in &upstreams {
        router.route("b.test", upstream);
    }
    (router, upstreams)
}

/// Who serves so many requests of one client.
fn served(router: &Router, count: usize) -> BTreeMap<String, usize> {
    let mut client = router.connect();
    (0..count).fold(BTreeMap::new(), |mut counts, _| {
        *counts.entry(client.get("b.test", "/").text()).or_insert(0) += 1;
        counts
    })
}

#[test]
fn round_robin_takes_each_in_turn() {
    let (router, _upstreams) = site("[table]\nbalance = \"round_robin\"\n");
    let counts = served(&router, 99);
    assert!(NAMES.iter().all(|name| counts[*name] == 33), "{counts:?}");
}

#[test]
fn every_way_but_hash_uses_all_instances() {
    for balance in ["p2c", "random", "round_robin", "least_requests"] {
        let (router, _upstreams) = site(&format!("[table]\nbalance = \"{balance}\"\n"));
        let counts = served(&router, 300);
        // A third each; fewer than 50 of 300 would be seven deviations away.
        assert!(
            NAMES.iter().all(|name| counts.get(*name).is_some_and(|count| *count > 50)),
            "{balance}: {counts:?}"
        );
    }
}

#[test]
fn hash_keeps_a_client_with_its_instance() {
    let (router, mut upstreams) = site("[table]\nbalance = \"hash\"\n");
    let first = router.connect().get("b.test", "/").text();
    for _ in 0..20 {
        assert_eq!(router.connect().get("b.test", "/").text(), first);
    }
    let own = NAMES.iter().position(|name| *name == first).expect("one of them");
    upstreams[own].stop();
    let next = router.connect().get("b.test", "/").text();
    assert_ne!(next, first);
    for _ in 0..20 {
        assert_eq!(router.connect().get("b.test", "/").text(), next);
    }
}

#[test]
fn weights_are_respected() {
    let (light, heavy) = (Upstream::named("light"), Upstream::named("heavy"));
    for balance in ["p2c", "random", "round_robin"] {
        let config = format!("[table]\nbalance = \"{balance}\"\n");
        let router = Router::with().config(config).flag("--workers", 1).start();
        router.route_add("b.test", &[light.address()], &["--weight", "1"]);
        router.route_add("b.test", &[heavy.address()], &["--weight", "9"]);
        let counts = served(&router, 500);
        let of_light = counts.get("light").copied().unwrap_or_default();
        // 50 are expected; far from these bounds by chance alone.
        assert!((5..140).contains(&of_light), "{balance}: {counts:?}");
    }
}

#[test]
fn a_busy_instance_is_spared() {
    for balance in ["p2c", "least_requests"] {
        // Answers to "/hold" begin and never end.
        let holding = |name: &'static str| {
            Upstream::start(move |peer| {
                loop {
                    let request = peer.request()?;
                    if request.target == "/hold" {
                        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                        return peer.hang();
                    }
                    peer.send(answer(200, name))?;
                }
            })
        };
        let (busy, idle) = (holding("busy"), holding("idle"));
        let config = format!("[table]\nbalance = \"{balance}\"\n");
        let router = Router::with().config(config).flag("--workers", 1).start();
        router.route("b.test", &busy);
        let held: Vec<_> = (0..20)
            .map(|_| {
                let mut client = router.connect();
                client.send("GET /hold HTTP/1.1\r\nHost: b.test\r\n\r\n").unwrap();
                client.read_response_head("GET").unwrap();
                client
            })
            .collect();
        router.route("b.test", &idle);
        let counts = served(&router, 100);
        assert_eq!(counts.get("idle"), Some(&100), "{balance}: {counts:?}");
        drop(held);
    }
}

#[test]
fn a_cookie_keeps_a_client_with_its_instance_until_that_is_gone() {
    let config = "[backend.routes]\ntype = \"routes\"\nsticky_cookie = \"stay\"\n";
    let (router, mut upstreams) = site(config);
    let first = router.connect().get("b.test", "/");
    let cookie = first.fields.get("set-cookie").expect("a cookie");
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    assert!(pair.starts_with("stay="), "{cookie}");
    let own = NAMES.iter().position(|name| *name == first.text()).expect("one of them");
    assert!(!cookie.contains(&upstreams[own].address().to_string()), "{cookie}");
    let request = format!("GET / HTTP/1.1\r\nHost: b.test\r\nCookie: x=y; {pair}\r\n\r\n");
    for _ in 0..30 {
        let response = router.connect().exchange(&request);
        assert_eq!(response.text(), first.text());
        assert!(!response.fields.has("set-cookie"), "{response:?}");
    }
    upstreams[own].stop();
    let response = router.connect().exchange(&request);
    assert_eq!(response.status, 200);
    assert_ne!(response.text(), first.text());
    assert!(response.fields.get("set-cookie").is_some_and(|cookie| !cookie.starts_with(&pair)));
}
