//! Random writers and random faults for a while; at the end the router's table equals Redis's, host by host,
//! and no request for a host that was always there has failed.
//!
//! `WAYPOST_TEST_SEED` repeats a run as far as threads and processes let it be repeated, and
//! `WAYPOST_TEST_SECONDS` says how long it goes on, 60 seconds unless told.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use waypost_tests::resp::encode;
use waypost_tests::{
    Load, Namespace, PATIENCE, Process, Random, Redis, RedisClient, Reply, RespError, Router, Upstream,
    eventually, program, table,
};

/// How many hosts the writers write.
const HOSTS: usize = 150;

/// Hosts that are there at every moment, also when everything else is flushed.
const STABLE: [(&str, &str); 4] =
    [("s1.test", "here"), ("s2.test", "here"), ("deep.s3.test", "here"), ("s4.test", "here")];
const STABLE_KEYS: [&str; 4] =
    ["instances:s1.test", "instances:s2.test", "instances:*.s3.test", "instances:s4.test"];

/// How long a writer waits for a server that may be hung or cut off.
const SHORT: Duration = Duration::from_millis(500);

fn seconds() -> u64 {
    std::env::var("WAYPOST_TEST_SECONDS")
        .map_or(60, |text| text.parse().expect("WAYPOST_TEST_SECONDS is a number"))
}

/// The commands that put the stable hosts there.
fn stable(upstream: &str) -> impl Iterator<Item = Vec<u8>> {
    STABLE_KEYS.map(|key| encode(&["SADD", key, upstream])).into_iter()
}

fn key(random: &mut Random) -> String {
    format!("instances:h{}.test", random.below(HOSTS))
}

/// A member that is the same text each time its address comes: one address is one instance.
fn member(random: &mut Random) -> String {
    let number = 1 + random.below(12);
    let rest = ["", "#12", "#12#node#instance", "####weight=2&path=/api"];
    format!("127.0.0.1:{number}{}", rest[number % rest.len()])
}

/// Makes one change of a random kind. What a server refuses (there is no such key, it is of another type)
/// has changed nothing, which is as good.
fn change(client: &mut RedisClient, random: &mut Random, scene: &Scene<'_>) -> Result<(), RespError> {
    let (one, other, member) = (key(random), key(random), member(random));
    let some = random.below(400).to_string();
    let words: Vec<&str> = match random.below(40) {
        0..=8 => vec!["SADD", &one, &member],
        9..=12 => vec!["SREM", &one, &member],
        13..=14 => vec!["DEL", &one, &other],
        15 => vec!["UNLINK", &one],
        16..=17 => vec!["RENAME", &one, &other],
        18..=19 => vec!["COPY", &one, &other, "REPLACE"],
        20 => vec!["SMOVE", &one, &other, &member],
        21 => vec!["SPOP", &one],
        22..=23 => vec!["PEXPIRE", &one, &some],
        24 => vec!["PERSIST", &one],
        25 => vec!["SUNIONSTORE", &one, &one, &other],
        26 => vec!["SET", &one, "of another type"],
        27 => vec!["SADD", &one, "malformed", "127.0.0.1:0"],
        28 => vec!["INCR", "serial"],
        29..=30 => {
            vec![
                "EVAL",
                "redis.call('DEL', KEYS[1]) redis.call('SADD', KEYS[1], ARGV[1])",
                "1",
                &one,
                &member,
            ]
        }
        31..=32 => return restore(client, &one, &other, &some),
        33..=36 => {
            let ids = one.replace("instances:", "instance_ids:");
            let both = [
                encode(&["SADD", &one, &member]),
                encode(&["SADD", &ids, "0b9f0a1e-3a0c-4c9e-8f0e-000000000001"]),
                encode(&["INCR", "serial"]),
            ];
            return client.try_transaction(&both).map(drop);
        }
        37..=38 if random.below(10) > 0 => vec!["EXPIRE", &one, "1"],
        37..=38 => {
            let burst: Vec<Vec<u8>> = (0..500)
                .map(|_| encode(&[["SADD", "SREM"][random.below(2)], &key(random), &self::member(random)]))
                .collect();
            return client.try_pipeline(&burst).map(drop);
        }
        _ if random.below(8) > 0 || !scene.flushes() => vec!["SADD", &other, &member],
        _ => {
            let flush: Vec<Vec<u8>> =
                [encode(&["FLUSHDB"])].into_iter().chain(stable(scene.upstream)).collect();
            return client.try_transaction(&flush).map(drop);
        }
    };
    client.try_run(&words).map(drop)
}

/// Writes another host's set over one, by its dump, with an end or without.
fn restore(client: &mut RedisClient, from: &str, to: &str, end: &str) -> Result<(), RespError> {
    let Reply::Bulk(dump) = client.try_run(&["DUMP", from])? else { return Ok(()) };
    let words = [b"RESTORE", to.as_bytes(), end.as_bytes(), &dump, b"REPLACE"];
    client.try_run(&words).map(drop)
}

/// What the threads share.
struct Scene<'a> {
    stop: AtomicBool,
    /// Changes that were acknowledged.
    changes: AtomicUsize,
    address: std::net::SocketAddr,
    url: String,
    upstream: &'a str,
    began: Instant,
    whole: Duration,
}

