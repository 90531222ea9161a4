//! SIGHUP: another configuration is put in force, and nobody who is connected notices.

use std::sync::mpsc;

use rustix::process::Signal;
use waypost_tests::{Router, Upstream, answer, eventually, ws};

fn config(body: &str, rest: &str) -> String {
    format!("entry = \"fixed\"\n[backend.fixed]\ntype = \"respond\"\nbody = \"{body}\"\n{rest}\n")
}

fn reload(router: &mut Router, config: &str) {
    std::fs::write(router.directory().join("waypost.toml"), config)
        .expect("the configuration can be written");
    router.process().signal(Signal::HUP);
}

fn await_text(router: &Router, text: &str) {
    eventually(&format!("{text:?} to be answered"), || {
        // No host of the table: what answered before says something else.
        (router.connect().get("other.test", "/").text() == text).then_some(())
    });
}

#[test]
fn another_tree_answers_on_the_same_connection() {
    let mut router = Router::with().config(config("old", "")).flag("--workers", 1).start();
    let mut client = router.connect();
    assert_eq!(client.get("r.test", "/").text(), "old");
    reload(&mut router, &config("new", ""));
    await_text(&router, "new");
    assert_eq!(client.get("r.test", "/").text(), "new", "the connection kept the old tree");
}

#[test]
fn an_invalid_configuration_is_refused_whole_and_the_old_one_stays() {
    let mut router = Router::with().config(config("old", "")).start();
    reload(&mut router, &config("new", "[limits]\nmax_bdy = \"1MiB\"\n[backend.more]\ntype = \"nonsense\""));
    let said = eventually("the errors to be said", || {
        let said = router.process().stderr();
        said.contains("nonsense").then_some(said)
    });
    assert!(said.contains("max_body"), "not all errors, or no suggestion: {said}");
    assert_eq!(router.connect().get("r.test", "/").text(), "old");
    // And it can be mended.
    reload(&mut router, &config("mended", ""));
    await_text(&router, "mended");
}

#[test]
fn an_exchange_in_flight_keeps_the_tree_it_began_in() {
    let (begun, has_begun) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let channels = std::sync::Mutex::new((begun, may_go));
    let upstream = Upstream::start(move |peer| {
        peer.request()?;
        let (begun, may_go) = &*channels.lock().expect("one request");
        begun.send(()).expect("the test waits");
        may_go.recv().expect("the test lets it go");
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
    });
    // One worker: that it answers by the new tree says so of the connection in hand as well.
    let mut router = Router::with().config("").flag("--workers", 1).start();
    router.route("r.test", &upstream);
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: r.test\r\n\r\n").unwrap();
    has_begun.recv().unwrap();
    reload(&mut router, &config("new", ""));
    await_text(&router, "new");
    go.send(()).unwrap();
    assert_eq!(client.read_response("GET").unwrap().text(), "slow");
    assert_eq!(client.get("r.test", "/").text(), "new");
}

#[test]
fn a_websocket_survives_a_reload() {
    let upstream = Upstream::start(ws::echo);
    let mut router = Router::with().config("").start();
    router.route("r.test", &upstream);
    let mut socket = ws::WebSocket::open(router.connect(), "r.test", "/").unwrap();
    reload(&mut router, &config("new", ""));
    await_text(&router, "new");
    socket.send(ws::TEXT, b"still here").unwrap();
    assert_eq!(socket.receive().unwrap().payload, b"still here");
}

#[test]
fn limits_change_for_connections_that_are_there() {
    let mut router = Router::with().config(config("x", "")).flag("--workers", 1).start();
    let mut client = router.connect();
    let long = format!("/{}", "a".repeat(600));
    assert_eq!(client.get("r.test", &long).status, 200);
    reload(&mut router, &config("new", "[limits]\nrequest_line = \"512B\""));
    await_text(&router, "new");
    assert_eq!(client.get("r.test", &long).status, 414);
}

#[test]
fn what_takes_a_restart_is_said_and_the_rest_reloaded() {
    let mut router = Router::with().config(config("old", "")).start();
    reload(&mut router, &format!("workers = 7\n{}", config("new", "")));
    await_text(&router, "new");
    eventually("the warning", || {
        let said = router.process().stderr();
        (said.contains("workers") && said.contains("restart")).then_some(())
    });
}

#[test]
fn load_sees_no_reload() {
    let upstream = Upstream::serving(|request| answer(200, &request.target));
    let mut router = Router::with().config("").start();
    router.route("r.test", &upstream);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let mut client = router.connect();
                scope.spawn(move || {
                    for number in 0..1500 {
                        let path = format!("/{number}");
                        assert_eq!(client.get("r.test", &path).text(), path);
                    }
                })
            })
            .collect();
        let path = router.directory().join("waypost.toml");
        for number in 0..20 {
            std::fs::write(&path, format!("[limits]\nheader_count = {}\n", 100 + number)).unwrap();
            let signal = std::process::Command::new("kill").args(["-HUP", &router.id().to_string()]).status();
            assert!(signal.expect("kill is there").success());
        }
        clients.into_iter().for_each(|client| client.join().expect("no request failed"));
    });
    eventually("the last reload to be said", || {
        router.process().stderr().contains("configuration reloaded").then_some(())
    });
}
