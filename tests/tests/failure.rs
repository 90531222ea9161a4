//! Instances that die, refuse, swallow connections, and come back: what a client sees of it is nothing, as
//! long as another instance can serve it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use waypost_tests::{Blackhole, Port, Router, Upstream, answer, eventually};

/// Connecting is given up soon.
const QUICK: &str = "[limits]\nconnect_timeout = \"300ms\"\n";

#[test]
fn an_instance_that_dies_under_load_costs_no_request() {
    let (mut one, two) = (Upstream::named("one"), Upstream::named("two"));
    let router = Router::with().config(QUICK).start();
    router.route_add("d.test", &[one.address(), two.address()], &[]);
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = router.connect();
                while !stop.load(Ordering::SeqCst) {
                    let response = client.get("d.test", "/");
                    assert_eq!(response.status, 200, "after {} requests", served.load(Ordering::SeqCst));
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let more_requests = |count: usize| {
            let goal = served.load(Ordering::SeqCst) + count;
            eventually("requests are served", || (served.load(Ordering::SeqCst) >= goal).then_some(()));
        };
        for _ in 0..5 {
            more_requests(100);
            one.stop();
            more_requests(100);
            one.forget();
            one.resume();
            eventually("the instance that came back is used again", || {
                (!one.requests().is_empty()).then_some(())
            });
        }
        stop.store(true, Ordering::SeqCst);
    });
}

#[test]
fn all_instances_down_is_a_503_until_one_is_back() {
    let (mut one, mut two) = (Upstream::named("one"), Upstream::named("two"));
    let router = Router::with().config(QUICK).start();
    router.route_add("d.test", &[one.address(), two.address()], &[]);
    let mut client = router.connect();
    assert_eq!(client.get("d.test", "/").status, 200);
    one.stop();
    two.stop();
    for _ in 0..10 {
        let response = client.get("d.test", "/");
        assert_eq!(response.status, 503);
        assert!(response.fields.has("retry-after"), "{response:?}");
    }
    two.resume();
    eventually("the instance that came back is used again", || {
        (client.get("d.test", "/").text() == "two").then_some(())
    });
}

#[test]
fn a_refused_connection_is_tried_elsewhere_whatever_the_method() {
    let (fine, refused) = (Upstream::echo(), Port::free());
    let router = Router::start();
    router.route_add("d.test", &[refused.address(), fine.address()], &[]);
    let mut client = router.connect();
    for number in 0..100 {
        let post = "POST / HTTP/1.1\r\nHost: d.test\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(client.exchange(post).text(), "body", "request {number}");
        let chunked =
            "POST / HTTP/1.1\r\nHost: d.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
        assert_eq!(client.exchange(chunked).text(), "body", "request {number}");
    }
}

#[test]
fn a_connection_that_is_never_made_is_tried_elsewhere() {
    let (fine, blackhole) = (Upstream::named("fine"), Blackhole::start());
    let router = Router::with().config(QUICK).start();
    router.route_add("d.test", &[blackhole.address(), fine.address()], &[]);
    for number in 0..20 {
        assert_eq!(router.connect().get("d.test", "/").text(), "fine", "request {number}");
    }
}

#[test]
fn an_instance_that_can_not_be_connected_to_is_passed_over() {
    let (fine, refused) = (Upstream::named("fine"), Port::free());
    let mut router = Router::start();
    router.route_add("d.test", &[refused.address(), fine.address()], &[]);
    let mut client = router.connect();
    for _ in 0..200 {
        assert_eq!(client.get("d.test", "/").text(), "fine");
    }
    router.process().terminate();
    assert_eq!(router.wait().code, Some(0));
    let log = std::fs::read_to_string(router.data().join("access.json")).unwrap();
    let tries: Vec<u64> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["tries"].as_u64().unwrap())
        .collect();
    assert_eq!(tries.len(), 200);
    // Whoever meets it first finds it out for all.
    let twice = tries.iter().filter(|tries| **tries > 1).count();
    assert!(twice <= 5, "{twice} requests were tried on an instance known to be down");
}

/// Takes a request, and closes its connection without a byte.
fn dies_on_request() -> Upstream {
    Upstream::start(|peer| peer.read_request_head().map(|_| ()))
}

#[test]
fn an_idempotent_request_is_tried_elsewhere_when_its_instance_dies_on_it() {
    let (bad, fine) = (dies_on_request(), Upstream::named("fine"));
    let router = Router::with().config(QUICK).start();
    router.route_add("d.test", &[bad.address(), fine.address()], &[]);
    for number in 0..30 {
        assert_eq!(router.connect().get("d.test", "/").text(), "fine", "request {number}");
    }
}

#[test]
fn a_request_that_may_have_been_acted_upon_is_not_repeated() {
    let (bad, fine) = (dies_on_request(), Upstream::echo());
    let router = Router::with().config(QUICK).start();
    router.route_add("d.test", &[bad.address(), fine.address()], &[]);
    let mut failed = 0;
    for number in 0..30 {
        let body = format!("number {number}.");
        let post = format!("POST / HTTP/1.1\r\nHost: d.test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let response = router.connect().exchange(post);
        let at = |upstream: &Upstream| String::from_utf8_lossy(&upstream.received()).matches("POST ").count();
        failed += usize::from(response.status == 502);
        assert!(response.status == 502 || response.text() == body, "{response:?}");
        assert_eq!(at(&bad) + at(&fine), number + 1, "request {number} was sent twice");
    }
    assert!(failed > 0, "the bad instance was never chosen");
}

#[test]
fn only_so_many_instances_are_tried() {
    let bad: Vec<Upstream> = (0..6).map(|_| dies_on_request()).collect();
    let router = Router::with().config("[table]\ntries = 3\n").start();
    let addresses: Vec<_> = bad.iter().map(Upstream::address).collect();
    router.route_add("d.test", &addresses, &[]);
    let status = router.connect().get("d.test", "/").status;
    assert!([502, 503].contains(&status), "{status}");
    let tried: usize = bad.iter().map(Upstream::connections).sum();
    assert_eq!(tried, 3);
}

#[test]
fn an_answer_of_an_instance_is_no_failure_of_it() {
    let upstream = Upstream::answering(answer(500, "oops"));
    let router = Router::with().config(QUICK).start();
    router.route("d.test", &upstream);
    let mut client = router.connect();
    for _ in 0..10 {
        let response = client.get("d.test", "/");
        assert_eq!((response.status, response.text().as_str()), (500, "oops"));
    }
}

#[test]
fn one_hosts_trouble_is_no_other_hosts() {
    let (blackhole, fine) = (Blackhole::start(), Upstream::named("fine"));
    let router = Router::with().config(QUICK).flag("--workers", 1).start();
    router.route_add("bad.test", &[blackhole.address()], &[]);
    router.route("fine.test", &fine);
    let mut waiting = router.connect();
    waiting.send("GET / HTTP/1.1\r\nHost: bad.test\r\n\r\n").unwrap();
    for _ in 0..20 {
        assert_eq!(router.connect().get("fine.test", "/").text(), "fine");
    }
    let status = waiting.read_response("GET").unwrap().status;
    assert!([503, 504].contains(&status), "{status}");
}
