//! Counters: 64 bits, never below 0, and none lost among many who count.

use std::collections::BTreeSet;

use waypost_store::Attributes;

use crate::kinds::{code, on_each, runtime, value};

const PLAIN: Attributes = Attributes { flags: 0, ttl: None };

#[test]
fn a_counter_counts_up_and_down_and_never_below_zero() {
    on_each(async |kind, store| {
        assert_eq!(store.counter("c", 5, 0).await.unwrap(), 5, "{kind}: it begins at 0");
        assert_eq!(store.counter("c", 0, 0).await.unwrap(), 5, "{kind}: no increment");
        assert_eq!(store.counter("c", -2, 0).await.unwrap(), 3, "{kind}");
        assert_eq!(store.counter("c", i64::MIN, 0).await.unwrap(), 0, "{kind}: not below 0");
        assert_eq!(store.counter("d", -1, 0).await.unwrap(), 0, "{kind}: not below 0 from nothing");
        store.set_counter("c", 41, 0).await.unwrap();
        assert_eq!(store.increment("c", 1).await.unwrap(), 42, "{kind}");
        assert_eq!(store.decrement("c", 40).await.unwrap(), 2, "{kind}");
        assert_eq!(store.decrement("c", 40).await.unwrap(), 0, "{kind}");
        store.set("c", "x", PLAIN).await.unwrap();
        assert_eq!(code(store.counter("c", 1, 0).await), 9, "{kind}: no number");
        store.set_counter("c", 7, 0).await.unwrap();
        assert_eq!(store.counter("c", 0, 0).await.unwrap(), 7, "{kind}: set whatever was there");
    });
}

#[test]
fn numbers_have_sixty_four_bits() {
    on_each(async |kind, store| {
        for start in [0, 9_999_999, 10_000_000, (1 << 53) - 1, (1 << 53) + 1, i64::MAX as u64, u64::MAX - 1] {
            for by in [1_u64, 9, 10_000_001, 1 << 53, i64::MAX as u64, u64::MAX] {
                store.set_counter("c", start, 0).await.unwrap();
                let up = store.increment("c", by).await.unwrap();
                assert_eq!(up, start.wrapping_add(by), "{kind}: {start} + {by}");
                store.set_counter("c", start, 0).await.unwrap();
                let down = store.decrement("c", by).await.unwrap();
                assert_eq!(down, start.saturating_sub(by), "{kind}: {start} - {by}");
            }
        }
        for text in ["18446744073709551616", "", "-1", "1.5", "99999999999999999999999"] {
            store.set("c", text, PLAIN).await.unwrap();
            assert_eq!(code(store.increment("c", 1).await), 9, "{kind}: {text:?} is no number");
            assert_eq!(value(&store, "c").await, Some(text.into()), "{kind}");
        }
    });
}

#[test]
fn of_many_who_count_at_once_each_gets_a_number_of_its_own() {
    on_each(async |kind, store| {
        let counters = (0..20).map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                for _ in 0..25 {
                    seen.push(store.counter("c", 1, 0).await.unwrap());
                }
                seen
            })
        });
        let mut seen = BTreeSet::new();
        for counter in counters.collect::<Vec<_>>() {
            seen.extend(counter.await.unwrap());
        }
        assert_eq!(seen, (1..=500).collect(), "{kind}");
    });
}

#[test]
fn of_many_who_swap_at_once_no_change_is_lost() {
    on_each(async |kind, store| {
        store.set("list", "", PLAIN).await.unwrap();
        let writers = (0..8).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for entry in 0..10 {
                    loop {
                        let item = store.get_with_token("list").await.unwrap().unwrap();
                        let text = [&item.value[..], format!("{writer}.{entry} ").as_bytes()].concat();
                        if store.swap("list", text, item.token.unwrap(), PLAIN).await.is_ok() {
                            break;
                        }
                    }
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        let list = String::from_utf8(value(&store, "list").await.unwrap()).unwrap();
        assert_eq!(list.split_whitespace().collect::<BTreeSet<_>>().len(), 80, "{kind}");
    });
}

#[test]
fn redis_counts_as_u64_does() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    use waypost_store::{OpenOptions, Store, StoreAddress};

    let redis = waypost_tests::Redis::start();
    let runtime = runtime();
    let address = StoreAddress::parse(&redis.url()).unwrap();
    let store = runtime.block_on(Store::open(&address, OpenOptions::default())).unwrap();
    let number = prop_oneof![any::<u64>(), 0..20_000_000_u64, (0..64_u32).prop_map(|bits| u64::MAX >> bits)];
    let mut runner = TestRunner::new(Config { cases: 300, ..Config::default() });
    runner
        .run(&(number.clone(), number, any::<u32>()), |(start, by, flags)| {
            runtime.block_on(async {
                let written = Attributes { flags, ttl: None };
                store.set("n", start.to_string(), written).await.unwrap();
                assert_eq!(store.increment("n", by).await.unwrap(), start.wrapping_add(by));
                store.set("n", start.to_string(), written).await.unwrap();
                assert_eq!(store.decrement("n", by).await.unwrap(), start.saturating_sub(by));
                assert_eq!(store.get("n").await.unwrap().unwrap().flags, flags);
            });
            Ok(())
        })
        .unwrap();
}
