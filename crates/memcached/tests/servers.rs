//! Several servers: keys spread over them, copies, failover, and the guard against stampedes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use waypost_memcached::{Address, Batch, Client, Error, Lease, LeaseOptions, ResultCode, StoreOptions};
use waypost_tests::Memcached;

const FOREVER: StoreOptions = StoreOptions { ttl: None, flags: 0 };

fn servers(count: usize) -> Vec<Memcached> {
    (0..count).map(|_| Memcached::start()).collect()
}

fn client(servers: &[Memcached], options: &str) -> Client {
    let list: Vec<String> = servers.iter().map(|server| server.address().to_string()).collect();
    let url = format!("memcached://{}?timeout=10s&connect_timeout=10s&{options}", list.join(","));
    Client::new(&Address::parse(&url).unwrap()).unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// Which servers hold a key.
fn holders(servers: &[Memcached], key: &str) -> Vec<usize> {
    (0..servers.len()).filter(|index| servers[*index].get(key).is_some()).collect()
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("key{number}")).collect()
}

#[test]
fn each_key_is_on_its_server_and_many_are_read_from_all() {
    run(async {
        let servers = servers(3);
        let client = client(&servers, "distribution=consistent&hash=md5");
        let keys = keys(300);
        let mut batch = Batch::new();
        for key in &keys {
            batch.set(key, key.clone(), FOREVER);
        }
        assert!(client.run(batch).await.into_iter().all(|outcome| outcome.is_ok()));
        let mut used = [0; 3];
        for key in &keys[..30] {
            let expected = client.placement().server(key.as_bytes());
            assert_eq!(holders(&servers, key), [expected], "{key}");
            used[expected] += 1;
        }
        assert!(used.iter().all(|count| *count > 0), "{used:?}");
        for (key, outcome) in keys.iter().zip(client.get_multi(&keys).await) {
            assert_eq!(outcome.unwrap().unwrap().value, key);
        }
        assert_eq!(client.version().await.len(), 3);
    });
}

#[test]
fn a_dead_server_costs_its_own_keys_alone() {
    run(async {
        let mut servers = servers(3);
        let client = client(&servers, "retry_timeout=10m");
        let keys = keys(60);
        for key in &keys {
            client.set(key, "v", FOREVER).await.unwrap();
        }
        servers[1].kill();
        for (key, outcome) in keys.iter().zip(client.get_multi(&keys).await) {
            let dead = client.placement().server(key.as_bytes()) == 1;
            match outcome {
                Ok(item) => assert!(!dead && item.is_some(), "{key}"),
                Err(error) => {
                    assert!(dead && error.code() == ResultCode::ConnectionFailure, "{key}: {error}")
                }
            }
        }
    });
}

#[test]
fn with_failover_a_dead_servers_keys_go_to_the_next_and_come_back() {
    run(async {
        let mut servers = servers(3);
        let client = client(&servers, "distribution=consistent&failover=true&retry_timeout=20ms");
        let keys = keys(40);
        let home = |key: &String| client.placement().server(key.as_bytes());
        servers[2].kill();
        for key in &keys {
            client.set(key, "v", FOREVER).await.unwrap();
            assert_eq!(client.get(key).await.unwrap().unwrap().value, "v");
        }
        assert!(keys.iter().any(|key| home(key) == 2));
        let found = client.get_multi(&keys).await;
        assert!(found.into_iter().all(|outcome| outcome.unwrap().is_some()));
        let mut batch = Batch::new();
        keys.iter().for_each(|key| _ = batch.append(key, "w").get(key));
        for outcome in client.run(batch).await.into_iter().skip(1).step_by(2) {
            assert_eq!(outcome.unwrap().into_item().unwrap().value, "vw");
        }
        servers[2].resume();
        let moved = keys.iter().find(|key| home(key) == 2).unwrap();
        // Once its retry time has passed, it is asked again.
        while servers[2].get(moved).is_none() {
            client.set(moved, "back", FOREVER).await.unwrap();
        }
    });
}

#[test]
fn when_all_are_dead_it_is_told() {
    run(async {
        let mut servers = servers(2);
        let client = client(&servers, "failover=true&retry_timeout=10m");
        servers.iter_mut().for_each(Memcached::kill);
        let first = client.get("key").await.unwrap_err();
        assert!(
            matches!(first.code(), ResultCode::ConnectionFailure | ResultCode::ServerMarkedDead),
            "{first}"
        );
        let error = client.get("key").await.unwrap_err();
        assert_eq!(error.code(), ResultCode::ServerMarkedDead);
        assert!(error.to_string().contains("can't connect"), "{error}");
    });
}

