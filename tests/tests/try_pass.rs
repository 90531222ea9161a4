//! Passing: a request goes from one backend to the next with its body whole, whenever each says "not mine",
//! over connections that are kept; and it starts again where a backend says so.

use waypost_tests::{Framing, Peer, Port, Random, Request, Router, Upstream, WireError, answer};

/// A router with one worker whose entry is a `try_pass` over these servers, with more keys for it.
fn router(servers: &[&Upstream], keys: &str) -> Router {
    let addresses: Vec<String> =
        servers.iter().map(|server| format!("http://{}", server.address())).collect();
    router_to(&addresses, keys)
}

fn router_to(urls: &[String], keys: &str) -> Router {
    let names: Vec<String> = (1..=urls.len()).map(|number| format!("m{number}")).collect();
    let mut config =
        format!("entry = \"site\"\n[backend.site]\ntype = \"try_pass\"\nmembers = {names:?}\n{keys}\n");
    for (name, url) in names.iter().zip(urls) {
        config.push_str(&format!("[backend.{name}]\ntype = \"client\"\nurl = \"{url}\"\n"));
    }
    Router::with().flag("--workers", 1).config(config).start()
}

/// A server that says "not mine" to everything.
fn passer() -> Upstream {
    Upstream::answering(answer(501, "not mine"))
}

fn post(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: h.test\r\nContent-Length: {length}\r\n\r\n{}", "b".repeat(length))
}

#[test]
fn the_first_that_does_not_pass_answers_and_those_behind_it_are_not_asked() {
    let (first, second, third) = (passer(), Upstream::named("second"), Upstream::named("third"));
    let router = router(&[&first, &second, &third], "");
    for (method, body) in [("GET", "second"), ("DELETE", "second"), ("HEAD", "")] {
        let response = router.connect().exchange(format!("{method} /a?b HTTP/1.1\r\nHost: h.test\r\n\r\n"));
        assert_eq!((response.status, response.text().as_str()), (200, body), "{method}");
    }
    assert_eq!(router.connect().exchange(post(1000)).text(), "second");
    assert_eq!(first.requests().len(), 4);
    for (passed, answered) in first.requests().iter().zip(second.requests()) {
        assert_eq!((&passed.method, &passed.target), (&answered.method, &answered.target));
        assert_eq!((&passed.fields, &passed.body), (&answered.fields, &answered.body));
    }
    assert_eq!(third.connections(), 0);
}

#[test]
fn the_answer_of_the_last_one_stands_whatever_it_is() {
    let (first, second) = (passer(), Upstream::answering(answer(501, "neither mine")));
    let router_ = router(&[&first, &second], "");
    let response = router_.connect().get("h.test", "/");
    assert_eq!((response.status, response.text().as_str()), (501, "neither mine"));
    let away =
        router_to(&[format!("http://{}", first.address()), format!("http://{}", Port::free().address())], "");
    assert_eq!(away.connect().get("h.test", "/").status, 502);
}

#[test]
fn what_passes_is_configured_and_failures_are_no_passes() {
    let statuses = "pass_on = [404, \"connect_failure\"]";
    let (lost, here) = (Upstream::answering(answer(404, "no")), Upstream::named("here"));
    let away = Port::free();
    let urls: Vec<String> =
        [away.address(), lost.address(), here.address()].map(|address| format!("http://{address}")).into();
    let router_ = router_to(&urls, statuses);
    assert_eq!(router_.connect().exchange(post(70_000)).text(), "here");
    assert_eq!(here.request().body.len(), 70_000);
    // 501 is not in the list.
    let not_implemented = passer();
    let router_ = router(&[&not_implemented, &here], statuses);
    assert_eq!(router_.connect().get("h.test", "/").status, 501);
    // Without the word, and after something was sent, a failure is the answer.
    assert_eq!(router_to(&urls, "").connect().get("h.test", "/").status, 502);
    let broken = Upstream::start(|peer| peer.request().map(drop));
    let router_ = router(&[&broken, &here], statuses);
    assert_eq!(router_.connect().exchange(post(10)).status, 502);
}

