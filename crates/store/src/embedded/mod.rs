//! Values in a directory of this machine, without any other program.
//!
//! The directory holds `store.redb`, a redb database, beside whatever else Waypost keeps there. One process owns
//! it at a time; who comes second waits, as long as its time-out.
//!
//! A single thread writes. It takes whatever is waiting into one transaction, makes that durable with one flush,
//! and only then answers: so what was acknowledged survives the process being killed, and many writers share the
//! disk's flushes. A transaction that fails changes nothing, and the database is opened again before the next.
//! Reads run beside it, and see what has been committed.
//!
//! A value whose time is over is gone at once; its bytes are freed with one of the next writes.

mod apply;
mod database;
mod open;
mod row;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::error::StoreError;
use crate::item::{Item, Place, Statistics, Token, Write};
use crate::key_value::{Answer, Answers, Count, KeyValue, Limits};
use apply::{Change, Done};
use database::Shared;
use row::now;
use writer::Writer;

pub use database::FILE_NAME;
pub use open::{Unusable, open_database};

/// What an operation may take unless it is said otherwise: a busy disk takes its time.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest value. The database has it in memory while it is written.
const LARGEST_VALUE: usize = 512 << 20;

/// The longest key.
const LONGEST_KEY: usize = 64 << 10;

/// What waits at most between two looks at whether a directory's owner is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A store in a directory. Dropping it writes what is waiting and closes the database.
pub struct EmbeddedStore {
    database: Arc<Shared>,
    writer: Writer,
    timeout: Duration,
}

impl EmbeddedStore {
    /// Opens the store in this directory, which is made if it is missing.
    ///
    /// # Errors
    /// If another process owns it for as long as the time-out, the directory can't be used, or the database is
    /// damaged.
    pub async fn open(directory: &Path, timeout: Option<Duration>) -> Result<EmbeddedStore, StoreError> {
        let timeout = timeout.unwrap_or(TIMEOUT);
        let deadline = Instant::now() + timeout;
        let mut pause = Duration::from_millis(1);
        let database = loop {
            let directory = directory.to_owned();
            match blocking(move || Shared::open(&directory)).await {
                Err(StoreError::InUse(_)) if Instant::now() < deadline => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LOOK_AGAIN);
                }
                opened => break Arc::new(opened?),
            }
        };
        let writer = Writer::start(Arc::clone(&database))?;
        Ok(EmbeddedStore { database, writer, timeout })
    }

    async fn change(&self, key: Bytes, change: Change) -> Result<Done, StoreError> {
        check(&key)?;
        let (answer, answered) = oneshot::channel();
        let work = async {
            self.writer.send(key, change, answer).await?;
            // Without an answer the writer has ended, which it does only with the store.
            answered.await.unwrap_or_else(|_| Err(self.database.closed()))
        };
        self.within(work).await
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        timeout(self.timeout, work).await.unwrap_or(Err(StoreError::Timeout { limit: self.timeout }))
    }
}

fn check(key: &[u8]) -> Result<(), StoreError> {
    match key.len() {
        length if length > LONGEST_KEY => Err(StoreError::LongKey { length, limit: LONGEST_KEY }),
        _ => Ok(()),
    }
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It panicked, and its hook has reported it; or the runtime ends.
        Err(error) => Err(StoreError::Setup(format!("the store's work was cut short: {error}"))),
    }
}

impl KeyValue for EmbeddedStore {
    fn get(&self, keys: Vec<Bytes>, with_tokens: bool) -> Answers<'_> {
        Box::pin(async move {
            let count = keys.len();
            let database = Arc::clone(&self.database);
            let look = move || database.read(&keys, now());
            let item = |row: row::Row| Item {
                value: row.value,
                flags: row.flags,
                token: with_tokens.then_some(Token::Number(row.token)),
            };
            match self.within(blocking(look)).await {
                Ok(rows) => rows.into_iter().map(|row| Ok(row?.map(item))).collect(),
                Err(error) => vec![Err(error); count],
            }
        })
    }

    fn write(&self, key: Bytes, write: Write) -> Answer<'_, ()> {
        Box::pin(async move { self.change(key, Change::Write(write)).await.map(drop) })
    }

    fn delete(&self, key: Bytes) -> Answer<'_, ()> {
        Box::pin(async move { self.change(key, Change::Delete).await.map(drop) })
    }

    fn touch(&self, key: Bytes, ttl: u32) -> Answer<'_, ()> {
        Box::pin(async move { self.change(key, Change::Touch(ttl)).await.map(drop) })
    }

    fn count(&self, key: Bytes, count: Count) -> Answer<'_, u64> {
        Box::pin(async move {
            match self.change(key, Change::Count(count)).await? {
                Done::Number(number) => Ok(number),
                Done::Nothing => Err(StoreError::Protocol("a count without a number")),
            }
        })
    }

    fn flush(&self, prefix: Bytes) -> Answer<'_, ()> {
        Box::pin(async move { self.change(Bytes::new(), Change::Flush(prefix)).await.map(drop) })
    }

    fn statistics(&self) -> Answer<'_, Vec<Statistics>> {
        Box::pin(async move {
            let database = Arc::clone(&self.database);
            let values = self.within(blocking(move || database.statistics())).await;
            Ok(vec![Statistics { server: self.database.directory.display().to_string(), values }])
        })
    }

    fn place(&self, _key: Bytes) -> Answer<'_, Place> {
        Box::pin(async {
            let server = self.database.directory.display().to_string();
            let why = "the address names one directory, which has every key".to_owned();
            Ok(Place { server, why, placement: None })
        })
    }

    fn limits(&self) -> Answer<'_, Limits> {
        Box::pin(async { Ok(Limits { key: LONGEST_KEY, value: LARGEST_VALUE }) })
    }
}