#[test]
fn copies_are_written_to_as_many_servers_as_asked_and_read_from_any() {
    run(async {
        let mut servers = servers(3);
        let client = client(&servers, "distribution=consistent&replicas=2&retry_timeout=10m");
        let mut places: Vec<usize> = client.placement().candidates(b"key").take(2).collect();
        places.sort_unstable();
        let second = client.placement().candidates(b"key").nth(1).unwrap();
        let first = client.placement().server(b"key");
        client.add("key", "1", FOREVER).await.unwrap();
        assert_eq!(holders(&servers, "key"), places);
        assert_eq!(client.incr("key", 4).await.unwrap(), 5);
        client.append("key", "0").await.unwrap();
        assert_eq!(servers[second].get("key"), Some(b"50".to_vec()));
        assert_eq!(client.add("key", "2", FOREVER).await.unwrap_err().code(), ResultCode::NotStored);
        // One that lost everything, and one that is gone.
        servers[first].connect().run("flush_all");
        assert_eq!(client.get("key").await.unwrap().unwrap().value, "50");
        servers[first].kill();
        assert_eq!(client.get("key").await.unwrap().unwrap().value, "50");
        let many = client.get_multi(&["key", "none"]).await;
        assert!(many[0].as_ref().unwrap().is_some());
        client.set("key", "new", FOREVER).await.unwrap();
        assert_eq!(client.get("key").await.unwrap().unwrap().value, "new");
        client.delete("key").await.unwrap();
        assert_eq!(holders(&servers[second..=second], "key"), [0; 0]);
    });
}

const LEASE: LeaseOptions = LeaseOptions { ttl: 100, refresh: 0 };

#[test]
fn one_asker_wins_the_lease_and_the_others_wait() {
    for protocol in ["meta", "text", "binary"] {
        run(async {
            let servers = servers(2);
            let client = client(&servers, &format!("protocol={protocol}"));
            let Lease::Won { claim, stale: None } = client.get_or_lease("key", LEASE).await.unwrap() else {
                panic!("the first asker wins")
            };
            assert!(matches!(client.get_or_lease("key", LEASE).await.unwrap(), Lease::Busy));
            // To others there is no item at all.
            assert_eq!(holders(&servers, "key"), [0; 0]);
            claim.fulfil("made", FOREVER).await.unwrap();
            let Lease::Hit(item) = client.get_or_lease("key", LEASE).await.unwrap() else { panic!("a hit") };
            assert_eq!(item.value, "made");
        });
    }
}

#[test]
fn a_lease_given_back_can_be_won_again() {
    run(async {
        let servers = servers(2);
        let client = client(&servers, "");
        let Lease::Won { claim, .. } = client.get_or_lease("key", LEASE).await.unwrap() else {
            panic!("won")
        };
        claim.release().await.unwrap();
        assert!(matches!(client.get_or_lease("key", LEASE).await.unwrap(), Lease::Won { .. }));
    });
}

#[test]
fn a_claim_that_is_anothers_by_now_is_left_alone() {
    run(async {
        let servers = servers(1);
        let client = client(&servers, "");
        let Lease::Won { claim: late, .. } = client.get_or_lease("key", LEASE).await.unwrap() else {
            panic!("won")
        };
        // As if its time had passed and somebody else had won.
        servers[0].connect().run("delete key:lease");
        let Lease::Won { claim: _kept, .. } = client.get_or_lease("key", LEASE).await.unwrap() else {
            panic!("won")
        };
        late.release().await.unwrap();
        assert!(matches!(client.get_or_lease("key", LEASE).await.unwrap(), Lease::Busy));
    });
}

#[test]
fn an_item_about_to_expire_is_made_anew_by_one_while_others_take_it() {
    run(async {
        let servers = servers(2);
        let client = client(&servers, "");
        client.set("key", "old", StoreOptions::ttl(50)).await.unwrap();
        let lease = LeaseOptions { ttl: 100, refresh: 60 };
        let Lease::Won { claim, stale: Some(stale) } = client.get_or_lease("key", lease).await.unwrap()
        else {
            panic!("won")
        };
        assert_eq!(stale.value, "old");
        let Lease::Hit(item) = client.get_or_lease("key", lease).await.unwrap() else { panic!("a hit") };
        assert_eq!(item.value, "old");
        claim.fulfil("new", StoreOptions::ttl(1000)).await.unwrap();
        let Lease::Hit(item) = client.get_or_lease("key", lease).await.unwrap() else { panic!("a hit") };
        assert_eq!(item.value, "new");
    });
}

#[test]
fn a_stampede_makes_the_item_once() {
    run(async {
        let servers = servers(2);
        let client = client(&servers, "");
        let made = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..40)
            .map(|_| {
                let (client, made) = (client.clone(), made.clone());
                tokio::spawn(async move {
                    let make = async || {
                        made.fetch_add(1, Ordering::SeqCst);
                        // Long enough for everybody to ask.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        Ok::<_, Error>(Bytes::from_static(b"made"))
                    };
                    client.get_or_make("key", LEASE, FOREVER, make).await
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap(), "made");
        }
        assert_eq!(made.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_maker_that_fails_gives_way_to_the_next() {
    run(async {
        let servers = servers(1);
        let client = client(&servers, "");
        let failed = client.get_or_make("key", LEASE, FOREVER, async || Err(Error::NoServers)).await;
        assert_eq!(failed.unwrap_err().code(), ResultCode::NoServers);
        let made = async || Ok::<_, Error>(Bytes::from_static(b"made"));
        assert_eq!(client.get_or_make("key", LEASE, FOREVER, made).await.unwrap(), "made");
    });
}
