//! What a request and a response look like on the other side of the router: which fields go, which stay,
//! which are put in; interim responses; expectations; HTTP/1.0.

use waypost_tests::{Fields, Framing, Request, Response, Router, Upstream, answer};

fn site(upstream: Upstream) -> (Router, Upstream) {
    let router = Router::start();
    router.route("f.test", &upstream);
    (router, upstream)
}

/// Sends a GET with these field lines and returns the request as the upstream got it.
fn forwarded(router: &Router, upstream: &Upstream, lines: &str) -> Request {
    upstream.forget();
    let request = format!("GET / HTTP/1.1\r\nHost: f.test\r\n{lines}\r\n");
    let response = router.connect().exchange(request);
    assert_eq!(response.status, 200, "{lines:?}");
    upstream.request()
}

/// Answers with these field lines and returns the response as the client got it.
fn returned(lines: &str) -> Response {
    let head = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok");
    let (router, _upstream) = site(Upstream::answering(head));
    router.connect().get("f.test", "/")
}

fn names(fields: &Fields) -> Vec<String> {
    fields.0.iter().map(|(name, _)| name.to_ascii_lowercase()).collect()
}

#[test]
fn hop_by_hop_fields_of_a_request_stay_on_their_hop() {
    let (router, upstream) = site(Upstream::named("a"));
    let request = forwarded(
        &router,
        &upstream,
        "Connection: keep-alive, X-Mine, te\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\nTE: trailers\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: secret\r\nUpgrade: h2c\r\nX-Kept: 2\r\n\
         Connection: X-Yours\r\nX-Yours: 3\r\nAccept: */*\r\n",
    );
    for gone in ["keep-alive", "x-mine", "x-yours", "proxy-connection", "proxy-authorization", "upgrade"] {
        assert!(!request.fields.has(gone), "{gone}: {:?}", request.fields);
    }
    let connection = request.fields.all("connection").join(",");
    assert!(!connection.contains("X-Mine") && !connection.contains("X-Yours"), "{connection}");
    assert_eq!(request.fields.get("x-kept"), Some("2"));
    assert_eq!(request.fields.get("accept"), Some("*/*"));
}

#[test]
fn hop_by_hop_fields_of_a_response_stay_on_their_hop() {
    let response = returned(
        "Connection: keep-alive, X-Mine\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\nProxy-Connection: x\r\n\
         Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Kept: 2\r\n",
    );
    assert_eq!(response.text(), "ok");
    for gone in ["keep-alive", "x-mine", "proxy-connection", "upgrade"] {
        assert!(!response.fields.has(gone), "{gone}: {:?}", response.fields);
    }
    assert!(!response.fields.all("connection").join(",").contains("X-Mine"), "{:?}", response.fields);
    assert_eq!(response.fields.get("x-kept"), Some("2"));
}

#[test]
fn fields_keep_their_order_spelling_and_repetition() {
    let (router, upstream) = site(Upstream::named("a"));
    let request = forwarded(&router, &upstream, "X-B: 1\r\nx-a:2\r\nX-b:  3 \r\nX-Empty:\r\nX-C: a, b\r\n");
    let kept: Vec<_> =
        request.fields.0.iter().filter(|(name, _)| name.to_lowercase().starts_with("x-")).collect();
    let kept: Vec<_> = kept
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !name.to_lowercase().starts_with("x-forwarded"))
        .filter(|(name, _)| !name.eq_ignore_ascii_case("x-request-id"))
        .collect();
    assert_eq!(kept, [("X-B", "1"), ("x-a", "2"), ("X-b", "3"), ("X-Empty", ""), ("X-C", "a, b")]);
    let response = returned("Set-Cookie: a=1\r\nset-cookie: b=2\r\nX-Z: 1\r\nX-A: 2\r\n");
    assert_eq!(response.fields.all("set-cookie"), ["a=1", "b=2"]);
}

