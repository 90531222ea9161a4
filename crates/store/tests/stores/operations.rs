//! What is written is read, and what can't be done has libmemcached's number.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use waypost_store::{Attributes, Mode, ResultCode, Token};

use crate::kinds::{code, on_each, on_each_kind, until_gone, value};

const PLAIN: Attributes = Attributes { flags: 0, ttl: None };

#[test]
fn each_operation_has_the_result_of_libmemcached() {
    on_each(async |kind, store| {
        assert_eq!(value(&store, "k").await, None, "{kind}");
        assert_eq!(code(store.delete("k").await), 16, "{kind}: delete");
        assert_eq!(code(store.touch("k", 5).await), 16, "{kind}: touch");
        assert_eq!(code(store.touch("k", 0).await), 16, "{kind}: touch for ever");
        assert_eq!(code(store.increment("k", 1).await), 16, "{kind}: increment");
        assert_eq!(code(store.decrement("k", 1).await), 16, "{kind}: decrement");
        assert_eq!(code(store.replace("k", "v", PLAIN).await), 14, "{kind}: replace");
        assert_eq!(code(store.append("k", "v").await), 14, "{kind}: append");
        assert_eq!(code(store.prepend("k", "v").await), 14, "{kind}: prepend");
        assert_eq!(value(&store, "k").await, None, "{kind}");

        assert_eq!(code(store.add("k", "b", PLAIN).await), 0, "{kind}: add");
        assert_eq!(code(store.add("k", "c", PLAIN).await), 14, "{kind}: add again");
        assert_eq!(code(store.append("k", "c").await), 0, "{kind}: append");
        assert_eq!(code(store.prepend("k", "a").await), 0, "{kind}: prepend");
        assert_eq!(value(&store, "k").await, Some(b"abc".to_vec()), "{kind}");
        assert_eq!(code(store.increment("k", 1).await), 9, "{kind}: increment of a text");
        assert_eq!(code(store.replace("k", "r", PLAIN).await), 0, "{kind}: replace");
        assert_eq!(value(&store, "k").await, Some(b"r".to_vec()), "{kind}");
        assert_eq!(code(store.set("k", "s", PLAIN).await), 0, "{kind}: set");
        assert_eq!(value(&store, "k").await, Some(b"s".to_vec()), "{kind}");
        assert_eq!(code(store.delete("k").await), 0, "{kind}: delete");
        assert_eq!(value(&store, "k").await, None, "{kind}");
    });
}

#[test]
fn a_value_is_swapped_only_if_nothing_was_written_since() {
    on_each(async |kind, store| {
        store.set("k", "one", PLAIN).await.unwrap();
        let token = store.get_with_token("k").await.unwrap().unwrap().token.unwrap();
        assert_eq!(code(store.swap("k", "two", token, PLAIN).await), 0, "{kind}");
        assert_eq!(code(store.swap("k", "three", token, PLAIN).await), 12, "{kind}: an old token");
        assert_eq!(value(&store, "k").await, Some(b"two".to_vec()), "{kind}");
        for change in 0..3 {
            let token = store.get_with_token("k").await.unwrap().unwrap().token.unwrap();
            match change {
                0 => store.append("k", "!").await.unwrap(),
                1 => store.set("k", "7", PLAIN).await.unwrap(),
                _ => assert_eq!(store.increment("k", 1).await.unwrap(), 8),
            }
            assert_eq!(code(store.swap("k", "x", token, PLAIN).await), 12, "{kind}: after change {change}");
        }
        let token = store.get_with_token("k").await.unwrap().unwrap().token.unwrap();
        store.delete("k").await.unwrap();
        assert_eq!(code(store.swap("k", "x", token, PLAIN).await), 16, "{kind}: nothing is there");
        assert_eq!(store.get("k").await.unwrap(), None);
        let other = match token {
            Token::Number(_) => Token::Digest([0; 20]),
            Token::Digest(_) => Token::Number(1),
        };
        assert_eq!(code(store.swap("k", "x", other, PLAIN).await), 38, "{kind}: a token of another store");
    });
}

#[test]
fn a_plain_read_brings_no_token() {
    on_each(async |kind, store| {
        store.set("k", "v", PLAIN).await.unwrap();
        assert_eq!(store.get("k").await.unwrap().unwrap().token, None, "{kind}");
    });
}