#[test]
fn a_connection_that_passes_is_used_again() {
    let whole = passer();
    // The body a moment behind the head, and in chunks.
    let pieces = Upstream::start(|peer| {
        loop {
            peer.request()?;
            peer.send("HTTP/1.1 501 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n")?;
            peer.pause(std::time::Duration::from_millis(2));
            peer.send("5\r\n mine\r\n0\r\n\r\n")?;
        }
    });
    let empty = Upstream::answering(answer(501, ""));
    let last = Upstream::named("last");
    let router = router(&[&whole, &pieces, &empty, &last], "");
    let mut client = router.connect();
    for round in 0..50 {
        let response = match round % 3 {
            0 => client.get("h.test", "/"),
            1 => client.exchange(post(round * 100)),
            _ => client.exchange("DELETE / HTTP/1.1\r\nHost: h.test\r\n\r\n"),
        };
        assert_eq!(response.status, 200);
    }
    for (server, name) in [(&whole, "whole"), (&pieces, "in pieces"), (&empty, "empty"), (&last, "last")] {
        assert_eq!((server.requests().len(), server.connections()), (50, 1), "{name}");
    }
}

#[test]
fn a_body_that_went_into_a_dead_connection_goes_out_again_whole() {
    // Passes what comes first on a connection, and takes what comes next with it when it closes.
    let closing = Upstream::start(|peer| {
        peer.request()?;
        peer.send("HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n")?;
        peer.request().map(drop)
    });
    let last = Upstream::named("last");
    let router = router(&[&closing, &last], "");
    let mut client = router.connect();
    let put =
        |framing: &str, body: &str| format!("PUT / HTTP/1.1\r\nHost: h.test\r\n{framing}\r\n\r\n{body}");
    for length in [1, 3000, 200_000] {
        let body = "b".repeat(length);
        let known = put(&format!("Content-Length: {length}"), &body);
        let chunked = put("Transfer-Encoding: chunked", &format!("{length:x}\r\n{body}\r\n0\r\n\r\n"));
        for request in [&known, &chunked, &known] {
            let response = client.exchange(request);
            assert_eq!((response.status, response.text().as_str()), (200, "last"), "{length} bytes");
        }
    }
    assert!(last.requests().iter().all(|request| request.body.iter().all(|byte| *byte == b'b')));
    let lengths: Vec<usize> = last.requests().iter().map(|request| request.body.len()).collect();
    assert_eq!(lengths, [1, 1, 1, 3000, 3000, 3000, 200_000, 200_000, 200_000]);
    // What may not be done twice is not sent twice.
    let statuses: Vec<u16> = (0..4).map(|_| client.exchange(post(100)).status).collect();
    assert_eq!(statuses, [502, 200, 502, 200]);
}

#[test]
fn a_large_answer_that_passes_costs_its_connection_and_nothing_else() {
    let (large, last) = (Upstream::answering(answer(501, vec![b'x'; 1 << 20])), Upstream::named("last"));
    let router = router(&[&large, &last], "");
    let mut client = router.connect();
    for _ in 0..3 {
        assert_eq!(client.get("h.test", "/").text(), "last");
    }
    assert_eq!(large.connections(), 3);
}