#[test]
fn values_beyond_ascii_pass_unchanged() {
    let (router, upstream) = site(Upstream::answering(answer(200, "")));
    let bytes = [b"GET / HTTP/1.1\r\nHost: f.test\r\nX-Latin: \xe4\xff\x80\t.\r\n\r\n".as_slice()].concat();
    assert_eq!(router.connect().exchange(bytes).status, 200);
    upstream.await_bytes(b"X-Latin: \xe4\xff\x80\t.\r\n");
}

#[test]
fn the_upstream_is_told_of_the_client() {
    let (router, upstream) = site(Upstream::named("a"));
    let request = forwarded(&router, &upstream, "");
    assert_eq!(request.fields.get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.fields.get("x-forwarded-host"), Some("f.test"));
    assert_eq!(request.fields.get("x-forwarded-port"), Some(router.http().port().to_string().as_str()));
    assert_eq!(request.fields.get("x-forwarded-proto"), Some("http"));
    assert_eq!(request.fields.get("host"), Some("f.test"));
    assert!(!request.fields.has("forwarded") && !request.fields.has("via"), "{:?}", request.fields);
}

#[test]
fn host_is_kept_as_the_client_spelled_it() {
    let (router, upstream) = site(Upstream::named("a"));
    router.connect().exchange("GET / HTTP/1.1\r\nHost: F.Test:8080\r\n\r\n");
    let request = upstream.request();
    assert_eq!(request.fields.get("host"), Some("F.Test:8080"));
    assert_eq!(request.fields.get("x-forwarded-host"), Some("F.Test:8080"));
}

#[test]
fn what_an_untrusted_client_says_of_itself_is_replaced() {
    let (router, upstream) = site(Upstream::named("a"));
    for spelled in [
        "X-Forwarded-For",
        "x-forwarded-for",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Proto",
        "Forwarded",
        "X-Real-IP",
        "X_Forwarded_For",
        "X_Forwarded_Proto",
        "X-Forwarded_Host",
        "X_Real_IP",
        "X-Forwarded-Server",
        "X-Forwarded-Prefix",
    ] {
        let request = forwarded(&router, &upstream, &format!("{spelled}: evil\r\n{spelled}: evil\r\n"));
        let liars: Vec<_> = request.fields.0.iter().filter(|(_, value)| value.contains("evil")).collect();
        assert!(liars.is_empty(), "{spelled}: {liars:?}");
        assert_eq!(request.fields.get("x-forwarded-for"), Some("127.0.0.1"), "{spelled}");
        assert_eq!(request.fields.get("x-forwarded-proto"), Some("http"), "{spelled}");
    }
}

#[test]
fn what_a_trusted_peer_says_is_believed_and_appended_to() {
    let router = Router::with().config("[forwarded]\ntrusted = [\"127.0.0.0/8\"]\n").start();
    let upstream = Upstream::named("a");
    router.route("f.test", &upstream);
    let request = forwarded(
        &router,
        &upstream,
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: www.test\r\nX-Forwarded-Port: 443\r\n",
    );
    let chain: String = request.fields.all("x-forwarded-for").join(",").replace(' ', "");
    assert_eq!(chain, "192.0.2.1,127.0.0.1");
    assert_eq!(request.fields.get("x-forwarded-proto"), Some("https"));
    assert_eq!(request.fields.get("x-forwarded-host"), Some("www.test"));
    assert_eq!(request.fields.get("x-forwarded-port"), Some("443"));
}

