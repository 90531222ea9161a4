//! The embedded store: one owner, durable, and bounded.

use std::path::Path;
use std::time::Duration;

use waypost_store::{Attributes, OpenOptions, Store, StoreAddress, StoreError};
use waypost_tests::SmallDisk;

use crate::kinds::{code, runtime, until_gone, value};

const PLAIN: Attributes = Attributes { flags: 0, ttl: None };

async fn open(directory: &Path, timeout: Duration) -> Result<Store, StoreError> {
    let options = OpenOptions { timeout: Some(timeout), ..OpenOptions::default() };
    Store::open(&StoreAddress::Embedded(directory.to_owned()), options).await
}

#[test]
fn what_was_written_is_there_when_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("a/b");
    runtime().block_on(async {
        let wait = Duration::from_secs(30);
        let store = open(&place, wait).await.unwrap();
        store.set("k", "v", Attributes { flags: 5, ttl: Some(1000) }).await.unwrap();
        let token = store.get_with_token("k").await.unwrap().unwrap().token;
        drop(store);
        let store = open(&place, wait).await.unwrap();
        let item = store.get_with_token("k").await.unwrap().unwrap();
        assert_eq!((&item.value[..], item.flags, item.token), (&b"v"[..], 5, token));
        store.set("k", "w", PLAIN).await.unwrap();
        assert_ne!(store.get_with_token("k").await.unwrap().unwrap().token, token);
    });
}

#[test]
fn a_directory_has_one_owner_and_the_next_waits_for_it() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = open(directory.path(), Duration::from_secs(30)).await.unwrap();
        let error = open(directory.path(), Duration::from_millis(50)).await.err().unwrap();
        assert!(matches!(error, StoreError::InUse(_)), "{error}");
        assert_eq!(error.code().number(), 26);
        let place = directory.path().to_owned();
        let waiting = tokio::spawn(async move { open(&place, Duration::from_secs(30)).await });
        store.set("k", "v", PLAIN).await.unwrap();
        drop(store);
        assert_eq!(value(&waiting.await.unwrap().unwrap(), "k").await, Some(b"v".to_vec()));
    });
}

#[test]
fn a_file_that_is_no_store_is_said_to_be_none() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("store.redb"), b"not a database".repeat(1000)).unwrap();
    runtime().block_on(async {
        let error = open(directory.path(), Duration::from_secs(30)).await.err().unwrap();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("store.redb"), "{error}");
    });
}

#[test]
fn a_place_that_is_no_directory_is_said_to_be_none() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    runtime().block_on(async {
        let error = open(&file, Duration::from_secs(30)).await.err().unwrap();
        assert!(matches!(error, StoreError::Access { .. }), "{error}");
    });
}

#[test]
fn what_has_ended_takes_no_room() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = open(directory.path(), Duration::from_secs(30)).await.unwrap();
        for number in 0..50 {
            store.set(format!("k{number}"), "v", Attributes { flags: 0, ttl: Some(1) }).await.unwrap();
        }
        until_gone(&store, "k49").await;
        store.set("other", "v", PLAIN).await.unwrap();
        let statistics = store.statistics().await.unwrap().remove(0).values.unwrap();
        let number = |name: &str| statistics.iter().find(|(known, _)| known == name).unwrap().1.clone();
        assert_eq!((number("keys"), number("keys_with_ttl")), ("1".to_owned(), "0".to_owned()));
    });
}

#[test]
fn many_writers_share_the_flushes_and_none_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = open(directory.path(), Duration::from_secs(60)).await.unwrap();
        let writers = (0..50).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..20 {
                    store.set(format!("{writer}.{number}"), "v", PLAIN).await.unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        let keys: Vec<String> =
            (0..50).flat_map(|writer| (0..20).map(move |number| format!("{writer}.{number}"))).collect();
        let found = store.get_multi(&keys, false).await;
        assert!(found.iter().all(|found| matches!(found, Ok(Some(_)))));
        assert_eq!(code(store.get("50.0").await), 0);
    });
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room_again_and_loses_none() {
    let disk = SmallDisk::new();
    runtime().block_on(async {
        let store = open(&disk.path().join("store"), Duration::from_secs(30)).await.unwrap();
        store.set("before", "v", PLAIN).await.unwrap();
        disk.fill();
        let large = vec![b'x'; 3 << 20];
        for attempt in 0..3 {
            let refused = store.set("full", large.clone(), PLAIN).await;
            assert_eq!(code(refused), 26, "attempt {attempt}");
            assert_eq!(value(&store, "before").await, Some(b"v".to_vec()), "attempt {attempt}");
        }
        disk.make_room();
        store.set("after", "v", PLAIN).await.unwrap();
        for (key, expected) in
            [("before", Some(b"v".to_vec())), ("full", None), ("after", Some(b"v".to_vec()))]
        {
            assert_eq!(value(&store, key).await, expected, "{key}");
        }
    });
}
