//! Servers that die, hang and come back, and callers that give up: errors are what they should be, and every
//! answer belongs to its question.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use waypost_memcached::{Address, Client, Error, ResultCode, StoreOptions};
use waypost_tests::{Blackhole, Memcached, Random};

const FOREVER: StoreOptions = StoreOptions { ttl: None, flags: 0 };

fn client(url: &str, options: &str) -> Client {
    Client::new(&Address::parse(&format!("{url}?{options}")).unwrap()).unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn code<T>(outcome: Result<T, Error>) -> ResultCode {
    outcome.map_or_else(|error| error.code(), |_| ResultCode::Success)
}

#[test]
fn a_killed_server_is_a_connection_failure_and_then_left_alone() {
    run(async {
        let mut server = Memcached::start();
        let client = client(&server.url(), "timeout=10s&connect_timeout=10s&retry_timeout=10m");
        client.set("key", "v", FOREVER).await.unwrap();
        server.kill();
        assert_eq!(code(client.get("key").await), ResultCode::ConnectionFailure);
        let error = client.get("key").await.unwrap_err();
        assert_eq!(error.code(), ResultCode::ServerTemporarilyDisabled);
        assert!(error.to_string().contains("can't connect"), "the cause is told: {error}");
        assert_eq!(code(client.set("key", "v", FOREVER).await), ResultCode::ServerTemporarilyDisabled);
        let many = client.get_multi(&["a", "b"]).await;
        assert!(many.into_iter().all(|outcome| code(outcome) == ResultCode::ServerTemporarilyDisabled));
    });
}

#[test]
fn a_server_that_comes_back_is_used_again_without_a_word() {
    run(async {
        let mut server = Memcached::start();
        let client = client(&server.url(), "timeout=10s&connect_timeout=10s&retry_timeout=1ms");
        client.set("key", "v", FOREVER).await.unwrap();
        // The idle connection is dead, the server lives.
        server.kill();
        server.resume();
        assert_eq!(client.get("key").await.unwrap(), None);
        assert_eq!(client.incr("key", 1).await.unwrap_err().code(), ResultCode::NotFound);
        server.kill();
        assert_eq!(code(client.get("key").await), ResultCode::ConnectionFailure);
        server.resume();
        // Until its retry time has passed, which nobody can say when that is.
        while let Err(error) = client.set("key", "v", FOREVER).await {
            assert_eq!(error.code(), ResultCode::ServerTemporarilyDisabled);
            tokio::task::yield_now().await;
        }
        assert!(client.get("key").await.unwrap().is_some());
    });
}

#[test]
fn a_hanging_server_is_a_time_out_and_its_late_answers_are_nobodys() {
    run(async {
        let mut server = Memcached::start();
        let client = client(&server.url(), "timeout=2s&connect_timeout=2s&retry_timeout=0s&pool=2");
        for number in 0..10 {
            client.set(format!("key{number}"), format!("value{number}"), FOREVER).await.unwrap();
        }
        server.hang();
        for number in 0..2 {
            assert_eq!(code(client.get(format!("key{number}")).await), ResultCode::Timeout);
        }
        server.unhang();
        for number in (0..10).rev() {
            let item = client.get(format!("key{number}")).await.unwrap().unwrap();
            assert_eq!(item.value, format!("value{number}"));
        }
    });
}

#[test]
fn a_server_that_hangs_for_long_is_left_alone() {
    run(async {
        let mut server = Memcached::start();
        let client = client(&server.url(), "timeout=1s&connect_timeout=1s&retry_timeout=10m");
        client.set("key", "v", FOREVER).await.unwrap();
        server.hang();
        let mut codes = Vec::new();
        for _ in 0..5 {
            codes.push(code(client.get("key").await));
        }
        assert_eq!(codes[0], ResultCode::Timeout);
        assert_eq!(codes[4], ResultCode::ServerTemporarilyDisabled, "{codes:?}");
        server.unhang();
    });
}

#[test]
fn a_server_that_takes_no_connection_is_a_time_out() {
    run(async {
        let hole = Blackhole::start();
        let client = client(&format!("memcached://{}", hole.address()), "timeout=10s&connect_timeout=100ms");
        let error = client.get("key").await.unwrap_err();
        assert_eq!(error.code(), ResultCode::Timeout);
        assert!(error.to_string().contains("connecting took longer than 100ms"), "{error}");
    });
}

#[test]
fn a_name_without_address_is_a_lookup_failure() {
    run(async {
        // No label may be empty: this is known without asking anybody.
        let client = client("memcached://no..such.name", "timeout=10s&connect_timeout=10s");
        assert_eq!(code(client.get("key").await), ResultCode::HostLookupFailure);
    });
}

#[test]
fn who_finds_all_connections_taken_waits_in_line() {
    run(async {
        let server = Memcached::start();
        let client = client(&server.url(), "timeout=20s&connect_timeout=10s&pool=2");
        let tasks: Vec<_> = (0..200)
            .map(|number| {
                let client = client.clone();
                tokio::spawn(async move {
                    let key = format!("key{number}");
                    client.set(&key, key.clone(), FOREVER).await.unwrap();
                    assert_eq!(client.get(&key).await.unwrap().unwrap().value, key);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let stats = server.connect().stats("");
        // Two of the client's, and at most some of the harness'.
        let opened: usize = stats["total_connections"].parse().unwrap();
        assert!(opened < 20, "{opened} connections were opened for a pool of 2");
    });
}

/// Polls a future a few times, then drops it.
async fn give_up_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[test]
fn callers_that_give_up_anywhere_never_make_replies_slip() {
    for protocol in ["meta", "text", "binary"] {
        run(async {
            let server = Memcached::start();
            let options = format!("timeout=20s&connect_timeout=10s&pool=3&protocol={protocol}");
            let client = client(&server.url(), &options);
            let keys: Vec<String> = (0..50).map(|number| format!("key{number}")).collect();
            for (number, key) in keys.iter().enumerate() {
                // Some in one read, some in many.
                client.set(key, format!("{key}:").repeat(1 + number * 200), FOREVER).await.unwrap();
            }
            let keys = Arc::new(keys);
            let mut random = Random::new();
            let tasks: Vec<_> = (0..8)
                .map(|_| {
                    let (client, keys, mut random) = (client.clone(), keys.clone(), random.branch());
                    tokio::spawn(async move {
                        let mut answered = 0;
                        for _ in 0..150 {
                            let key = random.pick(&keys).clone();
                            let polls = random.below(6);
                            if random.below(2) == 0 {
                                let Some(outcome) = give_up_after(polls, client.get(&key)).await else {
                                    continue;
                                };
                                let value = outcome.unwrap().unwrap().value;
                                assert!(value.starts_with(format!("{key}:").as_bytes()), "{key}");
                                answered += 1;
                            } else {
                                let some: Vec<&String> = (0..5).map(|_| random.pick(&keys)).collect();
                                let Some(many) = give_up_after(polls, client.get_multi(&some)).await else {
                                    continue;
                                };
                                for (key, outcome) in some.iter().zip(many) {
                                    let value = outcome.unwrap().unwrap().value;
                                    assert!(value.starts_with(format!("{key}:").as_bytes()), "{key}");
                                }
                                answered += 1;
                            }
                        }
                        answered
                    })
                })
                .collect();
            let mut answered = 0;
            for task in tasks {
                answered += task.await.unwrap();
            }
            assert!(answered > 0 && answered < 8 * 150, "{protocol}: {answered} were not given up");
        });
    }
}

#[test]
fn a_server_that_dies_and_hangs_under_load_gives_errors_and_never_anothers_value() {
    run(async {
        let mut server = Memcached::start();
        let client = client(&server.url(), "timeout=200ms&connect_timeout=200ms&retry_timeout=1ms&pool=4");
        let mut random = Random::new();
        let stop = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (client, stop, mut random) = (client.clone(), stop.clone(), random.branch());
                tokio::spawn(async move {
                    let mut good = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let key = format!("{task}:{}", random.below(100));
                        let value = format!("{key}={}", "x".repeat(random.below(20_000)));
                        let stored = client.set(&key, value, FOREVER).await;
                        let read = client.get(&key).await;
                        for error in [stored.as_ref().err(), read.as_ref().err()].into_iter().flatten() {
                            use ResultCode::*;
                            let code = error.code();
                            let expected = [
                                ConnectionFailure,
                                UnknownReadFailure,
                                WriteFailure,
                                Timeout,
                                ServerTemporarilyDisabled,
                            ];
                            assert!(expected.contains(&code), "{error}");
                        }
                        if let Ok(Some(item)) = read {
                            assert!(item.value.starts_with(format!("{key}=").as_bytes()), "{key}");
                            good += 1;
                        }
                        tokio::task::yield_now().await;
                    }
                    good
                })
            })
            .collect();
        for round in 0..6 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            // The servers are waited for by blocking, which is as good as a slow machine.
            if round % 2 == 0 {
                server.kill();
                tokio::time::sleep(Duration::from_millis(20)).await;
                server.resume();
            } else {
                server.hang();
                tokio::time::sleep(Duration::from_millis(250)).await;
                server.unhang();
            }
        }
        // However slow the machine: it works in the end.
        while client.get("key").await.is_err() {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.store(true, Ordering::Relaxed);
        let mut good = 0;
        for task in tasks {
            good += task.await.unwrap();
        }
        assert!(good > 0, "nothing was ever read");
    });
}
