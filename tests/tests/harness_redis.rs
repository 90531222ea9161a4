//! The harness's Redis against itself: what the suites of the Redis table conclude rests on it.

use waypost_tests::resp::encode;
use waypost_tests::{PATIENCE, Redis, RedisClient, Reply, RespError, Sentinels};

#[test]
fn replies_of_every_kind_are_read() {
    let redis = Redis::start();
    let mut client = redis.connect();
    assert_eq!(client.run(&["SET", "a", "b\r\n"]), Reply::Status("OK".into()));
    assert_eq!(client.run(&["GET", "a"]), Reply::Bulk(b"b\r\n".to_vec()));
    assert_eq!(client.run(&["GET", "b"]), Reply::Nil);
    assert_eq!(client.run(&["SADD", "s", "1", "2"]).integer(), 2);
    assert_eq!(client.run(&["SMEMBERS", "s"]).texts(), ["1", "2"]);
    assert!(matches!(client.try_run(&["NONE"]), Err(RespError::Refused(_))));
    let replies = client.try_transaction(&[encode(&["INCR", "n"]), encode(&["GET", "a"])]).unwrap();
    assert_eq!(replies, [Reply::Integer(1), Reply::Bulk(b"b\r\n".to_vec())]);
}

#[test]
fn a_durable_server_that_is_killed_comes_back_with_its_data() {
    let mut redis = Redis::with().durable().start();
    redis.sadd("a.test", &["127.0.0.1:1"]);
    redis.kill();
    assert!(redis.try_connect(PATIENCE).is_err());
    redis.resume();
    assert_eq!(redis.run(&["SMEMBERS", "instances:a.test"]).texts(), ["127.0.0.1:1"]);
    redis.stop();
    redis.resume_empty();
    assert_eq!(redis.run(&["DBSIZE"]).integer(), 0);
}

#[test]
fn a_hung_server_takes_connections_and_says_nothing() {
    let mut redis = Redis::start();
    redis.hang();
    let mut client = RedisClient::connect(redis.address(), std::time::Duration::from_millis(200)).unwrap();
    assert!(matches!(client.try_run(&["PING"]), Err(RespError::Connection(_))));
    redis.unhang();
    assert_eq!(redis.run(&["PING"]), Reply::Status("PONG".into()));
}

#[test]
fn sentinels_make_a_replica_the_master_when_the_master_is_killed() {
    let mut sentinels = Sentinels::start();
    assert_eq!(sentinels.master(), Some(0));
    sentinels.servers[0].sadd("a.test", &["127.0.0.1:1"]);
    let [master, replicas @ ..] = &sentinels.servers[..] else { panic!("three servers") };
    for replica in replicas {
        waypost_tests::eventually("replication", || {
            (!replica.run(&["SMEMBERS", "instances:a.test"]).items().is_empty()).then_some(())
        });
    }
    assert_eq!(master.run(&["ROLE"]).items()[0].text().as_deref(), Some("master"));
    sentinels.servers[0].kill();
    let next = sentinels.await_other_master(0);
    sentinels.servers[next].sadd("a.test", &["127.0.0.1:2"]);
}
