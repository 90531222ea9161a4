//! SIGHUP changes the whole tree of backends under load: types are swapped, members come and go, what one name
//! means changes. Nobody notices: no connection, no exchange in flight, no upgraded connection is lost.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use waypost_tests::{Router, Upstream, answer, eventually, ws};

/// Trees of different shapes, all of which answer `/N` with `/N`, out of `a` or of `b`.
fn trees(a: &Upstream, b: &Upstream) -> Vec<String> {
    let client = |name: &str, upstream: &Upstream| {
        format!("[backend.{name}]\ntype = 'client'\nurl = 'http://{}'\n", upstream.address())
    };
    vec![
        format!("entry = 'one'\n{}", client("one", a)),
        format!(
            "entry = 'one'\n[backend.one]\ntype = 'switch'\ncases = [{{ path = '/1', backend = 'x' }}]\ndefault = 'y'\n{}{}",
            client("x", a),
            client("y", b)
        ),
        format!(
            "entry = 'two'\n[backend.two]\ntype = 'headers'\nbackend = 'one'\nresponse_set = {{ x-tree = '3' }}\n{}",
            client("one", b)
        ),
        format!(
            "entry = 'one'\n[backend.one]\ntype = 'rate_limit'\nbackend = 'y'\nrate = '1000000/s'\n\
             [backend.y]\ntype = 'switch'\ncases = [{{ method = 'POST', backend = 'x' }}, {{ host = 'r.test', backend = 'z' }}]\n{}{}",
            client("x", b),
            client("z", a)
        ),
        // Members come and go, and what was a cluster is something else of the same name.
        format!("entry = 'one'\n[backend.one]\ntype = 'hash_ring'\nmembers = ['x']\n{}", client("x", a)),
        format!(
            "entry = 'one'\n[backend.one]\ntype = 'hash_ring'\nmembers = ['x', 'y']\n{}{}",
            client("x", a),
            client("y", b)
        ),
        format!(
            "entry = 'one'\n[backend.one]\ntype = 'round_robin'\nmembers = ['y', 'z']\n{}{}",
            client("z", a),
            client("y", b)
        ),
        format!(
            "entry = 'one'\n[backend.one]\ntype = 'try_pass'\nmembers = ['pass', 'again']\n\
             [backend.pass]\ntype = 'respond'\nstatus = 501\n\
             [backend.again]\ntype = 'retry'\nbackend = 'late'\n\
             [backend.late]\ntype = 'timeout'\nbackend = 'x'\nafter = '30s'\n{}",
            client("x", b)
        ),
        format!("[backend.routes]\ntype = 'routes'\nbackends = ['one']\n{}", client("one", b)),
    ]
}

fn reload(router: &mut Router, config: &str) {
    let before = router.process().stderr().matches("configuration reloaded").count();
    std::fs::write(router.directory().join("waypost.toml"), config).expect("a file of the test's own");
    router.process().signal(rustix::process::Signal::HUP);
    eventually("the reload to be said", || {
        let said = router.process().stderr();
        assert!(!said.contains("not reloaded"), "{said}");
        (said.matches("configuration reloaded").count() > before).then_some(())
    });
}

#[test]
fn a_tree_that_changes_shape_under_load_fails_no_request() {
    let upstream =
        || Upstream::serving(|request| answer(200, [request.target.as_bytes(), &request.body].concat()));
    let (a, b) = (upstream(), upstream());
    let trees = trees(&a, &b);
    let mut router = Router::with().config(&trees[0]).start();
    router.route("r.test", &a);
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let address = router.http();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (stop, served) = (&stop, &served);
                scope.spawn(move || {
                    let mut client = waypost_tests::Client::connect(address);
                    // A body of several pieces is in flight when trees change.
                    let body = "b".repeat(100_000);
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let response = match number % 4 {
                            0 => client.exchange(format!(
                                "POST /{number} HTTP/1.1\r\nHost: r.test\r\nContent-Length: {}\r\n\r\n{body}",
                                body.len()
                            )),
                            _ => client.get("r.test", &format!("/{number}")),
                        };
                        let expected =
                            if number % 4 == 0 { format!("/{number}{body}") } else { format!("/{number}") };
                        assert!(
                            response.status == 200 && response.text() == expected,
                            "{number}: {}",
                            response.status
                        );
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let more = |count: usize| {
            let goal = served.load(Ordering::Relaxed) + count;
            eventually("requests served", || {
                assert!(!clients.iter().any(|client| client.is_finished()), "a request failed");
                (served.load(Ordering::Relaxed) >= goal).then_some(())
            });
        };
        for tree in trees.iter().cycle().take(27) {
            reload(&mut router, tree);
            more(100);
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().expect("no request failed"));
    });
    assert!(served.into_inner() >= 2_700);
}

