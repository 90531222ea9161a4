//! The harness against itself: what the other suites conclude rests on it.

use std::time::Duration;

use waypost_tests::{Blackhole, Client, Framing, Port, Upstream, WireError, answer, ws};

#[test]
fn an_upstream_keeps_every_byte_it_is_sent() {
    let upstream = Upstream::named("a");
    let request = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    let response = Client::connect(upstream.address()).exchange(request);
    assert_eq!((response.status, response.text().as_str()), (200, "a"));
    assert_eq!(upstream.received(), request);
    assert_eq!(upstream.request().text(), "abc");
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn forgetting_keeps_open_connections_watched() {
    let upstream = Upstream::named("a");
    let mut client = Client::connect(upstream.address());
    client.get("h", "/1");
    upstream.forget();
    client.get("h", "/2");
    assert_eq!(upstream.request().target, "/2");
    assert!(upstream.received().starts_with(b"GET /2"));
}

#[test]
fn pieces_arrive_as_one_message() {
    let upstream = Upstream::echo();
    let mut client = Client::connect(upstream.address());
    let request = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n";
    client.send_pieces(request, 7).unwrap();
    assert_eq!(client.read_response("POST").unwrap().text(), "abcde");
    let request = upstream.request();
    assert_eq!(request.framing, Framing::Chunked);
    assert_eq!(request.trailers.get("a"), Some("b"));
}

#[test]
fn interim_responses_stand_beside_the_final_one() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".as_bytes();
    let upstream = Upstream::answering([hints, &answer(200, "x")].concat());
    let response = Client::connect(upstream.address()).get("h", "/");
    assert_eq!(response.interim.len(), 1);
    assert_eq!(response.interim[0].fields.get("link"), Some("</a>"));
    assert_eq!(response.text(), "x");
}

#[test]
fn a_body_cut_short_is_an_error() {
    for cut in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
    ] {
        let upstream = Upstream::start(move |peer| {
            peer.request()?;
            peer.send(cut)
        });
        let mut client = Client::connect(upstream.address());
        let error = client.try_exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap_err();
        assert!(matches!(error, WireError::Cut(_)), "{cut:?}: {error:?}");
    }
}

#[test]
fn a_reset_is_told_from_an_end() {
    let upstream = Upstream::start(|peer| {
        peer.request()?;
        peer.reset();
        Ok(())
    });
    let mut client = Client::connect(upstream.address());
    let error = client.try_exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap_err();
    assert!(matches!(error, WireError::Reset), "{error:?}");
}

#[test]
#[should_panic(expected = "an upstream's script panicked")]
fn a_script_that_panics_closes_its_connection_and_fails_the_test() {
    let upstream = Upstream::start(|peer| {
        peer.request()?;
        panic!("on purpose");
    });
    let mut client = Client::connect(upstream.address());
    assert!(client.try_exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n").is_err());
}

#[test]
fn a_stopped_upstream_refuses_and_comes_back_on_its_port() {
    let mut upstream = Upstream::named("a");
    let mut client = Client::connect(upstream.address());
    client.get("h", "/");
    upstream.stop();
    assert!(client.is_closed_by_peer().unwrap());
    assert!(Client::try_connect(upstream.address()).is_err());
    upstream.resume();
    assert_eq!(Client::connect(upstream.address()).get("h", "/").text(), "a");
}

#[test]
fn a_blackhole_neither_takes_nor_refuses_a_connection() {
    let blackhole = Blackhole::start();
    let error = std::net::TcpStream::connect_timeout(&blackhole.address(), Duration::from_millis(200));
    assert_eq!(error.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn a_websocket_echoes_frames_of_every_length_form() {
    let upstream = Upstream::start(ws::echo);
    let mut socket = ws::WebSocket::open(Client::connect(upstream.address()), "h", "/").unwrap();
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        let payload = vec![b'x'; length];
        socket.send(ws::BINARY, &payload).unwrap();
        assert_eq!(socket.receive().unwrap(), ws::Frame { opcode: ws::BINARY, payload });
    }
    socket.send(ws::CLOSE, b"").unwrap();
    assert_eq!(socket.receive().unwrap().opcode, ws::CLOSE);
    assert!(socket.wire().is_closed_by_peer().unwrap());
}

#[test]
fn a_free_port_refuses_connections() {
    assert!(Client::try_connect(Port::free().address()).is_err());
}