/// A member of the random test. A request's field `Plan-N` has the N-th of them pass once it has read so
/// many bytes of the body, and then close, or read on; without it, it sends the body back.
fn planned(number: usize) -> Upstream {
    Upstream::start(move |peer| {
        loop {
            let request = peer.read_request_head()?;
            let Some(plan) = request.fields.get(&format!("plan-{number}")) else {
                let mut body = Vec::new();
                let trailers = peer.read_body(request.framing, &mut |piece| body.extend_from_slice(piece))?;
                let trailer = trailers.get("sum").map_or(String::new(), |sum| format!("Sum: {sum}\r\n"));
                let head = format!("HTTP/1.1 200 Mine\r\n{trailer}Content-Length: {}\r\n\r\n", body.len());
                peer.send([head.as_bytes(), &body].concat())?;
                continue;
            };
            let (after, then) = plan.split_once(' ').expect("a plan has two words");
            let (mut count, rest) = read_part(peer, request.framing, after.parse().expect("a number"))?;
            if then == "close" {
                // Said, so that no later request is sent into its end.
                return peer.send("HTTP/1.1 501 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
            }
            peer.send(answer(501, "not mine"))?;
            peer.read_body(rest, &mut |piece| count += piece.len())?;
            let size = request.fields.get("size").expect("the size of the body");
            assert_eq!(count.to_string(), size, "part of a body came as if it were the whole");
        }
    })
}

/// Reads at least `most` bytes of a body, or all; says how many they were, and how the rest is framed.
fn read_part(peer: &mut Peer, framing: Framing, most: usize) -> Result<(usize, Framing), WireError> {
    match framing {
        Framing::Length(length) => {
            let count = most.min(length as usize);
            peer.read_exactly(count)?;
            Ok((count, Framing::Length(length - count as u64)))
        }
        Framing::Chunked => {
            let mut count = 0;
            while count < most {
                let chunk = peer.read_chunk()?;
                count += chunk.len();
                if chunk.is_empty() {
                    let mut line = Vec::new();
                    while line != b"\r\n" {
                        line.clear();
                        while !line.ends_with(b"\r\n") {
                            line.extend(peer.read_exactly(1)?);
                        }
                    }
                    return Ok((count, Framing::None));
                }
            }
            Ok((count, Framing::Chunked))
        }
        other => Ok((0, other)),
    }
}

#[test]
fn a_body_reaches_whoever_takes_it_whole_however_it_is_sent_and_passed() {
    const LIMIT: usize = 32 * 1024;
    let members: Vec<Upstream> = (1..=4).map(planned).collect();
    let router = router(&members.iter().collect::<Vec<_>>(), &format!("replay_limit = {LIMIT}"));
    let mut random = Random::new();
    let mut stood = 0;
    for case in 0..150 {
        let size = *random.pick(&[0, 1, 100, 5_000, LIMIT - 1, LIMIT, LIMIT + 1, 50_000, 150_000]);
        let body = random.bytes(size);
        let chunked = random.below(2) == 0;
        let mut head = format!("POST / HTTP/1.1\r\nHost: h.test\r\nSize: {size}\r\n");
        let mut furthest = 0;
        for number in 1..=random.below(4) {
            let after = *random.pick(&[0, 1, size / 2, size.saturating_sub(1), size]);
            furthest = furthest.max(after);
            head.push_str(&format!("Plan-{number}: {after} {}\r\n", random.pick(&["keep", "close"])));
        }
        let mut message = if chunked {
            let mut bytes = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            for piece in body.chunks(1 + random.below(20_000)) {
                bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
                bytes.extend_from_slice(piece);
                bytes.extend(b"\r\n");
            }
            bytes.extend(format!("0\r\nSum: {case}\r\n\r\n").bytes());
            bytes
        } else {
            [format!("{head}Content-Length: {size}\r\n\r\n").as_bytes(), &body].concat()
        };
        // Head and body together, or the body in pieces behind the head, or all of it in pieces.
        let mut client = router.connect();
        if random.below(3) == 0 {
            let end = message.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
            client.send(message.drain(..end).collect::<Vec<u8>>()).expect("a head is sent");
        }
        let piece = *random.pick(&[7_000, 40_000, message.len().max(1)]);
        let sent = client.send_pieces(&message, piece);
        let what = format!(
            "case {case} of seed {}: {size} bytes {head:?}, chunked: {chunked}, in pieces of {piece}",
            random.seed()
        );
        let response =
            client.read_response("POST").unwrap_or_else(|error| panic!("{what}: {error}, {sent:?}"));
        match response.status {
            200 => {
                assert!(response.body == body, "{what}: another body came back");
                let sum = chunked.then(|| case.to_string());
                assert_eq!(response.fields.get("sum"), sum.as_deref(), "{what}: the trailers");
                assert!(furthest <= LIMIT, "{what}: more than the limit was kept");
            }
            501 => {
                assert!(size > LIMIT, "{what}: a body within the limit was not passed on");
                stood += 1;
            }
            other => panic!("{what}: {other} {:?}", response.text()),
        }
    }
    assert!(stood > 0, "no body of seed {} was past the limit", random.seed());
}

#[test]
fn a_pass_after_more_than_the_limit_stands() {
    let (first, second) = (passer(), Upstream::echo());
    let router = router(&[&first, &second], "replay_limit = \"10KiB\"");
    let mut client = router.connect();
    assert_eq!(client.exchange(post(10 * 1024)).status, 200);
    let response = client.exchange(post(10 * 1024 + 1));
    assert_eq!((response.status, response.text().as_str()), (501, "not mine"));
    assert_eq!(second.requests().len(), 1, "nothing of it reaches the second");
    assert_eq!(client.exchange(post(5)).text(), "bbbbb", "the client's connection goes on");
}

#[test]
fn a_client_that_waits_for_100_continue_is_passed_on_with_its_body() {
    // The first passes without asking for the body, the second after asking, the third takes it.
    let unasked = Upstream::start(|peer| {
        peer.read_request_head()?;
        peer.send(answer(501, ""))
    });
    let asked = Upstream::start(|peer| {
        let request = peer.read_request_head()?;
        peer.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        read_part(peer, request.framing, 3)?;
        peer.send(answer(501, ""))
    });
    let taker = Upstream::start(|peer| {
        let mut request = peer.read_request_head()?;
        peer.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        peer.read_body(request.framing, &mut |piece| request.body.extend_from_slice(piece))?;
        peer.send(answer(200, &request.body))
    });
    let router = router(&[&unasked, &asked, &taker], "");
    let mut client = router.connect();
    client
        .send("PUT / HTTP/1.1\r\nHost: h.test\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_response_head("PUT").unwrap().status, 100);
    client.send("01234").unwrap();
    taker.await_connections(1);
    client.send("56789").unwrap();
    let response = client.read_response("PUT").unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "0123456789"));
    assert!(response.interim.is_empty(), "the client was told to go on twice");
}

