//! Bodies arrive whole, whatever their size and however they are cut, both ways.

use waypost_tests::{Framing, Random, Router, Upstream, answer};

/// Around every size at which a buffer may end.
const SIZES: [usize; 17] = [
    0,
    1,
    100,
    4095,
    4096,
    8191,
    8192,
    8193,
    16_383,
    16_384,
    32_768,
    65_535,
    65_536,
    65_537,
    262_144,
    1 << 20,
    16 << 20,
];
/// Up to here each size is tried with each way of cutting.
const SMALL: usize = 1 << 18;

fn site(upstream: Upstream) -> (Router, Upstream) {
    let router = Router::start();
    router.route("b.test", &upstream);
    (router, upstream)
}

/// A body as chunks of `size` bytes each.
fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut chunks = Vec::with_capacity(body.len() + 64);
    for chunk in body.chunks(size) {
        chunks.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    chunks
}

/// Fails with the place rather than with megabytes.
fn assert_same(found: &[u8], expected: &[u8], what: &str) {
    let at = found.iter().zip(expected).position(|(a, b)| a != b);
    assert!(
        found == expected,
        "{what}: {} bytes for {}, first difference at {at:?}",
        found.len(),
        expected.len()
    );
}

/// Sends while it reads: what comes back must not wait for what goes.
fn exchange(router: &Router, request: Vec<u8>) -> waypost_tests::Response {
    let mut client = router.connect();
    let mut writer = client.writer();
    let sender = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &request));
    let response = client.read_response("POST").expect("an answer");
    sender.join().expect("the sender does not panic").expect("the whole request is taken");
    response
}

#[test]
fn a_request_with_a_length_arrives_whole() {
    let (router, upstream) = site(Upstream::named("ok"));
    let mut random = Random::new();
    for size in SIZES {
        upstream.forget();
        let body = random.bytes(size);
        let head = format!("POST / HTTP/1.1\r\nHost: b.test\r\nContent-Length: {size}\r\n\r\n");
        assert_eq!(exchange(&router, [head.as_bytes(), &body].concat()).text(), "ok", "{size} bytes");
        let request = upstream.request();
        assert_eq!(request.framing, Framing::Length(size as u64));
        assert_same(&request.body, &body, &format!("{size} bytes"));
    }
}

#[test]
fn a_request_in_chunks_arrives_whole() {
    let (router, upstream) = site(Upstream::named("ok"));
    let mut random = Random::new();
    for size in SIZES {
        let body = random.bytes(size);
        for cut in [1, 7, 1000, 4096, 65_537, 1 << 24] {
            if size > SMALL && cut < 1000 || size > 16_384 && cut < 7 {
                continue;
            }
            upstream.forget();
            let head = "POST / HTTP/1.1\r\nHost: b.test\r\nTransfer-Encoding: chunked\r\n\r\n";
            let request = [head.as_bytes(), &chunks(&body, cut)].concat();
            assert_eq!(exchange(&router, request).text(), "ok", "{size} bytes in chunks of {cut}");
            assert_same(&upstream.request().body, &body, &format!("{size} bytes in chunks of {cut}"));
        }
    }
}

#[test]
fn a_request_that_drips_in_arrives_whole() {
    let (router, upstream) = site(Upstream::named("ok"));
    let request = "POST /x HTTP/1.1\r\nHost: b.test\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n\
                   4;ext=\"v\"\r\nWiki\r\n00005\r\npedia\r\nA\r\n in chunks\r\n000\r\nX-Sum: 9\r\nX-Two:\r\n\r\n";
    for size in [1, 2, 3, 5, 8, 13, 400] {
        upstream.forget();
        let mut client = router.connect();
        client.send_pieces(request, size).unwrap();
        assert_eq!(client.read_response("POST").unwrap().text(), "ok", "pieces of {size}");
        let request = upstream.request();
        assert_eq!(request.text(), "Wikipedia in chunks", "pieces of {size}");
        assert_eq!(request.trailers.get("x-sum"), Some("9"), "pieces of {size}");
        assert_eq!(request.trailers.get("x-two"), Some(""), "pieces of {size}");
    }
}

#[test]
fn a_response_with_a_length_arrives_whole() {
    let body = Random::new().bytes(16 << 20);
    let sent = body.clone();
    let (router, _upstream) = site(Upstream::serving(move |request| {
        let size: usize = request.target[1..].parse().expect("a size");
        answer(200, &sent[..size])
    }));
    let mut client = router.connect();
    for size in SIZES {
        let response = client.get("b.test", &format!("/{size}"));
        assert_eq!(response.framing, Framing::Length(size as u64));
        assert_same(&response.body, &body[..size], &format!("{size} bytes"));
    }
}

