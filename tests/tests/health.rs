//! The health of members: probes, failed requests, thresholds, and what is said and shown of a change.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};

use rustix::process::Signal;
use serde_json::Value;
use waypost_tests::{Client, Port, Process, Router, Upstream, answer, eventually};

/// Asked often, so that a test need not wait.
const OFTEN: &str = "probe_interval = \"50ms\"";

/// A cluster of two clients with probes, at these addresses.
fn pair(one: &str, two: &str, keys: &str) -> String {
    let member = |name: &str, address: &str| {
        format!("[backend.{name}]\ntype = \"client\"\nurl = \"http://{address}\"\nprobe = \"/health\"\n")
    };
    format!(
        "entry = \"pair\"\n[backend.pair]\ntype = \"round_robin\"\nmembers = [\"one\", \"two\"]\n{keys}\n{}{}",
        member("one", one),
        member("two", two)
    )
}

/// A server that answers its name, and `/health` with a status that a test can change.
fn probed(name: &'static str) -> (Upstream, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let upstream = Upstream::serving({
        let status = Arc::clone(&status);
        move |request| match request.target.as_str() {
            "/health" => answer(status.load(SeqCst), "health"),
            _ => answer(200, name),
        }
    });
    (upstream, status)
}

fn probes(upstream: &Upstream) -> usize {
    upstream.requests().iter().filter(|request| request.target == "/health").count()
}

/// What the API tells of a backend.
fn reported(router: &Router, name: &str) -> Value {
    fn find(backend: &Value, name: &str) -> Option<Value> {
        if backend["name"] == name {
            return Some(backend.clone());
        }
        backend["children"].as_array()?.iter().find_map(|child| find(child, name))
    }
    let tree: Value = serde_json::from_slice(&router.admin_get("/api/v1/backends").body).expect("JSON");
    find(&tree, name).unwrap_or_else(|| panic!("{name} is not in {tree}"))
}

fn await_up(router: &Router, name: &str, up: bool) -> Value {
    eventually(&format!("{name} is {}", if up { "up" } else { "down" }), || {
        Some(reported(router, name)).filter(|reported| reported["up"] == up)
    })
}