#[test]
fn flags_stay_with_a_value_through_every_change() {
    on_each(async |kind, store| {
        for flags in [0, 1, 0x8000_0000, u32::MAX] {
            let attributes = Attributes { flags, ttl: None };
            let flags_now = async || store.get("k").await.unwrap().unwrap().flags;
            store.set("k", "5", attributes).await.unwrap();
            assert_eq!(flags_now().await, flags, "{kind}: set");
            store.append("k", "0").await.unwrap();
            store.prepend("k", "1").await.unwrap();
            assert_eq!(flags_now().await, flags, "{kind}: append and prepend");
            assert_eq!(store.increment("k", 3).await.unwrap(), 153, "{kind}");
            assert_eq!(flags_now().await, flags, "{kind}: increment");
            store.touch("k", 100).await.unwrap();
            assert_eq!(flags_now().await, flags, "{kind}: touch");
            let token = store.get_with_token("k").await.unwrap().unwrap().token.unwrap();
            store.swap("k", "x", token, Attributes { flags: flags ^ 1, ttl: None }).await.unwrap();
            assert_eq!(flags_now().await, flags ^ 1, "{kind}: swap");
            assert_eq!(value(&store, "k").await, Some(b"x".to_vec()), "{kind}");
        }
    });
}

#[test]
fn values_are_any_bytes_of_any_length_up_to_the_limit() {
    on_each(async |kind, store| {
        let every: Vec<u8> = (0..=255).collect();
        let large: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let lines = b"\r\nEND\r\nVALUE k 0 1\r\nHD\r\n".to_vec();
        for bytes in [Vec::new(), every, lines, large, b"\0waypost:flags=00000001\0x".to_vec()] {
            for flags in [0, 9] {
                store.set("k", bytes.clone(), Attributes { flags, ttl: None }).await.unwrap();
                assert!(value(&store, "k").await.unwrap() == bytes, "{kind}: {} bytes", bytes.len());
                store.append("k", "").await.unwrap();
                store.prepend("k", "").await.unwrap();
                assert!(value(&store, "k").await.unwrap() == bytes, "{kind}: nothing added");
            }
        }
    });
}

#[test]
fn keys_are_any_bytes_as_far_as_the_protocol_carries_them() {
    on_each(async |kind, store| {
        let mut keys: Vec<Vec<u8>> = vec![b"a".to_vec(), vec![b'k'; 250], "/ü/日本".into(), vec![0xff, 0x80]];
        if !kind.contains("text") {
            keys.extend([b"a b".to_vec(), b"a\r\nb".to_vec(), vec![0], vec![b' '; 186]]);
        }
        for (number, key) in keys.iter().enumerate() {
            store.set(key, number.to_string(), PLAIN).await.unwrap();
        }
        for (number, key) in keys.iter().enumerate() {
            let found = value(&store, key).await;
            assert_eq!(found, Some(number.to_string().into()), "{kind}: {}", key.escape_ascii());
            store.delete(key).await.unwrap();
        }
    });
}

#[test]
fn a_key_that_cannot_be_one_is_refused_before_it_is_sent() {
    on_each(async |kind, store| {
        assert_eq!(code(store.get("").await), 33, "{kind}: empty");
        assert_eq!(code(store.set("", "v", PLAIN).await), 33, "{kind}: empty");
        let limit = store.limits().await.unwrap().key;
        let longest = vec![b'k'; limit];
        store.set(&longest, "v", PLAIN).await.unwrap();
        assert_eq!(value(&store, &longest).await, Some(b"v".to_vec()), "{kind}");
        let longer = vec![b'k'; limit + 1];
        assert_eq!(code(store.get(&longer).await), 39, "{kind}: longer");
        assert_eq!(code(store.set(&longer, "v", PLAIN).await), 39, "{kind}: longer");
        assert_eq!(code(store.counter(&longer, 1, 0).await), 39, "{kind}: longer");
        if kind.contains("text") {
            assert_eq!(code(store.get("a b").await), 33, "{kind}: a space");
        }
        assert_eq!(value(&store, &longest).await, Some(b"v".to_vec()), "{kind}: the connection goes on");
    });
}

