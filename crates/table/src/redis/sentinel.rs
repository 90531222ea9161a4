//! Asking Sentinels which server is the master.

use waypost_store::redis::{Endpoint, NoMaster, RedisAddress, master};

use super::connection::PATIENCE;
use super::fault::Fault;

/// The server that an address means now: its own, or the master that the first Sentinel to answer names.
pub(super) async fn resolve(address: &RedisAddress) -> Result<Endpoint, Fault> {
    let found = master(address, PATIENCE).await;
    found.map_err(|NoMaster { master, detail }| Fault::NoMaster { master, detail })
}
