//! The memcached table: which key a request asks for, where its value sends it, and what is kept of that.
//! Every sentence of the table's page, with a real memcached and real servers behind the router.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use waypost_tests::tls::{Authority, TlsFront};
use waypost_tests::{Client, Memcached, Process, Router, Upstream, answer, eventually};

/// A decision that is as good as never old.
const FOR_EVER: &str = "1h";

fn config(ttl: &str, negative_ttl: &str, more: &str) -> String {
    format!("[table]\nttl = \"{ttl}\"\nnegative_ttl = \"{negative_ttl}\"\n{more}\n")
}

/// A router that asks memcached with every request.
fn asking(memcached: &Memcached) -> Router {
    with(memcached, &config("0s", "0s", ""))
}

fn with(memcached: &Memcached, config: &str) -> Router {
    let router = Router::with().config(config).flag("--table", memcached.url()).start();
    router.await_ready();
    router
}

/// The value that leads to an upstream.
fn to(upstream: &Upstream) -> String {
    format!("http://{}/", upstream.address())
}

/// How many keys memcached was asked for.
fn asked(memcached: &Memcached) -> u64 {
    memcached.connect().stats("")["cmd_get"].parse().expect("a number")
}

fn python(script: &str) {
    // Debian's: the packages are its own.
    let finished = Process::run(Command::new("/usr/bin/python3").args(["-c", script]));
    assert_eq!(finished.code, Some(0), "{finished:#?}");
}

