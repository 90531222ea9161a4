//! What others who use the same Redis see, and what is seen of theirs.

use waypost_store::{Attributes, OpenOptions, Store, StoreAddress};
use waypost_tests::{Redis, Reply, Sentinels, eventually};

use crate::kinds::{code, runtime, value};

const PLAIN: Attributes = Attributes { flags: 0, ttl: None };

async fn open(url: &str) -> Store {
    Store::open(&StoreAddress::parse(url).unwrap(), OpenOptions::default()).await.unwrap()
}

#[test]
fn plain_values_are_plain_strings_both_ways() {
    let redis = Redis::start();
    runtime().block_on(async {
        let store = open(&redis.url()).await;
        redis.run(&["SET", "theirs", "hello"]);
        assert_eq!(value(&store, "theirs").await, Some(b"hello".to_vec()));
        store.append("theirs", "!").await.unwrap();
        store.set("ours", "x", PLAIN).await.unwrap();
        store.counter("n", 41, 0).await.unwrap();
        assert_eq!(redis.run(&["GET", "theirs"]), Reply::Bulk(b"hello!".to_vec()));
        assert_eq!(redis.run(&["GET", "ours"]), Reply::Bulk(b"x".to_vec()));
        assert_eq!(redis.run(&["INCR", "n"]).integer(), 42);
        assert_eq!(store.increment("n", 1).await.unwrap(), 43);
    });
}

#[test]
fn only_flags_put_a_head_in_front_of_a_value() {
    let redis = Redis::start();
    runtime().block_on(async {
        let store = open(&redis.url()).await;
        store.set("k", "x", Attributes { flags: 42, ttl: None }).await.unwrap();
        assert_eq!(redis.run(&["GET", "k"]), Reply::Bulk(b"\0waypost:flags=0000002a\0x".to_vec()));
        redis.run(&["SET", "k", "y"]);
        let item = store.get("k").await.unwrap().unwrap();
        assert_eq!((&item.value[..], item.flags), (&b"y"[..], 0));
    });
}

#[test]
fn a_write_of_somebody_who_knows_no_tokens_is_seen_by_a_swap() {
    let redis = Redis::start();
    runtime().block_on(async {
        let store = open(&redis.url()).await;
        store.set("k", "x", PLAIN).await.unwrap();
        let token = store.get_with_token("k").await.unwrap().unwrap().token.unwrap();
        redis.run(&["SET", "k", "theirs"]);
        assert_eq!(code(store.swap("k", "ours", token, PLAIN).await), 12);
        assert_eq!(redis.run(&["GET", "k"]), Reply::Bulk(b"theirs".to_vec()));
    });
}

#[test]
fn a_key_that_holds_no_string_is_told_from_a_missing_one() {
    let redis = Redis::start();
    runtime().block_on(async {
        let store = open(&redis.url()).await;
        redis.run(&["RPUSH", "list", "a"]);
        assert_eq!(code(store.get("list").await), 9);
        assert_eq!(code(store.append("list", "x").await), 9);
        assert_eq!(code(store.prepend("list", "x").await), 9);
        assert_eq!(code(store.increment("list", 1).await), 9);
        let found = store.get_multi(["list", "none"], false).await;
        assert!(found[0].is_err() && matches!(found[1], Ok(None)), "{found:?}");
        assert_eq!(redis.run(&["LRANGE", "list", "0", "-1"]).texts(), ["a"]);
    });
}

#[test]
fn appending_keeps_the_time_to_live_and_setting_does_not() {
    let redis = Redis::start();
    runtime().block_on(async {
        let store = open(&redis.url()).await;
        let ttl = || redis.run(&["TTL", "k"]).integer();
        store.set("k", "1", Attributes { flags: 7, ttl: Some(1000) }).await.unwrap();
        store.append("k", "2").await.unwrap();
        store.prepend("k", "3").await.unwrap();
        store.increment("k", 1).await.unwrap();
        assert!((900..=1000).contains(&ttl()), "{}", ttl());
        store.set("k", "1", PLAIN).await.unwrap();
        assert_eq!(ttl(), -1);
    });
}

#[test]
fn user_and_password_and_database_are_used_and_a_wrong_password_is_said() {
    let redis = Redis::with().option("requirepass", &["se:cret"]).start();
    runtime().block_on(async {
        let address = redis.address();
        let store = open(&format!("redis://:se%3Acret@{address}/3")).await;
        store.set("k", "v", PLAIN).await.unwrap();
        assert_eq!(value(&store, "k").await, Some(b"v".to_vec()));
        assert_eq!(value(&open(&format!("redis://:se%3Acret@{address}")).await, "k").await, None);
        assert_eq!(code(open(&format!("redis://:wrong@{address}")).await.get("k").await), 41);
        assert_eq!(code(open(&format!("redis://{address}")).await.get("k").await), 41);
    });
}

#[test]
fn a_failover_by_sentinel_is_followed() {
    let mut sentinels = Sentinels::start();
    let runtime = runtime();
    let store = runtime.block_on(open(&sentinels.url()));
    eventually("a write", || runtime.block_on(store.set("k", "one", PLAIN)).ok());
    sentinels.servers[0].kill();
    let next = sentinels.await_other_master(0);
    eventually("a write to the new master", || runtime.block_on(store.set("k", "two", PLAIN)).ok());
    assert_eq!(sentinels.servers[next].run(&["GET", "k"]), Reply::Bulk(b"two".to_vec()));
    let place = runtime.block_on(store.place("k")).unwrap();
    assert_eq!(place.server, sentinels.servers[next].address().to_string());
}
