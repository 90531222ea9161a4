//! Redis stopped, killed, hung, cut off, restarted, replaced: not one request fails that the last good table
//! can route, and afterwards changes are followed again.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use waypost_tests::resp::encode;
use waypost_tests::{Load, Namespace, Process, Redis, Router, Sentinels, Upstream, eventually, program};

/// A table with some hosts, and a load on them.
struct Site {
    redis: Redis,
    router: Router,
    upstream: Upstream,
    changes: usize,
}

const STABLE: [(&str, &str); 3] = [("a.test", "here"), ("b.a.test", "here"), ("any.w.test", "here")];

impl Site {
    fn new(redis: Redis) -> Site {
        let upstream = Upstream::named("here");
        for host in ["a.test", "b.a.test", "*.w.test"] {
            redis.route(host, upstream.address());
        }
        let router = Router::with().flag("--table", redis.url()).start();
        router.await_ready();
        Site { redis, router, upstream, changes: 0 }
    }

    fn load(&self) -> Load {
        Load::start(self.router.http(), 4, &STABLE)
    }

    /// Makes a change, and waits until it is routed.
    fn assert_follows(&mut self) {
        self.changes += 1;
        let host = format!("change{}.test", self.changes);
        eventually("Redis takes a write again", || {
            let mut client = self.redis.try_connect(Duration::from_secs(1)).ok()?;
            client.try_run(&["SADD", &format!("instances:{host}"), &self.upstream.address().to_string()]).ok()
        });
        self.router.await_answer(&host, Ok("here"));
    }

    /// Waits until the router says that it can't follow its store, and that it routes all the same.
    fn await_away(&self) {
        await_away(&self.router);
    }

    /// Waits until it says that it follows again.
    fn await_back(&self) {
        eventually("the router follows its store again", || {
            let (status, json) = self.router.readiness();
            assert_eq!(status, 200, "{json}");
            json["table"]["error"].is_null().then_some(())
        });
    }
}

fn await_away(router: &Router) {
    eventually("the router says that its store is away", || {
        let (status, json) = router.readiness();
        assert_eq!(status, 200, "a router with a table is ready: {json}");
        json["table"]["error"].as_str().map(|_| ())
    });
}

/// The files of the copy that a router keeps of its table.
fn copies(router: &Router) -> Vec<PathBuf> {
    std::fs::read_dir(router.data())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("redis")))
        .collect()
}

/// How old the table is, in seconds.
fn age(router: &Router) -> f64 {
    let (_, json) = router.readiness();
    json["table"]["age"].as_f64().unwrap_or_else(|| panic!("no age: {json}"))
}

#[test]
fn a_server_that_is_stopped_and_started_costs_no_request() {
    let mut site = Site::new(Redis::with().durable().start());
    let load = site.load();
    for _ in 0..2 {
        load.await_more(300);
        site.redis.stop();
        site.await_away();
        load.await_more(1000);
        site.redis.resume();
        site.assert_follows();
        site.await_back();
    }
    load.finish();
}

#[test]
fn a_server_that_is_killed_costs_no_request() {
    let mut site = Site::new(Redis::with().durable().start());
    let load = site.load();
    for _ in 0..3 {
        load.await_more(300);
        site.redis.kill();
        load.await_more(500);
        site.redis.resume();
        site.assert_follows();
    }
    load.finish();
}

#[test]
fn a_server_that_hangs_is_noticed_and_costs_no_request() {
    let mut site = Site::new(Redis::start());
    let load = site.load();
    for _ in 0..2 {
        site.redis.hang();
        site.await_away();
        load.await_more(1000);
        site.redis.unhang();
        site.assert_follows();
        site.await_back();
    }
    load.finish();
}

#[test]
fn a_server_that_is_cut_off_without_a_reset_is_noticed_and_costs_no_request() {
    let namespace = Namespace::create();
    let mut site = Site::new(Redis::with().inside(&namespace).start());
    let load = site.load();
    for _ in 0..2 {
        namespace.cut();
        site.await_away();
        load.await_more(1000);
        namespace.join();
        site.assert_follows();
        site.await_back();
    }
    load.finish();
}

