//! Stores that are away: every operation ends, with a result that says so, and goes on when they are back.

use std::time::Duration;

use waypost_store::{Attributes, OpenOptions, Store, StoreAddress};
use waypost_tests::{Memcached, PATIENCE, Port, Redis};

use crate::kinds::{code, runtime, value};

const PLAIN: Attributes = Attributes { flags: 0, ttl: None };

async fn open(url: &str, timeout: Duration) -> Store {
    let options = OpenOptions { timeout: Some(timeout), ..OpenOptions::default() };
    Store::open(&StoreAddress::parse(url).unwrap(), options).await.unwrap()
}

/// The numbers of what each operation ends with.
async fn codes(store: &Store) -> Vec<u8> {
    vec![
        code(store.get("k").await),
        code(store.set("k", "v", PLAIN).await),
        code(store.append("k", "v").await),
        code(store.delete("k").await),
        code(store.touch("k", 1).await),
        code(store.counter("k", 1, 0).await),
        code(store.flush().await),
    ]
}

#[test]
fn nobody_listening_is_a_connection_failure() {
    let port = Port::free();
    runtime().block_on(async {
        for kind in ["redis", "memcached"] {
            let store = open(&format!("{kind}://{}?", port.address()), PATIENCE).await;
            for code in codes(&store).await {
                // memcached's client may leave a server alone for a while that failed a moment ago.
                assert!(code == 3 || (kind == "memcached" && code == 47), "{kind}: {code}");
            }
        }
    });
}

#[test]
fn a_hung_server_is_a_time_out() {
    let (mut redis, mut memcached) = (Redis::start(), Memcached::start());
    redis.hang();
    memcached.hang();
    runtime().block_on(async {
        for url in [redis.url(), memcached.url()] {
            let store = open(&url, Duration::from_millis(100)).await;
            for code in codes(&store).await {
                assert!(code == 31 || (url.starts_with("memcached") && code == 47), "{url}: {code}");
            }
        }
    });
}

#[test]
fn a_server_that_was_restarted_is_used_again_without_a_failed_request() {
    let mut redis = Redis::start();
    let mut memcached = Memcached::start();
    let runtime = runtime();
    let stores =
        [runtime.block_on(open(&redis.url(), PATIENCE)), runtime.block_on(open(&memcached.url(), PATIENCE))];
    for store in &stores {
        runtime.block_on(store.set("k", "v", PLAIN)).unwrap();
    }
    redis.kill();
    redis.resume();
    memcached.kill();
    memcached.resume();
    for store in &stores {
        assert_eq!(runtime.block_on(value(store, "k")), None);
        runtime.block_on(store.set("k", "w", PLAIN)).unwrap();
        assert_eq!(runtime.block_on(value(store, "k")), Some(b"w".to_vec()));
    }
}

#[test]
fn a_server_that_was_hung_is_used_again() {
    let mut redis = Redis::start();
    runtime().block_on(async {
        let store = open(&redis.url(), Duration::from_millis(300)).await;
        store.set("k", "v", PLAIN).await.unwrap();
        redis.hang();
        assert_eq!(code(store.get("k").await), 31);
        redis.unhang();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while store.get("k").await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "it stays away");
        }
        assert_eq!(value(&store, "k").await, Some(b"v".to_vec()));
    });
}

#[test]
fn one_server_of_several_that_is_away_leaves_the_keys_of_the_others() {
    let mut servers: Vec<Memcached> = (0..3).map(|_| Memcached::start()).collect();
    let addresses: Vec<String> = servers.iter().map(|server| server.address().to_string()).collect();
    runtime().block_on(async {
        let store = open(&format!("memcached://{}", addresses.join(",")), PATIENCE).await;
        let keys: Vec<String> = (0..60).map(|number| format!("k{number}")).collect();
        for key in &keys {
            store.set(key, "v", PLAIN).await.unwrap();
        }
        servers[1].kill();
        let found = store.get_multi(&keys, false).await;
        for (key, found) in keys.iter().zip(found) {
            let is_away = store.place(key).await.unwrap().server == addresses[1];
            assert_eq!(found.is_err(), is_away, "{key}: {found:?}");
        }
        let statistics = store.statistics().await.unwrap();
        let away: Vec<bool> = statistics.iter().map(|server| server.values.is_err()).collect();
        assert_eq!(away, [false, true, false]);
    });
}
