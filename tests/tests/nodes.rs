//! The nodes that change or choose: `headers`, `switch`, `rate_limit`.

use std::process::Command;

use waypost_tests::{Router, Upstream, program};

fn client(name: &str, upstream: &Upstream) -> String {
    format!("[backend.{name}]\ntype = \"client\"\nurl = \"http://{}\"\n", upstream.address())
}

#[test]
fn headers_change_fields_both_ways() {
    let upstream = Upstream::serving(|_| {
        b"HTTP/1.1 200 OK\r\nServer: secret/1.0\r\nX-Same: 1\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    let router = Router::with()
        .config(format!(
            "entry = \"edge\"\n[backend.edge]\ntype = \"headers\"\nbackend = \"app\"\n\
             request_remove = [\"cookie\"]\nrequest_set = {{ x-from = \"$scheme://$host$path$query\" }}\n\
             request_add = {{ x-more = \"2\" }}\nresponse_remove = [\"Server\"]\n\
             response_set = {{ x-same = \"2\" }}\nresponse_add = {{ x-frame-options = \"DENY\" }}\n{}",
            client("app", &upstream)
        ))
        .start();
    let response = router.connect().exchange(
        "GET /a?b HTTP/1.1\r\nHost: R.test:81\r\nCookie: a\r\ncookie: b\r\nX-From: me\r\nX-More: 1\r\n\r\n",
    );
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    assert!(!response.fields.has("server"));
    assert_eq!(response.fields.all("x-same"), ["2"]);
    assert_eq!(response.fields.get("x-frame-options"), Some("DENY"));
    let request = upstream.request();
    assert!(!request.fields.has("cookie"));
    assert_eq!(request.fields.all("x-from"), ["http://r.test/a?b"]);
    assert_eq!(request.fields.all("x-more"), ["1", "2"]);
    assert_eq!(request.fields.get("host"), Some("R.test:81"));
}

#[test]
fn fields_that_frame_a_message_cannot_be_configured() {
    let directory = tempfile::tempdir().unwrap();
    for key in [
        "request_set = { content-length = \"1\" }",
        "response_remove = [\"Transfer-Encoding\"]",
        "request_add = { connection = \"close\" }",
    ] {
        let file = directory.path().join("wrong.toml");
        std::fs::write(
            &file,
            format!("entry = \"h\"\n[backend.h]\ntype = \"headers\"\nbackend = \"r\"\n{key}\n[backend.r]\ntype = \"respond\"\n"),
        )
        .unwrap();
        let checked = Command::new(program()).arg("check").arg(&file).output().unwrap();
        let said = String::from_utf8(checked.stdout).unwrap();
        assert_eq!(checked.status.code(), Some(1), "{key}");
        assert!(said.contains("wrong.toml:5:") && said.contains("the router's own"), "{key}: {said}");
    }
}

#[test]
fn a_switch_takes_the_first_case_that_matches() {
    let names = ["canary", "api", "assets", "write", "rest"];
    let upstreams = names.map(Upstream::named);
    let clients: String =
        names.iter().zip(&upstreams).map(|(name, upstream)| client(name, upstream)).collect();
    let router = Router::with()
        .config(format!(
            "entry = \"choose\"\n[backend.choose]\ntype = \"switch\"\ndefault = \"rest\"\ncases = [\n\
             {{ header = \"X-Canary: 1\", backend = \"canary\" }},\n\
             {{ host = [\"api.test\", \"*.api.test\"], backend = \"api\" }},\n\
             {{ path = \"/static\", method = [\"GET\", \"HEAD\"], backend = \"assets\" }},\n\
             {{ method = \"POST\", backend = \"write\" }},\n]\n{clients}"
        ))
        .start();
    let mut connection = router.connect();
    for (request, expected) in [
        ("GET / HTTP/1.1\r\nHost: any.test\r\n", "rest"),
        ("GET / HTTP/1.1\r\nHost: API.test:8080\r\n", "api"),
        ("GET / HTTP/1.1\r\nHost: a.b.api.test\r\n", "api"),
        ("GET / HTTP/1.1\r\nHost: xapi.test\r\n", "rest"),
        ("GET /static/x?y HTTP/1.1\r\nHost: any.test\r\n", "assets"),
        ("GET /statics HTTP/1.1\r\nHost: any.test\r\n", "rest"),
        ("POST /static HTTP/1.1\r\nHost: any.test\r\nContent-Length: 1\r\n", "write"),
        ("GET / HTTP/1.1\r\nHost: api.test\r\nx-canary: 1\r\n", "canary"),
        ("GET / HTTP/1.1\r\nHost: api.test\r\nx-canary: 0\r\n", "api"),
    ] {
        let body = if request.starts_with("POST") { "x" } else { "" };
        let response = connection.exchange(format!("{request}\r\n{body}"));
        assert_eq!(response.text(), expected, "{request}");
    }
}

#[test]
fn a_switch_without_a_default_answers_404() {
    let router = Router::with()
        .config(
            "entry = \"choose\"\n[backend.choose]\ntype = \"switch\"\n\
             cases = [{ path = \"/here\", backend = \"here\" }]\n[backend.here]\ntype = \"respond\"\n",
        )
        .start();
    let mut connection = router.connect();
    assert_eq!(connection.get("a.test", "/here").status, 200);
    assert_eq!(connection.get("a.test", "/there").status, 404);
}

#[test]
fn a_rate_is_kept_for_each_client_over_all_workers() {
    let router = Router::with()
        .config(
            "workers = 3\nentry = \"limit\"\n[backend.limit]\ntype = \"rate_limit\"\nbackend = \"ok\"\n\
             rate = \"5/h\"\nburst = 5\nkey = \"header:X-Key\"\n[backend.ok]\ntype = \"respond\"\n",
        )
        .start();
    for key in ["one", "two"] {
        let mut taken = 0;
        for _ in 0..30 {
            // A connection each, so that every worker has some.
            let response =
                router.connect().exchange(format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-Key: {key}\r\n\r\n"));
            match response.status {
                200 => taken += 1,
                429 => {
                    let wait: u32 = response.fields.get("retry-after").unwrap().parse().unwrap();
                    assert!((1..=3600).contains(&wait), "{wait}");
                }
                other => panic!("{other}"),
            }
        }
        assert_eq!(taken, 5, "requests of {key} that were let through");
    }
}

#[test]
fn a_request_above_the_rate_does_not_reach_the_backend() {
    let upstream = Upstream::named("app");
    let router = Router::with()
        .config(format!(
            "entry = \"limit\"\n[backend.limit]\ntype = \"rate_limit\"\nbackend = \"app\"\nrate = \"2/h\"\n\
             burst = 2\n{}",
            client("app", &upstream)
        ))
        .start();
    let mut connection = router.connect();
    let statuses: Vec<u16> = (0..4).map(|_| connection.get("a.test", "/").status).collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(upstream.requests().len(), 2);
}
