//! TLS to servers: an `https://` client backend and instances of the table with `scheme=https`. Who can't prove
//! who it is gets no request; what TLS knows of an end is used; and everything else is as without TLS.

use std::process::Command;

use serde_json::json;
use waypost_tests::tls::{Authority, Certificate, TlsFront};
use waypost_tests::{Port, Process, Random, Request, Router, Upstream, WireError, answer, eventually, ws};

/// A router with one worker whose entry is a client of `url`, with these keys in its `tls`.
fn router_to(url: &str, tls: &str) -> Router {
    let config = format!(
        "entry = 'u'\n[backend.u]\ntype = 'client'\nurl = '{url}'\nconnect_timeout = '2s'\ntls = {{ {tls} }}\n"
    );
    Router::with().config(config).flag("--workers", 1).start()
}

fn trusting(authority: &Authority) -> String {
    format!("ca = '{}'", authority.ca().display())
}

/// A router, TLS in front of an upstream, and what it is known by.
fn site(upstream: &Upstream, more: serde_json::Value) -> (Router, TlsFront) {
    let authority = Authority::new();
    let front = TlsFront::with(upstream, &authority.issue("IP:127.0.0.1"), more);
    (router_to(&format!("https://{}", front.address()), &trusting(&authority)), front)
}

/// What the access log says of the exchange that was answered last.
fn logged_error(router: &Router) -> String {
    eventually("an error in the access log", || {
        let log = std::fs::read_to_string(router.data().join("access.json")).ok()?;
        let last: serde_json::Value = serde_json::from_str(log.lines().last()?).ok()?;
        Some(last.get("error")?.as_str()?.to_owned())
    })
}

fn echo_length(request: &Request) -> Vec<u8> {
    answer(200, format!("{} {}", request.target, request.body.len()))
}

#[test]
fn both_versions_carry_requests_and_large_bodies_both_ways() {
    for version in ["1.2", "1.3"] {
        let upstream = Upstream::echo();
        let (router, _front) = site(&upstream, json!({ "version": version }));
        let mut client = router.connect();
        let body = Random::new().bytes(6 << 20);
        let head = format!("POST / HTTP/1.1\r\nHost: t.test\r\nContent-Length: {}\r\n\r\n", body.len());
        // Both sides write at once: neither waits for the other to have read.
        let (mut writer, sent) = (client.writer(), [head.as_bytes(), &body].concat());
        let sender = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &sent));
        let response = client.read_response("POST").unwrap();
        sender.join().unwrap().unwrap();
        assert!(response.status == 200 && response.body == body, "TLS {version}: the body came back changed");
        assert_eq!(upstream.request().fields.get("host"), Some("t.test"));
        assert_eq!(upstream.connections(), 1);
    }
}

#[test]
fn an_answer_streams_while_the_request_still_does() {
    const LENGTH: usize = 4 << 20;
    for version in ["1.2", "1.3"] {
        let upstream = Upstream::start(|peer| {
            let request = peer.read_request_head()?;
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"))?;
            let mut left = LENGTH;
            while left > 0 && request.method == "POST" {
                let piece = peer.read_some()?;
                left -= piece.len();
                peer.send(piece)?;
            }
            peer.hang()
        });
        let (router, _front) = site(&upstream, json!({ "version": version }));
        let mut client = router.connect();
        let body = Random::new().bytes(LENGTH);
        let head = format!("POST / HTTP/1.1\r\nHost: t.test\r\nContent-Length: {LENGTH}\r\n\r\n");
        let (mut writer, sent) = (client.writer(), [head.as_bytes(), &body].concat());
        let sender = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &sent));
        let response = client.read_response("POST").unwrap();
        sender.join().unwrap().unwrap();
        assert!(response.body == body, "TLS {version}: the body came back changed");
    }
}

