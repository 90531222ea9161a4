//! Answers that come from the configuration's backends rather than the table's instances.

use waypost_tests::{Port, Router, Upstream};

#[test]
fn a_fixed_answer_is_given_as_it_is_written() {
    let router = Router::with()
        .config(
            "entry = \"hello\"\n[backend.hello]\ntype = \"respond\"\nstatus = 418\nbody = \"short and stout\\n\"\n\
             headers = { content-type = \"text/plain\", x-a = \"b\" }\n",
        )
        .start();
    let mut client = router.connect();
    for line in ["GET /", "POST /x", "DELETE /y"] {
        let response = client.exchange(format!("{line} HTTP/1.1\r\nHost: any.test\r\n\r\n"));
        assert_eq!((response.status, response.text().as_str()), (418, "short and stout\n"));
        assert_eq!(response.fields.get("content-type"), Some("text/plain"));
        assert_eq!(response.fields.get("x-a"), Some("b"));
    }
    let response = client.exchange("HEAD / HTTP/1.1\r\nHost: any.test\r\n\r\n");
    assert_eq!(response.fields.get("content-length"), Some("16"));
    assert!(response.body.is_empty());
}

#[test]
fn a_redirect_is_made_of_the_request() {
    let router = Router::with()
        .config(
            "entry = \"secure\"\n[backend.secure]\ntype = \"redirect\"\nstatus = 308\n\
             to = \"https://$host$path$query\"\n",
        )
        .start();
    let mut client = router.connect();
    for (host, target, location) in [
        ("R.test:8080", "/a/b?c=d&e", "https://r.test/a/b?c=d&e"),
        ("r.test", "/", "https://r.test/"),
        ("r.test", "/%0d%0aX:%20y", "https://r.test/%0d%0aX:%20y"),
        ("r.test", "//evil.test", "https://r.test//evil.test"),
        ("r.test", "/?", "https://r.test/?"),
    ] {
        let response = client.get(host, target);
        assert_eq!(response.status, 308, "{target}");
        assert_eq!(response.fields.get("location"), Some(location), "{target}");
    }
}

#[test]
fn a_client_backend_asks_its_server() {
    let upstream = Upstream::named("asked");
    let router = Router::with()
        .config(format!(
            "entry = \"server\"\n[backend.server]\ntype = \"client\"\nurl = \"http://{}\"\n\
             host_header = \"inside.test\"\n",
            upstream.address()
        ))
        .start();
    assert_eq!(router.connect().get("any.test", "/x?y").text(), "asked");
    let request = upstream.request();
    assert_eq!(request.target, "/x?y");
    assert_eq!(request.fields.get("host"), Some("inside.test"));
    assert_eq!(request.fields.get("x-forwarded-host"), Some("any.test"));
}

#[test]
fn a_client_backend_whose_server_is_away_is_an_error() {
    let router = Router::with()
        .config(format!(
            "entry = \"server\"\n[backend.server]\ntype = \"client\"\nurl = \"http://{}\"\n",
            Port::free().address()
        ))
        .start();
    for _ in 0..3 {
        let status = router.connect().get("any.test", "/").status;
        assert!([502, 503].contains(&status), "{status}");
    }
}

#[test]
fn a_route_may_point_at_a_backend() {
    let router = Router::with()
        .config(
            "[backend.routes]\ntype = \"routes\"\nbackends = [\"maintenance\"]\n\
             [backend.maintenance]\ntype = \"respond\"\nstatus = 503\nbody = \"back soon\"\n",
        )
        .start();
    let upstream = Upstream::named("app");
    router.route("app.test", &upstream);
    router.cli_ok(["route", "add", "closed.test", "--backend", "maintenance"]);
    router.cli_ok(["route", "add", "app.test", "--backend", "maintenance", "--path", "/closed"]);
    let mut client = router.connect();
    assert_eq!(client.get("app.test", "/").text(), "app");
    for (host, path) in [("closed.test", "/"), ("app.test", "/closed/x")] {
        let response = client.get(host, path);
        assert_eq!((response.status, response.text().as_str()), (503, "back soon"), "{host}{path}");
    }
}
