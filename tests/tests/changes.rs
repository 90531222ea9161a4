//! The table while it changes: what is acknowledged is routed at once, and requests in flight notice
//! nothing.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use waypost_tests::{Router, Upstream, answer, eventually};

#[test]
fn an_acknowledged_change_is_routed_at_once_by_every_worker() {
    let upstream = Upstream::named("here");
    let router = Router::with().flag("--workers", 4).start();
    let address = upstream.address().to_string();
    for number in 0..20 {
        let host = format!("h{number}.test");
        router.cli_ok(["route", "add", &host, &address]);
        // Whichever workers take these connections.
        for _ in 0..8 {
            assert_eq!(router.connect().get(&host, "/").text(), "here", "{host} was added");
        }
        router.cli_ok(["route", "remove", &host]);
        for _ in 0..8 {
            assert_eq!(router.connect().get(&host, "/").status, 404, "{host} was removed");
        }
    }
}

#[test]
fn changes_of_the_table_cost_no_request() {
    let (one, two) = (Upstream::named("one"), Upstream::named("two"));
    let router = Router::start();
    router.route("steady.test", &one);
    router.route("moving.test", &one);
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = router.connect();
                while !stop.load(Ordering::SeqCst) {
                    assert_eq!(client.get("steady.test", "/").text(), "one");
                    assert_eq!(client.get("moving.test", "/").status, 200);
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let (first, second) = (one.address().to_string(), two.address().to_string());
        for round in 0..5 {
            let lines = (0..2000).fold(String::new(), |mut lines, number| {
                writeln!(lines, r#"{{"host":"r{round}n{number}.test","address":"{first}"}}"#).unwrap();
                lines
            });
            router.import(&lines);
            // Never without an instance.
            router.cli_ok(["route", "add", "moving.test", &second]);
            router.cli_ok(["route", "remove", "moving.test", &first]);
            router.cli_ok(["route", "add", "moving.test", &first]);
            router.cli_ok(["route", "remove", "moving.test", &second]);
        }
        let goal = served.load(Ordering::SeqCst) + 10;
        eventually("requests are served", || (served.load(Ordering::SeqCst) >= goal).then_some(()));
        stop.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_request_in_flight_outlives_its_route() {
    let upstream = Upstream::start(|peer| {
        let request = peer.request()?;
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n")?;
        if request.target == "/slow" {
            peer.pause(std::time::Duration::from_millis(500));
        }
        peer.send("3\r\nend\r\n0\r\n\r\n")
    });
    let router = Router::start();
    router.route("gone.test", &upstream);
    let mut client = router.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: gone.test\r\n\r\n").unwrap();
    let head = client.read_response_head("GET").unwrap();
    router.cli_ok(["route", "remove", "gone.test"]);
    let mut body = Vec::new();
    client.read_body(head.framing, &mut |piece| body.extend_from_slice(piece)).unwrap();
    assert_eq!(String::from_utf8_lossy(&body), "beginend");
    assert_eq!(client.get("gone.test", "/").status, 404);
}

#[test]
fn an_export_imports_into_another_table() {
    let upstream = Upstream::serving(|request| answer(200, &request.target));
    let (one, two) = (Router::start(), Router::start());
    let address = upstream.address().to_string();
    one.cli_ok(["route", "add", "a.test", &address, "--version-type", "12", "--node", "n", "--weight", "3"]);
    one.cli_ok(["route", "add", "*.b.test", &address, "--path", "/api"]);
    let exported = one.cli_ok(["route", "export"]).stdout;
    two.import(&exported);
    // Again is no error, and changes nothing.
    two.import(&exported);
    assert_eq!(two.cli_ok(["route", "export"]).stdout, exported);
    assert_eq!(two.connect().get("a.test", "/x").text(), "/x");
    assert_eq!(two.connect().get("x.b.test", "/api/x").text(), "/api/x");
    assert_eq!(two.connect().get("x.b.test", "/x").status, 404);
}

#[test]
fn an_import_with_a_fault_changes_nothing() {
    let router = Router::start();
    let file = router.directory().join("faulty.jsonl");
    let lines =
        "{\"host\":\"a.test\",\"address\":\"127.0.0.1:9\"}\n{\"host\":\"b.test\",\"address\":\"nowhere\"}\n";
    std::fs::write(&file, lines).unwrap();
    let finished = router.cli(["route".as_ref(), "import".as_ref(), file.as_os_str()]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.only_line_of_stderr().contains("line 2"), "{finished:#?}");
    assert!(router.cli_ok(["route", "export"]).stdout.is_empty());
}