#[test]
fn a_request_asks_for_its_scheme_lower_cased_host_and_addressed_port() {
    let (memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    let router = asking(&memcached);
    for key in [
        "http://example.test:80/",
        "http://other.test:8080/",
        "http://127.0.0.1:80/",
        "http://[::1]:80/",
        "http://absolute.test:81/",
    ] {
        memcached.set(key, to(&upstream));
    }
    for (host, answer) in [
        ("example.test", Ok("here")),
        ("EXAMPLE.Test.", Ok("here")),
        ("example.test:80", Ok("here")),
        ("example.test:8080", Err(404)),
        ("other.test:8080", Ok("here")),
        ("other.test", Err(404)),
        ("127.0.0.1", Ok("here")),
        ("[0:0:0::1]", Ok("here")),
    ] {
        assert_eq!(router.answer_of(host).as_deref(), answer.as_ref().map(|text| *text), "{host}");
    }
    // The authority of the target counts, and not the field.
    let request = "GET http://Absolute.test:81/x HTTP/1.1\r\nHost: example.test\r\n\r\n";
    assert_eq!(router.connect().exchange(request).text(), "here");
    assert_eq!(router.connect().exchange("GET / HTTP/1.1\r\n\r\n").status, 400);
}

#[test]
fn a_value_of_any_plain_client_is_understood() {
    let (memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    let (server, target) = (memcached.address(), upstream.address());
    // As it is written over a socket, and without its final slash.
    let value = format!("http://{target}");
    memcached.connect().send(format!("set http://socket.test:80/ 0 0 {}\r\n{value}\r\n", value.len()));
    python(&format!(
        "import memcache, pymemcache, pylibmc
assert memcache.Client(['{server}'], debug=0).set('http://memcache.test:80/', 'http://{target}')
assert pymemcache.Client('{server}').set('http://pymemcache.test:80/', 'http://{target}/', noreply=False)
assert pylibmc.Client(['{server}']).set('http://pylibmc.test:80/', 'http://{target}/')"
    ));
    let router = asking(&memcached);
    for host in ["socket.test", "memcache.test", "pymemcache.test", "pylibmc.test"] {
        router.await_answer(host, Ok("here"));
    }
}

#[test]
fn host_becomes_the_server_of_the_value_unless_it_is_preserved() {
    let (memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    memcached.set("http://www.example.test:80/", format!("http://localhost:{}/", upstream.address().port()));
    for (more, host) in [("", "localhost"), ("preserve_host = true", "www.example.test")] {
        let router = with(&memcached, &config("0s", "0s", more));
        upstream.forget();
        assert_eq!(router.answer_of("www.example.test").as_deref(), Ok("here"));
        let request = upstream.request();
        assert_eq!(request.fields.all("host"), [host]);
        assert_eq!(request.fields.get("x-forwarded-host"), Some("www.example.test"));
    }
}

#[test]
fn who_is_asked_after_a_route_that_passed_gets_the_client_s_host() {
    let passing = Upstream::serving(|_| answer(501, ""));
    let (memcached, next) = (Memcached::start(), Upstream::named("next"));
    memcached.set("http://www.example.test:80/", format!("http://localhost:{}/", passing.address().port()));
    let tree = format!(
        "[backend.site]\ntype = \"try_pass\"\nmembers = [\"routes\", \"next\"]\n\
         [backend.next]\ntype = \"client\"\nurl = \"http://{}\"\n",
        next.address()
    );
    let router = with(&memcached, &format!("entry = \"site\"\n{}", config("0s", "0s", &tree)));
    assert_eq!(router.answer_of("www.example.test").as_deref(), Ok("next"));
    assert_eq!(passing.request().fields.all("host"), ["localhost"]);
    assert_eq!(next.request().fields.all("host"), ["www.example.test"]);
}

#[test]
fn the_tools_of_libmemcached_read_keep_and_remove_keys() {
    let (memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    let (key, value) = ("http://a.test:80/", to(&upstream));
    let tool = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(name);
        Process::run(command.arg(format!("--servers={}", memcached.address())).args(arguments))
    };
    memcached.set(key, &value);
    let router = asking(&memcached);
    assert_eq!(router.answer_of("a.test").as_deref(), Ok("here"));
    assert_eq!(tool("memccat", &[key]).stdout.trim_end(), value);
    assert_eq!(tool("memcexist", &[key]).code, Some(0));
    assert_eq!(tool("memctouch", &["--expire=3600", key]).code, Some(0));
    assert_eq!(router.answer_of("a.test").as_deref(), Ok("here"));
    assert_eq!(tool("memcrm", &[key]).code, Some(0));
    assert_eq!(tool("memcexist", &[key]).code, Some(1));
    assert_eq!(router.answer_of("a.test"), Err(404));
}

#[test]
fn a_value_that_does_not_parse_is_404_and_warned_about_once_with_its_key() {
    let (memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    let mut router = asking(&memcached);
    memcached.set("http://bad.test:80/", "http://no-port/");
    memcached.set("http://ftp.test:80/", "ftp://127.0.0.1:21/");
    memcached.set("http://crlf.test:80/", "http://a\r\nX: y:80/");
    memcached.set("http://good.test:80/", to(&upstream));
    for _ in 0..3 {
        for host in ["bad.test", "ftp.test", "crlf.test"] {
            assert_eq!(router.answer_of(host), Err(404), "{host}");
        }
        assert_eq!(router.answer_of("good.test").as_deref(), Ok("here"), "the rest stands");
    }
    let (_, readiness) = router.readiness();
    assert_eq!(readiness["table"]["skipped"], 3, "{readiness}");
    let said = router.process().stderr();
    for key in ["http://bad.test:80/", "http://ftp.test:80/", "http://crlf.test:80/"] {
        assert_eq!(said.lines().filter(|line| line.contains(key)).count(), 1, "{key}: {said}");
    }
    // Mended, it is not counted any more.
    memcached.set("http://bad.test:80/", to(&upstream));
    assert_eq!(router.answer_of("bad.test").as_deref(), Ok("here"));
    assert_eq!(router.readiness().1["table"]["skipped"], 2);
}

#[test]
fn a_decision_is_cached_and_so_is_a_miss() {
    let (memcached, old, new) = (Memcached::start(), Upstream::named("old"), Upstream::named("new"));
    memcached.set("http://a.test:80/", to(&old));
    let router = with(&memcached, &config(FOR_EVER, FOR_EVER, ""));
    assert_eq!(router.answer_of("a.test").as_deref(), Ok("old"));
    assert_eq!(router.answer_of("b.test"), Err(404));
    memcached.set("http://a.test:80/", to(&new));
    memcached.set("http://b.test:80/", to(&new));
    let before = asked(&memcached);
    for _ in 0..20 {
        assert_eq!(router.answer_of("a.test").as_deref(), Ok("old"));
        assert_eq!(router.answer_of("b.test"), Err(404));
    }
    assert_eq!(asked(&memcached), before, "memcached was asked for what is known");
}

#[test]
fn an_old_decision_is_served_while_it_is_refreshed_in_the_background() {
    let (mut memcached, old, new) = (Memcached::start(), Upstream::named("old"), Upstream::named("new"));
    memcached.set("http://a.test:80/", to(&old));
    let router = with(&memcached, &config("1ms", "1ms", ""));
    assert_eq!(router.answer_of("a.test").as_deref(), Ok("old"));
    memcached.set("http://a.test:80/", to(&new));
    // Whoever asks does not wait: memcached says nothing at all.
    memcached.hang();
    for _ in 0..3 {
        assert_eq!(router.answer_of("a.test").as_deref(), Ok("old"));
    }
    memcached.unhang();
    router.await_answer("a.test", Ok("new"));
    // One that is not there any more is noticed the same way.
    memcached.connect().run("delete http://a.test:80/");
    router.await_answer("a.test", Err(404));
}

#[test]
fn a_miss_that_has_grown_old_is_asked_for_before_it_is_answered() {
    let (memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    let router = with(&memcached, &config(FOR_EVER, "1ms", ""));
    assert_eq!(router.answer_of("a.test"), Err(404));
    memcached.set("http://a.test:80/", to(&upstream));
    thread::sleep(Duration::from_millis(5));
    assert_eq!(router.answer_of("a.test").as_deref(), Ok("here"));
}

#[test]
fn without_a_ttl_every_request_asks() {
    let (memcached, one, two) = (Memcached::start(), Upstream::named("one"), Upstream::named("two"));
    let router = with(&memcached, &config("0s", FOR_EVER, ""));
    let before = asked(&memcached);
    for _ in 0..10 {
        for (upstream, name) in [(&one, "one"), (&two, "two")] {
            memcached.set("http://a.test:80/", to(upstream));
            assert_eq!(router.answer_of("a.test").as_deref(), Ok(name));
        }
        memcached.connect().run("delete http://a.test:80/");
        assert_eq!(router.answer_of("a.test"), Err(404));
    }
    assert_eq!(asked(&memcached) - before, 30);
}

#[test]
fn lookups_of_one_key_that_come_together_are_one() {
    let (mut memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    memcached.set("http://a.test:80/", to(&upstream));
    let url = format!("{}?timeout=20s&connect_timeout=20s", memcached.url());
    let config = config(FOR_EVER, FOR_EVER, "");
    let router = Router::with().config(config).flag("--table", url).flag("--workers", 2).start();
    router.await_ready();
    let before = asked(&memcached);
    memcached.hang();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..50).map(|_| scope.spawn(|| router.answer_of("a.test"))).collect();
        // All of them wait by now, or come when the answer is there: in neither case is it asked for twice.
        thread::sleep(Duration::from_millis(200));
        memcached.unhang();
        for client in clients {
            assert_eq!(client.join().expect("a client").as_deref(), Ok("here"));
        }
    });
    assert_eq!(asked(&memcached) - before, 1);
}

#[test]
fn while_memcached_is_away_what_is_known_stays_and_the_rest_is_503() {
    let (mut memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    memcached.set("http://a.test:80/", to(&upstream));
    let mut router = with(&memcached, &config("1ms", "1ms", ""));
    assert_eq!(router.answer_of("a.test").as_deref(), Ok("here"));
    memcached.kill();
    for _ in 0..50 {
        assert_eq!(router.answer_of("a.test").as_deref(), Ok("here"));
    }
    let response = router.connect().get("b.test", "/");
    assert_eq!((response.status, response.fields.get("retry-after")), (503, Some("1")));
    eventually("the table's status to say so", || {
        let (status, readiness) = router.readiness();
        let table = &readiness["table"];
        assert_eq!(status, 200, "it routes by what it knows");
        (table["following"]["connected"] == false && table["error"].is_string()).then_some(())
    });
    // It comes back empty, and is used at once.
    memcached.resume();
    memcached.set("http://b.test:80/", to(&upstream));
    assert_eq!(router.answer_of("b.test").as_deref(), Ok("here"));
    router.await_answer("a.test", Err(404));
    eventually("the table's status to say so", || {
        (router.readiness().1["table"]["following"]["connected"] == true).then_some(())
    });
    let said = router.process().stderr();
    assert_eq!(said.matches("is away").count(), 1, "said once: {said}");
}

#[test]
fn a_memcached_that_hangs_delays_no_request_whose_route_is_known() {
    let (mut memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    memcached.set("http://a.test:80/", to(&upstream));
    let router = with(&memcached, &config("1ms", "1ms", ""));
    assert_eq!(router.answer_of("a.test").as_deref(), Ok("here"));
    memcached.hang();
    // Were each to wait for its time limit, this would not end in time.
    for _ in 0..500 {
        assert_eq!(router.answer_of("a.test").as_deref(), Ok("here"));
    }
    assert_eq!(router.answer_of("b.test"), Err(503), "nothing is known, and waiting has a bound");
    memcached.unhang();
    router.await_answer("b.test", Err(404));
}

#[test]
fn a_router_started_before_its_memcached_is_not_ready_and_answers_503_until_it_is_there() {
    let (mut memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    memcached.kill();
    let router = Router::with().config(config("0s", "0s", "")).flag("--table", memcached.url()).start();
    assert_eq!(router.readiness().0, 503);
    assert_eq!(router.answer_of("a.test"), Err(503));
    memcached.resume();
    memcached.set("http://a.test:80/", to(&upstream));
    assert_eq!(router.answer_of("a.test").as_deref(), Ok("here"));
    router.await_ready();
}

#[test]
fn wildcards_are_tried_from_the_most_specific_if_they_are_on() {
    let (memcached, upstreams) = (Memcached::start(), ["exact", "a", "example", "any"].map(Upstream::named));
    let keys = ["www.a.example.test", "*.a.example.test", "*.example.test", "*"];
    for (key, upstream) in keys.iter().zip(&upstreams) {
        memcached.set(&format!("http://{key}:80/"), to(upstream));
    }
    let router = with(&memcached, &config("0s", "0s", "wildcards = true"));
    for (host, name) in [
        ("www.a.example.test", Ok("exact")),
        ("other.a.example.test", Ok("a")),
        ("x.y.a.example.test", Ok("a")),
        ("a.example.test", Ok("example")),
        ("example.test", Ok("any")),
        ("example.test:81", Err(404)),
    ] {
        assert_eq!(router.answer_of(host).as_deref(), name.as_ref().map(|name| *name), "{host}");
    }
    assert_eq!(asking(&memcached).answer_of("other.a.example.test"), Err(404), "they are off by default");
}

#[test]
fn a_miss_asks_for_all_its_wildcards_at_once() {
    let memcached = Memcached::start();
    let server = memcached.address();
    let between = Upstream::start(move |peer| {
        let mut server = TcpStream::connect(server)?;
        let (mut answers, mut client) = (server.try_clone()?, peer.writer());
        // Ends with either of the connections.
        thread::spawn(move || std::io::copy(&mut answers, &mut client));
        loop {
            match peer.read_some() {
                Ok(bytes) if !bytes.is_empty() => server.write_all(&bytes)?,
                end => {
                    server.shutdown(Shutdown::Both)?;
                    return end.map(drop);
                }
            }
        }
    });
    // In the text protocol a multi-get is one line.
    let url = format!("memcached://{}?protocol=text", between.address());
    let config = config("0s", "0s", "wildcards = true");
    let router = Router::with().config(config).flag("--table", url).start();
    router.await_ready();
    assert_eq!(router.answer_of("www.example.test"), Err(404));
    let sent = String::from_utf8(between.received()).expect("text");
    let gets: Vec<&str> = sent.lines().filter(|line| line.starts_with("get")).collect();
    let keys = ["www.example.test", "*.example.test", "*.test", "*"].map(|host| format!("http://{host}:80/"));
    assert_eq!(gets, [format!("get {}", keys.join(" "))]);
}

#[test]
fn a_flood_of_invented_hosts_costs_no_route_that_is_known() {
    let (mut memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    memcached.set("http://a.test:80/", to(&upstream));
    let router = with(&memcached, &config("1ms", FOR_EVER, ""));
    assert_eq!(router.answer_of("a.test").as_deref(), Ok("here"));
    thread::scope(|scope| {
        for client in 0..4 {
            let mut connection = router.connect();
            scope.spawn(move || {
                // Many requests at a time, so that it takes seconds: more than the cache, and than a worker, holds.
                for batch in 0..180 {
                    let request = |n| format!("GET / HTTP/1.1\r\nHost: {client}-{batch}-{n}.test\r\n\r\n");
                    let requests: String = (0..100).map(request).collect();
                    connection.send(requests).expect("the router reads");
                    for _ in 0..100 {
                        assert_eq!(connection.read_response("GET").expect("an answer").status, 404);
                    }
                }
            });
        }
    });
    memcached.kill();
    assert_eq!(router.answer_of("a.test").as_deref(), Ok("here"));
    let cached = router.readiness().1["table"]["following"]["cached"].as_u64();
    assert!(cached.is_some_and(|cached| cached <= 65_536), "{cached:?}");
}

#[test]
fn keys_of_several_servers_are_where_libmemcached_puts_them() {
    let servers = [Memcached::start(), Memcached::start(), Memcached::start()];
    let addresses = servers.each_ref().map(|server| server.address().to_string());
    let upstream = Upstream::named("here");
    let names = addresses.each_ref().map(|address| format!("'{address}'")).join(",");
    python(&format!(
        "import pylibmc
client = pylibmc.Client([{names}], behaviors={{'ketama': True}})
for number in range(100):
    assert client.set('http://h%d.test:80/' % number, '{}')",
        to(&upstream)
    ));
    let url = format!("memcached://{}?distribution=consistent", addresses.join(","));
    let router = Router::with().config(config("0s", "0s", "")).flag("--table", url).start();
    router.await_ready();
    for number in 0..100 {
        assert_eq!(router.answer_of(&format!("h{number}.test")).as_deref(), Ok("here"), "{number}");
    }
    let hit: Vec<bool> = servers.iter().map(|server| asked(server) > 0).collect();
    assert_eq!(hit, [true; 3]);
}

#[test]
fn a_server_that_is_down_is_503_until_it_is_back() {
    let (memcached, mut upstream) = (Memcached::start(), Upstream::named("here"));
    memcached.set("http://a.test:80/", to(&upstream));
    let router = asking(&memcached);
    router.await_answer("a.test", Ok("here"));
    upstream.stop();
    for _ in 0..2 {
        let response = router.connect().get("a.test", "/");
        assert_eq!((response.status, response.fields.has("retry-after")), (503, true));
    }
    upstream.resume();
    router.await_answer("a.test", Ok("here"));
}

#[test]
fn an_https_value_is_spoken_to_over_tls_and_must_have_its_servers_name() {
    let (memcached, upstream, authority) = (Memcached::start(), Upstream::named("here"), Authority::new());
    let front = TlsFront::with(&upstream, &authority.issue("DNS:localhost"), json!({}));
    let port = front.address().port();
    memcached.set("http://a.test:80/", format!("https://localhost:{port}/"));
    memcached.set("http://wrong.test:80/", format!("https://127.0.0.1:{port}/"));
    let trust = format!("tls = {{ ca = '{}' }}", authority.ca().display());
    let router = with(&memcached, &config("0s", "0s", &trust));
    for _ in 0..2 {
        assert_eq!(router.answer_of("a.test").as_deref(), Ok("here"));
        assert_eq!(router.answer_of("wrong.test"), Err(503), "its certificate has another name");
    }
    assert_eq!(upstream.requests()[0].fields.all("host"), ["localhost"]);
}

#[test]
fn a_host_too_long_for_a_key_is_not_in_the_table() {
    let memcached = Memcached::start();
    let router = asking(&memcached);
    let label = "a".repeat(60);
    let host = [&*label; 4].join(".");
    assert_eq!(router.answer_of(&host), Err(404), "{} bytes", host.len());
}

#[test]
fn a_lookup_that_began_before_a_reload_decides_nothing_after_it() {
    let (mut memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    memcached.set("http://*.test:80/", to(&upstream));
    let url = format!("{}?timeout=20s&connect_timeout=20s", memcached.url());
    let exact = config(FOR_EVER, FOR_EVER, "");
    let mut router = Router::with().config(exact).flag("--table", url).start();
    router.await_ready();
    memcached.hang();
    let ask = |address| Client::connect(address).get("a.test", "/").text();
    let address = router.http();
    thread::scope(|scope| {
        // It asks for one key, and is under way when the reload comes.
        let before = scope.spawn(move || ask(address));
        thread::sleep(Duration::from_millis(200));
        let wide = config(FOR_EVER, FOR_EVER, "wildcards = true");
        std::fs::write(router.directory().join("waypost.toml"), wide).expect("it can be written");
        router.process().signal(Signal::HUP);
        eventually("the reload", || {
            router.process().stderr().contains("configuration reloaded").then_some(())
        });
        let behind = scope.spawn(move || ask(address));
        thread::sleep(Duration::from_millis(200));
        memcached.unhang();
        before.join().expect("a client");
        assert_eq!(behind.join().expect("a client"), "here", "it was decided by keys without wildcards");
    });
    assert_eq!(router.answer_of("a.test").as_deref(), Ok("here"));
}

#[test]
fn a_reload_changes_for_how_long_decisions_are_kept() {
    let (memcached, old, new) = (Memcached::start(), Upstream::named("old"), Upstream::named("new"));
    memcached.set("http://a.test:80/", to(&old));
    memcached.set("http://*.test:80/", to(&new));
    let mut router = with(&memcached, &config(FOR_EVER, FOR_EVER, ""));
    assert_eq!(router.answer_of("a.test").as_deref(), Ok("old"));
    assert_eq!(router.answer_of("b.test"), Err(404));
    memcached.set("http://a.test:80/", to(&new));
    let changed = config("0s", "0s", "wildcards = true");
    std::fs::write(router.directory().join("waypost.toml"), changed)
        .expect("the configuration can be written");
    router.process().signal(Signal::HUP);
    router.await_answer("a.test", Ok("new"));
    router.await_answer("b.test", Ok("new"));
}