#[test]
fn a_connection_is_kept_and_used_again_whatever_the_method() {
    for version in ["1.2", "1.3"] {
        let upstream = Upstream::serving(echo_length);
        let (router, _front) = site(&upstream, json!({ "version": version }));
        let mut client = router.connect();
        for number in 0..40 {
            let request = match number % 2 {
                0 => format!("GET /{number} HTTP/1.1\r\nHost: t.test\r\n\r\n"),
                _ => format!("POST /{number} HTTP/1.1\r\nHost: t.test\r\nContent-Length: 3\r\n\r\nabc"),
            };
            assert_eq!(client.exchange(request).text(), format!("/{number} {}", 3 * (number % 2)));
        }
        assert_eq!(upstream.connections(), 1, "TLS {version}: session tickets made connections look broken");
    }
}

#[test]
fn a_server_that_can_not_prove_who_it_is_gets_no_request() {
    let (trusted, other) = (Authority::new(), Authority::new());
    let cases: [(&str, Certificate, &str); 3] = [
        ("untrusted", other.issue("IP:127.0.0.1"), "not trusted"),
        ("expired", trusted.issue_expired("IP:127.0.0.1"), "expired"),
        ("another name", trusted.issue("DNS:other.test"), "not for 127.0.0.1 but for other.test"),
    ];
    for (name, certificate, said) in cases {
        let upstream = Upstream::named("never");
        let front = TlsFront::start(&upstream, &certificate);
        let router = router_to(&format!("https://{}", front.address()), &trusting(&trusted));
        assert_eq!(router.connect().get("t.test", "/").status, 502, "{name}");
        let error = logged_error(&router);
        assert!(error.contains(said), "{name}: {error}");
        assert!(upstream.requests().is_empty(), "{name}");
        // Told not to care, it does not care, and says so.
        let careless = router_to(&format!("https://{}", front.address()), "verify = false");
        assert_eq!(careless.connect().get("t.test", "/").text(), "never", "{name}");
    }
}

#[test]
fn verify_false_is_said_once() {
    let upstream = Upstream::named("u");
    let front = TlsFront::start(&upstream, &Authority::new().issue("DNS:any.test"));
    let mut router = router_to(&format!("https://{}", front.address()), "verify = false");
    for _ in 0..3 {
        let get = "GET / HTTP/1.1\r\nHost: t.test\r\nConnection: close\r\n\r\n";
        assert_eq!(router.connect().exchange(get).text(), "u");
    }
    assert_eq!(router.process().stderr().matches("verify = false").count(), 1);
}

#[test]
fn a_probe_finds_out_who_can_not_prove_itself() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (good, bad) = (Upstream::named("good"), Upstream::named("bad"));
    let proves = TlsFront::start(&good, &authority.issue("IP:127.0.0.1"));
    let fails = TlsFront::start(&bad, &other.issue("IP:127.0.0.1"));
    let client = |name: &str, front: &TlsFront| {
        let url = format!("https://{}", front.address());
        format!(
            "[backend.{name}]\ntype = 'client'\nurl = '{url}'\nprobe = '/health'\ntls = {{ {} }}\n",
            trusting(&authority)
        )
    };
    let cluster = "entry = 'all'\n[backend.all]\ntype = 'round_robin'\nmembers = ['good', 'bad']\nprobe_interval = '100ms'\n";
    let config = [cluster, &client("good", &proves), &client("bad", &fails)].concat();
    let router = Router::with().config(config).flag("--workers", 1).start();
    eventually("one of them to be found down", || {
        let list = router.cli_ok(["backend", "list"]).stdout;
        let is = |name: &str, state: &str| {
            list.lines().any(|line| line.contains(&format!("{name} (client)  {state}")))
        };
        (is("good", "up") && is("bad", "down")).then_some(())
    });
    let mut client = router.connect();
    for _ in 0..6 {
        assert_eq!(client.get("t.test", "/").text(), "good");
    }
    assert!(bad.requests().is_empty());
}

#[test]
fn the_name_to_be_proved_can_be_told() {
    let (authority, upstream) = (Authority::new(), Upstream::named("u"));
    let front = TlsFront::start(&upstream, &authority.issue("DNS:inner.test"));
    let tls = format!("{}, server_name = 'inner.test'", trusting(&authority));
    let router = router_to(&format!("https://{}", front.address()), &tls);
    assert_eq!(router.connect().get("t.test", "/").text(), "u");
}

