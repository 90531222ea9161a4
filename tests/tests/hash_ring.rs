//! `hash_ring`: which member a request goes to, compared with a real nginx over the same servers; and what
//! happens when members are down, busy, or asked for by another key.

use std::net::SocketAddr;

use waypost_tests::{Client, Nginx, Router, Upstream, eventually, ws};

/// A ring of clients called `m0`, `m1` and so on, and what else a configuration needs.
fn ring(addresses: &[SocketAddr], keys: &str) -> String {
    let names: Vec<String> = (0..addresses.len()).map(|number| format!("\"m{number}\"")).collect();
    let members: String = (addresses.iter().enumerate())
        .map(|(number, address)| {
            format!("[backend.m{number}]\ntype = \"client\"\nurl = \"http://{address}\"\n")
        })
        .collect();
    format!(
        "entry = \"ring\"\n[backend.ring]\ntype = \"hash_ring\"\nmembers = [{}]\n{keys}\n{members}",
        names.join(", ")
    )
}

fn addresses(upstreams: &[Upstream]) -> Vec<SocketAddr> {
    upstreams.iter().map(Upstream::address).collect()
}

fn named(count: usize) -> Vec<Upstream> {
    (0..count).map(|number| Upstream::named(&format!("server {number}"))).collect()
}

fn path(key: usize) -> String {
    match key % 3 {
        0 => format!("/{key}"),
        1 => format!("/images/{key}.png?size={}", key % 7),
        _ => format!("/a%20b/{key}?x=%2F&y"),
    }
}

/// Who serves each of so many paths.
fn served(mut client: Client, count: usize) -> Vec<String> {
    (0..count)
        .map(|key| {
            let response = client.get("ring.test", &path(key));
            assert_eq!(response.status, 200, "{}: {}", path(key), response.text());
            response.text()
        })
        .collect()
}

#[test]
fn keys_are_placed_as_nginx_places_them() {
    let mut upstreams = named(5);
    let servers: String =
        upstreams.iter().map(|upstream| format!("server {};\n", upstream.address())).collect();
    let nginx = Nginx::start(
        &format!("upstream ring {{ hash $request_uri consistent; {servers} keepalive 16; }}"),
        "location / { proxy_pass http://ring; proxy_http_version 1.1; proxy_set_header Connection \"\"; }\n\
         keepalive_requests 100000;",
    );
    let router = Router::with().config(ring(&addresses(&upstreams), "")).start();
    let (ours, theirs) = (served(router.connect(), 2_000), served(nginx.connect(), 2_000));
    assert!(ours == theirs, "{} of 2,000 differ", differing(&ours, &theirs));
    assert_eq!(ours.iter().collect::<std::collections::BTreeSet<_>>().len(), 5, "not all servers are used");

    upstreams[2].stop();
    let (ours, theirs) = (served(router.connect(), 2_000), served(nginx.connect(), 2_000));
    assert!(ours == theirs, "with a server down {} of 2,000 differ", differing(&ours, &theirs));
}

fn differing(one: &[String], other: &[String]) -> usize {
    one.iter().zip(other).filter(|(one, other)| one != other).count()
}

#[test]
fn the_order_of_members_does_not_matter() {
    let upstreams = named(4);
    let mut addresses = addresses(&upstreams);
    let first = served(Router::with().config(ring(&addresses, "")).start().connect(), 300);
    addresses.reverse();
    let second = served(Router::with().config(ring(&addresses, "")).start().connect(), 300);
    assert_eq!(first, second);
}

#[test]
fn a_member_that_is_down_gives_its_keys_and_only_its_keys_away() {
    for keys in ["", "algorithm = \"xxh3\"\npoints = 40"] {
        let mut upstreams = named(4);
        let router = Router::with().config(ring(&addresses(&upstreams), keys)).start();
        let before = served(router.connect(), 300);
        upstreams[1].stop();
        let without = served(router.connect(), 300);
        for (key, (before, without)) in before.iter().zip(&without).enumerate() {
            assert_eq!(before == without, before != "server 1", "{}: {before}, then {without}", path(key));
        }
        upstreams[1].resume();
        eventually("its keys are its own again", || (served(router.connect(), 300) == before).then_some(()));
    }
}

#[test]
fn a_request_that_could_not_be_sent_goes_to_the_next_member_whole() {
    let mut upstreams: Vec<Upstream> = (0..2).map(|_| Upstream::echo()).collect();
    upstreams[0].stop();
    let router = Router::with().config(ring(&addresses(&upstreams), "")).start();
    for key in 0..20 {
        let body = format!("{key}").repeat(5_000);
        let head =
            format!("POST /{key} HTTP/1.1\r\nHost: ring.test\r\nContent-Length: {}\r\n\r\n", body.len());
        assert_eq!(router.connect().exchange(head + &body).text(), body);
    }
}

