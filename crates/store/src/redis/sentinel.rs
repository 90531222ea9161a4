//! Asking Sentinels which server is the master.

use std::time::Duration;

use redis::{AsyncConnectionConfig, ProtocolVersion};
use tokio::time::timeout;

use super::address::{Credentials, Endpoint, Place, RedisAddress};
use super::client::client;

/// None of the Sentinels could name the master.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no sentinel names the master '{master}': {detail}")]
pub struct NoMaster {
    /// The name that was asked for.
    pub master: String,
    /// What became of asking the last one.
    pub detail: String,
}

/// The server that an address means now: its own, or the master that the first Sentinel to answer names. Each
/// may take as long as `patience`.
///
/// # Errors
/// If none of them names it.
pub async fn master(address: &RedisAddress, patience: Duration) -> Result<Endpoint, NoMaster> {
    let (sentinels, master, credentials) = match &address.place {
        Place::Server(endpoint) => return Ok(endpoint.clone()),
        Place::Sentinel { sentinels, master, credentials } => (sentinels, master, credentials),
    };
    let mut detail = String::new();
    for sentinel in sentinels {
        match timeout(patience, ask(sentinel, credentials, master)).await {
            Ok(Ok(Some(endpoint))) => return Ok(endpoint),
            Ok(Ok(None)) => detail = format!("{sentinel} does not know it"),
            Ok(Err(error)) => detail = format!("{sentinel}: {error}"),
            Err(_) => detail = format!("{sentinel} has not answered for {patience:?}"),
        }
    }
    Err(NoMaster { master: master.clone(), detail })
}

async fn ask(
    sentinel: &Endpoint,
    credentials: &Credentials,
    master: &str,
) -> Result<Option<Endpoint>, String> {
    let client = client(sentinel, credentials, 0, None, ProtocolVersion::RESP2)?;
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    let mut connection = connection.map_err(|error| error.to_string())?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(master);
    let found: Option<(String, u16)> =
        command.query_async(&mut connection).await.map_err(|error| error.to_string())?;
    Ok(found.map(|(host, port)| Endpoint { host, port }))
}