#[test]
fn a_server_may_demand_a_certificate_of_ours() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let ours = clients.issue("DNS:router.test");
    for version in ["1.2", "1.3"] {
        let upstream = Upstream::named("welcome");
        let more = json!({ "version": version, "ca": clients.ca() });
        let front = TlsFront::with(&upstream, &authority.issue("IP:127.0.0.1"), more);
        let url = format!("https://{}", front.address());
        let shown = format!("cert = '{}', key = '{}'", ours.cert.display(), ours.key.display());
        let router = router_to(&url, &format!("{}, {shown}", trusting(&authority)));
        assert_eq!(router.connect().get("t.test", "/").text(), "welcome", "TLS {version}");
        let without = router_to(&url, &trusting(&authority));
        assert_eq!(without.connect().get("t.test", "/").status, 502, "TLS {version}");
        let error = logged_error(&without);
        assert!(
            error.contains("certificate") || error.contains("HandshakeFailure"),
            "TLS {version}: {error}"
        );
    }
}

#[test]
fn what_does_not_speak_tls_is_a_502_and_what_says_nothing_a_504() {
    let authority = Authority::new();
    let plain = Upstream::start(|peer| {
        peer.read_some()?;
        peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    });
    let router = router_to(&format!("https://{}", plain.address()), &trusting(&authority));
    assert_eq!(router.connect().get("t.test", "/").status, 502);
    let error = logged_error(&router);
    assert!(error.contains("doesn't speak TLS"), "{error}");

    let closing = Upstream::start(|peer| peer.read_some().map(drop));
    let router = router_to(&format!("https://{}", closing.address()), &trusting(&authority));
    assert_eq!(router.connect().get("t.test", "/").status, 502);

    let silent = Upstream::start(|peer| peer.hang());
    let router = router_to(&format!("https://{}", silent.address()), &trusting(&authority));
    assert_eq!(router.connect().get("t.test", "/").status, 504);
    let error = logged_error(&router);
    assert!(error.contains("handshake"), "{error}");
}

#[test]
fn an_idle_connection_that_the_server_has_closed_costs_no_request() {
    for (version, abrupt) in [("1.2", false), ("1.3", false), ("1.3", true)] {
        let upstream = Upstream::start(|peer| {
            let request = peer.request()?;
            peer.send(echo_length(&request))
        });
        let (router, _front) = site(&upstream, json!({ "version": version, "abrupt": abrupt }));
        let mut client = router.connect();
        for number in 0..6 {
            let target = format!("/{number}");
            let response = client.get("t.test", &target);
            assert_eq!(response.text(), format!("{target} 0"), "TLS {version}, abrupt {abrupt}");
        }
        assert_eq!(upstream.connections(), 6);
    }
}

#[test]
fn a_body_that_ends_with_the_connection_is_whole_only_if_tls_says_so() {
    let until_close = || {
        Upstream::start(|peer| {
            peer.request()?;
            peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")
        })
    };
    let (orderly, cut) = (until_close(), until_close());
    let (router, _front) = site(&orderly, json!({}));
    assert_eq!(router.connect().get("t.test", "/").text(), "all of it");

    let (router, _front) = site(&cut, json!({ "abrupt": true }));
    let result = router.connect().try_get("t.test", "/");
    assert!(matches!(result, Err(WireError::Cut(_) | WireError::Reset)), "taken for whole: {result:?}");
    let error = logged_error(&router);
    assert!(error.contains("in the middle of the response"), "{error}");

    // A length says as much as TLS.
    let counted = Upstream::start(|peer| {
        peer.request()?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nall of it")
    });
    let (router, _front) = site(&counted, json!({ "abrupt": true }));
    assert_eq!(router.connect().get("t.test", "/").text(), "all of it");
}