#[test]
fn a_client_gets_the_last_pass_without_sending_the_body_nobody_asked_for() {
    let unasked = || {
        Upstream::start(|peer| {
            peer.read_request_head()?;
            peer.send(answer(501, "no"))
        })
    };
    let (first, second) = (unasked(), unasked());
    let router = router(&[&first, &second], "");
    let mut client = router.connect();
    client
        .send("PUT / HTTP/1.1\r\nHost: h.test\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
        .unwrap();
    let response = client.read_response("PUT").unwrap();
    assert_eq!((response.status, response.interim.len()), (501, 0));
}

#[test]
fn an_answer_streams_while_its_request_still_does() {
    let (first, second) = (
        Upstream::start(|peer| {
            peer.read_request_head()?;
            peer.send(answer(501, ""))
        }),
        Upstream::start(|peer| {
            let request = peer.read_request_head()?;
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let Framing::Chunked = request.framing else { return Ok(()) };
            loop {
                let chunk = peer.read_chunk()?;
                peer.send(format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(&chunk)))?;
                if chunk.is_empty() {
                    return Ok(());
                }
            }
        }),
    );
    let router = router(&[&first, &second], "replay_limit = 100");
    let mut client = router.connect();
    client.send("POST / HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\n").unwrap();
    assert_eq!(client.read_response_head("POST").unwrap().status, 200);
    for round in 0..5 {
        if round > 0 {
            // Together more than could be replayed, which nobody needs any more.
            client.send(format!("32\r\n{}\r\n", round.to_string().repeat(50))).unwrap();
        }
        assert!(client.read_chunk().unwrap().starts_with(round.to_string().as_bytes()));
    }
    client.send("0\r\n\r\n").unwrap();
    assert!(client.read_chunk().unwrap().is_empty());
}

