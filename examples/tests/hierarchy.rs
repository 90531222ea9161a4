//! The hierarchy of backends, as a program and from its configuration file: asked with real requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use waypost_tests::{Client, Port, Process, Router, Upstream, answer, eventually, program};

/// A cache that answers with its name, and knows nothing of any other.
fn caches() -> Vec<Upstream> {
    (1..=3).map(|number| Upstream::named(&format!("cache{number}"))).collect()
}

fn addresses(caches: &[Upstream]) -> Vec<SocketAddr> {
    caches.iter().map(Upstream::address).collect()
}

/// Which cache has which path.
fn shares(address: SocketAddr) -> BTreeMap<String, String> {
    let mut client = Client::connect(address);
    let path = |number| format!("/pages/{number}?q={number}");
    (0..60).map(|number| (path(number), client.get("site.test", &path(number)).text())).collect()
}

/// What holds of the hierarchy, however it was made.
fn check_caches(address: SocketAddr, caches: &mut [Upstream]) {
    let before = shares(address);
    for cache in ["cache1", "cache2", "cache3"] {
        assert!(before.values().any(|text| text == cache), "{cache} has no path");
    }
    assert_eq!(shares(address), before, "a path has moved");

    // A body that the fast application does not want reaches the cache whole.
    caches.iter().for_each(Upstream::forget);
    let body = "x".repeat(50_000);
    let post =
        format!("POST /pages/1 HTTP/1.1\r\nHost: site.test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(Client::connect(address).exchange(post).status, 200);
    let received: Vec<_> =
        caches.iter().flat_map(Upstream::requests).filter(|r| r.method == "POST").collect();
    assert_eq!(received.len(), 1);
    assert!(received[0].body == body.as_bytes(), "the body that arrived is not the one that was sent");

    caches[0].stop();
    let after = shares(address);
    for (path, cache) in &before {
        match cache.as_str() {
            "cache1" => assert_ne!(after[path], "cache1", "{path}"),
            other => assert_eq!(after[path], other, "{path} has moved though its cache is up"),
        }
    }
    caches[0].resume();
    eventually("the cache that came back has its paths again", || (shares(address) == before).then_some(()));
}

#[test]
fn an_axum_router_in_the_process_stands_before_a_ring_of_caches() {
    let (mut caches, listen) = (caches(), Port::free());
    let mut command = Command::new(env!("CARGO_BIN_EXE_hierarchy"));
    command.arg(listen.address().to_string());
    command.args(addresses(&caches).iter().map(SocketAddr::to_string));
    let process = Process::start(&mut command);
    let mut client =
        eventually("the example takes connections", || Client::try_connect(listen.address()).ok());
    let user = client.get("site.test", "/users/ada");
    assert_eq!((user.status, user.text().as_str()), (200, "user ada\n"));
    assert_eq!(caches.iter().map(|cache| cache.requests().len()).sum::<usize>(), 0, "a cache was asked");

    check_caches(listen.address(), &mut caches);

    let log = process.stderr();
    for backend in ["fast", "ring", "cache1", "cache2", "cache3"] {
        let told = format!("backend=\"{backend}\"");
        assert!(
            log.lines().any(|line| line.contains("answered") && line.contains(&told)),
            "no {told} in {log}"
        );
    }
    drop(client);
    process.terminate();
    assert_eq!(process.wait().code, Some(0));
}

#[test]
fn the_configuration_file_makes_the_same_hierarchy() {
    let mut caches: Vec<Upstream> = (1..=3)
        .map(|number| {
            let name = format!("cache{number}");
            Upstream::serving(move |_| answer(200, &name))
        })
        .collect();
    let mut config = std::fs::read_to_string(directory().join("waypost.toml")).unwrap();
    for (place, cache) in (6081..).zip(addresses(&caches)) {
        let written = format!("http://127.0.0.1:{place}");
        assert!(config.contains(&written), "no {written}");
        config = config.replace(&written, &format!("http://{cache}"));
    }
    let mut router = Router::with().config(config).start();
    let health = router.connect().get("site.test", "/healthz");
    assert_eq!((health.status, health.text().as_str()), (200, "ok\n"));

    check_caches(router.http(), &mut caches);

    let explained = router.cli_ok(["backend", "explain", "http://site.test/pages/1?q=1"]).stdout;
    for name in ["site", "fast_log", "fast", "ring_log", "ring", "cache"] {
        assert!(explained.contains(name), "no {name} in {explained}");
    }
    let log = router.process().stderr();
    assert!(log.contains("backend=\"ring\"") && log.contains("backend=\"fast\""), "{log}");
}

#[test]
fn the_script_shows_it() {
    let ports: Vec<Port> = (0..5).map(|_| Port::free()).collect();
    let mut command = Command::new(directory().join("run.sh"));
    command.arg(program());
    for (name, port) in ["PORT", "ADMIN", "CACHE1", "CACHE2", "CACHE3"].into_iter().zip(&ports) {
        command.env(name, port.address().port().to_string());
    }
    let finished = Process::run(&mut command);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    let shown = &finished.stdout;
    let first = ports[2].address().port();
    let (before, after) = shown.split_once("== the same without").expect("both parts");
    assert!(before.contains("/healthz  ok"), "{shown}");
    assert_eq!(before.matches("from the cache at").count(), 6, "{shown}");
    assert_eq!(after.matches("from the cache at").count(), 6, "{shown}");
    assert!(!after.contains(&format!("from the cache at {first}")), "{shown}");
    assert!(after.contains("waypost::exchange: answered"), "{shown}");
}

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/hierarchy"))
}