#[test]
fn a_value_that_is_too_large_is_refused_and_the_largest_is_stored() {
    on_each(async |kind, store| {
        let limit = store.limits().await.unwrap().value;
        let key = vec![b'k'; 250];
        // Half a gigabyte in a test would be no service to anyone.
        if limit < 100 << 20 {
            store.set(&key, vec![b'v'; limit], Attributes { flags: 1, ttl: None }).await.unwrap();
            assert_eq!(value(&store, &key).await.map(|value| value.len()), Some(limit), "{kind}");
            assert_eq!(code(store.set("l", vec![b'v'; limit + 1024], PLAIN).await), 37, "{kind}");
        } else {
            let zeroes = Bytes::from(vec![0; limit + 1]);
            assert_eq!(code(store.set("l", zeroes, PLAIN).await), 37, "{kind}");
        }
        assert_eq!(store.get("l").await.unwrap(), None, "{kind}");
    });
}

#[test]
fn many_keys_are_read_at_once_in_their_order() {
    on_each(async |kind, store| {
        for number in (0..700).step_by(2) {
            store.set(format!("k{number}"), number.to_string(), PLAIN).await.unwrap();
        }
        let longer = vec![b'k'; 100_000];
        let mut keys: Vec<Vec<u8>> = (0..700).map(|number| format!("k{number}").into()).collect();
        keys.insert(100, longer);
        keys.insert(200, Vec::new());
        for with_tokens in [false, true] {
            let mut found = store.get_multi(&keys, with_tokens).await;
            assert_eq!(found.len(), 702, "{kind}");
            assert_eq!(code(found.remove(200)), 33, "{kind}: an empty key");
            assert_eq!(code(found.remove(100)), 39, "{kind}: a long key");
            for (number, item) in found.into_iter().enumerate() {
                let item = item.unwrap();
                let expected = (number % 2 == 0).then(|| number.to_string());
                assert_eq!(
                    item.as_ref().map(|item| &item.value[..]),
                    expected.as_ref().map(|text| text.as_bytes())
                );
                assert!(item.is_none_or(|item| item.token.is_some() == with_tokens), "{kind}");
            }
        }
        assert!(store.get_multi(Vec::<Vec<u8>>::new(), true).await.is_empty(), "{kind}");
    });
}

#[test]
fn what_has_a_time_to_live_ends_and_a_touch_makes_it_last() {
    on_each(async |kind, store| {
        let short = Attributes { flags: 3, ttl: Some(1) };
        for key in ["ends", "added", "touched", "kept", "set again"] {
            store.set(key.replace(' ', "-"), "v", short).await.unwrap();
        }
        store.delete("added").await.unwrap();
        store.add("added", "v", short).await.unwrap();
        store.touch("touched", 1000).await.unwrap();
        store.touch("kept", 0).await.unwrap();
        store.set("set-again", "w", PLAIN).await.unwrap();
        store.append("ends", "v").await.unwrap();
        store.set("swapped", "v", PLAIN).await.unwrap();
        let token = store.get_with_token("swapped").await.unwrap().unwrap().token.unwrap();
        store.swap("swapped", "w", token, short).await.unwrap();
        assert_eq!(store.counter("counter", 5, 1).await.unwrap(), 5);

        for key in ["ends", "added", "swapped", "counter"] {
            until_gone(&store, key).await;
        }
        assert_eq!(code(store.append("ends", "v").await), 14, "{kind}: what has ended is not there");
        assert_eq!(code(store.increment("counter", 1).await), 16, "{kind}");
        assert_eq!(code(store.add("ends", "v", PLAIN).await), 0, "{kind}");
        for key in ["touched", "kept", "set-again"] {
            assert!(value(&store, key).await.is_some(), "{kind}: {key} has not ended");
        }
    });
}

#[test]
fn a_time_to_live_of_more_than_thirty_days_is_no_date() {
    on_each(async |kind, store| {
        for ttl in [2_592_000, 2_592_001, 100_000_000] {
            store.set("k", "v", Attributes { flags: 0, ttl: Some(ttl) }).await.unwrap();
            assert_eq!(value(&store, "k").await, Some(b"v".to_vec()), "{kind}: {ttl} s");
            store.touch("k", ttl).await.unwrap();
            assert_eq!(value(&store, "k").await, Some(b"v".to_vec()), "{kind}: touched for {ttl} s");
        }
    });
}

