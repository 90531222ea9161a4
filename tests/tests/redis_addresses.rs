//! The ways to say where a Redis table is: database, user and password, TLS, and what a wrong one says.

use std::process::Command;

use waypost_tests::{Port, Process, Redis, Router, Upstream, eventually, program};

fn router_of(url: &str) -> Router {
    Router::with().flag("--table", url).start()
}

/// `waypost route list --table URL`.
fn list(url: &str) -> waypost_tests::Finished {
    Process::run(Command::new(program()).args(["route", "list", "--table", url]))
}

#[test]
fn a_database_is_named_behind_the_slash() {
    let [zero, three] = ["zero", "three"].map(Upstream::named);
    let redis = Redis::start();
    redis.route("a.test", zero.address());
    let mut client = redis.connect();
    client.run(&["SELECT", "3"]);
    client.run(&["SADD", "instances:a.test", &three.address().to_string()]);
    let [in_zero, in_three] = ["", "/3"].map(|path| router_of(&format!("{}{path}", redis.url())));
    in_zero.await_answer("a.test", Ok("zero"));
    in_three.await_answer("a.test", Ok("three"));
    // A change of one database changes nothing in the other.
    client.run(&["SELECT", "0"]);
    client.run(&["FLUSHDB"]);
    in_zero.await_answer("a.test", Err(404));
    assert_eq!(in_three.answer_of("a.test"), Ok("three".into()));
}

#[test]
fn valkey_is_an_address_too() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    redis.route("a.test", upstream.address());
    router_of(&format!("valkey://{}", redis.address())).await_answer("a.test", Ok("here"));
}

#[test]
fn a_password_is_percent_encoded_and_never_shown() {
    let upstream = Upstream::named("here");
    let redis = Redis::with().option("requirepass", &["p@ss/w:rd#1"]).start();
    let mut client = redis.connect();
    client.run(&["AUTH", "p@ss/w:rd#1"]);
    client.run(&["SADD", "instances:a.test", &upstream.address().to_string()]);
    let url = format!("redis://:p%40ss%2Fw%3Ard%231@{}", redis.address());
    let mut router = router_of(&url);
    router.await_answer("a.test", Ok("here"));
    let listed = list(&url);
    assert_eq!(listed.code, Some(0), "{listed:#?}");
    let said = [
        router.process().stderr(),
        router.process().stdout(),
        router.admin_get("/readyz").text(),
        router.admin_get("/api/v1/table").text(),
        listed.stdout,
        list(&url.replace("%231", "%232")).stderr,
    ];
    for text in said {
        for secret in ["p@ss", "p%40ss"] {
            assert!(!text.contains(secret), "the password is shown: {text}");
        }
    }
}

/// What the router's user needs, and no more.
const USER: &str = "router on >secret resetkeys ~instances:* ~instance_ids:* ~instance_id_of:* ~serial \
                    +@read +@connection +multi +exec +watch +unwatch +discard +info +role";

#[test]
fn a_user_who_may_do_only_what_routing_needs_is_enough_to_route() {
    let upstream = Upstream::named("here");
    let redis = Redis::with().option("user", &USER.split(' ').collect::<Vec<_>>()).start();
    redis.route("a.test", upstream.address());
    let router = router_of(&format!("redis://router:secret@{}", redis.address()));
    router.await_answer("a.test", Ok("here"));
    redis.route("b.test", upstream.address());
    router.await_answer("b.test", Ok("here"));
}

#[test]
fn a_wrong_password_is_said_in_one_line_and_does_not_end_the_router() {
    let redis = Redis::with().option("requirepass", &["right"]).start();
    let url = format!("redis://:wrong@{}", redis.address());
    let finished = list(&url);
    assert_eq!(finished.code, Some(1));
    let line = finished.only_line_of_stderr();
    assert!(line.contains(&redis.address().to_string()), "{line}");
    let mut router = router_of(&url);
    eventually("the reason is told", || {
        let (status, json) = router.readiness();
        assert_eq!(status, 503);
        json["table"]["error"].as_str().map(|_| ())
    });
    assert_eq!(router.answer_of("a.test"), Err(503));
    assert!(router.process().is_running());
}

#[test]
fn a_store_that_nobody_serves_is_said_in_one_line() {
    let port = Port::free();
    let finished = list(&format!("redis://{}", port.address()));
    assert_eq!(finished.code, Some(1));
    let line = finished.only_line_of_stderr();
    assert!(line.contains(&port.address().to_string()), "{line}");
}

#[test]
fn an_address_that_is_none_is_refused_at_once() {
    for url in
        ["redis://", "redis://h/x", "redis://user@h", "redis+sentinel://h:1", "redis://h:port", "rediss:///x"]
    {
        let finished = list(url);
        assert!(matches!(finished.code, Some(1 | 2)), "{url}: {finished:#?}");
        assert!(!finished.stderr.is_empty(), "{url}");
        let (http, admin) = (Port::free().address().to_string(), Port::free().address().to_string());
        let arguments = ["serve", "--table", url, "--listen", &http, "--admin", &admin];
        let served = Process::run(Command::new(program()).args(arguments));
        assert!(matches!(served.code, Some(1 | 2)), "{url}: {served:#?}");
    }
}

#[test]
fn tls_is_spoken_to_a_server_whose_certificate_is_trusted_and_to_no_other() {
    let upstream = Upstream::named("here");
    let directory = tempfile::TempDir::new().unwrap();
    let [right, other] = ["right", "other"].map(|name| {
        let [cert, key] = ["crt", "key"].map(|end| directory.path().join(format!("{name}.{end}")));
        let made = Process::run(
            Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
                .args(["-days", "2", "-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1"])
                .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out"])
                .arg(&cert)
                .arg("-keyout")
                .arg(&key),
        );
        assert_eq!(made.code, Some(0), "{made:#?}");
        [cert, key].map(|path| path.display().to_string())
    });
    let tls = Port::free();
    let redis = Redis::with()
        .option("tls-port", &[&tls.number().to_string()])
        .option("tls-cert-file", &[&right[0]])
        .option("tls-key-file", &[&right[1]])
        .option("tls-auth-clients", &["no"])
        .start();
    redis.route("a.test", upstream.address());
    let trusting = router_of(&format!("rediss://{}?ca={}", tls.address(), right[0]));
    trusting.await_answer("a.test", Ok("here"));
    redis.route("b.test", upstream.address());
    trusting.await_answer("b.test", Ok("here"));
    let distrusting = list(&format!("rediss://{}?ca={}", tls.address(), other[0]));
    assert_eq!(distrusting.code, Some(1), "{distrusting:#?}");
    assert_eq!(
        list(&format!("rediss://{}", redis.address())).code,
        Some(1),
        "plain text where TLS was asked for"
    );
}
