//! The connection to the server, shared by all who ask, and made anew when it is lost.
//!
//! A connection that ended while nobody used it is noticed before the next request, so that a server's restart
//! costs no request that comes after it. A request under way when it ends is an error: whether the server has
//! carried it out can't be known, so nothing is sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, Pipeline, ProtocolVersion, PushKind, RedisError, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::address::{Endpoint, RedisAddress};
use super::client::client;
use super::error::{ends_connection, meaning};
use super::sentinel::master;
use crate::error::StoreError;

/// The way to a server.
pub(super) struct Link {
    pub(super) address: RedisAddress,
    timeout: Duration,
    live: Mutex<Option<Live>>,
}

#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    has_ended: Arc<AtomicBool>,
}

impl Link {
    pub(super) fn new(address: RedisAddress, timeout: Duration) -> Link {
        Link { address, timeout, live: Mutex::new(None) }
    }

    /// Sends one command, and reads its reply.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StoreError> {
        self.within(async {
            let live = self.live().await?;
            let answered = live.connection.clone().send_packed_command(command).await;
            let answered = answered.and_then(Value::extract_error);
            let read = answered.and_then(|value| Ok(T::from_redis_value(value)?));
            read.map_err(|error| live.fault(&error))
        })
        .await
    }

    /// Sends commands, and returns the reply of each: an error of one among them, if the pipeline asks for it.
    pub(super) async fn ask_all(&self, pipeline: &Pipeline) -> Result<Vec<Value>, StoreError> {
        self.within(async {
            let live = self.live().await?;
            let mut connection = live.connection.clone();
            match pipeline.query_async(&mut connection).await {
                Ok(Value::Array(replies)) => Ok(replies),
                Ok(_) => Err(StoreError::Protocol("a pipeline has one reply")),
                Err(error) => Err(live.fault(&error)),
            }
        })
        .await
    }

    /// As [`ask`](Self::ask), with the error as the server gave it.
    pub(super) async fn try_ask(
        &self,
        command: &redis::Cmd,
    ) -> Result<Result<Value, RedisError>, StoreError> {
        self.within(async {
            let live = self.live().await?;
            let answered = live.connection.clone().send_packed_command(command).await;
            let answered = answered.and_then(Value::extract_error);
            Ok(answered.inspect_err(|error| live.look_at(error)))
        })
        .await
    }

    /// The server that the address means now.
    pub(super) async fn endpoint(&self) -> Result<Endpoint, StoreError> {
        let found = self.within(async { Ok(master(&self.address, self.timeout).await) }).await?;
        found.map_err(|error| StoreError::Unreachable(error.to_string()))
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match timeout(self.timeout, work).await {
            Ok(done) => done,
            Err(_) => {
                // It may be hung; whoever comes next finds out over a connection of its own.
                if let Ok(mut live) = self.live.try_lock() {
                    *live = None;
                }
                Err(StoreError::Timeout { limit: self.timeout })
            }
        }
    }

    async fn live(&self) -> Result<Live, StoreError> {
        let mut slot = self.live.lock().await;
        if let Some(live) = slot.as_ref().filter(|live| !live.has_ended.load(Ordering::Acquire)) {
            return Ok(live.clone());
        }
        *slot = None;
        let live = self.connect().await?;
        *slot = Some(live.clone());
        Ok(live)
    }

    async fn connect(&self) -> Result<Live, StoreError> {
        let found = master(&self.address, self.timeout).await;
        let endpoint = found.map_err(|error| StoreError::Unreachable(error.to_string()))?;
        let RedisAddress { credentials, database, tls, .. } = &self.address;
        // The library tells of the end of a connection only in RESP3.
        let client = client(&endpoint, credentials, *database, tls.as_ref(), ProtocolVersion::RESP3)
            .map_err(StoreError::Setup)?;
        let has_ended = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&has_ended);
        // The time-out is around the whole of it.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(move |push: redis::PushInfo| {
                if push.kind == PushKind::Disconnection {
                    ended.store(true, Ordering::Release);
                }
                Ok::<_, redis::aio::SendError>(())
            });
        let connecting = client.get_multiplexed_async_connection_with_config(&config).await;
        let connection = connecting.map_err(|error| match meaning(&error, (0, 0)) {
            StoreError::Lost(detail) => StoreError::Unreachable(detail),
            other => other,
        })?;
        Ok(Live { connection, has_ended })
    }
}

impl Live {
    /// Has the next one who asks connect anew, if the connection is of no use after this error.
    fn look_at(&self, error: &RedisError) {
        if ends_connection(error) {
            self.has_ended.store(true, Ordering::Release);
        }
    }

    /// What an error means, for the connection too.
    fn fault(&self, error: &RedisError) -> StoreError {
        self.look_at(error);
        meaning(error, (0, super::store::LARGEST_VALUE))
    }
}