#[test]
fn a_websocket_passes_and_one_side_may_end_before_the_other() {
    for version in ["1.2", "1.3"] {
        let upstream = Upstream::start(ws::echo);
        let (router, _front) = site(&upstream, json!({ "version": version }));
        let mut socket = ws::WebSocket::open(router.connect(), "w.test", "/").unwrap();
        let mut random = Random::new();
        for size in [0, 1, 126, 65_536, 1 << 20] {
            let payload = random.bytes(size);
            socket.send(ws::BINARY, &payload).unwrap();
            let frame = socket.receive().unwrap();
            assert!(frame == ws::Frame { opcode: ws::BINARY, payload }, "{size} bytes came back changed");
        }
        socket.send(ws::CLOSE, b"\x03\xe8").unwrap();
        assert_eq!(socket.receive().unwrap().opcode, ws::CLOSE);
        assert!(socket.wire().is_closed_by_peer().unwrap());
    }
    let lines = Upstream::start(|peer| {
        peer.request()?;
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n")?;
        loop {
            let bytes = peer.read_some()?;
            if bytes.is_empty() {
                return peer.send("bye");
            }
            peer.send(bytes)?;
        }
    });
    let (router, _front) = site(&lines, json!({}));
    let mut client = router.connect();
    client.send("GET /up HTTP/1.1\r\nHost: w.test\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n").unwrap();
    assert_eq!(client.read_response_head("GET").unwrap().status, 101);
    client.send("last").unwrap();
    client.finish();
    assert_eq!(String::from_utf8_lossy(&client.read_to_end().unwrap()), "lastbye");
}

#[test]
fn an_instance_with_scheme_https_has_to_prove_the_host_that_is_asked_for() {
    let (authority, upstream) = (Authority::new(), Upstream::serving(echo_length));
    let front = TlsFront::start(&upstream, &authority.issue("DNS:a.test,DNS:b.test"));
    let config = format!("[table]\ntls = {{ {} }}\n", trusting(&authority));
    let router = Router::with().config(config).flag("--workers", 1).start();
    for host in ["a.test", "b.test", "c.test"] {
        router.route_add(host, &[front.address()], &["--scheme", "https"]);
    }
    let mut client = router.connect();
    for (host, status) in
        [("a.test", 200), ("c.test", 503), ("a.test", 200), ("b.test", 200), ("a.test", 200)]
    {
        assert_eq!(client.get(host, "/").status, status, "{host}");
    }
    // What was proved for one name is not used for another; and one that fails takes none of them along.
    assert_eq!(upstream.connections(), 2);
    let hosts: Vec<_> = upstream.requests().iter().map(|r| r.fields.get("host").map(str::to_owned)).collect();
    assert_eq!(
        hosts.iter().flatten().map(String::as_str).collect::<Vec<_>>(),
        ["a.test", "a.test", "b.test", "a.test"]
    );
    let explained = router.cli_ok(["route", "explain", "https://a.test/"]).stdout;
    assert!(explained.contains(&front.address().to_string()) && !explained.contains("down"), "{explained}");
}

#[test]
fn an_instance_that_can_not_prove_itself_is_tried_elsewhere() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (good, bad) = (Upstream::named("good"), Upstream::named("bad"));
    let proves = TlsFront::start(&good, &authority.issue("DNS:a.test"));
    let fails = TlsFront::start(&bad, &other.issue("DNS:a.test"));
    let config = format!("[table]\nbalance = 'round_robin'\ntls = {{ {} }}\n", trusting(&authority));
    let router = Router::with().config(config).flag("--workers", 1).start();
    router.route_add("a.test", &[proves.address(), fails.address()], &["--scheme", "https"]);
    let mut client = router.connect();
    for number in 0..8 {
        let post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(client.exchange(post).text(), "good", "request {number}");
    }
    assert!(bad.requests().is_empty());
}

#[test]
fn a_reload_reads_certificates_again_and_refuses_what_it_can_not_read() {
    let (old, new) = (Authority::new(), Authority::new());
    let upstream = Upstream::named("u");
    let front = TlsFront::start(&upstream, &new.issue("IP:127.0.0.1"));
    let trusted = old.ca();
    let mut router = router_to(&format!("https://{}", front.address()), &trusting(&old));
    assert_eq!(router.connect().get("t.test", "/").status, 502);
    std::fs::write(&trusted, "not a certificate").unwrap();
    router.process().signal(rustix::process::Signal::HUP);
    let said = eventually("the refusal to be said", || {
        let said = router.process().stderr();
        said.contains("not reloaded").then_some(said)
    });
    assert!(said.contains("waypost.toml:6") && said.contains("ca.pem"), "{said}");
    std::fs::copy(new.ca(), &trusted).unwrap();
    router.process().signal(rustix::process::Signal::HUP);
    router.await_answer("t.test", Ok("u"));
}