#[test]
fn the_age_of_the_table_grows_while_its_store_is_away_and_is_told() {
    let mut site = Site::new(Redis::start());
    site.redis.hang();
    site.await_away();
    let before = age(&site.router);
    eventually("the table ages", || (age(&site.router) > before + 1.0).then_some(()));
    let listed = site.router.cli_ok(["route", "list"]);
    let said = format!("{}{}", listed.stdout, listed.stderr);
    let tells = said.lines().any(|line| line.contains("old") || line.contains("ago") || line.contains("age"));
    assert!(tells, "`route list` does not say how old the table is: {said}");
    let metrics = site.router.admin_get("/metrics").text();
    let told = metrics.lines().find_map(|line| line.strip_prefix("waypost_table_age_seconds "));
    let told: f64 = told.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{metrics}"));
    assert!(told > before + 1.0, "the metrics say {told}, it was {before}");
    assert!(metrics.contains("waypost_table_store_connected 0"), "{metrics}");
    let fresh = age(&site.router);
    site.redis.unhang();
    eventually("the table is fresh again", || (age(&site.router) < fresh).then_some(()));
    site.assert_follows();
}

#[test]
fn going_away_and_coming_back_are_logged_once_each() {
    let mut site = Site::new(Redis::with().durable().start());
    let lines = |site: &mut Site| site.router.process().stderr().lines().count();
    let before = lines(&mut site);
    site.redis.kill();
    site.await_away();
    // Several attempts to connect again.
    eventually("the table ages", || (age(&site.router) > 4.0).then_some(()));
    let while_away = lines(&mut site) - before;
    assert!(
        (1..=2).contains(&while_away),
        "{while_away} lines while away:\n{}",
        site.router.process().stderr()
    );
    site.redis.resume();
    site.assert_follows();
    site.await_back();
    let in_all = lines(&mut site) - before;
    assert!(in_all > while_away && in_all <= 4, "{in_all} lines in all:\n{}", site.router.process().stderr());
}

#[test]
fn a_server_that_is_restarted_empty_leaves_an_empty_table() {
    let mut site = Site::new(Redis::start());
    let load = site.load();
    site.redis.kill();
    site.await_away();
    load.await_more(500);
    // Until here the last good table routes; from here on there is a store, and it is empty.
    load.finish();
    site.redis.resume_empty();
    for (host, _) in STABLE {
        site.router.await_answer(host, Err(404));
    }
    assert_eq!(site.router.readiness().0, 200);
    site.assert_follows();
}

#[test]
fn a_server_that_is_still_loading_its_data_is_away_and_not_empty() {
    let mut site = Site::new(
        Redis::with()
            .durable()
            // Loading takes seconds, and the server says so to whoever asks meanwhile.
            .option("aof-use-rdb-preamble", &["no"])
            .option("key-load-delay", &["2000"])
            .option("loading-process-events-interval-bytes", &["1024"])
            .start(),
    );
    let commands: Vec<Vec<u8>> = (0..1000)
        .map(|number| encode(&["SADD", &format!("instances:h{number}.test"), "127.0.0.1:9"]))
        .collect();
    site.redis.connect().pipeline(&commands);
    let load = site.load();
    site.redis.kill();
    site.redis.resume_loading();
    site.assert_follows();
    load.finish();
}

#[test]
fn a_replica_routes_on_without_its_master_and_follows_it_when_it_is_back() {
    let upstream = Upstream::named("here");
    let mut master = Redis::with().durable().start();
    for host in ["a.test", "b.a.test", "*.w.test"] {
        master.route(host, upstream.address());
    }
    master.run(&["SET", "serial", "41"]);
    let replica = Redis::with().replica_of(&master).start();
    let router = Router::with().flag("--table", replica.url()).start();
    router.await_answer("a.test", Ok("here"));
    master.run(&["INCR", "serial"]);
    eventually("the master's serial is shown", || {
        router.readiness().1["table"]["serial"].as_u64().filter(|serial| *serial == 42)
    });
    let load = Load::start(router.http(), 4, &STABLE);
    for round in 0..2 {
        master.kill();
        load.await_more(1000);
        // The replica is read-only, and what it holds stays.
        master.resume();
        let key = format!("instances:round{round}.test");
        eventually("the master has loaded its data", || {
            master.connect().try_run(&["SADD", &key, &upstream.address().to_string()]).ok()
        });
        router.await_answer(&format!("round{round}.test"), Ok("here"));
        load.await_more(100);
    }
    load.finish();
}

