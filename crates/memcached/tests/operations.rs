//! Every operation against a real memcached, in each protocol: the results are those of the contract, and
//! what was stored is what another client finds.

use bytes::Bytes;
use waypost_memcached::{Address, Batch, Client, Error, Outcome, ResultCode, StoreOptions};
use waypost_tests::Memcached;

const PROTOCOLS: [&str; 3] = ["meta", "text", "binary"];
const FOREVER: StoreOptions = StoreOptions { ttl: None, flags: 0 };

fn client(server: &Memcached, protocol: &str) -> Client {
    let url = format!("{}?protocol={protocol}&timeout=10s&connect_timeout=10s", server.url());
    Client::new(&Address::parse(&url).unwrap()).unwrap()
}

/// Runs a test for each protocol, on a server of its own.
#[expect(clippy::print_stderr, reason = "a failing test shows its protocol")]
fn each_protocol<F: Future<Output = ()>>(test: impl Fn(Memcached, Client) -> F) {
    for protocol in PROTOCOLS {
        eprintln!("protocol {protocol}");
        let server = Memcached::start();
        let client = client(&server, protocol);
        run(test(server, client));
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// The result's number.
fn code<T>(outcome: Result<T, Error>) -> u8 {
    outcome.map_or_else(|error| error.code(), |_| ResultCode::Success).number()
}

async fn value(client: &Client, key: &str) -> Option<Bytes> {
    client.get(key).await.unwrap().map(|item| item.value)
}

#[test]
fn what_is_set_can_be_read_with_its_flags() {
    each_protocol(async |server, client| {
        client.set("key", "value", StoreOptions { ttl: Some(100), flags: 0xdead_beef }).await.unwrap();
        let item = client.get("key").await.unwrap().unwrap();
        assert_eq!((&item.value[..], item.flags), (&b"value"[..], 0xdead_beef));
        assert_eq!(server.connect().get("key"), Some((b"value".to_vec(), 0xdead_beef)));
        assert_eq!(client.get("other").await.unwrap(), None);
    });
}

#[test]
fn conditions_that_are_not_met_have_libmemcacheds_numbers() {
    each_protocol(async |_server, client| {
        assert_eq!(code(client.replace("key", "v", FOREVER).await), 14);
        assert_eq!(code(client.append("key", "v").await), 14);
        assert_eq!(code(client.prepend("key", "v").await), 14);
        assert_eq!(code(client.delete("key").await), 16);
        assert_eq!(code(client.touch("key", 10).await), 16);
        assert_eq!(code(client.incr("key", 1).await), 16);
        assert_eq!(code(client.decr("key", 1).await), 16);
        assert_eq!(code(client.cas("key", "v", 1, FOREVER).await), 16);
        assert_eq!(code(client.add("key", "v", FOREVER).await), 0);
        assert_eq!(code(client.add("key", "w", FOREVER).await), 14);
        assert_eq!(code(client.incr("key", 1).await), 9);
        assert_eq!(value(&client, "key").await.unwrap(), "v");
    });
}

#[test]
fn values_are_replaced_joined_and_deleted() {
    each_protocol(async |_server, client| {
        client.add("key", "b", StoreOptions { ttl: None, flags: 7 }).await.unwrap();
        client.append("key", "c").await.unwrap();
        client.prepend("key", "a").await.unwrap();
        let item = client.get("key").await.unwrap().unwrap();
        assert_eq!((&item.value[..], item.flags), (&b"abc"[..], 7));
        client.replace("key", "", FOREVER).await.unwrap();
        assert_eq!(value(&client, "key").await.unwrap(), "");
        client.delete("key").await.unwrap();
        assert_eq!(value(&client, "key").await, None);
    });
}

#[test]
fn an_append_makes_the_item_where_it_is_told_to() {
    each_protocol(async |server, client| {
        let options = StoreOptions { ttl: Some(1000), flags: 7 };
        client.append_or_set("key", "a", options).await.unwrap();
        client.append_or_set("key", "b", StoreOptions::default()).await.unwrap();
        let mut batch = Batch::new();
        batch.append_or_set("key", "c", options).get("key").append_or_set("other", "x", options).get("other");
        let outcomes = client.run(batch).await.into_iter().map(|outcome| outcome.unwrap().into_item());
        let values = outcomes.map(|item| item.map(|item| item.value)).collect::<Vec<_>>();
        assert_eq!(values, [None, Some("abc".into()), None, Some("x".into())]);
        assert_eq!(client.get("key").await.unwrap().unwrap().flags, 7);
        assert_ne!(server.connect().run("mg key t"), "HD t-1", "the time to live of the first");
    });
}

#[test]
fn a_token_stores_once() {
    each_protocol(async |_server, client| {
        client.set("key", "old", FOREVER).await.unwrap();
        let token = client.gets("key").await.unwrap().unwrap().cas.unwrap();
        client.cas("key", "new", token, FOREVER).await.unwrap();
        assert_eq!(code(client.cas("key", "newer", token, FOREVER).await), 12);
        assert_eq!(value(&client, "key").await.unwrap(), "new");
    });
}

#[test]
fn counters_never_fall_below_zero_and_begin_where_they_are_told() {
    each_protocol(async |server, client| {
        assert_eq!(client.counter("hits", 5, 100, 0).await.unwrap(), 100);
        assert_eq!(client.counter("hits", 5, 100, 0).await.unwrap(), 105);
        assert_eq!(client.counter("hits", -10, 100, 0).await.unwrap(), 95);
        assert_eq!(client.counter("hits", 0, 100, 0).await.unwrap(), 95);
        assert_eq!(client.counter("hits", i64::MIN, 100, 0).await.unwrap(), 0);
        client.counter_set("hits", u64::MAX - 1, 0).await.unwrap();
        assert_eq!(client.incr("hits", 1).await.unwrap(), u64::MAX);
        assert_eq!(client.decr("hits", u64::MAX - 4).await.unwrap(), 4);
        assert_eq!(server.get("hits").unwrap().trim_ascii_end(), b"4");
        assert_eq!(client.counter("fresh", -3, 0, 100).await.unwrap(), 0);
    });
}

#[test]
fn times_to_live_are_kept() {
    each_protocol(async |server, client| {
        let expiry = |key: &str| {
            let line = server.connect().run(&format!("mg {key} t"));
            line.strip_prefix("HD t").unwrap_or_else(|| panic!("{key}: {line}")).parse::<i64>().unwrap()
        };
        // Seconds pass while the test runs.
        let near = |key: &str, expected: i64| {
            let found = expiry(key);
            assert!((expected - 60..=expected + 1).contains(&found), "{key}: {found}, not {expected}");
        };
        client.set("forever", "v", FOREVER).await.unwrap();
        assert_eq!(expiry("forever"), -1);
        client.set("hour", "v", StoreOptions::ttl(3600)).await.unwrap();
        near("hour", 3600);
        // Longer than the 30 days up to which memcached takes it for a relative time.
        client.set("year", "v", StoreOptions::ttl(31_536_000)).await.unwrap();
        near("year", 31_536_000);
        client.touch("forever", 1000).await.unwrap();
        near("forever", 1000);
        let item = client.get_and_touch("hour", 0).await.unwrap().unwrap();
        assert_eq!((&item.value[..], expiry("hour")), (&b"v"[..], -1));
        assert_eq!(client.get_and_touch("nothing", 10).await.unwrap(), None);
        client.counter("counter", 1, 1, 500).await.unwrap();
        near("counter", 500);
    });
}

#[test]
fn many_keys_are_read_at_once_in_their_order() {
    each_protocol(async |_server, client| {
        let keys: Vec<String> = (0..3000).map(|number| format!("key{number}")).collect();
        let mut batch = Batch::new();
        for (number, key) in keys.iter().enumerate().filter(|(number, _)| number % 3 != 0) {
            batch.set(key, format!("value{number}"), StoreOptions { ttl: None, flags: number as u32 });
        }
        assert!(client.run(batch).await.iter().all(|outcome| matches!(outcome, Ok(Outcome::Done))));
        for (number, outcome) in client.get_multi(&keys).await.into_iter().enumerate() {
            let item = outcome.unwrap().map(|item| (item.value, item.flags));
            let expected = (Bytes::from(format!("value{number}")), number as u32);
            assert_eq!(item, (number % 3 != 0).then_some(expected), "key{number}");
        }
        // Also one key several times, and none.
        let twice = client.get_multi(&["key1", "key0", "key1"]).await;
        let found: Vec<bool> = twice.into_iter().map(|outcome| outcome.unwrap().is_some()).collect();
        assert_eq!(found, [true, false, true]);
        assert!(client.get_multi::<&str>(&[]).await.is_empty());
    });
}

#[test]
fn a_batch_gives_each_operation_its_own_outcome_in_order() {
    each_protocol(async |_server, client| {
        let mut batch = Batch::new();
        batch.add("key", "1", FOREVER).add("key", "2", FOREVER).get("key").incr("key", 41);
        batch.counter("new", 1, 7, 0).counter("new", 1, 7, 0).get("").append("key", "0").get("key");
        batch.get("none").touch("key", 0).delete("key").get("key").decr("key", 1);
        let outcomes = client.run(batch).await;
        let short = outcomes.into_iter().map(|outcome| match outcome {
            Ok(Outcome::Item(Some(item))) => String::from_utf8_lossy(&item.value).into_owned(),
            Ok(Outcome::Item(None)) => "none".to_owned(),
            Ok(Outcome::Number(number)) => format!("#{number}"),
            Ok(Outcome::Done) => "done".to_owned(),
            Err(error) => error.code().number().to_string(),
        });
        let expected =
            ["done", "14", "1", "#42", "#7", "#8", "33", "done", "420", "none", "done", "done", "none", "16"];
        assert_eq!(short.collect::<Vec<_>>(), expected);
    });
}

#[test]
fn large_values_go_both_ways_and_too_large_ones_are_refused() {
    each_protocol(async |_server, client| {
        for size in [4096, 4097, 100_000, 600_000, 1_048_000] {
            let large: Bytes = (0..size).map(|at: u32| (at * 7 + at / 251) as u8).collect::<Vec<_>>().into();
            client.set("key", large.clone(), FOREVER).await.unwrap();
            assert!(value(&client, "key").await == Some(large), "{size} bytes");
        }
        // Known before it is sent, and known from the server's answer.
        for size in [2_000_000, 1_048_560] {
            let error = client.set("key", vec![b'x'; size], FOREVER).await.unwrap_err();
            assert_eq!(error.code().number(), 37, "{error}");
        }
        // The connection goes on where it was.
        client.set("other", "v", FOREVER).await.unwrap();
        assert_eq!(value(&client, "other").await.unwrap(), "v");
    });
}

#[test]
fn a_batch_larger_than_all_buffers_does_not_jam() {
    each_protocol(async |_server, client| {
        let large = Bytes::from(vec![b'x'; 300_000]);
        let mut batch = Batch::new();
        for number in 0..60 {
            let key = format!("key{}", number % 5);
            batch.set(&key, large.clone(), FOREVER).get(&key);
        }
        let outcomes = client.run(batch).await;
        for (number, pair) in outcomes.chunks(2).enumerate() {
            assert!(matches!(pair[0], Ok(Outcome::Done)), "{number}: {:?}", pair[0]);
            let found = matches!(&pair[1], Ok(Outcome::Item(Some(item))) if item.value == large);
            assert!(found, "{number}: not what was set");
        }
    });
}

#[test]
fn keys_may_be_as_long_as_memcached_takes_them() {
    each_protocol(async |server, client| {
        let longest = "k".repeat(250);
        client.set(&longest, "v", FOREVER).await.unwrap();
        assert_eq!(server.get(&longest), Some(b"v".to_vec()));
        assert_eq!(code(client.set("k".repeat(251), "v", FOREVER).await), 39);
        assert_eq!(code(client.get("").await), 33);
        client.set("schlüssel", "v", FOREVER).await.unwrap();
        assert_eq!(server.get("schlüssel"), Some(b"v".to_vec()));
    });
}

#[test]
fn keys_with_spaces_and_line_ends_go_over_meta_and_not_over_text() {
    run(async {
        let server = Memcached::start();
        let longest = " ".repeat(186);
        let keys = ["a key", "a\r\nflush_all\r\n", "\0", "tab\t", longest.as_str()];
        let meta = client(&server, "meta");
        for key in keys {
            meta.set(key, key.to_owned(), FOREVER).await.unwrap();
            meta.append(key, "!").await.unwrap();
            let found = meta.get_multi(&[key, "none", key]).await;
            let found = found.into_iter().map(|item| item.unwrap().map(|item| item.value));
            let expected = Bytes::from(format!("{key}!"));
            assert_eq!(found.collect::<Vec<_>>(), [Some(expected.clone()), None, Some(expected)]);
        }
        assert_eq!(code(meta.get(" ".repeat(187)).await), 39);
        let text = client(&server, "text");
        for key in keys {
            assert_eq!(code(text.get(key).await), 33);
            assert_eq!(code(text.set(key, "v", FOREVER).await), 33);
        }
        // One of them among others leaves those alone.
        let mixed = text.get_multi(&["x", "a key", "y"]).await;
        assert_eq!(mixed.into_iter().map(code).collect::<Vec<_>>(), [0, 33, 0]);
        for key in keys {
            meta.delete(key).await.unwrap();
        }
    });
}

#[test]
fn servers_tell_their_versions_and_statistics() {
    each_protocol(async |_server, client| {
        let [(name, version)] = &client.version().await[..] else { panic!("one server") };
        assert!(name.starts_with("127.0.0.1:"), "{name}");
        assert!(version.as_ref().unwrap().starts_with("1."), "{version:?}");
        let [(_, stats)] = &client.stats(None).await[..] else { panic!("one server") };
        assert!(stats.as_ref().unwrap().iter().any(|(name, _)| name == "curr_items"));
        let [(_, stats)] = &client.stats(Some("settings")).await[..] else { panic!("one server") };
        let limit = ("item_size_max".to_owned(), "1048576".to_owned());
        assert!(stats.as_ref().unwrap().contains(&limit));
        let [(_, stats)] = &client.stats(Some("x\r\nflush_all")).await[..] else { panic!("one server") };
        assert_eq!(stats.as_ref().unwrap_err().code().number(), 38);
    });
}

#[test]
fn a_flush_forgets_everything() {
    each_protocol(async |_server, client| {
        client.set("key", "v", FOREVER).await.unwrap();
        for (_, flushed) in client.flush(None).await {
            flushed.unwrap();
        }
        assert_eq!(value(&client, "key").await, None);
    });
}

#[test]
fn a_prefix_is_sent_and_counts_as_part_of_the_key() {
    run(async {
        let server = Memcached::start();
        let url = format!("{}?prefix=app:&ttl=60", server.url());
        let client = Client::new(&Address::parse(&url).unwrap()).unwrap();
        client.set("key", "v", FOREVER).await.unwrap();
        assert_eq!(server.get("app:key"), Some(b"v".to_vec()));
        assert_ne!(server.connect().run("mg app:key t"), "HD t-1", "the address' time to live counts");
        assert_eq!(code(client.get("k".repeat(247)).await), 39);
    });
}
