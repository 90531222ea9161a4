//! Requests whose framing or head two programs could read differently: each is answered with its status,
//! the connection is closed, nothing reaches an upstream, and everyone else is served as before.

use waypost_tests::{Client, Request, Router, Upstream, WireError, answer};

/// A request, by name, and the statuses it may be answered with.
struct Case {
    name: String,
    bytes: Vec<u8>,
    statuses: &'static [u16],
}

fn case(name: impl Into<String>, statuses: &'static [u16], bytes: impl Into<Vec<u8>>) -> Case {
    Case { name: name.into(), bytes: bytes.into(), statuses }
}

/// A router and the only upstream it has, for `f.test`.
fn router() -> (Router, Upstream) {
    let (router, upstream) = (Router::start(), Upstream::named("fine"));
    router.route("f.test", &upstream);
    (router, upstream)
}

/// Sends each case on a connection of its own and collects what is wrong, so that one run shows all.
fn refuse_all(cases: Vec<Case>) {
    let (mut router, upstream) = router();
    let mut bystander = router.connect();
    let mut faults = Vec::new();
    for case in &cases {
        if let Err(fault) = refuse(&router, &upstream, &mut bystander, case) {
            faults.push(format!("{}: {fault}", case.name));
        }
    }
    assert!(router.process().is_running(), "the router has ended");
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

fn refuse(router: &Router, upstream: &Upstream, bystander: &mut Client, case: &Case) -> Result<(), String> {
    upstream.forget();
    let mut client = router.connect();
    // The router may answer and close before it has been sent everything.
    let _ = client.send(&case.bytes);
    let response = client.read_response("GET").map_err(|error| format!("no answer: {error}"))?;
    let mut faults = Vec::new();
    if !case.statuses.contains(&response.status) {
        faults.push(format!("expected {:?}, answered {}", case.statuses, response.status));
    }
    match client.is_closed_by_peer() {
        Ok(true) => {}
        Ok(false) => faults.push("answered more than once".into()),
        Err(error) => faults.push(format!("the connection was not closed: {error}")),
    }
    // Whatever had gone to the upstream before would stand in front of this.
    let after = bystander.get("f.test", "/bystander");
    if after.text() != "fine" {
        faults.push(format!("a bystander was answered {}", after.status));
    }
    let received = String::from_utf8_lossy(&upstream.received()).into_owned();
    if !received.starts_with("GET /bystander ") || received.matches(" HTTP/1.1").count() != 1 {
        faults.push(format!("the upstream got {received:?}"));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

/// A POST with these field lines and this body.
fn post(fields: &str, body: &str) -> String {
    format!("POST /smuggled HTTP/1.1\r\nHost: f.test\r\n{fields}\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

#[test]
fn a_length_that_can_be_read_two_ways_is_refused() {
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    let reversed = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n";
    let mut cases = vec![
        case("length and coding", &[400], post(both, "0\r\n\r\n")),
        case("coding and length", &[400], post(reversed, "0\r\n\r\n")),
        case("two lengths", &[400], post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!")),
        case("two equal lengths", &[400], post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")),
        case(
            "two lengths of a GET",
            &[400],
            "GET / HTTP/1.1\r\nHost: f.test\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
        ),
    ];
    for length in [
        "5, 6",
        "5, 5",
        "5,",
        ",5",
        "+5",
        "-5",
        "-0",
        "0x5",
        "5_0",
        "",
        "5 5",
        "five",
        "5.0",
        "1e1",
        "5;q=1",
        "\"5\"",
        "\u{665}",
        "0000000000000000000000005x",
        "1111111111111111111111111",
        "18446744073709551616",
        "18446744073709551621",
    ] {
        cases.push(case(
            format!("length {length:?}"),
            &[400],
            post(&format!("Content-Length: {length}\r\n"), "hello"),
        ));
    }
    refuse_all(cases);
}

#[test]
fn a_transfer_coding_other_than_chunked_alone_is_refused() {
    let mut cases = Vec::new();
    for coding in [
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "chunked;q=1",
        "chunked ;a",
        "xchunked",
        "chunkedx",
        "identity",
        "identity, chunked",
        "",
        "\"chunked\"",
        "chunked\u{b}",
        "\u{b}chunked",
        "chunked\0",
        "chu nked",
        "chunked, identity",
        "chunked;chunked",
        "cow",
        "\u{a0}chunked",
    ] {
        cases.push(case(
            format!("coding {coding:?}"),
            &[400, 501],
            post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n"),
        ));
    }
    for (name, lines) in [
        ("twice chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("chunked and identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        ("gzip and chunked", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
        ("empty and chunked", "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n"),
        ("a space before the colon", "Transfer-Encoding : chunked\r\n"),
        ("a folded value", "Transfer-Encoding:\r\n chunked\r\n"),
    ] {
        cases.push(case(name, &[400, 501], post(lines, "0\r\n\r\n")));
    }
    let old = "POST / HTTP/1.0\r\nHost: f.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    cases.push(case("in HTTP/1.0", &[400, 501], old));
    let old = "POST / HTTP/1.0\r\nHost: f.test\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n";
    cases.push(case("in HTTP/1.0 with a length", &[400, 501], old));
    refuse_all(cases);
}

#[test]
fn a_malformed_chunk_is_refused() {
    let mut cases = Vec::new();
    for size in [
        "",
        "g",
        "-1",
        "+1",
        "0x1",
        " 1",
        "1 ",
        "1\t",
        "1_0",
        "1.0",
        "1g",
        "\0",
        "1\0",
        "0 ",
        "00000000000000001",
        "fffffffffffffffff",
        "11111111111111111",
    ] {
        cases.push(case(format!("size {size:?}"), &[400], chunked(&format!("{size}\r\na\r\n0\r\n\r\n"))));
    }
    for (name, body) in [
        ("a size's line without CR", "1\na\r\n0\r\n\r\n"),
        ("a size's line without LF", "1\ra\r\n0\r\n\r\n"),
        ("a chunk longer than it said", "1\r\nab\r\n0\r\n\r\n"),
        ("a chunk without its line end", "1\r\na0\r\n\r\n"),
        ("a chunk that ends in LF", "1\r\na\n0\r\n\r\n"),
        ("a bare LF in an extension", "1;a\nb\r\na\r\n0\r\n\r\n"),
        ("a bare CR in an extension", "1;a\rb\r\na\r\n0\r\n\r\n"),
        ("a NUL in an extension", "1;a\0b\r\na\r\n0\r\n\r\n"),
        ("a last chunk's line without CR", "0\n\r\n"),
        ("a bare LF in the last chunk's extension", "0;a\nb\r\n\r\n"),
        ("trailers that end in LF", "0\r\nA: b\n\n"),
        ("a trailer with a space before its colon", "0\r\nA : b\r\n\r\n"),
        ("a folded trailer", "0\r\nA: b\r\n c\r\n\r\n"),
        ("a trailer with a NUL", "0\r\nA: b\0\r\n\r\n"),
        ("a trailer without a colon", "0\r\nA\r\n\r\n"),
    ] {
        cases.push(case(name, &[400], chunked(body)));
    }
    let extension = "x".repeat(4097);
    cases.push(case("an extension over 4 KiB", &[400], chunked(&format!("1;{extension}\r\na\r\n0\r\n\r\n"))));
    let many = "1;x=y\r\na\r\n".repeat(2000);
    cases.push(case("extensions over 4 KiB together", &[400], chunked(&format!("{many}0\r\n\r\n"))));
    refuse_all(cases);
}

#[test]
fn a_malformed_head_is_refused() {
    let get = |lines: &str| format!("GET /smuggled HTTP/1.1\r\nHost: f.test\r\n{lines}\r\n");
    let cases = vec![
        case("bare CR in a value", &[400], get("A: b\rc\r\n")),
        case("bare CR at a value's end", &[400], get("A: b\r\r\n")),
        case("bare CR in a name", &[400], get("A\rB: c\r\n")),
        case("CR alone as a line's end", &[400], get("A: b\rC: d\r\n")),
        case("bare LF as a line's end", &[400], get("A: b\nC: d\r\n")),
        case("bare LF in front of the empty line", &[400], "GET / HTTP/1.1\r\nHost: f.test\n\r\n"),
        case("bare LF as the empty line", &[400], "GET / HTTP/1.1\r\nHost: f.test\r\n\n"),
        case("bare LF all over", &[400], "GET / HTTP/1.1\nHost: f.test\n\n"),
        case("NUL in a value", &[400], get("A: b\0c\r\n")),
        case("NUL in a name", &[400], get("A\0B: c\r\n")),
        case("a control byte in a value", &[400], get("A: b\u{7}c\r\n")),
        case("DEL in a value", &[400], get("A: b\u{7f}c\r\n")),
        case("obs-fold with a space", &[400], get("A: b\r\n c\r\n")),
        case("obs-fold with a tab", &[400], get("A: b\r\n\tc\r\n")),
        case("a space before the first field", &[400], "GET / HTTP/1.1\r\n Host: f.test\r\n\r\n"),
        case("a tab before the first field", &[400], "GET / HTTP/1.1\r\n\tA: b\r\nHost: f.test\r\n\r\n"),
        case("an empty name", &[400], get(": b\r\n")),
        case("a name of a space", &[400], get(" : b\r\n")),
        case("no colon", &[400], get("Ab\r\n")),
        case("a space before a colon", &[400], get("A : b\r\n")),
        case("a tab before a colon", &[400], get("A\t: b\r\n")),
        case("a space in a name", &[400], get("A B: c\r\n")),
        case("a bracket in a name", &[400], get("A(B): c\r\n")),
        case("a slash in a name", &[400], get("A/B: c\r\n")),
        case("an at sign in a name", &[400], get("A@B: c\r\n")),
        case("a letter beyond ASCII in a name", &[400], get("\u{e4}: c\r\n")),
        case("a space before the length's colon", &[400], post("Content-Length : 5\r\n", "hello")),
        case(
            "one byte beyond ASCII in a name",
            &[400],
            [b"GET / HTTP/1.1\r\nHost: f.test\r\nA\xff: b\r\n\r\n".as_slice()].concat(),
        ),
    ];
    refuse_all(cases);
}

#[test]
fn a_malformed_request_line_is_refused() {
    let line = |line: &str| format!("{line}\r\nHost: f.test\r\n\r\n");
    let mut cases = vec![
        case("no target", &[400], line("GET HTTP/1.1")),
        case("no version", &[400, 505], line("GET /")),
        case("two spaces before the target", &[400], line("GET  / HTTP/1.1")),
        case("two spaces behind the target", &[400], line("GET /  HTTP/1.1")),
        case("a space behind the version", &[400, 505], line("GET / HTTP/1.1 ")),
        case("a space in front of the method", &[400], line(" GET / HTTP/1.1")),
        case("a space in the target", &[400], line("GET /a b HTTP/1.1")),
        case("a tab between", &[400], line("GET\t/ HTTP/1.1")),
        case("a tab in the target", &[400], line("GET /a\tb HTTP/1.1")),
        case("a fragment", &[400], line("GET /a#b HTTP/1.1")),
        case("a fragment in an absolute target", &[400], line("GET http://f.test/#a HTTP/1.1")),
        case("a relative target", &[400], line("GET a HTTP/1.1")),
        case("a target of a query", &[400], line("GET ?a HTTP/1.1")),
        case("an asterisk for GET", &[400], line("GET * HTTP/1.1")),
        case("an authority as the target", &[400], line("GET f.test:80 HTTP/1.1")),
        case("another scheme", &[400], line("GET ftp://f.test/ HTTP/1.1")),
        case("an absolute target without a host", &[400], line("GET http:/// HTTP/1.1")),
        case("an absolute target with a user", &[400], line("GET http://u@f.test/ HTTP/1.1")),
        case("NUL in the target", &[400], line("GET /a\0 HTTP/1.1")),
        case("a control byte in the target", &[400], line("GET /a\u{1} HTTP/1.1")),
        case("DEL in the target", &[400], line("GET /a\u{7f} HTTP/1.1")),
        case("bare CR in the target", &[400], line("GET /a\rb HTTP/1.1")),
        case("a method that is no token", &[400], line("G@T / HTTP/1.1")),
        case("no method", &[400], line("/ HTTP/1.1")),
        case("CONNECT", &[405, 501], "CONNECT f.test:80 HTTP/1.1\r\nHost: f.test:80\r\n\r\n"),
        case("CONNECT with a path", &[400, 405, 501], line("CONNECT / HTTP/1.1")),
        case("the preface of HTTP/2", &[400, 505], "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        case("a TLS hello", &[400], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
        case("a lower-case version", &[400, 505], line("GET / http/1.1")),
        case("a version of one digit", &[400, 505], line("GET / HTTP/1")),
        case("a version of three digits", &[400, 505], line("GET / HTTP/1.10")),
        case("a version without a slash", &[400, 505], line("GET / HTTP1.1")),
        case("another protocol", &[400, 505], line("GET / HTTQ/1.1")),
        case("another protocol's version", &[400, 505], line("GET / RTSP/1.0")),
    ];
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"] {
        cases.push(case(version, &[505], line(&format!("GET / {version}"))));
    }
    refuse_all(cases);
}

#[test]
fn a_request_without_one_valid_host_is_refused() {
    let mut cases = vec![
        case("no Host", &[400], "GET / HTTP/1.1\r\n\r\n"),
        case("no Host in HTTP/1.0", &[400], "GET / HTTP/1.0\r\n\r\n"),
        case("two Hosts", &[400], "GET / HTTP/1.1\r\nHost: f.test\r\nHost: g.test\r\n\r\n"),
        case("two equal Hosts", &[400], "GET / HTTP/1.1\r\nHost: f.test\r\nHost: f.test\r\n\r\n"),
        case("two Hosts, one lower-case", &[400], "GET / HTTP/1.1\r\nHost: f.test\r\nhost: g.test\r\n\r\n"),
        case(
            "two Hosts beside an absolute target",
            &[400],
            "GET http://f.test/ HTTP/1.1\r\nHost: f.test\r\nHost: g.test\r\n\r\n",
        ),
        case(
            "an absolute target with a bad host",
            &[400],
            "GET http://f%20/ HTTP/1.1\r\nHost: f.test\r\n\r\n",
        ),
        case(
            "an absolute target with a bad port",
            &[400],
            "GET http://f.test:x/ HTTP/1.1\r\nHost: f.test\r\n\r\n",
        ),
    ];
    for host in [
        "",
        "f.test, g.test",
        "f.test,f.test",
        "f test",
        "f.test/",
        "f.test/x",
        "f.test?x",
        "f.test#x",
        "u@f.test",
        "http://f.test",
        "f.test:x",
        "f.test:80x",
        "f.test:80:80",
        "f.test:-1",
        "f.test:+80",
        "f.test:99999",
        "[::1",
        "::1",
        "[::g]",
        "[::1]x",
        ":80",
        "..",
        "f..test",
        ".f.test",
        "f.test..",
        "f\\test",
        "f%2etest",
        "f.test\tg",
        "f\u{e4}.test",
        "<f.test>",
        "\"f.test\"",
        "f.test;x",
    ] {
        cases.push(case(
            format!("Host {host:?}"),
            &[400],
            format!("GET /smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ));
    }
    let long = format!("{}.test", "a".repeat(64));
    cases.push(case("a label over 63", &[400], format!("GET / HTTP/1.1\r\nHost: {long}\r\n\r\n")));
    let long = "a.".repeat(130);
    cases.push(case("a host over 253", &[400], format!("GET / HTTP/1.1\r\nHost: {long}test\r\n\r\n")));
    refuse_all(cases);
}

#[test]
fn heads_over_a_limit_are_refused_with_the_limits_status() {
    let fields = "A: b\r\n".repeat(101);
    let long = "a".repeat(40_000);
    refuse_all(vec![
        case("a long line", &[414], format!("GET /{long} HTTP/1.1\r\nHost: f.test\r\n\r\n")),
        case("a line without end", &[414], format!("GET /{long}")),
        case("a long field", &[431], format!("GET / HTTP/1.1\r\nHost: f.test\r\nA: {long}\r\n\r\n")),
        case("a field without end", &[431], format!("GET / HTTP/1.1\r\nHost: f.test\r\nA: {long}")),
        case("many fields", &[431], format!("GET / HTTP/1.1\r\nHost: f.test\r\n{fields}\r\n")),
        case("a long name", &[431], format!("GET / HTTP/1.1\r\nHost: f.test\r\n{long}: b\r\n\r\n")),
    ]);
}

#[test]
fn an_unknown_expectation_is_refused() {
    let expect = |value: &str| post(&format!("Expect: {value}\r\nContent-Length: 5\r\n"), "hello");
    refuse_all(vec![
        case("another expectation", &[417], expect("200-ok")),
        case("two expectations", &[417], expect("100-continue, 200-ok")),
        case("an empty expectation", &[417], expect("")),
    ]);
}

#[test]
fn every_cut_of_a_bad_request_is_refused_the_same() {
    let (router, upstream) = router();
    let request = chunked("1;a\nb\r\na\r\n0\r\n\r\n");
    for size in [1, 2, 3, 5, 17, 60] {
        let mut client = router.connect();
        let _ = client.send_pieces(&request, size);
        let response =
            client.read_response("POST").unwrap_or_else(|error| panic!("pieces of {size}: {error}"));
        assert_eq!(response.status, 400, "pieces of {size}");
        assert!(client.is_closed_by_peer().unwrap(), "pieces of {size}");
    }
    assert!(upstream.requests().is_empty(), "{:?}", upstream.requests());
}

#[test]
fn a_bad_request_behind_a_good_one_is_refused_alone() {
    let (router, upstream) = router();
    let mut client = router.connect();
    client.send("GET /good HTTP/1.1\r\nHost: f.test\r\n\r\nGET /bad HTTP/1.1\r\nHost : f.test\r\n\r\nGET /never HTTP/1.1\r\nHost: f.test\r\n\r\n").unwrap();
    assert_eq!(client.read_response("GET").unwrap().text(), "fine");
    assert_eq!(client.read_response("GET").unwrap().status, 400);
    assert!(client.is_closed_by_peer().unwrap());
    let targets: Vec<String> = upstream.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/good"]);
}

/// An upstream that reads a request with its body and says by which way that ended.
fn reader() -> Upstream {
    Upstream::start(|peer| {
        loop {
            match peer.request() {
                Ok(_) => peer.send(answer(200, "whole"))?,
                Err(WireError::Closed) => return Ok(()),
                // An upstream that was deceived would answer.
                Err(error) => return Err(error),
            }
        }
    })
}

#[test]
fn a_body_that_turns_out_malformed_is_never_completed_upstream() {
    let router = Router::start();
    let upstream = reader();
    router.route("f.test", &upstream);
    for (name, bad) in [
        ("a bad size", "zz\r\n"),
        ("a long chunk", "1\r\nab\r\n0\r\n\r\n"),
        ("a bare LF", "1\na\r\n0\r\n\r\n"),
        ("a bad trailer", "0\r\nA : b\r\n\r\n"),
    ] {
        upstream.forget();
        let mut client = router.connect();
        client.send(chunked("5\r\nfirst\r\n")).unwrap();
        upstream.await_bytes(b"first");
        client.send(bad).unwrap();
        assert_eq!(client.read_response("POST").unwrap().status, 400, "{name}");
        assert!(client.is_closed_by_peer().unwrap(), "{name}");
        assert!(upstream.requests().is_empty(), "{name}: the upstream saw a whole request");
    }
}

#[test]
fn a_body_cut_short_is_never_completed_upstream() {
    let router = Router::start();
    let upstream = reader();
    router.route("f.test", &upstream);
    for (name, begun) in [
        ("a length", post("Content-Length: 10\r\n", "first")),
        ("chunks", chunked("5\r\nfirst\r\n")),
        ("a chunk", chunked("a\r\nfirst")),
        ("trailers", chunked("5\r\nfirst\r\n0\r\nA: b\r\n")),
    ] {
        upstream.forget();
        let mut client = router.connect();
        client.send(begun).unwrap();
        upstream.await_bytes(b"first");
        client.finish();
        // An answer is allowed, but not one from the upstream.
        if let Ok(response) = client.read_response("POST") {
            assert_ne!(response.text(), "whole", "{name}");
        }
        assert!(upstream.requests().is_empty(), "{name}: the upstream saw a whole request");
    }
}

#[test]
fn trailers_carry_no_framing_routing_or_authorisation() {
    let (router, upstream) = router();
    let forbidden = [
        "Content-Length",
        "Transfer-Encoding",
        "Host",
        "Authorization",
        "Connection",
        "Cookie",
        "Trailer",
        "TE",
        "Content-Encoding",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "Proxy-Authorization",
        "Expect",
        "Upgrade",
    ];
    let lines: String = forbidden.iter().map(|name| format!("{name}: 1\r\n")).collect();
    let request = chunked(&format!("1\r\na\r\n0\r\n{lines}X-Checksum: 7\r\n\r\n"));
    assert_eq!(router.connect().exchange(request).text(), "fine");
    let Request { fields, trailers, .. } = upstream.request();
    for name in forbidden {
        assert!(!trailers.has(name), "{name} came through as a trailer: {trailers:?}");
    }
    assert_eq!(trailers.get("x-checksum"), Some("7"));
    assert!(!fields.has("authorization") && !fields.has("cookie"), "{fields:?}");
}

#[test]
fn a_get_with_a_body_is_one_request() {
    let (router, upstream) = router();
    let inner = "GET /inner HTTP/1.1\r\nHost: f.test\r\n\r\n";
    let request =
        format!("GET /outer HTTP/1.1\r\nHost: f.test\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
    let mut client = router.connect();
    assert_eq!(client.exchange(request).text(), "fine");
    assert_eq!(client.get("f.test", "/next").text(), "fine");
    let seen: Vec<_> = upstream.requests().iter().map(|r| (r.target.clone(), r.text())).collect();
    assert_eq!(seen, [("/outer".into(), inner.into()), ("/next".into(), String::new())]);
}

#[test]
fn an_answer_made_here_never_takes_the_body_for_a_request() {
    let (router, upstream) = router();
    let inner = "GET /inner HTTP/1.1\r\nHost: f.test\r\n\r\n";
    for framed in [
        format!("Content-Length: {}\r\n\r\n{inner}", inner.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()),
    ] {
        let mut client = router.connect();
        let answer = client.exchange(format!("POST /x HTTP/1.1\r\nHost: unknown.test\r\n{framed}"));
        assert_eq!(answer.status, 404);
        // Drained or closed: either will do.
        if let Ok(next) = client.try_exchange("GET /next HTTP/1.1\r\nHost: f.test\r\n\r\n") {
            assert_eq!(next.text(), "fine");
        }
        assert!(upstream.requests().iter().all(|request| request.target == "/next"));
    }
}

#[test]
fn one_empty_line_before_a_request_is_skipped() {
    let (router, _upstream) = router();
    let mut client = router.connect();
    client
        .send("\r\nGET / HTTP/1.1\r\nHost: f.test\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: f.test\r\n\r\n")
        .unwrap();
    for _ in 0..2 {
        assert_eq!(client.read_response("GET").unwrap().text(), "fine");
    }
}