#[test]
fn what_is_in_flight_outlives_the_backend_it_went_to() {
    let (begun, has_begun) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let channels = std::sync::Mutex::new((begun, may_go));
    let slow = Upstream::start(move |peer| {
        peer.request()?;
        let (begun, may_go) = &*channels.lock().expect("one request");
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nbegun,")?;
        begun.send(()).expect("the test waits");
        may_go.recv().expect("the test lets it go");
        peer.send(" ended")
    });
    let (socket, other) =
        (Upstream::start(ws::echo), Upstream::serving(|request| answer(200, &request.target)));
    let first = format!(
        "entry = 'site'\n[backend.site]\ntype = 'switch'\ncases = [{{ path = '/slow', backend = 'slow' }}]\ndefault = 'socket'\n\
         [backend.slow]\ntype = 'client'\nurl = 'http://{}'\n[backend.socket]\ntype = 'client'\nurl = 'http://{}'\n",
        slow.address(),
        socket.address()
    );
    let mut router = Router::with().config(first).flag("--workers", 1).start();
    let mut websocket = ws::WebSocket::open(router.connect(), "r.test", "/").unwrap();
    let mut client = router.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: r.test\r\n\r\n").unwrap();
    has_begun.recv().unwrap();
    for tree in trees(&other, &other) {
        reload(&mut router, &tree);
    }
    go.send(()).unwrap();
    assert_eq!(client.read_response("GET").unwrap().text(), "begun, ended");
    websocket.send(ws::TEXT, b"still here").unwrap();
    assert_eq!(websocket.receive().unwrap().payload, b"still here");
}

#[test]
fn a_tree_with_faults_is_refused_whole_and_each_is_said_with_its_line() {
    let upstream = Upstream::named("old");
    let good =
        format!("entry = 'one'\n[backend.one]\ntype = 'client'\nurl = 'http://{}'\n", upstream.address());
    let mut router = Router::with().config(good).start();
    let faulty = [
        "entry = 'site'",
        "[backend.site]",
        "type = 'switch'",
        "cases = [{ path = '/a', backend = 'oen' }, { path = '/b', backend = 'rund' }]",
        "default = 'secure'",
        "[backend.one]",
        "type = 'client'",
        "url = 'http://a/path'",
        "[backend.round]",
        "type = 'headers'",
        "backend = 'again'",
        "[backend.again]",
        "type = 'rate_limit'",
        "backend = 'round'",
        "rate = '5/s'",
        "[backend.alone]",
        "type = 'respnd'",
        "[backend.secure]",
        "type = 'client'",
        "url = 'https://127.0.0.1:1'",
        "tls = { ca = 'nowhere.pem' }",
    ];
    let path = router.directory().join("waypost.toml");
    std::fs::write(&path, faulty.join("\n")).unwrap();
    router.process().signal(rustix::process::Signal::HUP);
    let said = eventually("the faults to be said", || {
        let said = router.process().stderr();
        said.contains("nowhere.pem").then_some(said)
    });
    for (line, part) in [
        (4, "no backend \"oen\" (did you mean `one`?)"),
        (4, "no backend \"rund\" (did you mean `round`?)"),
        (8, "a server has no path"),
        (9, "nothing reaches the backend \"round\""),
        (12, "nothing reaches the backend \"again\""),
        (11, "lead back to \"again\": again -> round -> again"),
        (17, "(did you mean `respond`?)"),
        (21, "nowhere.pem can't be read"),
    ] {
        let found = said.lines().any(|said| said.contains(&format!(".toml:{line}: ")) && said.contains(part));
        assert!(found, "line {line}, {part:?} is missing from:\n{said}");
    }
    assert_eq!(router.connect().get("r.test", "/").text(), "old");
}