#[test]
fn a_flush_empties_the_store_or_what_is_below_the_prefix() {
    on_each_kind(async |kind| {
        let name = kind.name;
        {
            let store = kind.open(Some("p*:")).await;
            store.set("k", "v", PLAIN).await.unwrap();
            store.set("e", "v", Attributes { flags: 0, ttl: Some(1000) }).await.unwrap();
            assert_eq!(value(&store, "k").await, Some(b"v".to_vec()), "{name}");
            let flushed = store.flush().await;
            match name.contains("memcached") {
                true => assert_eq!(code(flushed), ResultCode::NotSupported.number(), "{name}"),
                false => {
                    flushed.unwrap();
                    assert_eq!((value(&store, "k").await, value(&store, "e").await), (None, None), "{name}");
                    store.set("k", "v", PLAIN).await.unwrap();
                }
            }
        }
        let store = kind.open(None).await;
        store.set("px:k", "other", PLAIN).await.unwrap();
        // Of several servers a key without the prefix may be on another one: the prefix is not hashed.
        if !name.contains("three") {
            assert_eq!(value(&store, "p*:k").await, Some(b"v".to_vec()), "{name}: it stands in front");
        }
        store.flush().await.unwrap();
        // memcached's flush counts in seconds: what is written within the same one may go with it.
        for key in ["k", "p*:k", "px:k"] {
            until_gone(&store, key).await;
        }
    });
}

#[test]
fn a_prefix_other_than_the_one_flushed_stays() {
    on_each_kind(async |kind| {
        if kind.name.contains("memcached") {
            return;
        }
        let all = [("a[1]", "a[1]:k"), ("a", "a1:k"), ("b", "b:k")];
        {
            let store = kind.open(None).await;
            for (_, key) in all {
                store.set(key, "v", Attributes { flags: 0, ttl: Some(1000) }).await.unwrap();
            }
        }
        kind.open(Some("a[1]")).await.flush().await.unwrap();
        let store = kind.open(None).await;
        let there: BTreeSet<&str> = [
            value(&store, "a[1]:k").await.map(|_| "a[1]:k"),
            value(&store, "a1:k").await.map(|_| "a1:k"),
            value(&store, "b:k").await.map(|_| "b:k"),
        ]
        .into_iter()
        .flatten()
        .collect();
        assert_eq!(there, BTreeSet::from(["a1:k", "b:k"]), "{}", kind.name);
    });
}

#[test]
fn statistics_and_places_name_the_servers() {
    on_each(async |kind, store| {
        store.set("k", "v", PLAIN).await.unwrap();
        let statistics = store.statistics().await.unwrap();
        assert_eq!(statistics.len(), if kind.contains("three") { 3 } else { 1 }, "{kind}");
        let servers: Vec<&str> = statistics.iter().map(|server| &server.server[..]).collect();
        let place = store.place("k").await.unwrap();
        assert!(servers.contains(&&place.server[..]), "{kind}: {} in {servers:?}", place.server);
        assert_eq!(place.placement.is_some(), kind.contains("memcached"), "{kind}");
        for server in &statistics {
            assert!(!server.values.as_ref().unwrap().is_empty(), "{kind}");
        }
    });
}

#[test]
fn a_request_given_up_disturbs_no_other() {
    on_each(async |kind, store| {
        let large = Bytes::from(vec![b'x'; 300_000]);
        store.set("large", large.clone(), PLAIN).await.unwrap();
        for step in 0..60_u64 {
            let given_up = async {
                for key in ["large", "none", "large"] {
                    store.get(key).await.unwrap();
                }
            };
            let _ = tokio::time::timeout(Duration::from_micros(step * 37), given_up).await;
            store.set("k", step.to_string(), PLAIN).await.unwrap();
            assert_eq!(value(&store, "k").await, Some(step.to_string().into()), "{kind}");
        }
        assert!(value(&store, "large").await.unwrap() == large, "{kind}");
    });
}

#[test]
fn modes_of_writing_are_the_operations_of_their_names() {
    on_each(async |kind, store| {
        for (mode, expected) in [
            (Mode::Replace, 14),
            (Mode::Append, 14),
            (Mode::Add, 0),
            (Mode::Add, 14),
            (Mode::Prepend, 0),
            (Mode::Set, 0),
        ] {
            assert_eq!(code(store.write(mode, "k", "v", PLAIN).await), expected, "{kind}: {mode:?}");
        }
    });
}