#[test]
fn a_list_of_a_replica_shows_its_serial_and_its_master_s() {
    let master = Redis::start();
    master.run(&["SET", "serial", "4711"]);
    let replica = Redis::with().replica_of(&master).option("replica-read-only", &["no"]).start();
    eventually("replication", || {
        (replica.run(&["GET", "serial"]).text().as_deref() == Some("4711")).then_some(())
    });
    // So that one can be told from the other.
    replica.run(&["SET", "serial", "4712"]);
    let mut list = Command::new(program());
    let listed = Process::run(list.args(["route", "list", "--table", &replica.url()]));
    assert_eq!(listed.code, Some(0), "{listed:#?}");
    for serial in ["4711", "4712"] {
        assert!(listed.stdout.contains(serial), "{serial} is not shown:\n{}", listed.stdout);
    }
    let router = Router::with().flag("--table", replica.url()).start();
    eventually("the router shows both", || {
        let listed = router.cli_ok(["route", "list"]).stdout;
        (listed.contains("4711") && listed.contains("4712")).then_some(())
    });
}

#[test]
fn a_password_that_is_changed_costs_no_request() {
    let mut site = Site::new(Redis::start());
    let load = site.load();
    let mut client = site.redis.connect();
    client.run(&["CONFIG", "SET", "requirepass", "new"]);
    client.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    site.await_away();
    load.await_more(1000);
    let (_, json) = site.router.readiness();
    let error = json["table"]["error"].as_str().unwrap_or_default().to_lowercase();
    assert!(
        ["auth", "password", "refuse"].iter().any(|word| error.contains(word)),
        "the reason is not told: {error}"
    );
    client.run(&["CONFIG", "SET", "requirepass", ""]);
    site.assert_follows();
    load.finish();
}

#[test]
fn a_failover_by_sentinel_costs_no_request() {
    let upstream = Upstream::named("here");
    let mut sentinels = Sentinels::start();
    for host in ["a.test", "b.a.test", "*.w.test"] {
        sentinels.servers[0].route(host, upstream.address());
    }
    for replica in &sentinels.servers[1..] {
        eventually("replication", || (replica.run(&["DBSIZE"]).integer() == 3).then_some(()));
    }
    let router = Router::with().flag("--table", sentinels.url()).start();
    router.await_answer("a.test", Ok("here"));
    let load = Load::start(router.http(), 4, &STABLE);
    load.await_more(300);
    sentinels.servers[0].kill();
    let next = sentinels.await_other_master(0);
    load.await_more(300);
    sentinels.servers[next].route("after.test", upstream.address());
    router.await_answer("after.test", Ok("here"));
    // The old master comes back as a replica; what it is told then is nobody's table.
    sentinels.servers[0].resume();
    sentinels.servers[next].route("later.test", upstream.address());
    router.await_answer("later.test", Ok("here"));
    load.finish();
}

#[test]
fn a_master_that_is_made_a_replica_is_left_for_the_new_one() {
    let upstream = Upstream::named("here");
    let sentinels = Sentinels::start();
    sentinels.servers[0].route("a.test", upstream.address());
    for replica in &sentinels.servers[1..] {
        eventually("replication", || (replica.run(&["DBSIZE"]).integer() == 1).then_some(()));
    }
    let router = Router::with().flag("--table", sentinels.url()).start();
    router.await_answer("a.test", Ok("here"));
    let load = Load::start(router.http(), 2, &STABLE[..1]);
    sentinels.force_failover();
    let next = sentinels.await_other_master(0);
    sentinels.servers[next].route("after.test", upstream.address());
    router.await_answer("after.test", Ok("here"));
    // The old one is cut off from the new: who still read it would miss this.
    sentinels.servers[0].run(&["REPLICAOF", "127.0.0.1", "1"]);
    sentinels.servers[next].route("later.test", upstream.address());
    router.await_answer("later.test", Ok("here"));
    load.finish();
}

#[test]
fn a_replica_that_is_given_another_master_is_read_anew() {
    let upstream = Upstream::named("here");
    let [one, other] = [("one.test", 3), ("other.test", 5)].map(|(host, serial)| {
        let master = Redis::start();
        master.route(host, upstream.address());
        master.route("a.test", upstream.address());
        master.run(&["SET", "serial", &serial.to_string()]);
        master
    });
    let replica = Redis::with().replica_of(&one).start();
    let router = Router::with().flag("--table", replica.url()).start();
    router.await_answer("one.test", Ok("here"));
    let load = Load::start(router.http(), 2, &STABLE[..1]);
    let (ip, port) = (other.address().ip().to_string(), other.address().port().to_string());
    replica.run(&["REPLICAOF", &ip, &port]);
    router.await_answer("other.test", Ok("here"));
    router.await_answer("one.test", Err(404));
    eventually("the serial is the other's", || {
        (router.readiness().1["table"]["serial"].as_u64() == Some(5)).then_some(())
    });
    load.finish();
}

