//! The `log` backend, by what it writes: one line an exchange, however the exchange ends.

use waypost_tests::{Port, Router, Upstream, answer, eventually, ws};

/// A router whose entry logs what goes through `server`.
fn logged(server: std::net::SocketAddr, keys: &str) -> Router {
    Router::with()
        .flag("--workers", 1)
        .config(format!(
            "entry = \"logged\"\n[backend.logged]\ntype = \"log\"\nbackend = \"server\"\n{keys}\n\
             [backend.server]\ntype = \"client\"\nurl = \"http://{server}\"\ntimeout = \"20s\"\n"
        ))
        .start()
}

/// The lines about exchanges, as soon as there are so many.
fn lines(router: &mut Router, count: usize) -> Vec<String> {
    let lines = eventually("the log has its lines", || {
        let lines = exchanges(router);
        (lines.len() >= count).then_some(lines)
    });
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

fn exchanges(router: &mut Router) -> Vec<String> {
    let text = router.process().stderr();
    // The last one may still be on its way.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter(|line| line.contains("waypost::exchange")).map(str::to_owned).collect()
}

fn assert_says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "expected {part:?} in {line:?}");
    }
}

#[test]
fn an_answer_is_logged_when_its_last_byte_has_been_taken() {
    let upstream = Upstream::named("hello");
    let mut router = logged(upstream.address(), "");
    let response = router.connect().get("a.test", "/x?y=z");
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    let address = format!("upstream=\"{}\"", upstream.address());
    let line = &lines(&mut router, 1)[0];
    assert_says(line, &[" INFO ", ": answered ", "backend=\"server\"", "client=127.0.0.1", "method=\"GET\""]);
    assert_says(
        line,
        &["host=\"a.test\"", "path=\"/x?y=z\"", "status=200", "bytes=5", "duration=", &address],
    );
    assert_says(line, &["request_id=\""]);
    assert!(!line.contains("error="), "{line}");
}

