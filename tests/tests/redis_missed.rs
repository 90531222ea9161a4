//! Changes that no notification told of: made while the connection was cut, while the table was read for the
//! first time, or faster than anyone reads.

use waypost_tests::resp::encode;
use waypost_tests::{Random, Redis, Router, Upstream, table};

fn router_of(redis: &Redis) -> Router {
    Router::with().flag("--table", redis.url()).start()
}

/// The commands that give each of these hosts one instance.
fn fill(hosts: impl Iterator<Item = String>) -> Vec<Vec<u8>> {
    hosts.map(|host| encode(&["SADD", &format!("instances:{host}"), "127.0.0.1:9"])).collect()
}

/// Commands that add, change and remove hosts among the first `hosts`.
fn churn(random: &mut Random, hosts: usize, count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|_| {
            let key = format!("instances:h{}.test", random.below(hosts));
            let member = format!("127.0.0.1:{}", 1 + random.below(4));
            match random.below(5) {
                0 => encode(&["DEL", &key]),
                1 => encode(&["SREM", &key, &member]),
                2 => encode(&["INCR", "serial"]),
                _ => encode(&["SADD", &key, &member]),
            }
        })
        .collect()
}

#[test]
fn changes_made_while_the_connection_was_cut_are_found() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    redis.route("stable.test", upstream.address());
    redis.route("removed.test", upstream.address());
    let router = router_of(&redis);
    router.await_answer("removed.test", Ok("here"));
    for round in 0..5 {
        let added = format!("added{round}.test");
        // Cut and changed in one step: no connection can have been told.
        redis
            .connect()
            .try_transaction(&[
                encode(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]),
                encode(&["SADD", &format!("instances:{added}"), &upstream.address().to_string()]),
                encode(&["DEL", "instances:removed.test"]),
            ])
            .unwrap();
        router.await_answer(&added, Ok("here"));
        router.await_answer("removed.test", Err(404));
        redis.route("removed.test", upstream.address());
        router.await_answer("removed.test", Ok("here"));
        assert_eq!(router.answer_of("stable.test"), Ok("here".into()));
    }
}

#[test]
fn a_connection_that_is_killed_in_the_middle_of_a_burst_loses_nothing() {
    let redis = Redis::start();
    let router = router_of(&redis);
    let mut random = Random::new();
    let seed = random.seed();
    let (mut writer, mut killer) = (redis.connect(), redis.connect());
    let name = |client: &mut waypost_tests::RedisClient| client.run(&["CLIENT", "ID"]).integer().to_string();
    let writing = name(&mut writer);
    for _ in 0..15 {
        for _ in 0..4 {
            writer.pipeline(&churn(&mut random, 300, 500));
            // Everyone but the writer and the killer: the router, that is.
            for line in killer.run(&["CLIENT", "LIST", "TYPE", "normal"]).text().unwrap_or_default().lines() {
                let id = line.split(' ').find_map(|word| word.strip_prefix("id=")).expect("a client's id");
                if id != writing && !line.contains("cmd=client") {
                    // It may have gone by itself.
                    let _ = killer.try_run(&["CLIENT", "KILL", "ID", id]);
                }
            }
        }
        table::await_equal(&router, &redis, &format!("with WAYPOST_TEST_SEED={seed}"));
    }
}

#[test]
fn a_burst_during_the_first_reading_is_joined_to_it_without_a_gap() {
    let redis = Redis::start();
    redis.connect().pipeline(&fill((0..20_000).map(|number| format!("h{number}.test"))));
    let mut random = Random::new();
    let seed = random.seed();
    let burst = churn(&mut random, 25_000, 20_000);
    let router = std::thread::scope(|scope| {
        let redis = &redis;
        scope.spawn(move || {
            let mut writer = redis.connect();
            for some in burst.chunks(200) {
                writer.pipeline(some);
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        router_of(redis)
    });
    table::await_equal(&router, &redis, &format!("with WAYPOST_TEST_SEED={seed}"));
}

#[test]
fn a_flush_during_the_first_reading_leaves_nothing_of_before() {
    for _ in 0..3 {
        let redis = Redis::start();
        let before = fill((0..20_000).map(|number| format!("old{number}.test")));
        let after = fill((0..500).map(|number| format!("new{number}.test")));
        redis.connect().pipeline(&before);
        let router = std::thread::scope(|scope| {
            scope.spawn(|| {
                // Somewhere in the middle of it, each time elsewhere.
                let mut random = Random::new();
                std::thread::sleep(std::time::Duration::from_millis(random.below(250) as u64));
                let mut writer = redis.connect();
                writer.run(&["FLUSHDB"]);
                writer.pipeline(&after);
            });
            router_of(&redis)
        });
        table::await_equal(&router, &redis, "after a flush");
    }
}

#[test]
fn a_server_that_drops_a_reader_which_is_too_slow_is_read_anew() {
    // The router's connection is closed by the server as soon as little more than nothing waits for it.
    let redis = Redis::with().option("client-output-buffer-limit", &["normal", "1mb", "256kb", "1"]).start();
    let router = router_of(&redis);
    let mut random = Random::new();
    let seed = random.seed();
    for _ in 0..10 {
        redis.connect().pipeline(&churn(&mut random, 20_000, 5_000));
    }
    table::await_equal(&router, &redis, &format!("with WAYPOST_TEST_SEED={seed}"));
}
