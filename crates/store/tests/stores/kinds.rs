//! A store of each kind, on real servers.

use std::time::Duration;

use tempfile::TempDir;
use waypost_store::{OpenOptions, ResultCode, Store, StoreAddress, StoreError};
use waypost_tests::{Memcached, PATIENCE, Redis};

/// A store, and what it stands on.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) address: StoreAddress,
    _redis: Option<Redis>,
    _memcached: Vec<Memcached>,
    _directory: TempDir,
}

impl Kind {
    fn new(name: &'static str, url: Option<String>, redis: Option<Redis>, memcached: Vec<Memcached>) -> Kind {
        let directory = TempDir::new().unwrap();
        let url = url.unwrap_or_else(|| format!("embedded:{}", directory.path().join("store").display()));
        let address = StoreAddress::parse(&url).unwrap();
        Kind { name, address, _redis: redis, _memcached: memcached, _directory: directory }
    }

    /// One of each, and memcached once more in its classic protocol, on several servers.
    pub(crate) fn all() -> Vec<Kind> {
        let redis = Redis::start();
        let one = Memcached::start();
        let three: Vec<Memcached> = (0..3).map(|_| Memcached::start()).collect();
        let servers: Vec<String> = three.iter().map(|server| server.address().to_string()).collect();
        let text = format!("memcached://{}?distribution=consistent&protocol=text", servers.join(","));
        vec![
            Kind::new("embedded", None, None, Vec::new()),
            Kind::new("Redis", Some(redis.url()), Some(redis), Vec::new()),
            Kind::new("memcached", Some(one.url()), None, vec![one]),
            Kind::new("three memcached in text", Some(text), None, three),
        ]
    }

    /// Opens it. The time-out is as long as tests wait, so that a busy machine fails none.
    pub(crate) async fn open(&self, prefix: Option<&str>) -> Store {
        let options = OpenOptions {
            prefix: prefix.map(|prefix| prefix.into()),
            timeout: Some(PATIENCE),
            ..OpenOptions::default()
        };
        Store::open(&self.address, options).await.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// Runs a test on each kind of store.
pub(crate) fn on_each(test: impl AsyncFn(&str, Store)) {
    on_each_kind(async |kind| test(kind.name, kind.open(None).await).await);
}

/// Runs a test with each kind of store.
pub(crate) fn on_each_kind(test: impl AsyncFn(&Kind)) {
    runtime().block_on(async {
        for kind in Kind::all() {
            test(&kind).await;
        }
    });
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The number of a result.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, StoreError>) -> u8 {
    result.map_or_else(|error| error.code(), |_| ResultCode::Success).number()
}

/// The value of a key.
pub(crate) async fn value(store: &Store, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    store.get(key).await.unwrap().map(|item| item.value.to_vec())
}

/// Waits until a key is gone.
pub(crate) async fn until_gone(store: &Store, key: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while value(store, key).await.is_some() {
        assert!(tokio::time::Instant::now() < deadline, "{key} is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