#[test]
fn a_logged_response_is_the_same_and_its_connection_is_used_again() {
    let upstream = Upstream::serving(|request| match request.target.as_str() {
        "/chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                        3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n"
            .to_vec(),
        "/empty" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".to_vec(),
        _ => answer(200, &request.body),
    });
    let mut router = logged(upstream.address(), "");
    let mut client = router.connect();
    let chunked =
        client.exchange("GET /chunked HTTP/1.1\r\nHost: a.test\r\nConnection: TE\r\nTE: trailers\r\n\r\n");
    assert_eq!(chunked.text(), "abcde");
    assert_eq!(chunked.trailers.get("x-sum"), Some("5"));
    assert_eq!(client.get("a.test", "/empty").status, 204);
    let head = client.exchange("HEAD /head HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(head.fields.get("content-length"), Some("7"));
    let post = client.exchange("POST /post HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!((post.text().as_str(), post.fields.get("content-length")), ("body", Some("4")));
    assert_eq!(upstream.connections(), 1, "the connection was not used again");
    let lines = lines(&mut router, 4);
    assert_says(&lines[0], &["answered", "bytes=5"]);
    assert_says(&lines[1], &["answered", "status=204", "bytes=0"]);
    assert_says(&lines[2], &["answered", "method=\"HEAD\"", "bytes=0"]);
    assert_says(&lines[3], &["answered", "method=\"POST\"", "bytes=4"]);
}

#[test]
fn a_failure_is_logged_with_its_reason() {
    let nobody = Port::free();
    let mut router = logged(nobody.address(), "");
    assert_eq!(router.connect().get("a.test", "/").status, 502);
    let line = &lines(&mut router, 1)[0];
    assert_says(line, &[": failed ", "error=\"connecting to ", "path=\"/\""]);
    assert!(!line.contains("status="), "{line}");
}

#[test]
fn a_response_that_breaks_off_is_logged_with_what_came_of_it() {
    let upstream = Upstream::start(|peer| {
        peer.request()?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    });
    let mut router = logged(upstream.address(), "");
    let broken = router.connect().try_get("a.test", "/");
    assert!(broken.is_err(), "{broken:?}");
    let line = &lines(&mut router, 1)[0];
    assert_says(
        line,
        &["broke off in the middle of the response", "status=200", "bytes=4", "error=\"the upstream"],
    );
}

#[test]
fn a_client_that_goes_away_is_logged_before_the_answer_and_in_the_middle_of_it() {
    let upstream = Upstream::start(|peer| {
        let request = peer.request()?;
        if request.target == "/half" {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")?;
        }
        // Until the router hangs up.
        peer.read_some().map(|_| ())
    });
    let mut router = logged(upstream.address(), "");
    let mut client = router.connect();
    client.send("GET /never HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    eventually("the upstream has the request", || (!upstream.requests().is_empty()).then_some(()));
    drop(client);
    assert_says(
        &lines(&mut router, 1)[0],
        &["given up before it answered", "path=\"/never\"", "upstream=\""],
    );

    let mut client = router.connect();
    client.send("GET /half HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"half") {
        seen.extend(client.read_some().unwrap());
    }
    drop(client);
    let line = &lines(&mut router, 2)[1];
    assert_says(line, &["given up in the middle of the response", "path=\"/half\"", "status=200", "bytes=4"]);
}

#[test]
fn an_upgraded_connection_is_logged_when_it_ends() {
    let upstream = Upstream::start(ws::echo);
    let mut router = logged(upstream.address(), "");
    let mut socket = ws::WebSocket::open(router.connect(), "a.test", "/socket").unwrap();
    socket.send(ws::TEXT, b"hello").unwrap();
    assert_eq!(socket.receive().unwrap().payload, b"hello");
    assert_eq!(exchanges(&mut router), [""; 0], "it has not ended");
    drop(socket);
    let line = &lines(&mut router, 1)[0];
    assert_says(line, &["upgraded, and ended", "status=101", "path=\"/socket\""]);
}

#[test]
fn only_the_chosen_fields_are_told_at_the_chosen_level() {
    let upstream = Upstream::named("hello");
    let mut router = logged(upstream.address(), "level = \"warn\"\nfields = [\"status\", \"path\"]");
    router.connect().get("a.test", "/x");
    let line = &lines(&mut router, 1)[0];
    let (_, told) = line.split_once("waypost::exchange: ").unwrap();
    assert_eq!(told, "answered path=\"/x\" status=200");
    assert_says(line, &[" WARN "]);
}

#[test]
fn a_level_that_the_log_leaves_out_logs_nothing() {
    let upstream = Upstream::echo();
    let mut router = logged(upstream.address(), "level = \"debug\"");
    let post = "POST /post HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(router.connect().exchange(post).text(), "body");
    router.process().terminate();
    let finished = router.wait();
    assert_eq!(finished.code, Some(0));
    assert!(!finished.stderr.contains("waypost::exchange"), "{}", finished.stderr);
}

#[test]
fn the_tree_is_told_through_a_log() {
    let upstream = Upstream::named("hello");
    let router = logged(upstream.address(), "");
    let explained = router.cli_ok(["backend", "explain", "http://a.test/x"]).stdout;
    assert_says(&explained, &["logged", "passes the request to server, and logs how it ends"]);
    assert_says(&explained, &[&format!("sends the request to http://{}", upstream.address())]);
    let listed = router.cli_ok(["backend", "list"]).stdout;
    assert_says(&listed, &["logged", "log", "server", "client"]);
}

#[test]
fn what_is_wrong_with_a_log_is_told_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.toml");
    let config = "entry = \"l\"\n[backend.l]\ntype = \"log\"\nbackend = \"nobody\"\nlevel = \"inof\"\n\
                  fields = [\"statsu\"]\n[backend.m]\ntype = \"log\"\n";
    std::fs::write(&path, config).unwrap();
    let mut command = std::process::Command::new(waypost_tests::program());
    let finished = waypost_tests::Process::run(command.arg("check").arg(&path));
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    let told = format!("{}{}", finished.stdout, finished.stderr);
    assert_says(&told, &[":5: `backend.l.level`", "did you mean `info`?", ":6: ", "did you mean `status`?"]);
    assert_says(&told, &[":7: `backend.m.backend` is missing"]);
}
