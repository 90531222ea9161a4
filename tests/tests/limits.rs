//! What a client or an upstream may take: time, memory, size. Timeouts are made short by a configuration;
//! that something ends is asserted, and how, never when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use waypost_tests::{Framing, Router, Upstream, answer, eventually};

fn router(limits: &str) -> Router {
    Router::with().config(format!("[limits]\n{limits}\n")).start()
}

#[test]
fn a_client_that_sends_nothing_is_closed() {
    let router = router("header_timeout = \"300ms\"\nidle_timeout = \"300ms\"");
    assert!(router.connect().read_to_end().unwrap_or_default().is_empty());
}

#[test]
fn a_head_that_is_never_finished_is_closed() {
    let router = router("header_timeout = \"300ms\"");
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: l.te").unwrap();
    // With an answer or without.
    match client.read_response("GET") {
        Ok(response) => assert_eq!(response.status, 408),
        Err(error) => assert!(matches!(error, waypost_tests::WireError::Closed), "{error}"),
    }
    assert!(client.is_closed_by_peer().unwrap());
}

#[test]
fn a_head_that_drips_in_does_not_stretch_its_time() {
    let router = router("header_timeout = \"300ms\"");
    let mut client = router.connect();
    let mut writer = client.writer();
    let dripping = std::thread::spawn(move || {
        let _ = std::io::Write::write_all(&mut writer, b"GET / HTTP/1.1\r\n");
        // Ends when the router has closed; its patience is for the case that it never does.
        let deadline = Instant::now() + waypost_tests::PATIENCE;
        while Instant::now() < deadline && std::io::Write::write_all(&mut writer, b"A").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Instant::now() < deadline
    });
    let _ = client.read_to_end();
    drop(client);
    assert!(dripping.join().unwrap(), "the router went on reading");
}

