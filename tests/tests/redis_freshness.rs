//! A change of the Redis table is routed, however it was made. How soon is for the benchmark to say.

use waypost_tests::resp::encode;
use waypost_tests::{Redis, RedisClient, Reply, Router, Upstream, table};

struct Site {
    redis: Redis,
    router: Router,
    here: Upstream,
    there: Upstream,
}

impl Site {
    fn new() -> Site {
        let redis = Redis::start();
        let [here, there] = ["here", "there"].map(Upstream::named);
        let router = Router::with().flag("--table", redis.url()).start();
        router.await_ready();
        Site { redis, router, here, there }
    }

    fn here(&self) -> String {
        self.here.address().to_string()
    }

    fn there(&self) -> String {
        self.there.address().to_string()
    }
}

/// A way of writing: its name, and the commands, of which `HOST`, `HERE` and `THERE` are replaced.
type Way = (&'static str, &'static [&'static [&'static str]]);

/// Runs a way for a host of its own, with `serial` counted in the same transaction or not at all.
fn write(site: &Site, client: &mut RedisClient, way: &Way, host: &str, with_serial: bool) {
    let (here, there) = (site.here(), site.there());
    let filled = |word: &str| word.replace("HOST", host).replace("THERE", &there).replace("HERE", &here);
    let commands = way.1.iter().map(|words| words.iter().map(|word| filled(word)).collect::<Vec<_>>());
    if with_serial {
        let mut commands: Vec<Vec<u8>> = commands.map(|words| encode(&words)).collect();
        commands.push(encode(&["INCR", "serial"]));
        let replies = client.try_transaction(&commands).unwrap();
        assert!(!replies.iter().any(|reply| matches!(reply, Reply::Error(_))), "{}: {replies:?}", way.0);
    } else {
        commands.for_each(|words| drop(client.run(&words)));
    }
}

/// Runs each way twice, each time from a host that is `before` to one that is `after`.
fn assert_each(before: &[&[&str]], ways: &[Way], from: Result<&str, u16>, to: Result<&str, u16>) {
    let site = Site::new();
    let mut client = site.redis.connect();
    for way in ways {
        for with_serial in [false, true] {
            // A host's name says which way it goes, should it not arrive.
            let name = way.0.to_lowercase().replace(' ', "-");
            let host = format!("{name}{}.test", if with_serial { "-with-serial" } else { "" });
            for words in before {
                let (here, there) = (site.here(), site.there());
                let filled =
                    |word: &&str| word.replace("HOST", &host).replace("THERE", &there).replace("HERE", &here);
                client.run(&words.iter().map(filled).collect::<Vec<_>>());
            }
            site.router.await_answer(&host, from);
            write(&site, &mut client, way, &host, with_serial);
            site.router.await_answer(&host, to);
        }
    }
    table::await_equal(&site.router, &site.redis, "after all ways");
}

#[test]
fn a_host_that_is_added_by_any_means_is_routed() {
    let ways: [Way; 9] = [
        ("SADD", &[&["SADD", "instances:HOST", "HERE"]]),
        (
            "SADD of both sets",
            &[
                &["SADD", "instances:HOST", "HERE"],
                &["SADD", "instance_ids:HOST", "0b9f0a1e-3a0c-4c9e-8f0e-000000000001"],
            ],
        ),
        ("a script", &[&["EVAL", "redis.call('SADD', KEYS[1], ARGV[1])", "1", "instances:HOST", "HERE"]]),
        (
            "a script that names no keys",
            &[&["EVAL", "redis.call('SADD', 'instances:' .. ARGV[1], ARGV[2])", "0", "HOST", "HERE"]],
        ),
        ("RENAME", &[&["SADD", "prepared:HOST", "HERE"], &["RENAME", "prepared:HOST", "instances:HOST"]]),
        ("RENAMENX", &[&["SADD", "prepared:HOST", "HERE"], &["RENAMENX", "prepared:HOST", "instances:HOST"]]),
        ("COPY", &[&["SADD", "prepared:HOST", "HERE"], &["COPY", "prepared:HOST", "instances:HOST"]]),
        (
            "SMOVE",
            &[&["SADD", "prepared:HOST", "HERE"], &["SMOVE", "prepared:HOST", "instances:HOST", "HERE"]],
        ),
        (
            "SUNIONSTORE",
            &[&["SADD", "prepared:HOST", "HERE"], &["SUNIONSTORE", "instances:HOST", "prepared:HOST"]],
        ),
    ];
    assert_each(&[], &ways, Err(404), Ok("here"));
}