#[test]
fn a_host_a_field_or_a_cookie_decides_if_told() {
    let upstreams = named(4);
    let ask = |router: &Router, host: &str, fields: &str, path: usize| {
        let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        router.connect().exchange(request).text()
    };
    let all_same = |of: &dyn Fn(usize) -> String| (1..30).all(|number| of(number) == of(0));

    let router = Router::with().config(ring(&addresses(&upstreams), "key = \"host\"")).start();
    assert!(all_same(&|path| ask(&router, "One.test:80", "", path)));
    assert_eq!(ask(&router, "one.test", "", 0), ask(&router, "ONE.test", "", 1));
    assert!(!all_same(&|host| ask(&router, &format!("{host}.test"), "", 0)));

    let router = Router::with().config(ring(&addresses(&upstreams), "key = \"header:X-User\"")).start();
    assert!(all_same(&|path| ask(&router, "a.test", "x-user: ann\r\n", path)));
    assert!(!all_same(&|user| ask(&router, "a.test", &format!("X-User: {user}\r\n"), 0)));
    assert!(!all_same(&|path| ask(&router, "a.test", "", path)), "without the field the path decides");

    let router = Router::with().config(ring(&addresses(&upstreams), "key = \"cookie:id\"")).start();
    assert!(all_same(&|path| ask(&router, "a.test", "Cookie: x=1; id=ann\r\n", path)));
    assert_eq!(
        ask(&router, "a.test", "Cookie: id=\"ann\"\r\n", 0),
        ask(&router, "a.test", "Cookie: id=ann\r\n", 1)
    );
    assert!(!all_same(&|user| ask(&router, "a.test", &format!("Cookie: id={user}\r\n"), 0)));
    assert!(!all_same(&|path| ask(&router, "a.test", "Cookie: idx=1\r\n", path)), "the path decides");
}

#[test]
fn with_a_bound_no_member_has_much_more_in_hand_than_others() {
    // Answers begin and never end, so that requests stay in hand.
    let holding = || {
        Upstream::start(|peer| {
            peer.request()?;
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            peer.hang()
        })
    };
    for (keys, most) in [("", 12), ("bound = 1.25", 8)] {
        let upstreams = [holding(), holding()];
        let router = Router::with().config(ring(&addresses(&upstreams), keys)).start();
        let held: Vec<Client> = (0..12)
            .map(|_| {
                let mut client = router.connect();
                client.send("GET /one HTTP/1.1\r\nHost: ring.test\r\n\r\n").unwrap();
                client.read_response_head("GET").unwrap();
                client
            })
            .collect();
        let busiest = upstreams.iter().map(Upstream::connections).max();
        // 1.25 times half of twelve, rounded up.
        assert_eq!(busiest, Some(most), "{keys}");
        drop(held);
    }
}

#[test]
fn a_request_that_has_ended_is_in_hand_no_longer() {
    let upstreams = [Upstream::named("one"), Upstream::named("two")];
    let router = Router::with().config(ring(&addresses(&upstreams), "bound = 1")).start();
    let first = router.connect().get("ring.test", "/one").text();
    for _ in 0..20 {
        assert_eq!(router.connect().get("ring.test", "/one").text(), first);
    }
}

#[test]
fn a_websocket_passes_and_counts_as_in_hand() {
    let upstreams = [Upstream::start(ws::echo), Upstream::start(ws::echo)];
    let router = Router::with().config(ring(&addresses(&upstreams), "bound = 1")).start();
    let mut sockets: Vec<_> =
        (0..2).map(|_| ws::WebSocket::open(router.connect(), "ring.test", "/chat").unwrap()).collect();
    for socket in &mut sockets {
        socket.send(ws::TEXT, b"hello").unwrap();
        assert_eq!(socket.receive().unwrap().payload, b"hello");
    }
    assert!(upstreams.iter().all(|upstream| upstream.connections() == 1), "one has both");
}

#[test]
fn explain_names_the_member_that_then_serves() {
    let upstreams = named(3);
    let router = Router::with().config(ring(&addresses(&upstreams), "")).start();
    for key in 0..20 {
        let explained =
            router.cli_ok(["backend", "explain", &format!("http://ring.test{}", path(key))]).stdout;
        let server = router.connect().get("ring.test", &path(key)).text();
        let member = server.replace("server ", "m");
        assert!(explained.contains(&format!("belongs to {member}\n")), "{server}:\n{explained}");
    }
}

#[test]
fn what_would_make_no_ring_is_refused_with_its_lines() {
    let text = "entry = \"ring\"\n[backend.ring]\ntype = \"hash_ring\"\nmembers = []\nkey = \"path\"\npoints = 0\n\
                bound = 0.5\nalgorithm = \"ketma\"\nfall = 0\n";
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("w.toml");
    std::fs::write(&file, text).unwrap();
    let checked = waypost_tests::Process::run(
        std::process::Command::new(waypost_tests::program()).arg("check").arg(&file),
    );
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let said = checked.stderr + &checked.stdout;
    for (line, words) in [
        (4, "a cluster needs at least one"),
        (5, "cookie:NAME"),
        (6, "must be from 1 to 10000"),
        (7, "a number from 1 to 100"),
        (8, "did you mean `ketama`"),
        (9, "must be more than 0"),
    ] {
        let told = said.lines().any(|told| told.contains(&format!(":{line}: ")) && told.contains(words));
        assert!(told, "line {line}: {words:?} is not in:\n{said}");
    }
}
