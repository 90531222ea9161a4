//! Starting and stopping: what is printed, what is refused and how, and that nothing in flight is lost when
//! the router goes.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;

use waypost_tests::{Client, Finished, Port, Process, Router, Upstream, answer, eventually, program};

/// Runs the program to its end, with an empty environment of its own.
fn waypost(arguments: &[&str]) -> Finished {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    Process::run(Command::new(program()).args(arguments).current_dir(&directory))
}

/// Asserts that it could not be done, and that the one line about it names each of `parts`.
fn assert_refused(finished: &Finished, parts: &[&str]) {
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    let line = finished.only_line_of_stderr();
    for part in parts {
        assert!(line.contains(part), "{part:?} is missing from: {line}");
    }
}

#[test]
fn serve_without_arguments_says_what_a_newcomer_needs() {
    let directory = tempfile::TempDir::new().unwrap();
    let (http, admin) = (Port::free(), Port::free());
    let mut process = Process::start(
        Command::new(program())
            .arg("serve")
            .current_dir(&directory)
            .env("WAYPOST_LISTEN", http.address().to_string())
            .env("WAYPOST_ADMIN", admin.address().to_string()),
    );
    let said = eventually("the router says where it listens", || {
        assert!(process.is_running(), "{}", process.stderr());
        Some(process.stdout()).filter(|text| text.contains("route add"))
    });
    for part in [
        &http.address().to_string(),
        &admin.address().to_string(),
        "waypost-data",
        "access.json",
        "waypost route add",
    ] {
        assert!(said.contains(part), "{part:?} is missing from:\n{said}");
    }
    assert!(directory.path().join("waypost-data").is_dir());
    // What it says to try next works.
    assert_eq!(Client::connect(http.address()).get("example.localhost", "/").status, 404);
    process.terminate();
    assert_eq!(process.wait().code, Some(0));
    assert!(directory.path().join("waypost-data/access.json").is_file());
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let mut router = Router::start();
    let other = (Port::free(), Port::free());
    let data = router.data().display().to_string();
    let finished = waypost(&[
        "serve",
        "--data",
        &data,
        "--listen",
        &other.0.address().to_string(),
        "--admin",
        &other.1.address().to_string(),
    ]);
    assert_refused(&finished, &[&data]);
    assert!(router.process().is_running());
    assert_eq!(router.connect().get("x.test", "/").status, 404);
}