#[test]
fn a_host_that_is_changed_by_any_means_is_routed_as_it_is_now() {
    let ways: [Way; 6] = [
        ("SADD and SREM", &[&["SADD", "instances:HOST", "THERE"], &["SREM", "instances:HOST", "HERE"]]),
        ("DEL and SADD", &[&["DEL", "instances:HOST"], &["SADD", "instances:HOST", "THERE"]]),
        (
            "a script",
            &[&[
                "EVAL",
                "redis.call('DEL', KEYS[1]) redis.call('SADD', KEYS[1], ARGV[1])",
                "1",
                "instances:HOST",
                "THERE",
            ]],
        ),
        (
            "RENAME over it",
            &[&["SADD", "prepared:HOST", "THERE"], &["RENAME", "prepared:HOST", "instances:HOST"]],
        ),
        (
            "COPY REPLACE",
            &[&["SADD", "prepared:HOST", "THERE"], &["COPY", "prepared:HOST", "instances:HOST", "REPLACE"]],
        ),
        (
            "SINTERSTORE",
            &[&["SADD", "prepared:HOST", "THERE"], &["SINTERSTORE", "instances:HOST", "prepared:HOST"]],
        ),
    ];
    assert_each(&[&["SADD", "instances:HOST", "HERE"]], &ways, Ok("here"), Ok("there"));
}

#[test]
fn a_host_that_is_removed_by_any_means_is_not_routed_any_more() {
    let ways: [Way; 13] = [
        ("SREM", &[&["SREM", "instances:HOST", "HERE"]]),
        ("DEL", &[&["DEL", "instances:HOST"]]),
        ("DEL of both sets", &[&["DEL", "instances:HOST", "instance_ids:HOST"]]),
        ("UNLINK", &[&["UNLINK", "instances:HOST"]]),
        ("SPOP", &[&["SPOP", "instances:HOST"]]),
        ("SMOVE", &[&["SMOVE", "instances:HOST", "elsewhere:HOST", "HERE"]]),
        ("RENAME", &[&["RENAME", "instances:HOST", "elsewhere:HOST"]]),
        ("MOVE to another database", &[&["MOVE", "instances:HOST", "1"]]),
        ("a script", &[&["EVAL", "redis.call('DEL', KEYS[1])", "1", "instances:HOST"]]),
        ("an end that has passed", &[&["EXPIREAT", "instances:HOST", "1"]]),
        ("EXPIRE running out", &[&["EXPIRE", "instances:HOST", "1"]]),
        ("PEXPIRE running out", &[&["PEXPIRE", "instances:HOST", "30"]]),
        ("SDIFFSTORE of nothing", &[&["SDIFFSTORE", "instances:HOST", "nothing:HOST"]]),
    ];
    assert_each(&[&["SADD", "instances:HOST", "HERE"]], &ways, Ok("here"), Err(404));
}

#[test]
fn a_key_that_expires_later_than_it_was_to_stays_until_then() {
    let site = Site::new();
    let mut client = site.redis.connect();
    for host in ["kept.test", "gone.test"] {
        site.redis.route(host, site.here.address());
        client.run(&["PEXPIRE", &format!("instances:{host}"), "400"]);
    }
    client.run(&["PERSIST", "instances:kept.test"]);
    site.router.await_answer("kept.test", Ok("here"));
    site.router.await_answer("gone.test", Err(404));
    assert_eq!(site.router.answer_of("kept.test"), Ok("here".into()));
}

#[test]
fn a_restored_key_is_routed() {
    let site = Site::new();
    let mut client = site.redis.connect();
    client.run(&["SADD", "prepared", &site.there()]);
    let Reply::Bulk(dump) = client.run(&["DUMP", "prepared"]) else { panic!("no dump") };
    for (host, more) in [("new.test", &[][..]), ("old.test", &[&b"REPLACE"[..]])] {
        if !more.is_empty() {
            site.redis.route(host, site.here.address());
            site.router.await_answer(host, Ok("here"));
        }
        let key = format!("instances:{host}");
        client.run(&[&[b"RESTORE", key.as_bytes(), b"0", &dump][..], more].concat());
        site.router.await_answer(host, Ok("there"));
    }
    client.run(&[b"RESTORE", &b"instances:short.test"[..], b"300", &dump]);
    site.router.await_answer("short.test", Err(404));
}

#[test]
fn a_flush_empties_the_table_and_what_comes_after_is_routed() {
    for flush in [&["FLUSHDB"][..], &["FLUSHALL"], &["FLUSHDB", "ASYNC"], &["FLUSHALL", "SYNC"]] {
        let site = Site::new();
        for number in 0..50 {
            site.redis.route(&format!("h{number}.test"), site.here.address());
        }
        site.router.await_answer("h49.test", Ok("here"));
        site.redis.run(flush);
        for number in 0..50 {
            site.router.await_answer(&format!("h{number}.test"), Err(404));
        }
        assert_eq!(site.router.readiness().0, 200, "an empty table is a table: {flush:?}");
        site.redis.route("again.test", site.there.address());
        site.router.await_answer("again.test", Ok("there"));
    }
}