#[test]
fn an_idle_connection_is_closed_after_its_requests() {
    let router = router("idle_timeout = \"300ms\"");
    let upstream = Upstream::named("ok");
    router.route("l.test", &upstream);
    let mut client = router.connect();
    assert_eq!(client.get("l.test", "/").text(), "ok");
    assert!(client.is_closed_by_peer().unwrap());
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    let router = router("idle_timeout = \"300ms\"");
    let upstream = Upstream::named("ok");
    router.route("l.test", &upstream);
    let mut client = router.connect();
    client.send("POST / HTTP/1.1\r\nHost: l.test\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
    if let Ok(response) = client.read_response("POST") {
        assert_eq!(response.status, 408);
    }
    assert!(client.is_closed_by_peer().unwrap());
    assert!(upstream.requests().is_empty(), "the upstream saw a whole request");
}

#[test]
fn an_upstream_that_never_answers_is_a_504() {
    let router = router("response_timeout = \"300ms\"");
    let upstream = Upstream::start(|peer| {
        peer.request()?;
        peer.hang()
    });
    router.route("l.test", &upstream);
    assert_eq!(router.connect().get("l.test", "/").status, 504);
    assert_eq!(upstream.requests().len(), 1, "it was tried again");
}

#[test]
fn an_upstream_that_stops_in_its_body_is_given_up() {
    let router = router("idle_timeout = \"300ms\"\nresponse_timeout = \"300ms\"");
    let upstream = Upstream::start(|peer| {
        peer.request()?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")?;
        peer.hang()
    });
    router.route("l.test", &upstream);
    assert!(router.connect().try_exchange("GET / HTTP/1.1\r\nHost: l.test\r\n\r\n").is_err());
}

#[test]
fn a_body_over_the_limit_is_a_413() {
    let router = router("max_body = 1000");
    let upstream = Upstream::echo();
    router.route("l.test", &upstream);
    let fits = format!("POST / HTTP/1.1\r\nHost: l.test\r\nContent-Length: 1000\r\n\r\n{}", "a".repeat(1000));
    assert_eq!(router.connect().exchange(fits).body.len(), 1000);
    upstream.forget();

    let mut client = router.connect();
    client.send("POST / HTTP/1.1\r\nHost: l.test\r\nContent-Length: 1001\r\n\r\n").unwrap();
    assert_eq!(client.read_response("POST").unwrap().status, 413);
    assert!(client.is_closed_by_peer().unwrap());
    assert!(upstream.received().is_empty());

    let mut client = router.connect();
    let chunk = format!("3e8\r\n{}\r\n", "a".repeat(1000));
    client.send("POST / HTTP/1.1\r\nHost: l.test\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let _ = client.send([chunk.as_str(), "1\r\na\r\n0\r\n\r\n"].concat());
    assert_eq!(client.read_response("POST").unwrap().status, 413);
    assert!(client.is_closed_by_peer().unwrap());
    assert!(upstream.requests().is_empty(), "the upstream saw a whole request");
}

#[test]
fn limits_of_the_head_are_the_configurations() {
    let router = router("header_size = 2000\nheader_count = 10\nrequest_line = 200");
    let upstream = Upstream::named("ok");
    router.route("l.test", &upstream);
    for (status, line, fields) in [(200, 100, 5), (414, 200, 1), (431, 1, 30)] {
        let fields: String = (0..fields).map(|number| format!("A{number}: b\r\n")).collect();
        let target = "a".repeat(line);
        let request = format!("GET /{target} HTTP/1.1\r\nHost: l.test\r\n{fields}\r\n");
        assert_eq!(router.connect().exchange(request).status, status);
    }
    let long = "a".repeat(2000);
    let request = format!("GET / HTTP/1.1\r\nHost: l.test\r\nA: {long}\r\n\r\n");
    assert_eq!(router.connect().exchange(request).status, 431);
}

#[test]
fn connections_of_one_client_are_limited() {
    let router = router("connections_per_client = 5");
    let upstream = Upstream::named("ok");
    router.route("l.test", &upstream);
    let mut held: Vec<_> = (0..5).map(|_| router.connect()).collect();
    for client in &mut held {
        assert_eq!(client.get("l.test", "/").text(), "ok");
    }
    let mut sixth = router.connect();
    match sixth.try_exchange("GET / HTTP/1.1\r\nHost: l.test\r\n\r\n") {
        Ok(response) => assert!([429, 503].contains(&response.status), "{}", response.status),
        Err(error) => assert!(
            matches!(error, waypost_tests::WireError::Closed | waypost_tests::WireError::Reset),
            "{error}"
        ),
    }
    held.clear();
    eventually("a connection is free again", || {
        let answer = router.connect().try_exchange("GET / HTTP/1.1\r\nHost: l.test\r\n\r\n");
        answer.ok().filter(|response| response.status == 200)
    });
}

/// Sends an endless body until it can't for a while, and counts it; then goes on until the end.
fn flood(total: u64, sent: Arc<AtomicU64>) -> Upstream {
    Upstream::start(move |peer| {
        peer.request()?;
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n"))?;
        let block = [b'x'; 64 * 1024];
        let mut left = total;
        while left > 0 {
            let now = left.min(block.len() as u64);
            peer.send(&block[..now as usize])?;
            sent.fetch_add(now, Ordering::SeqCst);
            left -= now;
        }
        Ok(())
    })
}

/// Waits until a counter has stood still for half a second.
fn settled(counter: &AtomicU64) -> u64 {
    let mut last = (counter.load(Ordering::SeqCst), Instant::now());
    eventually("a stream comes to rest", || {
        let now = counter.load(Ordering::SeqCst);
        if now != last.0 || now == 0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(500)).then_some(now)
    })
}

const GIB: u64 = 1 << 30;
/// Sockets' buffers on both hops may hold this much, the router's memory far less.
const IN_SOCKETS: u64 = 64 << 20;
const IN_MEMORY: u64 = 32 << 20;

#[test]
fn a_client_that_does_not_read_holds_back_the_upstream() {
    let sent = Arc::new(AtomicU64::new(0));
    let upstream = flood(GIB, sent.clone());
    let mut router = Router::start();
    router.route("l.test", &upstream);
    assert_eq!(router.connect().get("unknown.test", "/").status, 404);
    let before = router.process().resident_memory();
    let mut clients: Vec<_> = (0..4).map(|_| router.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: l.test\r\n\r\n").unwrap();
    }
    let total = settled(&sent);
    assert!(total < 4 * IN_SOCKETS, "{total} bytes went into the dark");
    let grown = router.process().resident_memory().saturating_sub(before);
    assert!(grown < IN_MEMORY, "the router has grown by {grown} bytes");
}

#[test]
fn an_upstream_that_does_not_read_holds_back_the_client() {
    let upstream = Upstream::start(|peer| {
        peer.read_request_head()?;
        std::thread::park_timeout(waypost_tests::PATIENCE);
        Ok(())
    });
    let mut router = Router::start();
    router.route("l.test", &upstream);
    assert_eq!(router.connect().get("unknown.test", "/").status, 404);
    let before = router.process().resident_memory();
    let mut client = router.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: l.test\r\nContent-Length: {GIB}\r\n\r\n")).unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let (counter, mut writer) = (sent.clone(), client.writer());
    let sender = std::thread::spawn(move || {
        // Ends when the test closes the connection.
        while let Ok(length) = std::io::Write::write(&mut writer, &[b'x'; 64 * 1024]) {
            counter.fetch_add(length as u64, Ordering::SeqCst);
        }
    });
    let total = settled(&sent);
    assert!(total < IN_SOCKETS, "{total} bytes went into the dark");
    let grown = router.process().resident_memory().saturating_sub(before);
    assert!(grown < IN_MEMORY, "the router has grown by {grown} bytes");
    client.writer().shutdown(std::net::Shutdown::Both).unwrap();
    sender.join().unwrap();
}

#[test]
fn a_large_response_streams_through_in_little_memory() {
    let sent = Arc::new(AtomicU64::new(0));
    let upstream = flood(GIB / 4, sent);
    let mut router = Router::start();
    router.route("l.test", &upstream);
    assert_eq!(router.connect().get("unknown.test", "/").status, 404);
    let before = router.process().resident_memory();
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: l.test\r\n\r\n").unwrap();
    let head = client.read_response_head("GET").unwrap();
    assert_eq!(head.framing, Framing::Length(GIB / 4));
    let (mut received, mut wrong) = (0, 0);
    client
        .read_body(head.framing, &mut |piece| {
            received += piece.len() as u64;
            wrong += piece.iter().filter(|byte| **byte != b'x').count();
        })
        .unwrap();
    assert_eq!((received, wrong), (GIB / 4, 0));
    let grown = router.process().resident_memory().saturating_sub(before);
    assert!(grown < IN_MEMORY, "the router has grown by {grown} bytes");
}

#[test]
fn a_client_that_stops_reading_is_given_up() {
    let router = router("idle_timeout = \"300ms\"");
    let sent = Arc::new(AtomicU64::new(0));
    let given_up = Arc::new(AtomicU64::new(0));
    let (counter, ended) = (sent.clone(), given_up.clone());
    let upstream = Upstream::start(move |peer| {
        peer.request()?;
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n"))?;
        let block = [b'x'; 64 * 1024];
        while peer.send(block).is_ok() {
            counter.fetch_add(block.len() as u64, Ordering::SeqCst);
        }
        ended.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    router.route("l.test", &upstream);
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: l.test\r\n\r\n").unwrap();
    eventually("the upstream's connection is closed", || {
        (given_up.load(Ordering::SeqCst) == 1).then_some(())
    });
    assert!(sent.load(Ordering::SeqCst) < IN_SOCKETS);
    // What had been sent can be read, and is not the whole.
    let head = client.read_response_head("GET").unwrap();
    assert!(client.read_body(head.framing, &mut |_| {}).is_err());
}

#[test]
fn clients_that_send_little_cost_little_memory() {
    const CLIENTS: usize = 300;
    let mut router = Router::start();
    assert_eq!(router.connect().get("unknown.test", "/").status, 404);
    let (memory, descriptors) = (router.process().resident_memory(), router.process().open_descriptors());
    let head = format!("GET / HTTP/1.1\r\nHost: l.test\r\nX-Long: {}", "a".repeat(2000));
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| router.connect()).collect();
    for client in &mut clients {
        client.send(&head).unwrap();
    }
    eventually("all clients are accepted", || {
        (router.process().open_descriptors() + 8 >= descriptors + CLIENTS).then_some(())
    });
    let grown = router.process().resident_memory().saturating_sub(memory);
    assert!(grown < 100 * (CLIENTS * head.len()) as u64, "{CLIENTS} clients cost {grown} bytes");
    clients.clear();
    eventually("descriptors return to where they were", || {
        (router.process().open_descriptors() <= descriptors + 8).then_some(())
    });
}

#[test]
fn a_slow_reader_of_a_short_answer_is_served() {
    let router = router("idle_timeout = \"10s\"");
    let upstream = Upstream::answering(answer(200, "x".repeat(300_000)));
    router.route("l.test", &upstream);
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: l.test\r\n\r\n").unwrap();
    let head = client.read_response_head("GET").unwrap();
    let mut length = 0;
    client
        .read_body(head.framing, &mut |piece| {
            length += piece.len();
            std::thread::sleep(Duration::from_millis(5));
        })
        .unwrap();
    assert_eq!(length, 300_000);
}

#[test]
fn connections_in_all_are_limited() {
    let router = router("max_connections = 3");
    let upstream = Upstream::named("ok");
    router.route("l.test", &upstream);
    // What came before (the harness asking whether it is there) may still have a place.
    let clients = eventually("three places", || {
        let mut clients: Vec<_> = (0..3).map(|_| router.connect()).collect();
        clients.iter_mut().all(|client| client.try_get("l.test", "/").is_ok()).then_some(clients)
    });
    assert!(router.connect().try_get("l.test", "/").is_err(), "a fourth connection was served");
    drop(clients);
    eventually("a place to be free again", || router.connect().try_get("l.test", "/").ok());
}

#[test]
fn a_silent_tunnel_is_closed_after_its_time() {
    let router = router("tunnel_timeout = \"300ms\"");
    let upstream = Upstream::start(|peer| {
        peer.request()?;
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: any\r\n\r\n")?;
        peer.hang()
    });
    router.route("l.test", &upstream);
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: l.test\r\nConnection: upgrade\r\nUpgrade: any\r\n\r\n").unwrap();
    assert_eq!(client.read_response_head("GET").unwrap().status, 101);
    assert!(client.is_closed_by_peer().unwrap());
}
