//! Asking Sentinels which server is the master.

use super::connection::Connection;
use super::fault::Fault;
use super::stored::bytes;
use redis::Value;
use waypost_store::redis::{Credentials, Endpoint, Place, RedisAddress};

/// The server that an address means now: its own, or the master that the first Sentinel to answer names.
pub(super) async fn resolve(address: &RedisAddress) -> Result<Endpoint, Fault> {
    let (sentinels, master, credentials) = match &address.place {
        Place::Server(endpoint) => return Ok(endpoint.clone()),
        Place::Sentinel { sentinels, master, credentials } => (sentinels, master, credentials),
    };
    let mut detail = String::new();
    for sentinel in sentinels {
        match ask(sentinel, credentials, master).await {
            Ok(Some(endpoint)) => return Ok(endpoint),
            Ok(None) => detail = format!("{sentinel} does not know it"),
            Err(fault) => detail = format!("{sentinel}: {fault}"),
        }
    }
    Err(Fault::NoMaster { master: master.clone(), detail })
}

async fn ask(
    sentinel: &Endpoint,
    credentials: &Credentials,
    master: &str,
) -> Result<Option<Endpoint>, Fault> {
    let mut connection = Connection::to_sentinel(sentinel, credentials).await?;
    let mut pipeline = redis::pipe();
    pipeline.cmd("SENTINEL").arg("get-master-addr-by-name").arg(master);
    let reply = connection.ask(&mut pipeline).await?.next();
    let wrong = Fault::Protocol("SENTINEL get-master-addr-by-name");
    let parts = match reply {
        Some(Value::Nil) => return Ok(None),
        Some(Value::Array(parts)) => parts,
        Some(Value::ServerError(error)) => return Err(Fault::of_server(&error)),
        _ => return Err(wrong),
    };
    let texts: Vec<String> =
        parts.into_iter().filter_map(|part| String::from_utf8(bytes(part)?).ok()).collect();
    match texts.as_slice() {
        [host, port] => {
            let port = port.parse().map_err(|_| wrong)?;
            Ok(Some(Endpoint { host: host.clone(), port }))
        }
        _ => Err(wrong),
    }
}