/// Ends the writers, also when the test fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Scene<'_> {
    /// Whether everything may be flushed: not towards the end, so that there is something to compare then.
    fn flushes(&self) -> bool {
        self.began.elapsed() < self.whole * 2 / 3
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// Writes by hand, whatever becomes of the server.
    fn write_raw(&self, mut random: Random) {
        while self.goes_on() {
            let Ok(mut client) = RedisClient::connect(self.address, SHORT) else {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            while self.goes_on() {
                match change(&mut client, &mut random, self) {
                    Ok(()) => drop(self.changes.fetch_add(1, Ordering::SeqCst)),
                    Err(RespError::Refused(_)) => {}
                    Err(RespError::Connection(_)) => break,
                }
                std::thread::sleep(Duration::from_micros(random.below(3000) as u64));
            }
        }
    }

    /// Writes by our own commands, which either do it or say in one line why they can't.
    fn write_by_command(&self, mut random: Random) {
        while self.goes_on() {
            let host = format!("c{}.test", random.below(10));
            let address = format!("127.0.0.1:{}", 1 + random.below(5));
            let what = *random.pick(&["add", "add", "remove"]);
            let mut command = Command::new(program());
            let finished = Process::run(command.args(["route", what, &host, &address, "--table", &self.url]));
            match finished.code {
                Some(0) => drop(self.changes.fetch_add(1, Ordering::SeqCst)),
                Some(1) => drop(finished.only_line_of_stderr()),
                _ => panic!("{finished:#?}"),
            }
            std::thread::sleep(Duration::from_millis(random.below(300) as u64));
        }
    }
}

/// Runs a command on a server that may not be back yet, or is loading its data.
fn insist(redis: &Redis, words: &[&str]) -> RedisClient {
    eventually(&format!("Redis runs {}", words.join(" ")), || {
        let mut client = redis.try_connect(PATIENCE).ok()?;
        client.try_run(words).ok().map(|_| client)
    })
}

/// Does something to the server, and undoes it. Says what it was.
fn fault(random: &mut Random, redis: &mut Redis, namespace: &Namespace) -> String {
    fn pause(random: &mut Random, most: usize) -> usize {
        let time = random.below(most);
        std::thread::sleep(Duration::from_millis(time as u64));
        time
    }
    pause(random, 1200);
    match random.below(100) {
        0..30 => {
            insist(redis, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            "every connection killed".into()
        }
        30..45 => {
            redis.hang();
            let time = pause(random, 3500);
            redis.unhang();
            format!("hung for {time} ms")
        }
        45..65 => {
            redis.kill();
            let time = pause(random, 1500);
            redis.resume();
            format!("killed and away for {time} ms")
        }
        65..80 => {
            namespace.cut();
            let time = pause(random, 4000);
            namespace.join();
            format!("cut off for {time} ms")
        }
        80..90 => {
            let time = random.below(1000).to_string();
            insist(redis, &["CLIENT", "PAUSE", &time, "ALL"]);
            format!("paused for {time} ms")
        }
        90..95 => {
            let mut client = insist(redis, &["CONFIG", "SET", "requirepass", "unknown"]);
            client.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            let time = pause(random, 1500);
            client.run(&["CONFIG", "SET", "requirepass", ""]);
            format!("asked for a password for {time} ms")
        }
        _ => {
            // It may be at it already, which is refused.
            let _ = insist(redis, &["PING"]).try_run(&["BGREWRITEAOF"]);
            "the log rewritten".into()
        }
    }
}

#[test]
fn after_random_writes_and_faults_the_table_equals_redis_s_and_no_request_has_failed() {
    let mut random = Random::new();
    let hint = format!("with WAYPOST_TEST_SEED={}", random.seed());
    let namespace = Namespace::create();
    let mut redis = Redis::with().durable().inside(&namespace).start();
    let upstream = Upstream::named("here");
    let upstream_address = upstream.address().to_string();
    redis.connect().pipeline(&stable(&upstream_address).collect::<Vec<_>>());
    let mut router = Router::with().flag("--table", redis.url()).start();
    router.await_ready();
    let load = Load::start(router.http(), 3, &STABLE);
    let scene = Scene {
        stop: AtomicBool::new(false),
        changes: AtomicUsize::new(0),
        address: redis.address(),
        url: redis.url(),
        upstream: &upstream_address,
        began: Instant::now(),
        whole: Duration::from_secs(seconds()),
    };
    let mut history = Vec::new();
    std::thread::scope(|scope| {
        let _ending = Ending(&scene.stop);
        for _ in 0..2 {
            let branch = random.branch();
            scope.spawn(|| scene.write_raw(branch));
        }
        let branch = random.branch();
        scope.spawn(|| scene.write_by_command(branch));
        while scene.began.elapsed() < scene.whole && load.fault().is_none() {
            let at = scene.began.elapsed().as_secs_f64();
            history.push(format!("{at:.3} s: {}", fault(&mut random, &mut redis, &namespace)));
        }
    });
    let hint = format!("{hint}, after\n{}", history.join("\n"));
    if let Some(fault) = load.fault() {
        panic!("a request failed {hint}\n{fault}");
    }
    // What is still to expire would change the table while it is compared.
    eventually("nothing is to expire", || {
        let mut client = redis.try_connect(SHORT).ok()?;
        let keys = client.try_run(&["KEYS", "*"]).ok()?.texts();
        let persist: Vec<Vec<u8>> = keys.iter().map(|key| encode(&["PERSIST", key])).collect();
        client.try_pipeline(&persist).ok().map(drop)
    });
    table::await_equal(&router, &redis, &hint);
    if let Some(fault) = load.fault() {
        panic!("a request failed {hint}\n{fault}");
    }
    let (served, changes) = (load.finish(), scene.changes.load(Ordering::SeqCst));
    assert!(served > 1000 && changes > 1000, "only {served} requests and {changes} changes {hint}");
    assert!(table::of_redis(&redis).len() > HOSTS / 4, "there was hardly anything to compare {hint}");
    let descriptors = router.process().open_descriptors();
    assert!(descriptors < 100, "the router has {descriptors} descriptors open {hint}");
}