fn said(router: &mut Router, words: &[&str]) -> usize {
    let log = router.process().stderr();
    log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

/// Who serves so many requests.
fn served(router: &Router, by: &str, count: usize) -> usize {
    let mut client = router.connect();
    (0..count).filter(|_| client.get("pair.test", "/").text() == by).count()
}

#[test]
fn a_probe_that_is_not_answered_200_takes_a_member_out_until_it_is() {
    let ((one, status), (two, _)) = (probed("one"), probed("two"));
    let config = pair(&one.address().to_string(), &two.address().to_string(), OFTEN);
    let mut router = Router::with().config(config).flag("--workers", 1).start();
    assert_eq!(served(&router, "one", 10), 5);

    for (turn, wrong) in [500, 204, 301].into_iter().enumerate() {
        status.store(wrong, SeqCst);
        let down = await_up(&router, "one", false);
        assert_eq!(served(&router, "one", 10), 0);
        let reason = down["health"]["reason"].as_str().unwrap_or_default();
        assert_eq!(reason, format!("/health was answered {wrong}"));
        assert_eq!(down["health"]["changes"], 2 * turn + 1);
        assert!(down["health"]["since"].as_u64() > Some(1_700_000_000), "{down}");
        let listed = router.cli_ok(["backend", "list"]).stdout;
        let line = listed.lines().find(|line| line.contains("one (client)")).expect("its line");
        assert!(line.contains("down") && line.contains(reason), "{listed}");

        status.store(200, SeqCst);
        await_up(&router, "one", true);
        assert_eq!(served(&router, "one", 10), 5);
        assert_eq!(said(&mut router, &["backend down", "one", "pair"]), turn + 1, "said once a change");
        assert_eq!(said(&mut router, &["backend up again", "one", "pair"]), turn + 1);
    }
    assert_eq!(reported(&router, "two")["health"]["changes"], 0);
    let json: Value =
        serde_json::from_str(&router.cli_ok(["backend", "list", "--json"]).stdout).expect("JSON");
    assert_eq!(json["children"][0]["health"]["changes"], 6);
    let metrics = router.admin_get("/metrics").text();
    assert!(metrics.contains("waypost_backend_health_changes_total{backend=\"one\"} 6\n"), "{metrics}");
    assert!(metrics.contains("waypost_backend_up{backend=\"two\"} 1\n"), "{metrics}");
}

#[test]
fn a_probe_is_a_get_with_a_host_and_is_not_logged() {
    let ((one, _), (two, _)) = (probed("one"), probed("two"));
    let config = pair(&one.address().to_string(), &two.address().to_string(), OFTEN);
    let config = config.replacen("probe =", "host_header = \"cache.internal\"\nprobe =", 1);
    let mut router = Router::with().config(config).start();
    eventually("probes of both", || (probes(&one) > 2 && probes(&two) > 2).then_some(()));
    let probe = &one.requests()[0];
    assert_eq!((probe.method.as_str(), probe.fields.get("host")), ("GET", Some("cache.internal")));
    assert_eq!(two.requests()[0].fields.get("host"), Some(two.address().to_string().as_str()));
    assert_eq!(router.connect().get("pair.test", "/logged").status, 200);
    router.process().terminate();
    router.wait();
    let log = std::fs::read_to_string(router.data().join("access.json")).expect("the access log");
    assert!(log.contains("/logged") && !log.contains("/health"), "{log}");
}

#[test]
fn a_probe_that_takes_too_long_is_a_failed_one_and_delays_no_other() {
    // Answers its probes when the test has ended, or the router has given up.
    let slow = Upstream::start(|peer| {
        let request = peer.request()?;
        if request.target == "/health" {
            return peer.hang();
        }
        peer.send(answer(200, "slow"))
    });
    let (quick, status) = probed("quick");
    let config = pair(&slow.address().to_string(), &quick.address().to_string(), OFTEN);
    let router = Router::with().config(config).start();
    // Each of the slow one's probes takes half a second; three of the other's pass meanwhile.
    let before = probes(&slow);
    status.store(500, SeqCst);
    await_up(&router, "two", false);
    assert!(probes(&slow) <= before + 3, "the quick member was not asked by itself");
    status.store(200, SeqCst);
    let down = await_up(&router, "one", false);
    assert_eq!(down["health"]["reason"], "/health was not answered within 500ms");
}

#[test]
fn a_server_that_is_stopped_and_continued_goes_down_and_comes_back() {
    let (port, (other, _)) = (Port::free(), probed("other"));
    let directory = tempfile::TempDir::new().unwrap();
    std::fs::write(directory.path().join("health"), "well").unwrap();
    let mut server = Command::new("python3");
    server.args(["-m", "http.server", "--bind", "127.0.0.1", &port.number().to_string()]);
    let server = Process::start(server.current_dir(directory.path()));
    eventually("the server listens", || Client::try_connect(port.address()).ok());
    let config = pair(&port.address().to_string(), &other.address().to_string(), OFTEN);
    let router = Router::with().config(config).start();
    server.signal(Signal::STOP);
    await_up(&router, "one", false);
    assert_eq!(served(&router, "other", 10), 10);
    server.signal(Signal::CONT);
    await_up(&router, "one", true);
}

#[test]
fn fewer_failures_in_a_row_than_the_threshold_change_nothing() {
    // Two of three probes fail, but never three in a row.
    let count = Arc::new(AtomicUsize::new(0));
    let wavering = Upstream::serving({
        let count = Arc::clone(&count);
        move |_| answer(if count.fetch_add(1, SeqCst) % 3 == 2 { 200 } else { 500 }, "")
    });
    let (other, _) = probed("other");
    let (one, two) = (wavering.address().to_string(), other.address().to_string());
    let router = Router::with().config(pair(&one, &two, "probe_interval = \"20ms\"")).start();
    eventually("a dozen probes", || (count.load(SeqCst) > 12).then_some(()));
    assert_eq!(reported(&router, "one")["health"]["changes"], 0);
    drop(router);

    let router =
        Router::with().config(pair(&one, &two, "probe_interval = \"20ms\"\nfall = 2\nrise = 2")).start();
    await_up(&router, "one", false);
    let asked = count.load(SeqCst);
    eventually("a dozen more", || (count.load(SeqCst) > asked + 12).then_some(()));
    assert_eq!(reported(&router, "one")["up"], false, "one good probe was enough");
}

#[test]
fn requests_that_fail_take_a_member_out_without_a_probe() {
    // Takes each request and says nothing.
    let closing = Upstream::start(|peer| peer.request().map(drop));
    let (other, _) = probed("other");
    // The first probe comes at once, the second when the test is long over.
    let config =
        pair(&closing.address().to_string(), &other.address().to_string(), "probe_interval = \"1h\"")
            .replace("probe = \"/health\"\n", "");
    let mut router = Router::with().config(config).flag("--workers", 1).start();
    let mut statuses: Vec<u16> = (0..20)
        .map(|_| {
            router
                .connect()
                .exchange("POST / HTTP/1.1\r\nHost: pair.test\r\nContent-Length: 0\r\n\r\n")
                .status
        })
        .collect();
    statuses.retain(|status| *status != 200);
    assert_eq!(statuses, [502, 502, 502], "what was sent is not sent again");
    let health = &reported(&router, "one")["health"];
    assert!(
        health["reason"].as_str().unwrap_or_default().starts_with("3 requests in a row failed"),
        "{health}"
    );
    assert_eq!(said(&mut router, &["backend down", "one", "pair"]), 1);
}

#[test]
fn a_member_that_comes_back_gets_a_share_that_grows() {
    for (slow_start, least, most) in [("1h", 1, 40), ("0s", 100, 100)] {
        let ((one, status), (two, _)) = (probed("one"), probed("two"));
        let keys = format!("{OFTEN}\nslow_start = \"{slow_start}\"");
        let config = pair(&one.address().to_string(), &two.address().to_string(), &keys);
        let router = Router::with().config(config).flag("--workers", 1).start();
        assert_eq!(served(&router, "one", 200), 100, "a member that never was down has its whole share");
        status.store(500, SeqCst);
        await_up(&router, "one", false);
        status.store(200, SeqCst);
        await_up(&router, "one", true);
        let share = served(&router, "one", 200);
        assert!((least..=most).contains(&share), "{slow_start}: {share} of 200");
    }
    let ((one, status), (two, _)) = (probed("one"), probed("two"));
    let keys = format!("{OFTEN}\nslow_start = \"2s\"");
    let config = pair(&one.address().to_string(), &two.address().to_string(), &keys);
    let router = Router::with().config(config).flag("--workers", 1).start();
    status.store(500, SeqCst);
    await_up(&router, "one", false);
    status.store(200, SeqCst);
    await_up(&router, "one", true);
    eventually("its share is whole again", || (served(&router, "one", 20) == 10).then_some(()));
}

#[test]
fn on_a_ring_a_member_that_comes_back_gets_ever_more_of_its_keys_and_no_others() {
    let ((one, status), (two, _)) = (probed("one"), probed("two"));
    let config = pair(
        &one.address().to_string(),
        &two.address().to_string(),
        &format!("{OFTEN}\nslow_start = \"1h\""),
    )
    .replace("round_robin", "hash_ring");
    let router = Router::with().config(config).start();
    let owned = || -> Vec<bool> {
        let mut client = router.connect();
        (0..300).map(|key| client.get("pair.test", &format!("/{key}")).text() == "one").collect()
    };
    let before = owned();
    status.store(500, SeqCst);
    await_up(&router, "one", false);
    assert!(!owned().contains(&true));
    status.store(200, SeqCst);
    await_up(&router, "one", true);
    let after = owned();
    assert!(before.iter().zip(&after).all(|(before, after)| *before || !after), "it has keys of the other");
    let count = |owned: &[bool]| owned.iter().filter(|owned| **owned).count();
    assert!(count(&after) < count(&before) / 3, "{} of {}", count(&after), count(&before));
}

#[test]
fn health_survives_a_reload_of_members_that_stay_as_they_are() {
    let ((one, status), (two, _)) = (probed("one"), probed("two"));
    let (one, two) = (one.address().to_string(), two.address().to_string());
    // Once down, nothing brings it up again while the test looks.
    let keys = format!("{OFTEN}\nrise = 1000000");
    let mut router = Router::with().config(pair(&one, &two, &keys)).start();
    status.store(500, SeqCst);
    let before = await_up(&router, "one", false);
    let mut reload = |config: String| {
        std::fs::write(router.directory().join("waypost.toml"), config).unwrap();
        let reloads = said(&mut router, &["configuration reloaded"]);
        router.process().signal(Signal::HUP);
        eventually("the reload", || (said(&mut router, &["configuration reloaded"]) > reloads).then_some(()));
    };
    reload(pair(&one, &two, &format!("{keys}\nfall = 2")));
    let after = reported(&router, "one");
    assert_eq!((&after["up"], &after["health"]), (&before["up"], &before["health"]));

    let mut reload = |config: String| {
        std::fs::write(router.directory().join("waypost.toml"), config).unwrap();
        router.process().signal(Signal::HUP);
    };
    status.store(200, SeqCst);
    reload(pair(&one, &two, &keys).replacen("/health", "/health?other", 1));
    let fresh = await_up(&router, "one", true);
    assert_eq!(fresh["health"]["changes"], 0, "another probe is another definition");
}

#[test]
fn a_tree_that_was_replaced_asks_no_more() {
    let ((one, _), (two, _)) = (probed("one"), probed("two"));
    let router_config = pair(&one.address().to_string(), &two.address().to_string(), OFTEN);
    let mut router = Router::with().config(router_config).start();
    eventually("probes", || (probes(&one) > 1).then_some(()));
    let other = pair(&two.address().to_string(), &two.address().to_string(), OFTEN);
    std::fs::write(router.directory().join("waypost.toml"), other).unwrap();
    router.process().signal(Signal::HUP);
    eventually("the reload", || (said(&mut router, &["configuration reloaded"]) > 0).then_some(()));
    let asked_both = probes(&two) + 10;
    eventually("the new tree asks", || (probes(&two) > asked_both).then_some(()));
    let asked = probes(&one);
    let until = probes(&two) + 20;
    eventually("the new tree asks on", || (probes(&two) > until).then_some(()));
    assert_eq!(probes(&one), asked, "the old tree still asks");
}

#[test]
fn a_client_outside_of_clusters_asks_by_itself() {
    let (one, status) = probed("one");
    let config = format!(
        "entry = \"one\"\n[backend.one]\ntype = \"client\"\nurl = \"http://{}\"\nprobe = \"/health\"\n",
        one.address()
    );
    let mut router = Router::with().config(config).start();
    status.store(503, SeqCst);
    let down = await_up(&router, "one", false);
    assert_eq!(down["health"]["reason"], "/health was answered 503");
    status.store(200, SeqCst);
    await_up(&router, "one", true);
    assert_eq!(said(&mut router, &["backend down", "one"]), 1);
}

#[test]
fn a_probe_reaches_a_client_through_what_is_wrapped_around_it() {
    let ((one, status), (two, _)) = (probed("one"), probed("two"));
    let config = pair(&one.address().to_string(), &two.address().to_string(), OFTEN)
        .replace("[\"one\", \"two\"]", "[\"outer\", \"two\"]")
        + "[backend.outer]\ntype = \"headers\"\nbackend = \"one\"\n";
    let mut router = Router::with().config(config).start();
    for (wrong, up) in [(500, false), (200, true), (500, false)] {
        status.store(wrong, SeqCst);
        await_up(&router, "outer", up);
        assert_eq!(reported(&router, "one")["up"], up, "both show the same");
    }
    assert_eq!(said(&mut router, &["backend down"]), 2, "each change is said once, not once a backend");
}

#[test]
fn a_busy_server_is_not_taken_for_one_that_is_down() {
    // One request at most, which the test holds, and a probe beside it.
    let one = Upstream::start(|peer| match peer.request()?.target.as_str() {
        "/health" => peer.send(answer(200, "well")),
        _ => peer.hang(),
    });
    let (two, _) = probed("two");
    let config = pair(&one.address().to_string(), &two.address().to_string(), OFTEN).replacen(
        "probe =",
        "max_connections = 1\nprobe =",
        1,
    );
    let router = Router::with().config(config).flag("--workers", 1).start();
    let mut held: Vec<Client> = (0..2).map(|_| router.connect()).collect();
    for client in &mut held {
        client.send("GET /hold HTTP/1.1\r\nHost: pair.test\r\n\r\n").unwrap();
    }
    one.await_bytes(b"GET /hold");
    let asked = one.connections() + 5;
    one.await_connections(asked);
    assert_eq!(reported(&router, "one")["up"], true);
    assert_eq!(served(&router, "two", 6), 6, "the next member takes what the busy one can't");
}

#[test]
fn a_member_whose_name_has_no_addresses_goes_down_and_its_requests_go_elsewhere() {
    let (other, _) = probed("other");
    for probe in ["probe = \"/health\"\n", ""] {
        let config = pair("no-such-host.invalid:80", &other.address().to_string(), OFTEN)
            .replace("probe = \"/health\"\n", probe);
        let mut router = Router::with().config(config).start();
        assert_eq!(served(&router, "other", 10), 10, "also before anything is known");
        let health = await_up(&router, "one", false)["health"].clone();
        let reason = health["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("the name no-such-host.invalid could not be resolved"), "{reason}");
        assert_eq!(served(&router, "other", 10), 10);
        assert_eq!(said(&mut router, &["backend down", "one", "pair"]), 1, "it does not come and go");
    }
}

#[test]
fn a_member_of_two_clusters_is_probed_by_one_of_them() {
    let ((shared, _), (alone, _)) = (probed("shared"), probed("alone"));
    let client = |name: &str, server: &Upstream| {
        let address = server.address();
        format!("[backend.{name}]\ntype = \"client\"\nurl = \"http://{address}\"\nprobe = \"/health\"\n")
    };
    let cluster = |name: &str, members: &str| {
        format!("[backend.{name}]\ntype = \"round_robin\"\nprobe_interval = \"100ms\"\nmembers = {members}\n")
    };
    let config = [
        "entry = \"both\"\n[backend.both]\ntype = \"try_pass\"\nmembers = [\"left\", \"right\"]\n".to_owned(),
        cluster("left", "[\"shared\"]"),
        cluster("right", "[\"shared\", \"alone\"]"),
        client("shared", &shared),
        client("alone", &alone),
    ];
    let _router = Router::with().config(config.concat()).start();
    eventually("twenty probes", || (probes(&alone) >= 20).then_some(()));
    // Each wait is a tenth longer or shorter at most.
    let count = probes(&shared);
    assert!((14..28).contains(&count), "{count} probes of the shared one, 20 of the other");
}

#[test]
fn a_server_that_takes_no_connections_is_shown_as_that() {
    let (port, (other, _)) = (Port::free(), probed("other"));
    // Nobody asks but the first probe, at once, and the requests below.
    let config = pair(&port.address().to_string(), &other.address().to_string(), "probe_interval = \"1h\"")
        .replace("probe = \"/health\"\n", "");
    let router = Router::with().config(config).flag("--workers", 1).start();
    assert_eq!(served(&router, "other", 4), 4);
    await_up(&router, "one", false);
    let listed = router.cli_ok(["backend", "list"]).stdout;
    let line = listed.lines().find(|line| line.contains("one (client)")).expect("its line");
    assert!(
        line.ends_with(&format!("down  http://{}, which takes no connections", port.address())),
        "{listed}"
    );
}
