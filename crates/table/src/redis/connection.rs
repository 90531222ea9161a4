//! One connection to one server, and the way there: TCP or TLS, `HELLO`, tracking, and a limit to how long
//! anything may take.
//!
//! Requests go out as pipelines and come back as values, errors of single commands among them, so that one
//! key of the wrong type spoils nothing else. After a [`Fault`] the connection is of no use any more.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, ProtocolVersion, Value};
use tokio::time::timeout;
use waypost_store::redis::{Endpoint, RedisAddress, client};

use super::fault::Fault;
use super::feed::{Feed, FeedSender};
use super::keys::{IDS, INSTANCES, SERIAL};
use super::server::{SECTIONS, ServerInfo};

/// How long connecting may take, and how long a server may be silent when asked.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How long a server may take over a transaction that writes: a large import is one.
pub(super) const LONG_PATIENCE: Duration = Duration::from_secs(120);

/// A connection to a server. Clones share it; replies come in the order of the requests.
#[derive(Clone)]
pub(super) struct Connection {
    inner: MultiplexedConnection,
}

impl Connection {
    /// Connects to the server at `endpoint` in the way the address says. With a feed it speaks RESP3 and
    /// puts what the server tells of its own accord in there.
    pub(super) async fn open(
        address: &RedisAddress,
        endpoint: &Endpoint,
        feed: Option<&Arc<Feed>>,
    ) -> Result<Connection, Fault> {
        let RedisAddress { credentials, database, tls, .. } = address;
        let protocol = if feed.is_some() { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
        let client =
            client(endpoint, credentials, *database, tls.as_ref(), protocol).map_err(Fault::Setup)?;
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            // Each request has a limit of its own.
            .set_response_timeout(None);
        if let Some(feed) = feed {
            config = config.set_push_sender(FeedSender(Arc::clone(feed)));
        }
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        match timeout(2 * PATIENCE, connecting).await {
            Ok(Ok(inner)) => Ok(Connection { inner }),
            Ok(Err(error)) if error.is_timeout() => Err(Fault::Silent(PATIENCE)),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Fault::Silent(2 * PATIENCE)),
        }
    }

    /// Asks the server to tell of every change of a table's keys, from now on.
    pub(super) async fn track(&mut self) -> Result<(), Fault> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("CLIENT").arg(&["TRACKING", "ON", "BCAST"]);
        for prefix in [INSTANCES, IDS, SERIAL] {
            pipeline.arg("PREFIX").arg(prefix);
        }
        match self.ask(&mut pipeline).await?.next() {
            Some(Value::Okay) => Ok(()),
            Some(Value::ServerError(error)) => Err(Fault::NoTracking(super::fault::text(&error))),
            _ => Err(Fault::Protocol("CLIENT TRACKING")),
        }
    }

    /// Asks the server about itself.
    pub(super) async fn info(&mut self) -> Result<ServerInfo, Fault> {
        let mut pipeline = redis::pipe();
        queue_info(&mut pipeline);
        take_info(&mut self.ask(&mut pipeline).await?)
    }

    /// Sends commands, or a transaction, and returns the replies in their order. A command that the server
    /// refuses has [`Value::ServerError`] for a reply.
    pub(super) async fn ask(&mut self, pipeline: &mut Pipeline) -> Result<Replies, Fault> {
        match self.ask_within(PATIENCE, pipeline).await? {
            Some(replies) => Ok(replies),
            None => Err(Fault::Protocol("EXEC without WATCH was refused")),
        }
    }

    /// As [`ask`](Self::ask), for a transaction that may have to give way to another: then there is none.
    pub(super) async fn ask_within(
        &mut self,
        patience: Duration,
        pipeline: &mut Pipeline,
    ) -> Result<Option<Replies>, Fault> {
        pipeline.ignore_errors();
        match timeout(patience, pipeline.query_async::<Value>(&mut self.inner)).await {
            Ok(Ok(Value::Array(replies))) => Ok(Some(replies.into_iter())),
            Ok(Ok(Value::Nil)) => Ok(None),
            Ok(Ok(_)) => Err(Fault::Protocol("a pipeline has one reply")),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Fault::Silent(patience)),
        }
    }
}

/// Replies in the order of their commands.
pub(super) type Replies = std::vec::IntoIter<Value>;

/// Appends the commands whose replies [`take_info`] reads.
pub(super) fn queue_info(pipeline: &mut Pipeline) {
    for section in SECTIONS {
        pipeline.cmd("INFO").arg(section);
    }
}

/// Reads the replies to [`queue_info`].
pub(super) fn take_info(replies: &mut Replies) -> Result<ServerInfo, Fault> {
    let mut text = String::new();
    for _ in SECTIONS {
        match replies.next() {
            Some(Value::BulkString(bytes)) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Some(Value::VerbatimString { text: section, .. }) => text.push_str(&section),
            Some(Value::ServerError(error)) => return Err(Fault::of_server(&error)),
            _ => return Err(Fault::Protocol("INFO")),
        }
    }
    Ok(ServerInfo::parse(&text))
}

/// Reads the reply to `GET serial`: 0 for none, and no number for what is none.
pub(super) fn take_serial(replies: &mut Replies) -> Result<Option<u64>, Fault> {
    match replies.next() {
        Some(Value::Nil) => Ok(Some(0)),
        Some(Value::BulkString(bytes)) => {
            let number = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse::<i64>().ok());
            // Counting may begin below zero; here it begins at it.
            Ok(number.map(|number| u64::try_from(number).unwrap_or_default()))
        }
        Some(Value::ServerError(error)) if error.code() == "WRONGTYPE" => Ok(None),
        Some(Value::ServerError(error)) => Err(Fault::of_server(&error)),
        _ => Err(Fault::Protocol("GET")),
    }
}