#[test]
fn an_upgrade_passes_and_becomes_a_tunnel_at_the_one_that_takes_it() {
    let first = passer();
    let second = Upstream::start(|peer| {
        let request = peer.request()?;
        assert_eq!(request.fields.get("upgrade"), Some("echo"));
        peer.send("HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")?;
        loop {
            let bytes = peer.read_some()?;
            if bytes.is_empty() {
                return Ok(());
            }
            peer.send(bytes)?;
        }
    });
    let router = router(&[&first, &second], "");
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: h.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").unwrap();
    assert_eq!(client.read_response("GET").unwrap().status, 101);
    client.send("hello").unwrap();
    assert_eq!(client.read_exactly(5).unwrap(), b"hello");
    assert_eq!(first.request().fields.get("upgrade"), Some("echo"));
}

/// A server that sends requests for `/N` on to `/N-1` with the status 399, and sends others back.
fn restarting(location: fn(&Request, u32) -> String) -> Upstream {
    Upstream::serving(move |request| match request.target.trim_start_matches('/').parse::<u32>() {
        Ok(number) if number > 0 => {
            let location = location(request, number - 1);
            format!("HTTP/1.1 399 Again\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\nmore")
                .into_bytes()
        }
        _ => answer(200, format!("{} {}", request.target, request.text())),
    })
}

