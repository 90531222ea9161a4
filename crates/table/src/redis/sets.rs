//! Plain sets of a server: what makes up workspaces, applications and versions. The calls block.

use redis::Value;

use crate::store::StoreError;

use super::connection::Connection;
use super::fault::Fault;
use super::sentinel::resolve;
use super::stored::bytes;
use super::writer::connect_to_master;
use waypost_store::redis::RedisAddress;

/// Adds each member to the set of its key, all of them or none, and says how many were not there yet.
///
/// # Errors
/// If the server can't be reached, or refuses; a key that holds no set is one reason.
pub fn add_to_sets(address: &RedisAddress, members: &[(String, String)]) -> Result<usize, StoreError> {
    wait_for(address, add(address, members))
}

/// The members of a set that are text, sorted; none for one that does not exist.
///
/// # Errors
/// If the server can't be reached, or refuses.
pub fn set_members(address: &RedisAddress, key: &str) -> Result<Vec<String>, StoreError> {
    wait_for(address, members(address, key))
}

fn wait_for<T: Send>(
    address: &RedisAddress,
    work: impl Future<Output = Result<T, Fault>> + Send,
) -> Result<T, StoreError> {
    let failed = |fault: Fault| StoreError::Remote { store: address.to_string(), detail: fault.to_string() };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(Fault::Setup(error.to_string())))?;
    // A runtime can't be waited for on the thread of another.
    std::thread::scope(|scope| {
        let working = scope.spawn(|| runtime.block_on(work));
        working.join().unwrap_or(Err(Fault::Protocol("a set")))
    })
    .map_err(failed)
}

async fn members(address: &RedisAddress, key: &str) -> Result<Vec<String>, Fault> {
    let mut connection = Connection::open(address, &resolve(address).await?, None).await?;
    let mut pipeline = redis::pipe();
    pipeline.cmd("SMEMBERS").arg(key);
    let members = match connection.ask(&mut pipeline).await?.next() {
        Some(Value::Array(members) | Value::Set(members)) => members,
        Some(Value::ServerError(error)) => return Err(Fault::of_server(&error)),
        _ => return Err(Fault::Protocol("SMEMBERS")),
    };
    let mut members: Vec<String> =
        members.into_iter().filter_map(|member| String::from_utf8(bytes(member)?).ok()).collect();
    members.sort_unstable();
    Ok(members)
}

async fn add(address: &RedisAddress, members: &[(String, String)]) -> Result<usize, Fault> {
    if members.is_empty() {
        return Ok(0);
    }
    let mut connection = connect_to_master(address).await?;
    let mut pipeline = redis::pipe();
    for (key, _) in members {
        pipeline.cmd("TYPE").arg(key);
    }
    for ((key, _), kind) in members.iter().zip(connection.ask(&mut pipeline).await?) {
        match kind {
            Value::SimpleString(kind) if kind == "set" || kind == "none" => {}
            Value::ServerError(error) => return Err(Fault::of_server(&error)),
            _ => return Err(Fault::Refused(format!("its key {key} is not a set: nothing was added"))),
        }
    }
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    for (key, member) in members {
        pipeline.cmd("SADD").arg(key).arg(member);
    }
    let mut new = 0;
    for reply in connection.ask(&mut pipeline).await? {
        match reply {
            Value::Int(count) => new += usize::try_from(count).unwrap_or_default(),
            Value::ServerError(error) => return Err(Fault::of_server(&error)),
            _ => return Err(Fault::Protocol("SADD")),
        }
    }
    Ok(new)
}
