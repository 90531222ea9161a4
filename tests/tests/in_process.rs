//! The handlers that a configuration can name, asked from outside.

use serde_json::{Value, json};
use waypost_tests::{Process, Router, program};

fn running(handler: &str) -> Router {
    Router::with()
        .flag("--workers", 1)
        .config(format!("entry = \"here\"\n[backend.here]\ntype = \"in_process\"\nhandler = \"{handler}\"\n"))
        .start()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

#[test]
fn health_is_well_while_the_router_serves_and_not_while_it_drains() {
    let mut router = running("health");
    let mut client = router.connect();
    let response = client.get("any.test", "/");
    assert_eq!((response.status, response.text().as_str()), (200, "ok\n"));
    assert_eq!(response.fields.get("cache-control"), Some("no-store"));
    let head = client.exchange("HEAD / HTTP/1.1\r\nHost: any.test\r\n\r\n");
    assert_eq!((head.status, head.fields.get("content-length")), (200, Some("3")));
    let post = client.exchange("POST / HTTP/1.1\r\nHost: any.test\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!((post.status, post.fields.get("allow")), (405, Some("GET, HEAD")));

    // A request that has begun is finished.
    client.send("GET / HTTP/1.1\r\n").unwrap();
    router.process().terminate();
    router.await_refusal();
    client.send("Host: any.test\r\n\r\n").unwrap();
    let response = client.read_response("GET").unwrap();
    assert_eq!((response.status, response.text().as_str()), (503, "draining\n"));
    assert_eq!(router.wait().code, Some(0));
}

#[test]
fn health_waits_for_a_table() {
    let nobody = waypost_tests::Port::free();
    let router = Router::with()
        .flag("--table", format!("redis://{}", nobody.address()))
        .config("entry = \"here\"\n[backend.here]\ntype = \"in_process\"\nhandler = \"health\"\n")
        .start();
    let response = router.connect().get("any.test", "/");
    assert_eq!(response.status, 503);
    assert_eq!(response.text(), "the route table has not been read yet\n");
    assert_eq!(router.readiness().0, 503, "it says what the admin API says");
}

#[test]
fn status_tells_numbers() {
    let router = running("status");
    router.route_add("a.test", &[std::net::SocketAddr::from(([127, 0, 0, 1], 9))], &[]);
    let mut client = router.connect();
    let status = waypost_tests::eventually("the route is counted", || {
        let status = json(&client.get("any.test", "/").text());
        (status["table"]["entries"] == 1).then_some(status)
    });
    assert_eq!(status["table"], json!({"loaded": true, "entries": 1, "instances": 1}));
    assert_eq!((&status["draining"], &status["servers"]["down"]), (&json!(false), &json!(0)));
    assert!(status["uptime_seconds"].is_u64() && status["version"].is_string(), "{status}");
}

#[test]
fn echo_shows_the_request_as_an_instance_would_get_it() {
    let router = running("echo");
    let mut client = router.connect();
    let request = "POST /a?b HTTP/1.1\r\nHost: E.test:81\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-Mine: 2\r\n\
                   Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n";
    let response = client.exchange(request);
    assert_eq!(response.fields.get("content-type"), Some("application/json"));
    let seen = json(&response.text());
    assert_eq!((&seen["method"], &seen["target"]), (&json!("POST"), &json!("/a?b")));
    assert_eq!((&seen["version"], &seen["scheme"]), (&json!("HTTP/1.1"), &json!("http")));
    assert!(seen["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{seen}");
    let field = |name: &str| {
        let fields = seen["fields"].as_array().unwrap();
        fields.iter().find(|field| field[0] == name).map(|field| field[1].as_str().unwrap().to_owned())
    };
    assert_eq!(field("host").as_deref(), Some("E.test:81"));
    assert_eq!(field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!((field("x-mine").as_deref(), field("x-hop")), (Some("2"), None));
    let body =
        json!({"length": 5, "text": "abcde", "cut": false, "trailers": [["x-sum", "5"]], "error": null});
    assert_eq!(seen["body"], body);
    // The connection goes on.
    assert_eq!(json(&client.get("e.test", "/").text())["body"], json!(null));
}

#[test]
fn a_large_body_is_counted_and_its_beginning_shown() {
    let router = running("echo");
    let size = 3 << 20;
    let mut client = router.connect();
    let head =
        format!("PUT / HTTP/1.1\r\nHost: e.test\r\nExpect: 100-continue\r\nContent-Length: {size}\r\n\r\n");
    client.send(head).unwrap();
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(client.read_exactly(interim.len()).unwrap(), interim, "the body is wanted");
    client.send(vec![b'x'; size]).unwrap();
    let seen = json(&client.read_response("PUT").unwrap().text());
    assert_eq!((&seen["body"]["length"], &seen["body"]["cut"]), (&json!(size), &json!(true)));
    assert_eq!(seen["body"]["text"].as_str().map(str::len), Some(64 * 1024));
}

#[test]
fn a_request_to_upgrade_is_answered_like_any_other() {
    let router = running("echo");
    let response = router
        .connect()
        .exchange("GET / HTTP/1.1\r\nHost: e.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(response.status, 200);
    assert!(json(&response.text())["fields"].to_string().contains("websocket"));
}

#[test]
fn a_handler_with_a_path_passes_on_any_other() {
    let router = Router::with()
        .config(
            "entry = \"here\"\n[backend.here]\ntype = \"in_process\"\nhandler = \"health\"\npath = \"/healthz\"\n",
        )
        .start();
    let mut client = router.connect();
    for (target, status) in [("/healthz", 200), ("/healthz?deep", 200), ("/healthz/", 501), ("/", 501)] {
        assert_eq!(client.get("any.test", target).status, status, "{target}");
    }
}

#[test]
fn the_tree_names_the_handler() {
    let router = running("health");
    let explained = router.cli_ok(["backend", "explain", "http://a.test/"]).stdout;
    assert!(explained.contains("has the handler health answer, inside this process"), "{explained}");
    let listed = router.cli_ok(["backend", "list"]).stdout;
    assert!(listed.contains("in_process") && listed.contains("the handler health"), "{listed}");
}

#[test]
fn what_is_wrong_with_a_handler_is_told_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.toml");
    let config = "entry = \"h\"\n[backend.h]\ntype = \"in_process\"\nhandler = \"helth\"\n\
                  [backend.i]\ntype = \"in_process\"\nhandler = \"echo\"\ntimeout = \"0s\"\n";
    std::fs::write(&path, config).unwrap();
    let finished = Process::run(std::process::Command::new(program()).arg("check").arg(&path));
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    let told = format!("{}{}", finished.stdout, finished.stderr);
    for part in [":4: `backend.h.handler`", "echo, health, status (did you mean `health`?)"] {
        assert!(told.contains(part), "expected {part:?} in {told}");
    }
}