/// nginx with TLS in front of nothing: it answers by itself, and says how it was reached.
struct Nginx {
    port: Port,
    _directory: tempfile::TempDir,
    _process: Process,
}

impl Nginx {
    fn start(authority: &Authority, server: &str) -> Nginx {
        let (port, directory) = (Port::free(), tempfile::TempDir::new().unwrap());
        let Certificate { cert, key } = authority.issue("DNS:n.test");
        let config = format!(
            "daemon off; master_process off; worker_processes 1; error_log stderr; pid nginx.pid;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f;\n\
             uwsgi_temp_path u; scgi_temp_path s; ssl_session_cache shared:s:1m;\n\
             server {{ listen {} ssl; ssl_certificate {}; ssl_certificate_key {};\n{server}\n\
             location / {{ default_type text/plain;\n\
             return 200 \"$ssl_protocol $ssl_session_reused $connection_requests $ssl_server_name $ssl_alpn_protocol\"; }} }} }}\n",
            port.address(),
            cert.display(),
            key.display(),
        );
        let path = directory.path().join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory.path()).arg("-c").arg(&path).args(["-e", "stderr"]);
        // Debian keeps it where users don't look.
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        let mut process = Process::start(&mut command);
        eventually("nginx listens", || {
            assert!(process.is_running(), "nginx ended:\n{}", process.stderr());
            std::net::TcpStream::connect(port.address()).ok().map(drop)
        });
        Nginx { port, _directory: directory, _process: process }
    }

    fn router(&self, authority: &Authority) -> Router {
        let tls = format!("{}, server_name = 'n.test'", trusting(authority));
        router_to(&format!("https://{}", self.port.address()), &tls)
    }
}

#[test]
fn nginx_sees_one_connection_used_again_with_the_name_and_the_protocol() {
    let authority = Authority::new();
    for (version, protocols) in [("TLSv1.2", "ssl_protocols TLSv1.2;"), ("TLSv1.3", "ssl_protocols TLSv1.3;")]
    {
        let nginx = Nginx::start(&authority, protocols);
        let router = nginx.router(&authority);
        let mut client = router.connect();
        for number in 1..=20 {
            let expected = format!("{version} . {number} n.test http/1.1");
            assert_eq!(client.get("t.test", "/").text(), expected);
        }
    }
}

#[test]
fn nginx_sees_sessions_resumed() {
    let authority = Authority::new();
    for (version, protocols) in [("TLSv1.2", "ssl_protocols TLSv1.2;"), ("TLSv1.3", "ssl_protocols TLSv1.3;")]
    {
        let nginx = Nginx::start(&authority, &format!("{protocols} keepalive_timeout 0;"));
        let router = nginx.router(&authority);
        let mut client = router.connect();
        assert_eq!(client.get("t.test", "/").text(), format!("{version} . 1 n.test http/1.1"));
        // The tickets of TLS 1.3 come behind the handshake, each good for one connection.
        for _ in 0..10 {
            assert_eq!(client.get("t.test", "/").text(), format!("{version} r 1 n.test http/1.1"));
        }
    }
}

#[test]
fn openssl_s_server_is_understood() {
    let authority = Authority::new();
    let Certificate { cert, key } = authority.issue("IP:127.0.0.1");
    for version in ["-tls1_2", "-tls1_3"] {
        let port = Port::free();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-www", version, "-accept", &port.address().to_string()]);
        let mut process = Process::start(command.arg("-cert").arg(&cert).arg("-key").arg(&key));
        eventually("s_server listens", || {
            assert!(process.is_running(), "s_server ended:\n{}", process.stderr());
            std::net::TcpStream::connect(port.address()).ok().map(drop)
        });
        let router = router_to(&format!("https://{}", port.address()), &trusting(&authority));
        let response = router.connect().get("t.test", "/");
        assert_eq!(response.status, 200, "{version}");
        assert!(response.text().contains("New, TLSv1"), "{version}: {}", response.text());
    }
}
