//! Upgraded connections: WebSocket and any other protocol pass through, and nothing that is not an upgrade
//! becomes a tunnel.

use waypost_tests::{Random, Router, Upstream, WireError, answer, ws};

fn site(upstream: Upstream) -> (Router, Upstream) {
    let router = Router::with().flag("--workers", 1).start();
    router.route("w.test", &upstream);
    (router, upstream)
}

const UPGRADE: &str =
    "GET /up HTTP/1.1\r\nHost: w.test\r\nConnection: Upgrade\r\nUpgrade: lines\r\nX-Version: 3\r\n\r\n";

/// Switches to a protocol that sends every byte back, until the client ends.
fn lines() -> Upstream {
    Upstream::start(|peer| {
        let request = peer.request()?;
        assert_eq!(request.fields.get("upgrade"), Some("lines"));
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n")?;
        loop {
            let bytes = peer.read_some()?;
            if bytes.is_empty() {
                return peer.send("bye");
            }
            peer.send(bytes)?;
        }
    })
}

#[test]
fn a_websocket_echoes_frames_of_every_size() {
    let (router, upstream) = site(Upstream::start(ws::echo));
    let mut socket = ws::WebSocket::open(router.connect(), "w.test", "/socket?x=y").unwrap();
    let mut random = Random::new();
    for size in [0, 1, 125, 126, 1000, 65_535, 65_536, 1 << 20] {
        let payload = random.bytes(size);
        socket.send(ws::BINARY, &payload).unwrap();
        let frame = socket.receive().unwrap();
        assert!(frame == ws::Frame { opcode: ws::BINARY, payload }, "{size} bytes came back changed");
    }
    socket.send(ws::PING, b"there?").unwrap();
    assert_eq!(socket.receive().unwrap(), ws::Frame { opcode: ws::PONG, payload: b"there?".to_vec() });
    let request = upstream.request();
    assert_eq!(request.target, "/socket?x=y");
    assert_eq!(request.fields.get("x-forwarded-for"), Some("127.0.0.1"));
    assert!(request.fields.get("connection").unwrap_or_default().eq_ignore_ascii_case("upgrade"));
}

#[test]
fn a_client_that_closes_first_closes_the_websocket() {
    let (router, _upstream) = site(Upstream::start(ws::echo));
    let mut socket = ws::WebSocket::open(router.connect(), "w.test", "/").unwrap();
    socket.send(ws::TEXT, b"hello").unwrap();
    assert_eq!(socket.receive().unwrap().payload, b"hello");
    socket.send(ws::CLOSE, b"\x03\xe8").unwrap();
    assert_eq!(socket.receive().unwrap(), ws::Frame { opcode: ws::CLOSE, payload: b"\x03\xe8".to_vec() });
    assert!(socket.wire().is_closed_by_peer().unwrap());
}

#[test]
fn an_upstream_that_closes_first_closes_the_websocket() {
    let (router, _upstream) = site(Upstream::start(|peer| {
        let request = peer.request()?;
        ws::answer_handshake(peer, &request)?;
        peer.send(ws::encode(ws::TEXT, b"last words", None))?;
        peer.send(ws::encode(ws::CLOSE, b"", None))
    }));
    let mut socket = ws::WebSocket::open(router.connect(), "w.test", "/").unwrap();
    assert_eq!(socket.receive().unwrap().payload, b"last words");
    assert_eq!(socket.receive().unwrap().opcode, ws::CLOSE);
    assert!(socket.wire().is_closed_by_peer().unwrap());
}

#[test]
fn one_side_may_end_while_the_other_goes_on() {
    let (router, _upstream) = site(lines());
    let mut client = router.connect();
    client.send(UPGRADE).unwrap();
    assert_eq!(client.read_response_head("GET").unwrap().status, 101);
    client.send("last").unwrap();
    client.finish();
    assert_eq!(String::from_utf8_lossy(&client.read_to_end().unwrap()), "lastbye");
}

#[test]
fn any_protocol_passes_with_its_fields() {
    let (router, upstream) = site(lines());
    let mut client = router.connect();
    client.send(UPGRADE).unwrap();
    let response = client.read_response_head("GET").unwrap();
    assert_eq!(response.status, 101);
    assert_eq!(response.fields.get("upgrade"), Some("lines"));
    assert!(response.fields.get("connection").unwrap_or_default().eq_ignore_ascii_case("upgrade"));
    // Bytes of every value, large enough for several reads.
    let bytes = Random::new().bytes(300_000);
    let (mut writer, sent) = (client.writer(), bytes.clone());
    let sender = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &sent));
    assert!(client.read_exactly(bytes.len()).unwrap() == bytes, "the bytes came back changed");
    sender.join().unwrap().unwrap();
    assert_eq!(upstream.request().fields.get("x-version"), Some("3"));
}

