//! The admin API from outside, over real connections.

mod server;

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use server::Server;
use waypost_admin::{AdminServer, BindError, SetKind};

const ROUTES: &str = "/api/v1/routes";

#[test]
fn the_root_lists_what_is_here() {
    let server = Server::start();
    let answer = server.get("/");
    assert_eq!(answer.status, 200);
    for path in ["/healthz", "/readyz", "/api/v1/routes", "/api/v1/export", "/api/v1/backends"] {
        assert!(answer.body.contains(path), "{path} is missing");
    }
}

#[test]
fn readiness_ends_when_the_router_drains_and_liveness_does_not() {
    let server = Server::start();
    let ready = server.get("/readyz");
    assert_eq!((ready.status, ready.json()["ready"].as_bool()), (200, Some(true)));
    assert_eq!(ready.json()["table"]["age"], 0.0);
    server.router.draining.store(true, Ordering::Relaxed);
    let ready = server.get("/readyz");
    assert_eq!((ready.status, ready.json()["draining"].as_bool()), (503, Some(true)));
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn metrics_tell_of_the_table() {
    let server = Server::start();
    let metrics = server.get("/metrics");
    assert_eq!(metrics.status, 200);
    let text = &metrics.body;
    for line in ["waypost_table_loaded 1.0", "waypost_table_entries 0.0", "waypost_table_age_seconds 0.0"] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in:\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn changes_are_made_and_listed_with_health() {
    let server = Server::start();
    let changes = r#"{"changes":[
        {"op":"add","host":"B.example.com","member":{"address":"127.0.0.1:1","weight":3}},
        {"op":"add","host":"example.com","member":{"address":"127.0.0.1:2","version_type":"12"}},
        {"op":"add","host":"example.com","member":{"address":"127.0.0.1:2","version_type":"12"}}]}"#;
    let applied = server.post(ROUTES, changes).json();
    assert_eq!(applied["outcomes"], serde_json::json!(["added", "added", "already_there"]));
    let listing = server.get(ROUTES).json();
    assert_eq!(listing["serial"], applied["serial"]);
    assert_eq!(listing["entries"][0]["host"], "example.com");
    assert_eq!(listing["entries"][0]["instances"][0]["health"]["state"], "up");
    assert_eq!(listing["entries"][1]["host"], "b.example.com");
    assert_eq!(listing["entries"][1]["instances"][0]["health"]["reason"], "refused");
    let one = server.get("/api/v1/routes?host=Example.com").json();
    assert_eq!(one["entries"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/api/v1/table").json()["entries"], 2);
}

#[test]
fn a_listing_comes_as_json_lines_when_those_are_asked_for() {
    let server = Server::start();
    let lines = || server.send("GET", ROUTES, "Accept: application/x-ndjson\r\n", "").body;
    assert_eq!(lines(), "{\"serial\":0}\n");
    server.add("a.example", "127.0.0.1:2");
    server.add("b.example", "127.0.0.1:2");
    let listing = lines();
    let lines: Vec<&str> = listing.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].starts_with(r#"{"host":"a.example","#), "{lines:?}");
    assert!(lines[2].starts_with(r#"{"host":"b.example","#), "{lines:?}");
}

#[test]
fn entries_and_single_instances_are_removed() {
    let server = Server::start();
    server.add("*.a.example", "127.0.0.1:2");
    server.add("*.a.example", "127.0.0.1:3");
    let remove = |path: &str| server.send("DELETE", path, "", "").json()["outcomes"][0].clone();
    assert_eq!(remove("/api/v1/routes/*.a.example?address=127.0.0.1:2"), "removed");
    assert_eq!(remove("/api/v1/routes/*.a.example?address=127.0.0.1:2"), "was_not_there");
    assert_eq!(remove("/api/v1/routes/%2A.a.example"), "removed");
    assert_eq!(remove("/api/v1/routes/*.a.example"), "was_not_there");
}

#[test]
fn a_change_that_is_wrong_changes_nothing_and_says_what_is_wrong() {
    let server = Server::start();
    for (body, part) in [
        ("", "EOF"),
        ("[1]", "expected"),
        (r#"{"chnges":[]}"#, "chnges"),
        (r#"{"changes":[{"op":"add","host":"a b","member":{"address":"127.0.0.1:1"}}]}"#, "a b"),
        (r#"{"changes":[{"op":"add","host":"a","member":{"address":"localhost:1"}}]}"#, "localhost:1"),
        (r#"{"changes":[],"memberships":[{"set":"workspace","id":"","version_type":"1"}]}"#, "workspace"),
    ] {
        let detail = server.post(ROUTES, body).problem(422);
        assert!(detail.contains(part), "{body}: {detail}");
    }
    let remove = |path: &str| server.send("DELETE", path, "", "");
    remove("/api/v1/routes/a%20b").problem(400);
    remove("/api/v1/routes/a?address=x").problem(400);
    remove("/api/v1/routes/a?address=127.0.0.1:1&backend=x").problem(400);
    assert_eq!(server.store.table().status().serial, 0);
}

#[test]
fn version_types_are_added_to_their_sets() {
    let server = Server::start();
    let body = r#"{"memberships":[{"set":"application","id":"7","version_type":"12"}]}"#;
    assert_eq!(server.post(ROUTES, body).status, 200);
    let sets = server.sets.0.lock().unwrap();
    assert_eq!((sets[0].set, sets[0].key().as_str()), (SetKind::Application, "application:7"));
    let without = Server::with(|admin, _| admin);
    without.post(ROUTES, body).problem(422);
}

#[test]
fn a_table_is_explained_and_checked_without_sending_anything() {
    let server = Server::start();
    server.add("*.a.example", "127.0.0.1:2");
    let explained = server.get("/api/v1/explain?url=http://X.a.example:81/p%3Fq").json();
    assert_eq!(explained["table"]["host"], "x.a.example");
    assert_eq!(explained["table"]["outcome"]["outcome"], "routed");
    assert_eq!(explained["backends"]["says"], "asked for /p?q at x.a.example");
    assert_eq!(server.get("/api/v1/backends/explain?url=b").json()["says"], "asked for / at b");
    assert_eq!(server.get("/api/v1/backends").json()["type"], "routes");
    server.get("/api/v1/explain").problem(400);
    server.get("/api/v1/explain?url=ftp://x/").problem(400);
    server.post(ROUTES, r#"{"changes":[{"op":"add","host":"b","member":{"backend":"ap"}}]}"#);
    let checked = server.get("/api/v1/check?connect=false").json();
    assert_eq!(checked["problems"][0]["problem"], "unknown_backend");
}

#[test]
fn instances_that_do_not_answer_are_pruned() {
    let server = Server::start();
    // Nothing listens on port 1, and the API itself answers.
    server.add("a.example", "127.0.0.1:1");
    server.add("a.example", &server.address.to_string());
    let checked = server.get("/api/v1/check").json();
    assert_eq!(checked["problems"], serde_json::json!([]));
    let pruned = server.post("/api/v1/prune", "").json();
    assert_eq!(pruned["removed"].as_array().unwrap().len(), 1);
    assert_eq!(pruned["removed"][0]["address"], "127.0.0.1:1");
    assert_eq!(server.store.table().status().instances, 1);
}

#[test]
fn an_export_imports_into_another_table_and_once_more_without_a_change() {
    let one = Server::start();
    let other = Server::start();
    let mut lines = String::new();
    for host in 0..20_000 {
        writeln!(
            lines,
            r#"{{"host":"h{host}.example.com","address":"10.0.0.1:80","version_type":"{host}"}}"#
        )
        .unwrap();
    }
    assert_eq!(one.import("/api/v1/import", &lines).json()["changed"], 20_000);
    let export = one.get("/api/v1/export").body;
    assert_eq!(export.lines().count(), 20_000);
    assert_eq!(other.import("/api/v1/import", &export).json()["changed"], 20_000);
    assert_eq!(other.get("/api/v1/export").body, export);
    let again = other.import("/api/v1/import", &export).json();
    assert_eq!((again["entries"].as_u64(), again["changed"].as_u64()), (Some(20_000), Some(0)));
    let rest = export.lines().next().unwrap();
    assert_eq!(other.import("/api/v1/import?mode=replace", rest).json()["removed"], 19_999);
}

#[test]
fn an_import_with_a_wrong_line_changes_nothing_and_names_each() {
    let server = Server::start();
    let lines = "{\"host\":\"a\",\"address\":\"10.0.0.1:80\"}\nx\n{\"host\":\"b\"}\n";
    let answer = server.import("/api/v1/import", lines);
    let detail = answer.problem(422);
    assert!(detail.contains("line 2") && detail.contains("1 more"), "{detail}");
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 2);
    assert_eq!(server.store.table().status().entries, 0);
    server.import("/api/v1/import?mode=x", "").problem(400);
}

#[test]
fn an_import_that_is_cut_short_changes_nothing() {
    let server = Server::start();
    let line = "{\"host\":\"a\",\"address\":\"10.0.0.1:80\"}\n";
    let head = "POST /api/v1/import?mode=replace HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\n";
    for framing in [
        "Content-Length: 1000\r\n\r\n".to_owned(),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", line.len()),
    ] {
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        std::io::Write::write_all(&mut stream, format!("{head}{framing}{line}").as_bytes()).unwrap();
        // The end of what is sent is not the end of the body.
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _ = std::io::Read::read_to_string(&mut stream, &mut answer);
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    // What comes after them is answered, and finds nothing changed.
    server.add("b", "127.0.0.1:2");
    assert_eq!(server.store.table().status().entries, 1);
}

#[test]
fn a_request_by_another_name_is_refused_on_loopback() {
    let server = Server::start();
    let ask =
        |hosts: &str| server.raw(format!("GET / HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n").as_bytes());
    for host in ["localhost", "LOCALHOST:99", "127.0.0.1", "127.0.0.1:8081", "[::1]:8081", "192.0.2.1"] {
        assert_eq!(ask(&format!("Host: {host}\r\n")).status, 200, "{host}");
    }
    for host in ["example.com", "127.0.0.1.example.com:8081", "localhost.example.com"] {
        ask(&format!("Host: {host}\r\n")).problem(403);
    }
    for hosts in ["", "Host: \r\n", "Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n"] {
        assert_eq!(ask(hosts).status, 400, "{hosts:?}");
    }
}

#[test]
fn a_page_from_elsewhere_may_neither_read_nor_write() {
    let server = Server::start();
    for origin in ["http://example.com", "null", "http://127.0.0.1:1"] {
        server.send("GET", ROUTES, &format!("Origin: {origin}\r\n"), "").problem(403);
    }
    let own = format!("Origin: http://{}\r\n", server.address);
    assert_eq!(server.send("GET", ROUTES, &own, "").status, 200);
    // What a form can send.
    for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        server.send("POST", ROUTES, kind, "{}").problem(415);
        server.send("POST", "/api/v1/prune", kind, "").problem(415);
        server.send("POST", "/api/v1/import", kind, "").problem(415);
    }
    let kind = "Content-Type: Application/JSON; charset=utf-8\r\n";
    assert_eq!(server.send("POST", ROUTES, kind, "{}").status, 200);
}

#[test]
fn with_a_token_nothing_is_told_without_it_but_health() {
    let server = Server::with(|admin, _| admin.with_token("0123456789abcdef"));
    let bearer = |token: &str| server.send("GET", ROUTES, &format!("Authorization: {token}\r\n"), "");
    for token in [
        "",
        "Bearer",
        "Bearer x",
        "Bearer 0123456789abcde",
        "Bearer 0123456789abcdeg",
        "Basic 0123456789abcdef",
    ] {
        let answer = bearer(token);
        answer.problem(401);
        assert!(answer.head.contains("www-authenticate: bearer"), "{answer:?}");
    }
    assert_eq!(bearer("Bearer 0123456789abcdef").status, 200);
    assert_eq!(bearer("bearer 0123456789abcdef").status, 200);
    server.get("/").problem(401);
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/readyz").status, 200);
    // It may be behind a name: whoever has the token is meant to be there.
    let named = "GET / HTTP/1.1\r\nHost: router.example\r\nAuthorization: Bearer 0123456789abcdef\r\nConnection: close\r\n\r\n";
    assert_eq!(server.raw(named.as_bytes()).status, 200);
}

#[test]
fn a_body_over_its_bound_is_refused() {
    let server = Server::start();
    let changes = format!("{{\"changes\":[]{}}}", " ".repeat(9 << 20));
    server.post(ROUTES, &changes).problem(413);
}

#[test]
fn what_is_not_here_is_a_problem_too() {
    let server = Server::start();
    server.get("/api/v1/nothing").problem(404);
    server.send("DELETE", ROUTES, "", "").problem(405);
    server.send("PUT", ROUTES, "", "").problem(405);
}

#[test]
fn an_address_in_use_is_named() {
    let server = Server::start();
    let error = AdminServer::bind(server.address).unwrap_err();
    assert!(matches!(error, BindError::InUse(_)));
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
}