#[test]
fn a_router_ends_in_order_while_its_store_hangs() {
    let mut site = Site::new(Redis::start());
    site.redis.hang();
    site.await_away();
    site.router.process().terminate();
    assert_eq!(site.router.wait().code, Some(0));
}

#[test]
fn a_router_that_is_started_again_while_redis_is_away_routes_at_once() {
    let mut site = Site::new(Redis::with().durable().start());
    site.redis.stop();
    site.router.process().terminate();
    assert_eq!(site.router.wait().code, Some(0));
    site.router.resume();
    for (host, _) in STABLE {
        assert_eq!(site.router.answer_of(host), Ok("here".into()), "{host}");
    }
    assert_eq!(site.router.readiness().0, 200);
    assert_eq!(site.router.answer_of("unknown.test"), Err(404));
    let load = site.load();
    load.await_more(300);
    site.redis.resume();
    site.assert_follows();
    load.finish();
}

#[test]
fn a_router_that_was_killed_routes_by_what_it_had_kept_until_then() {
    let mut site = Site::new(Redis::with().durable().start());
    // The copy is brought up to date a while after a change; once it is, it stays so.
    let mut patience = Duration::from_millis(500);
    eventually("a copy on disk outlives the router", || {
        std::thread::sleep(patience);
        patience *= 2;
        site.router.kill();
        site.redis.stop();
        site.router.resume();
        let routes = STABLE.iter().all(|(host, _)| site.router.answer_of(host) == Ok("here".into()));
        site.redis.resume();
        site.router.await_answer("a.test", Ok("here"));
        routes.then_some(())
    });
    site.assert_follows();
}

#[test]
fn a_damaged_copy_on_disk_is_no_obstacle() {
    let mut site = Site::new(Redis::with().durable().start());
    site.router.process().terminate();
    assert_eq!(site.router.wait().code, Some(0));
    let files = copies(&site.router);
    assert!(!files.is_empty(), "there is no copy in {}", site.router.data().display());
    for damage in [&b""[..], b"not a database", &[0; 100_000]] {
        files.iter().for_each(|file| std::fs::write(file, damage).unwrap());
        site.router.resume();
        site.router.await_answer("a.test", Ok("here"));
        site.router.process().terminate();
        assert_eq!(site.router.wait().code, Some(0));
    }
    site.router.resume();
    site.assert_follows();
}

#[test]
fn a_copy_of_another_store_is_not_routed_by() {
    let upstream = Upstream::named("here");
    let [one, mut two] = [0; 2].map(|_| Redis::start());
    let mut routers = [(&one, "one.test"), (&two, "two.test")].map(|(redis, host)| {
        redis.route(host, upstream.address());
        let mut router = Router::with().flag("--table", redis.url()).start();
        router.await_answer(host, Ok("here"));
        router.process().terminate();
        assert_eq!(router.wait().code, Some(0));
        router
    });
    for file in copies(&routers[0]) {
        std::fs::copy(&file, routers[1].data().join(file.file_name().unwrap())).unwrap();
    }
    two.stop();
    routers[1].resume();
    assert_eq!(routers[1].answer_of("one.test"), Err(503));
    two.resume();
    routers[1].await_answer("one.test", Err(404));
}

#[test]
fn a_router_that_never_saw_its_store_answers_503_until_it_does() {
    let upstream = Upstream::named("here");
    let mut redis = Redis::with().durable().start();
    redis.route("a.test", upstream.address());
    redis.stop();
    let router = Router::with().flag("--table", redis.url()).start();
    for _ in 0..3 {
        assert_eq!(router.answer_of("a.test"), Err(503));
        assert_eq!(router.answer_of("unknown.test"), Err(503));
    }
    let (status, json) = router.readiness();
    assert_eq!(status, 503, "{json}");
    redis.resume();
    router.await_answer("a.test", Ok("here"));
    router.await_answer("unknown.test", Err(404));
    assert_eq!(router.readiness().0, 200);
}

#[test]
fn a_router_whose_store_hangs_from_the_start_answers_503_until_it_goes_on() {
    let upstream = Upstream::named("here");
    let mut redis = Redis::start();
    redis.route("a.test", upstream.address());
    redis.hang();
    let router = Router::with().flag("--table", redis.url()).start();
    assert_eq!(router.answer_of("a.test"), Err(503));
    redis.unhang();
    router.await_answer("a.test", Ok("here"));
}