#[test]
fn bytes_sent_behind_the_upgrade_are_the_tunnels() {
    let (router, upstream) = site(lines());
    let mut client = router.connect();
    client.send([UPGRADE, "GET /never HTTP/1.1\r\nHost: w.test\r\n\r\n"].concat()).unwrap();
    assert_eq!(client.read_response_head("GET").unwrap().status, 101);
    let echoed = client.read_exactly("GET /never HTTP/1.1\r\nHost: w.test\r\n\r\n".len()).unwrap();
    assert_eq!(String::from_utf8_lossy(&echoed), "GET /never HTTP/1.1\r\nHost: w.test\r\n\r\n");
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn bytes_sent_right_behind_the_101_reach_the_client() {
    let (router, _upstream) = site(Upstream::start(|peer| {
        peer.request()?;
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\nhello")
    }));
    let mut client = router.connect();
    client.send(UPGRADE).unwrap();
    assert_eq!(client.read_response_head("GET").unwrap().status, 101);
    assert_eq!(String::from_utf8_lossy(&client.read_to_end().unwrap()), "hello");
}

#[test]
fn a_refused_upgrade_is_an_answer_and_no_tunnel() {
    for status in [200, 400, 426, 503] {
        let (router, upstream) = site(Upstream::serving(move |request| match request.target.as_str() {
            "/up" => answer(status, "no"),
            target => answer(200, target),
        }));
        let mut client = router.connect();
        let refused = ws::WebSocket::open(router.connect(), "w.test", "/up");
        assert_eq!(refused.expect_err("no WebSocket").status, status);
        // What is pipelined behind is at most a request of its own, never bytes for the upstream.
        client.send([UPGRADE, "GET /next HTTP/1.1\r\nHost: w.test\r\n\r\n"].concat()).unwrap();
        let response = client.read_response("GET").unwrap();
        assert_eq!((response.status, response.text().as_str()), (status, "no"));
        match client.read_response("GET") {
            Ok(next) => assert_eq!(next.text(), "/next"),
            Err(error) => assert!(matches!(error, WireError::Closed | WireError::Reset), "{error}"),
        }
        let seen = upstream.requests();
        let next = seen.iter().filter(|request| request.target == "/next");
        assert!(next.into_iter().all(|request| request.fields.has("x-forwarded-for")), "{seen:#?}");
    }
}

#[test]
fn a_switch_to_another_protocol_than_asked_for_is_a_502() {
    let (router, _upstream) = site(Upstream::start(|peer| {
        peer.request()?;
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")?;
        peer.hang()
    }));
    assert_eq!(router.connect().exchange(UPGRADE).status, 502);
}

#[test]
fn an_upgrade_that_connection_does_not_name_is_none() {
    let (router, upstream) = site(Upstream::named("plain"));
    let response = router.connect().exchange("GET / HTTP/1.1\r\nHost: w.test\r\nUpgrade: lines\r\n\r\n");
    assert_eq!(response.text(), "plain");
    assert!(!upstream.request().fields.has("upgrade"));
}

#[test]
fn an_upgrade_of_http_1_0_is_none() {
    let (router, upstream) = site(Upstream::named("plain"));
    let request = UPGRADE.replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(router.connect().exchange(request).text(), "plain");
    assert!(!upstream.request().fields.has("upgrade"));
}

#[test]
fn http_2_is_not_upgraded_to() {
    let (router, upstream) = site(Upstream::named("plain"));
    let request = "GET / HTTP/1.1\r\nHost: w.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
    assert_eq!(router.connect().exchange(request).text(), "plain");
    assert!(!upstream.request().fields.has("http2-settings"));
    assert!(!upstream.request().fields.has("upgrade"));
}

#[test]
fn a_tunnel_outlives_the_response_timeout() {
    let router = Router::with().config("[limits]\nresponse_timeout = \"300ms\"\n").start();
    let upstream = Upstream::start(|peer| {
        let request = peer.request()?;
        ws::answer_handshake(peer, &request)?;
        peer.pause(std::time::Duration::from_millis(800));
        peer.send(ws::encode(ws::TEXT, b"late", None))
    });
    router.route("w.test", &upstream);
    let mut socket = ws::WebSocket::open(router.connect(), "w.test", "/").unwrap();
    assert_eq!(socket.receive().unwrap().payload, b"late");
}