#[test]
fn deleting_the_last_host_counts_as_a_change() {
    let site = Site::new();
    site.redis.route("last.test", site.here.address());
    site.router.await_answer("last.test", Ok("here"));
    site.redis.run(&["DEL", "instances:last.test"]);
    site.router.await_answer("last.test", Err(404));
    assert_eq!(site.router.readiness().1["table"]["entries"], 0);
}

#[test]
fn a_flush_and_a_refill_in_one_transaction_show_no_empty_table() {
    let site = Site::new();
    site.redis.route("stable.test", site.here.address());
    site.router.await_answer("stable.test", Ok("here"));
    let load = waypost_tests::Load::start(site.router.http(), 3, &[("stable.test", "here")]);
    let mut client = site.redis.connect();
    for round in 0..50 {
        let host = format!("instances:r{round}.test");
        client
            .try_transaction(&[
                encode(&["FLUSHDB"]),
                encode(&["SADD", "instances:stable.test", &site.here()]),
                encode(&["SADD", &host, &site.there()]),
            ])
            .unwrap();
        load.await_more(5);
    }
    site.router.await_answer("r49.test", Ok("there"));
    site.router.await_answer("r48.test", Err(404));
    load.finish();
}

#[test]
fn databases_that_are_swapped_are_followed() {
    let site = Site::new();
    site.redis.route("old.test", site.here.address());
    site.router.await_answer("old.test", Ok("here"));
    let mut client = site.redis.connect();
    client.run(&["SELECT", "1"]);
    client.run(&["SADD", "instances:new.test", &site.there()]);
    client.run(&["SWAPDB", "0", "1"]);
    // No server tells of this: only comparing finds it.
    site.router.await_answer("new.test", Ok("there"));
    site.router.await_answer("old.test", Err(404));
}

#[test]
fn the_serial_is_followed() {
    let site = Site::new();
    for expected in 1..5_u64 {
        site.redis.run(&["INCR", "serial"]);
        waypost_tests::eventually("the serial is followed", || {
            (site.router.readiness().1["table"]["serial"].as_u64() == Some(expected)).then_some(())
        });
    }
    let listed = site.router.cli_ok(["route", "list"]).stdout;
    let first = listed.lines().next().unwrap_or_default();
    assert!(first.contains('4'), "the serial is not at the top: {listed}");
}

#[test]
fn many_changes_of_one_host_end_at_the_last() {
    let site = Site::new();
    let (here, there) = (site.here(), site.there());
    let mut client = site.redis.connect();
    for _ in 0..20 {
        let mut commands = Vec::new();
        for _ in 0..200 {
            commands.push(encode(&["SADD", "instances:busy.test", &there]));
            commands.push(encode(&["SREM", "instances:busy.test", &here]));
            commands.push(encode(&["SADD", "instances:busy.test", &here]));
            commands.push(encode(&["SREM", "instances:busy.test", &there]));
        }
        client.pipeline(&commands);
    }
    table::await_equal(&site.router, &site.redis, "after many changes");
    assert_eq!(site.router.answer_of("busy.test"), Ok("here".into()));
}

/// Follows a server that tells of no change: it is asked again and again, and that is said once.
fn assert_polled(redis: &Redis) {
    let [here, there] = ["here", "there"].map(Upstream::named);
    let mut router = Router::with().flag("--table", redis.url()).start();
    router.await_ready();
    for with_serial in [false, true] {
        for (words, answer) in [
            (vec!["SADD", "instances:a.test", &here.address().to_string()], Ok("here")),
            (vec!["SUNIONSTORE", "instances:a.test", "prepared"], Ok("there")),
            (vec!["DEL", "instances:a.test"], Err(404)),
        ] {
            redis.run(&["SADD", "prepared", &there.address().to_string()]);
            redis.run(&words);
            if with_serial {
                redis.run(&["INCR", "serial"]);
            }
            router.await_answer("a.test", answer);
        }
    }
    let log = router.process().stderr();
    let said = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count();
    assert_eq!(said, 1, "{log}");
}

#[test]
fn a_server_without_resp3_is_asked_again_and_again() {
    // RESP3 begins with HELLO; older servers don't know it.
    let redis = Redis::with().option("rename-command", &["HELLO", ""]).start();
    assert_polled(&redis);
}

#[test]
fn a_server_that_does_not_let_us_track_is_asked_again_and_again() {
    let rules = ["default", "on", "nopass", "allkeys", "allchannels", "+@all", "-client|tracking"];
    let redis = Redis::with().option("user", &rules).start();
    assert_polled(&redis);
}

#[test]
fn several_routers_follow_one_table() {
    let site = Site::new();
    let others = [0; 3].map(|_| Router::with().flag("--table", site.redis.url()).start());
    for number in 0..10 {
        let host = format!("h{number}.test");
        site.redis.route(&host, site.here.address());
        others.iter().chain([&site.router]).for_each(|router| router.await_answer(&host, Ok("here")));
    }
}