#[test]
fn a_table_that_a_router_holds_is_not_opened_beside_it() {
    let router = Router::start();
    let table = format!("embedded:{}", router.data().display());
    assert_refused(&waypost(&["route", "list", "--table", &table]), &["--admin"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = Port::free();
    let _listener = TcpListener::bind(taken.address()).unwrap();
    let (free, address) = (Port::free().address().to_string(), taken.address().to_string());
    for (listen, admin) in [(&address, &free), (&free, &address)] {
        assert_refused(&waypost(&["serve", "--listen", listen, "--admin", admin]), &[&address]);
    }
}

#[test]
fn a_port_another_router_listens_on_is_not_shared() {
    let mut router = Router::start();
    let (http, admin) = (router.http().to_string(), Port::free().address().to_string());
    assert_refused(&waypost(&["serve", "--listen", &http, "--admin", &admin]), &[&http]);
    assert!(router.process().is_running());
}

#[test]
fn an_address_of_another_machine_is_named() {
    let admin = Port::free().address().to_string();
    assert_refused(
        &waypost(&["serve", "--listen", "192.0.2.1:18080", "--admin", &admin]),
        &["192.0.2.1:18080"],
    );
}

#[test]
fn wrong_usage_is_status_2() {
    for (arguments, named) in [
        (&["serve", "--no-such-flag"][..], "--no-such-flag"),
        (&["serve", "--listen", "nonsense"], "nonsense"),
        (&["serve", "--listen", "127.0.0.1:99999"], "99999"),
        (&["serve", "--workers", "many"], "many"),
        (&["serve", "--table", "nonsense"], "nonsense"),
        (&["serve", "--log-level", "loud"], "loud"),
        (&["no-such-command"], "no-such-command"),
        (&["route"], "route"),
        (&["route", "add"], "HOST"),
        (&["route", "add", "a.test", "nonsense"], "nonsense"),
        (&["route", "add", "a b", "127.0.0.1:1"], "a b"),
    ] {
        let finished = waypost(arguments);
        assert_eq!(finished.code, Some(2), "{arguments:?}: {finished:#?}");
        assert!(finished.stderr.contains(named), "{arguments:?}: {}", finished.stderr);
        assert!(finished.stdout.is_empty(), "{arguments:?}: {}", finished.stdout);
    }
}

#[test]
fn a_data_directory_that_can_not_be_written_is_named() {
    // A file in the way stops even the superuser.
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (http, admin) = (Port::free().address().to_string(), Port::free().address().to_string());
    for data in [file.clone(), file.join("data")] {
        let data = data.display().to_string();
        let finished = waypost(&["serve", "--data", &data, "--listen", &http, "--admin", &admin]);
        assert_refused(&finished, &[&data]);
    }
}

#[test]
fn a_table_that_is_damaged_is_named() {
    let mut router = Router::start();
    router.cli_ok(["route", "add", "a.test", "127.0.0.1:9"]);
    router.kill();
    let mut damaged = 0;
    for entry in std::fs::read_dir(router.data()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "redb") {
            std::fs::write(&path, "no table at all").unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "no table in the data directory");
    let finished = Process::run(&mut router.serve_command());
    assert_refused(&finished, &[&router.data().display().to_string()]);
}

#[test]
fn a_configuration_that_is_not_valid_is_named_with_its_line() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("waypost.toml");
    std::fs::write(&file, "[limits]\n\nheader_tiemout = \"1s\"\n").unwrap();
    let path = file.display().to_string();
    let finished = waypost(&["serve", "--config", &path]);
    assert_refused(&finished, &[&path, ":3", "header_tiemout", "header_timeout"]);
    let missing = directory.path().join("missing.toml").display().to_string();
    assert_refused(&waypost(&["serve", "--config", &missing]), &[&missing]);
}

#[test]
fn no_router_at_the_admin_address_is_said_with_what_to_do() {
    let address = Port::free().address().to_string();
    for arguments in [
        &["route", "list"][..],
        &["route", "add", "a.test", "127.0.0.1:1"],
        &["route", "remove", "a.test"],
        &["route", "explain", "http://a.test/"],
        &["route", "check"],
        &["route", "export"],
        &["backend", "list"],
    ] {
        let finished = waypost(&[arguments, &["--admin", &address]].concat());
        assert_refused(&finished, &[&address, "waypost serve"]);
    }
}

#[test]
fn an_admin_address_beyond_loopback_needs_a_token() {
    let (http, admin) = (Port::free().address().to_string(), Port::free());
    let everywhere = format!("0.0.0.0:{}", admin.number());
    assert_refused(&waypost(&["serve", "--listen", &http, "--admin", &everywhere]), &["token"]);
}

#[test]
fn adding_what_is_there_and_removing_what_is_not_is_no_error() {
    let router = Router::start();
    for arguments in [
        &["route", "remove", "a.test"][..],
        &["route", "add", "a.test", "127.0.0.1:9"],
        &["route", "add", "a.test", "127.0.0.1:9"],
        &["route", "remove", "a.test", "127.0.0.1:10"],
    ] {
        let finished = router.cli_ok(arguments);
        assert!(!finished.stdout.is_empty(), "{arguments:?} says nothing");
    }
}

/// A router with an upstream whose answers to `/slow` wait for the returned trigger.
fn slow_site(config: &str) -> (Router, Upstream, std::sync::mpsc::Sender<()>) {
    let (go, wait) = channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    let upstream = Upstream::start(move |peer| {
        loop {
            let request = peer.request()?;
            if request.target == "/slow" {
                // A test that ends early drops its end, which is as good.
                let _ = wait.lock().expect("no script panics").recv();
            }
            peer.send(answer(200, &request.target))?;
        }
    });
    let router = Router::with().config(config).start();
    router.route("s.test", &upstream);
    (router, upstream, go)
}

#[test]
fn sigterm_lets_requests_in_flight_finish_and_takes_no_more() {
    let (mut router, upstream, go) = slow_site("");
    let mut idle = router.connect();
    assert_eq!(idle.get("s.test", "/idle").text(), "/idle");
    let mut slow = router.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: s.test\r\n\r\n").unwrap();
    upstream.await_bytes(b"GET /slow");
    router.process().terminate();
    router.await_refusal();
    assert!(router.process().is_running(), "it did not wait for the request in flight");
    assert!(idle.is_closed_by_peer().unwrap(), "an idle connection holds up the end");
    go.send(()).unwrap();
    assert_eq!(slow.read_response("GET").unwrap().text(), "/slow");
    assert!(slow.is_closed_by_peer().unwrap());
    let finished = router.wait();
    assert_eq!((finished.code, finished.signal), (Some(0), None), "{}", finished.stderr);
}

#[test]
fn sigint_drains_too() {
    let mut router = Router::start();
    router.process().signal(rustix::process::Signal::INT);
    assert_eq!(router.wait().code, Some(0));
}

#[test]
fn a_request_that_never_ends_holds_up_the_end_no_longer_than_the_drain_timeout() {
    let (mut router, upstream, _go) = slow_site("drain_timeout = \"300ms\"\n");
    let mut slow = router.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: s.test\r\n\r\n").unwrap();
    upstream.await_bytes(b"GET /slow");
    router.process().terminate();
    assert_eq!(router.wait().code, Some(0));
    assert!(slow.read_response("GET").is_err(), "an answer from nowhere");
}

#[test]
fn readiness_ends_with_the_drain_and_liveness_does_not() {
    let (mut router, upstream, go) = slow_site("");
    let admin = router.admin();
    let status = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        Client::try_connect(admin).ok()?.try_exchange(request).ok().map(|response| response.status)
    };
    assert_eq!((status("/healthz"), status("/readyz")), (Some(200), Some(200)));
    let mut slow = router.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: s.test\r\n\r\n").unwrap();
    upstream.await_bytes(b"GET /slow");
    router.process().terminate();
    eventually("readiness ends", || (status("/readyz") == Some(503)).then_some(()));
    assert_eq!(status("/healthz"), Some(200));
    go.send(()).unwrap();
    assert_eq!(slow.read_response("GET").unwrap().text(), "/slow");
    assert_eq!(router.wait().code, Some(0));
}

#[test]
fn every_request_is_in_the_access_log_when_the_router_has_ended() {
    let upstream = Upstream::named("ok");
    let mut router = Router::start();
    router.route("s.test", &upstream);
    let mut client = router.connect();
    for number in 0..500 {
        let host = if number % 5 == 0 { "unknown.test" } else { "s.test" };
        client.get(host, &format!("/{number}"));
    }
    router.process().terminate();
    assert_eq!(router.wait().code, Some(0));
    let log = std::fs::read_to_string(router.data().join("access.json")).unwrap();
    let mut paths: Vec<u32> = log
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            let path = line["path"].as_str().unwrap_or_else(|| panic!("no path in {line}"));
            path.trim_start_matches('/').parse().expect("a number")
        })
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, (0..500).collect::<Vec<_>>());
}
