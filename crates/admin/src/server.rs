//! The listener of the admin API, and its thread. It shares nothing with the workers that serve requests: a
//! million entries being exported, or a client that never finishes its head, is its own matter. Connections
//! are few and bounded, and each must send its requests' heads in time.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, oneshot};

use crate::state::Admin;

/// So many connections are open at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 256;

/// How long a client may take to send a request's head; also how long a connection may stand idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long requests in flight may take when the API stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Threads for what blocks: changes that wait for the disk, imports, exports, checks.
const BLOCKING_THREADS: usize = 32;

/// Why the API can't listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has the port.
    #[error("the admin address {0} is in use by another program: stop it, or choose another with --admin")]
    InUse(SocketAddr),
    /// The system refuses.
    #[error("can't listen on the admin address {address}: {source}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
}

/// The API's socket, taken and not yet served.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl AdminServer {
    /// Takes the socket. Port 0 takes any that is free.
    ///
    /// # Errors
    /// If the address is in use, or not this machine's.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let bind = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bind().map_err(|source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address),
            _ => BindError::Refused { address, source },
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the API on a thread of its own until it is stopped.
    ///
    /// # Errors
    /// If the system gives no thread, or no means to wait for sockets.
    pub fn start(self, admin: Admin) -> io::Result<RunningAdmin> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("admin-blocking")
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener)?
        };
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(move || {
            runtime.block_on(serve(listener, admin, stopped));
            // What blocks may go on blocking; it must not hold up the end of the process.
            runtime.shutdown_background();
        })?;
        Ok(RunningAdmin { address: self.address, stop, thread })
    }
}

/// The API while it is served.
#[derive(Debug)]
pub struct RunningAdmin {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl RunningAdmin {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and waits a little for those in flight.
    pub fn stop(self) {
        // Neither can fail but for a thread that has ended already.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

async fn serve(listener: tokio::net::TcpListener, admin: Admin, mut stopped: oneshot::Receiver<()>) {
    let service = TowerToHyperService::new(admin.into_service());
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    loop {
        let accept = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            accepted = accept => match accepted {
                (place, Ok((stream, _))) => (place, stream),
                (_, Err(error)) => {
                    // Out of descriptors, most likely: it passes, but not at once.
                    tracing::warn!(%error, "the admin API could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = &mut stopped => break,
        };
        // Answers are small and written whole; without this the last part of one may wait for an acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "an admin connection keeps its delay");
        }
        let connection = builder.serve_connection(TokioIo::new(stream), service.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an admin connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("admin requests were still in flight when the API stopped");
    }
}
