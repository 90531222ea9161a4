//! The Redis table against real servers.

mod away;
mod changes;
mod following;
mod server;

use std::path::Path;
use std::sync::Arc;

use server::{Server, eventually};
use waypost_table::{Entry, RedisTable, TableStore};

/// A table that follows a server, with its data directory.
struct Router {
    store: RedisTable,
    data: tempfile::TempDir,
}

impl Router {
    fn follow(server: &Server) -> Router {
        Router::follow_url(&server.url())
    }

    fn follow_url(url: &str) -> Router {
        let data = tempfile::tempdir().unwrap();
        let store = RedisTable::follow(&server::address(url), data.path()).unwrap();
        Router { store, data }
    }

    /// Stops and starts again with what it has on disk.
    fn restarted(self, url: &str) -> Router {
        let Router { store, data } = self;
        drop(store);
        let store = RedisTable::follow(&server::address(url), data.path()).unwrap();
        Router { store, data }
    }

    fn data(&self) -> &Path {
        self.data.path()
    }

    fn entry(&self, host: &str) -> Option<Entry> {
        self.store.table().snapshot().get(host).map(|entry| entry.to_entry())
    }

    /// The members of a host as texts.
    fn members(&self, host: &str) -> Vec<String> {
        let entry = self.entry(host);
        entry
            .map(|entry| entry.view().members().map(|member| member.to_string()).collect())
            .unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.store.table().snapshot().len()
    }

    /// Waits until a host has these members.
    fn has(&self, host: &str, members: &[&str]) {
        eventually(&format!("{host} is {members:?}, not {:?}", self.members(host)), || {
            self.members(host) == members
        });
    }

    fn status(&self) -> waypost_table::TableStatus {
        self.store.table().status()
    }

    fn store(&self) -> Arc<waypost_table::Table> {
        Arc::clone(self.store.table())
    }
}
