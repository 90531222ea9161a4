//! The connections to one server: opened when they are needed, kept when they are whole, never more than
//! agreed.
//!
//! Who finds all of them taken waits in line. A connection comes back only if every reply it owed was read;
//! any other is closed.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::connection::Connection;

/// The connections to one server.
#[derive(Debug)]
pub(crate) struct Pool {
    /// One permit a connection that may be open; waiters are served in the order they came.
    permits: Semaphore,
    /// Connections that nobody uses, the one used last at the end.
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    /// A pool of at most `size` connections, and at least one.
    pub(crate) fn new(size: usize) -> Pool {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        Pool { permits: Semaphore::new(size), idle: Mutex::new(Vec::new()) }
    }

    /// Waits for the right to use a connection.
    pub(crate) async fn enter(&self) -> Slot<'_> {
        // The semaphore is never closed.
        let permit = self.permits.acquire().await.ok();
        Slot { pool: self, connection: None, _permit: permit }
    }

    /// The right to use a connection, if nobody has to be waited for.
    pub(crate) fn try_enter(&self) -> Option<Slot<'_>> {
        let permit = self.permits.try_acquire().ok()?;
        Some(Slot { pool: self, connection: None, _permit: Some(permit) })
    }

    /// An idle connection that the server has not closed: as far as is known, or `surely`.
    fn take_idle(&self, surely: bool) -> Option<Connection> {
        loop {
            let connection = self.lock().pop()?;
            if connection.is_alive(surely) {
                return Some(connection);
            }
        }
    }

    /// Closes idle connections.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A list of connections is whole whatever panicked while it was locked.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to use one connection, and the connection once there is one.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
    /// Given back after the connection: fields are dropped after [`Slot::drop`].
    _permit: Option<SemaphorePermit<'a>>,
}

impl Slot<'_> {
    /// Takes an idle connection; whether there was one. `surely`: one that the server has not closed, as far as
    /// the system knows, for what can't be sent a second time.
    pub(crate) fn reuse(&mut self, surely: bool) -> bool {
        self.connection = self.pool.take_idle(surely);
        self.connection.is_some()
    }

    /// Takes a new connection, and closes the one before.
    pub(crate) fn insert(&mut self, connection: Connection) -> &mut Connection {
        self.connection.insert(connection)
    }

    /// The connection, if there is one.
    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(Connection::is_in_step) {
            self.pool.lock().push(connection);
        }
    }
}