#[test]
fn a_restart_begins_again_at_the_first_member_with_the_new_path() {
    let first = passer();
    let second = restarting(|_, number| format!("/{number}"));
    let router = router(&[&first, &second], "restart_on = 399");
    let mut client = router.connect();
    let put = |path: &str| format!("PUT {path} HTTP/1.1\r\nHost: h.test\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.exchange(put("/5")).text(), "/0 body");
    let targets: Vec<String> = first.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/5", "/4", "/3", "/2", "/1", "/0"]);
    // One restart too many.
    let response = client.exchange(put("/6"));
    assert_eq!((response.status, response.fields.get("location")), (399, Some("/0")));
    assert_eq!((first.connections(), second.connections()), (1, 1));
}

#[test]
fn a_restart_that_leads_elsewhere_or_is_not_asked_for_is_an_answer() {
    for location in [
        "http://other.test/0",
        "//other.test/0",
        "http://h.test:81/0",
        "http://u@h.test/0",
        "ftp://h.test/0",
        "",
    ] {
        let text = format!("HTTP/1.1 399 Again\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let (server, second) = (Upstream::answering(text), Upstream::named("second"));
        let router = router(&[&server, &second], "restart_on = 399");
        assert_eq!(router.connect().get("h.test", "/1").status, 399, "{location}");
        assert_eq!(server.requests().len(), 1, "{location}");
    }
    let server = restarting(|_, number| format!("/{number}"));
    assert_eq!(router(&[&server], "").connect().get("h.test", "/1").status, 399);
    let here =
        restarting(|request, number| format!("http://{}/{number}#x", request.fields.get("host").unwrap()));
    assert_eq!(router(&[&here], "restart_on = 399").connect().get("h.test", "/3").text(), "/0 ");
}

#[test]
fn an_outer_try_pass_goes_on_with_what_an_inner_one_was_asked_for() {
    // The inner one starts again with another path, and passes in the end.
    let inner = Upstream::serving(|request| match request.target.as_str() {
        "/asked" => b"HTTP/1.1 399 Again\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ => answer(501, ""),
    });
    let outer = Upstream::echo();
    let config = format!(
        "entry = \"outer\"\n[backend.outer]\ntype = \"try_pass\"\nmembers = [\"inner\", \"taker\"]\n\
         [backend.inner]\ntype = \"try_pass\"\nmembers = [\"a\", \"b\"]\nrestart_on = 399\n\
         [backend.a]\ntype = \"client\"\nurl = \"http://{}\"\nhost_header = \"inside.test\"\n\
         [backend.b]\ntype = \"respond\"\nstatus = 501\n\
         [backend.taker]\ntype = \"client\"\nurl = \"http://{}\"\n",
        inner.address(),
        outer.address()
    );
    let router = Router::with().flag("--workers", 1).config(config).start();
    let mut random = Random::new();
    let body = random.bytes(100_000);
    let head = format!("POST /asked HTTP/1.1\r\nHost: h.test\r\nContent-Length: {}\r\n\r\n", body.len());
    let response = router.connect().exchange([head.as_bytes(), &body].concat());
    assert!(response.status == 200 && response.body == body, "{} {}", response.status, response.body.len());
    let targets: Vec<String> = inner.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/asked", "/other"]);
    assert!(inner.requests().iter().all(|request| request.body == body));
    let request = outer.request();
    assert_eq!((request.target.as_str(), request.fields.get("host")), ("/asked", Some("h.test")));
}

#[test]
fn a_cluster_passes_like_one_server_and_one_that_is_all_down_can_be_passed_by() {
    let caches = [passer(), passer(), passer()];
    let app = Upstream::echo();
    let mut config = format!(
        "entry = \"site\"\n\
         [backend.site]\ntype = \"try_pass\"\nmembers = [\"fast\", \"caches\", \"app\"]\n\
         pass_on = [501, \"connect_failure\"]\n\
         [backend.fast]\ntype = \"log\"\nbackend = \"inside\"\n\
         [backend.inside]\ntype = \"in_process\"\nhandler = \"health\"\npath = \"/health\"\n\
         [backend.caches]\ntype = \"log\"\nbackend = \"ring\"\n\
         [backend.ring]\ntype = \"hash_ring\"\nmembers = [\"c0\", \"c1\", \"c2\"]\n\
         [backend.app]\ntype = \"client\"\nurl = \"http://{}\"\n",
        app.address()
    );
    for (number, cache) in caches.iter().enumerate() {
        config.push_str(&format!(
            "[backend.c{number}]\ntype = \"log\"\nbackend = \"v{number}\"\n\
             [backend.v{number}]\ntype = \"client\"\nurl = \"http://{}\"\n",
            cache.address()
        ));
    }
    let router = Router::with().flag("--workers", 1).config(config).start();
    let body = Random::new().bytes(30_000);
    let ask = |path: usize| {
        let head =
            format!("POST /p{path} HTTP/1.1\r\nHost: h.test\r\nContent-Length: {}\r\n\r\n", body.len());
        let response = router.connect().exchange([head.as_bytes(), &body].concat());
        assert!(response.status == 200 && response.body == body, "{path}: {}", response.status);
    };
    (0..30).for_each(ask);
    let asked: Vec<usize> = caches.iter().map(|cache| cache.requests().len()).collect();
    assert_eq!(asked.iter().sum::<usize>(), 30);
    assert!(caches.iter().all(|cache| cache.connections() <= 1), "one worker, one connection each");
    assert!(app.requests().iter().all(|request| request.body == body));
    drop(caches);
    (0..30).for_each(ask);
    assert_eq!(app.requests().len(), 60);
}

#[test]
fn a_client_that_goes_away_in_the_middle_ends_the_body_for_nobody() {
    let first = Upstream::start(|peer| {
        peer.read_request_head()?;
        peer.send(answer(501, ""))
    });
    let second = Upstream::echo();
    let router = router(&[&first, &second], "");
    for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut client = router.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: h.test\r\n{framing}\r\n\r\n5\r\nhello\r\n")).unwrap();
        second.await_bytes(b"hello");
        client.into_wire().reset();
        second.forget();
    }
    assert_eq!(router.connect().get("h.test", "/").status, 200);
    assert_eq!(second.requests().len(), 1, "only the request that was whole");
}

#[test]
fn the_tree_is_explained_without_asking_anyone() {
    let (first, second) = (passer(), Upstream::named("second"));
    let router = router(&[&first, &second], "restart_on = 399");
    let explained = router.cli_ok(["backend", "explain", "http://h.test/x"]).stdout;
    for part in ["m1", "m2", "501", "399", &first.address().to_string()] {
        assert!(explained.contains(part), "{part} is not in {explained}");
    }
    let listed = router.cli_ok(["backend", "list"]).stdout;
    assert!(listed.contains("try_pass") && listed.contains("m2"), "{listed}");
    assert_eq!(first.connections() + second.connections(), 0);
}