#[test]
fn forwarded_and_via_are_sent_when_asked_for() {
    let router = Router::with().config("[forwarded]\nforwarded = true\nvia = true\n").start();
    let upstream = Upstream::named("a");
    router.route("f.test", &upstream);
    let request = forwarded(&router, &upstream, "");
    let told = request.fields.get("forwarded").expect("Forwarded").to_ascii_lowercase();
    for part in ["for=", "127.0.0.1", "host=", "f.test", "proto=http"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(request.fields.get("via").expect("Via").starts_with("1.1 "));
}

#[test]
fn connection_can_not_name_away_what_the_router_relies_on() {
    let (router, upstream) = site(Upstream::echo());
    let request = "POST / HTTP/1.1\r\nHost: f.test\r\nContent-Length: 2\r\nConnection: Host, Content-Length, \
                   X-Forwarded-For, X-Forwarded-Proto, Authorization, Cookie, close\r\nAuthorization: a\r\n\
                   Cookie: b\r\n\r\nhi";
    assert_eq!(router.connect().exchange(request).text(), "hi");
    let request = upstream.request();
    assert_eq!(request.fields.get("host"), Some("f.test"));
    assert_eq!(request.fields.get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.fields.get("x-forwarded-proto"), Some("http"));
    assert_eq!(request.text(), "hi");
}

#[test]
fn nothing_is_added_to_a_response_but_what_its_hop_needs() {
    let response = returned("X-A: b\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nServer: s\r\n");
    assert_eq!(response.fields.get("date"), Some("Sat, 01 Jan 2000 00:00:00 GMT"));
    assert_eq!(response.fields.get("server"), Some("s"));
    let mut found = names(&response.fields);
    found.retain(|name| name != "connection" && name != "x-request-id");
    assert_eq!(found, ["x-a", "date", "server", "content-length"]);
}

#[test]
fn interim_responses_are_relayed_in_order() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                   HTTP/1.1 103 Early Hints\r\nLink: </b>\r\nConnection: X-A\r\nX-A: 1\r\n\r\n";
    let (router, _upstream) = site(Upstream::answering([interim.as_bytes(), &answer(200, "ok")].concat()));
    let response = router.connect().get("f.test", "/");
    let statuses: Vec<u16> = response.interim.iter().map(|interim| interim.status).collect();
    assert_eq!(statuses, [103, 102, 103]);
    assert_eq!(response.interim[0].fields.get("link"), Some("</a>"));
    assert_eq!(response.interim[2].fields.get("link"), Some("</b>"));
    assert!(!response.interim[2].fields.has("x-a"));
    assert_eq!(response.text(), "ok");
}

#[test]
fn a_client_of_http_1_0_gets_no_interim_response() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let (router, _upstream) = site(Upstream::answering([interim.as_bytes(), &answer(200, "ok")].concat()));
    let response = router.connect().exchange("GET / HTTP/1.0\r\nHost: f.test\r\n\r\n");
    assert!(response.interim.is_empty());
    assert_eq!(response.text(), "ok");
}

