//! Requests and responses with random damage. Whatever a client sends, an upstream is only ever sent what
//! can be read strictly; whatever an upstream sends, a client is only ever sent the same; and everyone else
//! is served as before.

use std::sync::{Arc, Mutex};

use waypost_tests::{Random, Router, Upstream, WireError, answer};

/// Bytes that mean something in a message, and some that may not stand there.
const BYTES: &[u8] = b"\r\n\t :;,/?#%\0\x01\x7f\x80\xff019afAF-+_\"GHTP.";

/// Changes a few bytes: replaced, removed, put in, or a piece said twice.
fn damage(random: &mut Random, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    for _ in 0..1 + random.below(3) {
        let at = random.below(message.len());
        match random.below(5) {
            0 => message[at] = *random.pick(BYTES),
            1 if message.len() > 1 => drop(message.remove(at)),
            1 => {}
            2 => message.insert(at, *random.pick(BYTES)),
            3 => {
                let end = (at + 1 + random.below(30)).min(message.len());
                let piece = message[at..end].to_vec();
                message.splice(at..at, piece);
            }
            _ => message.truncate(at.max(1)),
        }
    }
    message
}

#[test]
fn a_damaged_request_reaches_an_upstream_only_well_formed() {
    let seeds: [&[u8]; 4] = [
        b"GET /a?b HTTP/1.1\r\nHost: m.test\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: m.test\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: m.test\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: m.test\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
        b"GET http://m.test/a HTTP/1.0\r\nHost: m.test\r\nConnection: upgrade, x\r\nUpgrade: y\r\nX: z\r\n\r\n",
    ];
    let malformed = Arc::new(Mutex::new(Vec::new()));
    let seen = malformed.clone();
    let upstream = Upstream::start(move |peer| {
        loop {
            match peer.request() {
                Ok(request) if request.fields.get("host").is_none() => {
                    seen.lock().expect("no script panics").push(format!("no Host: {request:?}"));
                }
                Ok(_) => peer.send(answer(200, "fine"))?,
                Err(WireError::Malformed(fault)) => {
                    seen.lock().expect("no script panics").push(fault);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    });
    let mut router =
        Router::with().config("[limits]\nheader_timeout = \"200ms\"\nidle_timeout = \"200ms\"\n").start();
    router.route("m.test", &upstream);
    let mut random = Random::new();
    let seed = random.seed();
    let requests: Vec<Vec<u8>> = (0..1600)
        .map(|_| {
            let original = *random.pick(&seeds);
            // What is missing is taken from here, so that few have to wait for their time to end.
            let end = b"\r\n\r\nGET /end HTTP/1.1\r\nHost: m.test\r\nConnection: close\r\n\r\n";
            [&damage(&mut random, original), &end[..]].concat()
        })
        .collect();
    std::thread::scope(|scope| {
        for share in requests.chunks(400) {
            let router = &router;
            scope.spawn(move || {
                share.iter().for_each(|request| answers_are_well_formed(router, request, seed))
            });
        }
    });
    let malformed = malformed.lock().unwrap();
    assert!(malformed.is_empty(), "an upstream got {malformed:#?} with WAYPOST_TEST_SEED={seed}");
    let (sent, reached) = (requests.len(), upstream.requests().len());
    assert!(reached > sent / 4, "only {reached} requests of {sent} connections reached the upstream");
    assert!(router.process().is_running());
    assert_eq!(router.connect().get("m.test", "/").text(), "fine");
}

/// Sends what is given and reads answers until the router closes.
fn answers_are_well_formed(router: &Router, request: &[u8], seed: u64) {
    let mut client = router.connect();
    // The router may close before it has been sent everything.
    let _ = client.send(request);
    loop {
        match client.read_response("GET") {
            Ok(_) => {}
            Err(WireError::Closed | WireError::Reset) => return,
            Err(fault) => panic!(
                "{fault} in answer to {:?} with WAYPOST_TEST_SEED={seed}",
                String::from_utf8_lossy(request)
            ),
        }
    }
}

#[test]
fn a_damaged_response_reaches_a_client_only_well_formed() {
    let seeds: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: 1\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: close, x\r\nX: y\r\n\r\nuntil the end",
    ];
    let random = Random::new();
    let seed = random.seed();
    let source = Mutex::new(random);
    let last = Arc::new(Mutex::new(Vec::new()));
    let sent = last.clone();
    let upstream = Upstream::start(move |peer| {
        loop {
            let request = peer.request()?;
            if request.target == "/fine" {
                peer.send(answer(200, "fine"))?;
                continue;
            }
            let response = {
                let mut random = source.lock().expect("no script panics");
                let original = *random.pick(&seeds);
                damage(&mut random, original)
            };
            *sent.lock().expect("no script panics") = response.clone();
            peer.send(response)?;
            // A response that never ends would only wait for the router's timeouts.
            peer.finish();
            return peer.hang();
        }
    });
    let mut router = Router::with()
        .config("[limits]\nresponse_timeout = \"500ms\"\nidle_timeout = \"2s\"\n")
        .flag("--workers", 1)
        .start();
    router.route("m.test", &upstream);
    for _ in 0..1500 {
        let mut client = router.connect();
        match client.try_exchange("GET /damaged HTTP/1.1\r\nHost: m.test\r\n\r\n") {
            Err(WireError::Malformed(fault)) => panic!(
                "{fault:?} of {:?} with WAYPOST_TEST_SEED={seed}",
                String::from_utf8_lossy(&last.lock().unwrap())
            ),
            Err(WireError::Silent(_)) => panic!(
                "{:?} is never answered, with WAYPOST_TEST_SEED={seed}",
                String::from_utf8_lossy(&last.lock().unwrap())
            ),
            Ok(_) | Err(_) => {}
        }
        let next = router.connect().get("m.test", "/fine");
        assert_eq!(
            next.text(),
            "fine",
            "the next client got {next:?} behind {:?} with WAYPOST_TEST_SEED={seed}",
            String::from_utf8_lossy(&last.lock().unwrap())
        );
    }
    assert!(router.process().is_running());
}