#[test]
fn a_response_in_chunks_arrives_whole() {
    let body = Random::new().bytes(16 << 20);
    let sent = body.clone();
    let (router, _upstream) = site(Upstream::serving(move |request| {
        let (size, cut) = request.target[1..].split_once('/').expect("two numbers");
        let size: usize = size.parse().expect("a size");
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        [head.as_bytes(), &chunks(&sent[..size], cut.parse().expect("a size"))].concat()
    }));
    let mut client = router.connect();
    for size in SIZES {
        for cut in [1, 7, 1000, 4096, 65_537, 1 << 24] {
            if size > SMALL && cut < 1000 || size > 16_384 && cut < 7 {
                continue;
            }
            let response = client.get("b.test", &format!("/{size}/{cut}"));
            assert_eq!(response.framing, Framing::Chunked);
            assert_same(&response.body, &body[..size], &format!("{size} bytes in chunks of {cut}"));
        }
    }
}

#[test]
fn a_response_that_drips_in_arrives_whole_with_its_trailers() {
    let text = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                4;a=b\r\nWiki\r\n5\r\npedia\r\n0\r\nX-Sum: 9\r\n\r\n";
    let (router, _upstream) = site(Upstream::start(move |peer| {
        loop {
            let request = peer.request()?;
            peer.send_pieces(text, request.target[1..].parse().expect("a size"))?;
        }
    }));
    let mut client = router.connect();
    for size in [1, 2, 3, 5, 8, 13, 400] {
        client.send(format!("GET /{size} HTTP/1.1\r\nHost: b.test\r\nTE: trailers\r\n\r\n")).unwrap();
        let response = client.read_response("GET").unwrap();
        assert_eq!(response.text(), "Wikipedia", "pieces of {size}");
        assert_eq!(response.trailers.get("x-sum"), Some("9"), "pieces of {size}");
    }
}

#[test]
fn a_response_that_ends_with_its_connection_arrives_whole() {
    let body = Random::new().bytes(1 << 20);
    let sent = body.clone();
    let (router, upstream) = site(Upstream::start(move |peer| {
        let request = peer.request()?;
        let size: usize = request.target[1..].parse().expect("a size");
        peer.send("HTTP/1.1 200 OK\r\n\r\n")?;
        peer.send(&sent[..size])
    }));
    let mut client = router.connect();
    let sizes = [0, 1, 8191, 65_537, 1 << 20];
    for size in sizes {
        // The client's own connection stays.
        let response = client.get("b.test", &format!("/{size}"));
        assert_same(&response.body, &body[..size], &format!("{size} bytes"));
    }
    assert_eq!(upstream.connections(), sizes.len());
}

#[test]
fn responses_without_a_body_leave_the_connection_in_step() {
    let (router, _upstream) = site(Upstream::serving(|request| {
        let text = match (request.method.as_str(), request.target.as_str()) {
            ("HEAD", "/length") => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            ("HEAD", "/chunked") => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            ("HEAD", _) => "HTTP/1.1 200 OK\r\n\r\n",
            (_, "/204") => "HTTP/1.1 204 No Content\r\n\r\n",
            (_, "/304") => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 1000\r\n\r\n",
            (_, "/empty") => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            _ => return answer(200, "after"),
        };
        text.into()
    }));
    let mut client = router.connect();
    for (line, status, length) in [
        ("HEAD /length", 200, Some("1000")),
        ("HEAD /chunked", 200, None),
        ("HEAD /neither", 200, None),
        ("GET /204", 204, None),
        ("GET /304", 304, Some("1000")),
        ("GET /empty", 200, Some("0")),
    ] {
        let response = client.exchange(format!("{line} HTTP/1.1\r\nHost: b.test\r\n\r\n"));
        assert_eq!(response.status, status, "{line}");
        assert_eq!(response.fields.get("content-length"), length, "{line}");
        assert_eq!(client.get("b.test", "/").text(), "after", "{line}");
    }
}

#[test]
fn an_upstream_of_http_1_0_is_understood() {
    let (router, upstream) = site(Upstream::start(|peer| {
        peer.request()?;
        peer.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold")
    }));
    let mut client = router.connect();
    for _ in 0..3 {
        assert_eq!(client.get("b.test", "/").text(), "old");
    }
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn a_body_is_passed_on_before_it_is_complete() {
    let (router, upstream) = site(Upstream::start(|peer| {
        let request = peer.read_request_head()?;
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        // Sends back what comes, as it comes.
        let mut writer = peer.writer();
        peer.read_body(request.framing, &mut |piece| {
            let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
            let _ = std::io::Write::write_all(&mut writer, &chunk);
        })?;
        peer.send("0\r\n\r\n")
    }));
    let mut client = router.connect();
    client.send("POST / HTTP/1.1\r\nHost: b.test\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let head = client.read_response_head("POST").unwrap();
    assert_eq!((head.status, head.framing), (200, Framing::Chunked));
    for word in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{word}\r\n", word.len())).unwrap();
        assert_eq!(String::from_utf8_lossy(&client.read_chunk().unwrap()), word);
    }
    client.send("0\r\n\r\n").unwrap();
    assert!(client.read_chunk().unwrap().is_empty());
    drop(upstream);
}