#[test]
fn a_client_that_expects_100_gets_it_before_it_sends_its_body() {
    let (router, upstream) = site(Upstream::start(|peer| {
        let mut request = peer.read_request_head()?;
        if request.fields.has("expect") {
            peer.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let framing = std::mem::replace(&mut request.framing, Framing::None);
        let mut body = Vec::new();
        peer.read_body(framing, &mut |piece| body.extend_from_slice(piece))?;
        peer.send(answer(200, body))
    }));
    let mut client = router.connect();
    client
        .send("POST / HTTP/1.1\r\nHost: f.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_response_head("POST").unwrap().status, 100);
    client.send("body").unwrap();
    let response = client.read_response("POST").unwrap();
    assert!(response.interim.is_empty(), "100 came twice");
    assert_eq!(response.text(), "body");
    drop(upstream);
}

#[test]
fn a_client_that_does_not_wait_for_100_is_served_all_the_same() {
    let (router, upstream) = site(Upstream::echo());
    let mut client = router.connect();
    for _ in 0..2 {
        let request =
            "POST / HTTP/1.1\r\nHost: f.test\r\nExpect: 100-Continue\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(client.exchange(request).text(), "body");
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn an_early_answer_to_an_expectation_leaves_both_connections_in_step() {
    // Refuses by the head alone; what comes next on its connection it takes for a request.
    let (router, upstream) = site(Upstream::start(|peer| {
        loop {
            let request = peer.read_request_head()?;
            if request.fields.has("expect") {
                peer.send(answer(403, "no"))?;
            } else {
                peer.read_body(request.framing, &mut |_| {})?;
                peer.send(answer(200, "yes"))?;
            }
        }
    }));
    let mut client = router.connect();
    client
        .send("POST /a HTTP/1.1\r\nHost: f.test\r\nExpect: 100-continue\r\nContent-Length: 37\r\n\r\n")
        .unwrap();
    let response = client.read_response("POST").unwrap();
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
    // A client may send the body all the same, or close. It must not be taken for a request.
    let _ = client.send("GET /inner HTTP/1.1\r\nHost: f.test\r\n\r\n");
    if let Ok(next) = client.try_exchange("GET /next HTTP/1.1\r\nHost: f.test\r\n\r\n") {
        assert_eq!(next.text(), "yes");
    }
    for _ in 0..4 {
        assert_eq!(router.connect().get("f.test", "/other").text(), "yes");
    }
    let received = String::from_utf8_lossy(&upstream.received()).into_owned();
    assert!(!received.contains("GET /inner HTTP/1.1\r\nHost: f.test\r\nX-Forwarded"), "{received}");
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let (router, _upstream) = site(Upstream::start(|peer| {
        peer.read_request_head()?;
        peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")?;
        peer.finish();
        peer.hang()
    }));
    let mut client = router.connect();
    client.send("POST / HTTP/1.1\r\nHost: f.test\r\nContent-Length: 100000000\r\n\r\nbegin").unwrap();
    let response = client.read_response("POST").unwrap();
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks_and_an_end() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let (router, upstream) = site(Upstream::answering(chunked));
    let mut client = router.connect();
    let response = client.exchange("GET / HTTP/1.0\r\nHost: f.test\r\n\r\n");
    assert_eq!((response.framing, response.text().as_str()), (Framing::UntilClose, "ok"));
    assert_eq!(upstream.request().version, "HTTP/1.1");
}

#[test]
fn a_client_of_http_1_0_that_asks_for_it_keeps_its_connection() {
    let (router, _upstream) = site(Upstream::named("ok"));
    let mut client = router.connect();
    for _ in 0..2 {
        let response = client.exchange("GET / HTTP/1.0\r\nHost: f.test\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(response.text(), "ok");
        let connection = response.fields.get("connection").unwrap_or_default();
        assert!(connection.eq_ignore_ascii_case("keep-alive"), "{response:?}");
    }
    let response = client.exchange("GET / HTTP/1.0\r\nHost: f.test\r\n\r\n");
    assert_eq!(response.text(), "ok");
    assert!(client.is_closed_by_peer().unwrap());
}

#[test]
fn any_method_passes() {
    let (router, upstream) = site(Upstream::named("ok"));
    let mut client = router.connect();
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "get"]
    {
        upstream.forget();
        let response = client.exchange(format!("{method} / HTTP/1.1\r\nHost: f.test\r\n\r\n"));
        assert_eq!(response.text(), "ok", "{method}");
        assert_eq!(upstream.request().method, method);
    }
}

#[test]
fn statuses_and_reasons_pass_unchanged() {
    for (line, status, reason) in [
        ("200 Fine", 200, "Fine"),
        ("299 ", 299, ""),
        ("404 Not Here", 404, "Not Here"),
        ("500 Oh No", 500, "Oh No"),
        ("599 x", 599, "x"),
    ] {
        let head = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
        let (router, _upstream) = site(Upstream::answering(head));
        let response = router.connect().get("f.test", "/");
        assert_eq!(response.status, status, "{line}");
        // The reason means nothing (RFC 9112 §4) and may be left out, but not made up.
        assert!(reason.is_empty() || response.reason == reason, "{line}: {:?}", response.reason);
    }
}
