//! Questions to the servers themselves, all of them at the same time, each with an answer of its own.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use super::Client;
use crate::error::Error;
use crate::protocol::{Reply, Request};

/// An answer of each server, with the server's name, in the order of the address.
pub type OfServers<T> = Vec<(Arc<str>, Result<T, Error>)>;

impl Client {
    /// The servers' versions.
    ///
    /// # Errors
    /// Of each server on its own.
    pub async fn version(&self) -> OfServers<String> {
        let version = |reply| if let Reply::Version(version) = reply { version } else { String::new() };
        self.ask_servers(Request::Version, version).await
    }

    /// The servers' statistics: all of them, or those of an `argument` such as `settings` or `slabs`.
    ///
    /// # Errors
    /// [`Error::Refused`] when a server doesn't know the argument; else of each server on its own.
    pub async fn stats(&self, argument: Option<&str>) -> OfServers<Vec<(String, String)>> {
        // It ends up on a line of the protocol: words, and nothing that ends the line.
        let words = |text: &str| text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) && text.len() <= 100;
        if !argument.is_none_or(|text| words(text) && !text.trim().is_empty()) {
            let error = Error::Configuration("a word is expected behind stats, such as settings".to_owned());
            let servers = self.shared.servers.iter();
            return servers.map(|server| (server.name().clone(), Err(error.clone()))).collect();
        }
        let argument = argument.map(|text| Bytes::copy_from_slice(text.trim().as_bytes()));
        let stats = |reply| if let Reply::Stats(stats) = reply { stats } else { Vec::new() };
        self.ask_servers(Request::Stats { argument }, stats).await
    }

    /// Makes all servers forget all items, now or after `delay` seconds.
    ///
    /// # Errors
    /// Of each server on its own.
    pub async fn flush(&self, delay: Option<u32>) -> OfServers<()> {
        self.ask_servers(Request::Flush { delay }, |_| ()).await
    }

    async fn ask_servers<T>(&self, request: Request, read: impl Fn(Reply) -> T) -> OfServers<T> {
        let deadline = self.shared.deadline();
        let (request, read) = (&request, &read);
        let asked = self.shared.servers.iter().map(|server| async move {
            (server.name().clone(), server.ask(request, deadline).await.map(read))
        });
        join_all(asked).await
    }
}
