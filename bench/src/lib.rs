//! What the three programs of the benchmark have in common: one thread, a listener, and a choice of
//! upstream. They are measuring instruments, started by `bench/run.py`; nothing here is part of the
//! router, and none of it is hardened against hostile peers.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{LocalOptions, LocalRuntime};

/// Runs a program on a runtime of one thread, as each of the router's workers runs.
///
/// # Errors
/// When the runtime can't be made, and whatever the program fails with.
pub fn run<F: Future<Output = anyhow::Result<()>>>(program: F) -> anyhow::Result<()> {
    let runtime: LocalRuntime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .context("could not start the runtime")?;
    runtime.block_on(program)
}

/// Listens on `address`.
///
/// # Errors
/// When the address can't be had.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("could not listen on {address}"))
}

/// Accepts the next connection, which sends without delay.
///
/// # Errors
/// When the listener itself fails.
pub async fn accept(listener: &TcpListener) -> anyhow::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await.context("could not accept a connection")?;
    stream.set_nodelay(true).context("could not set TCP_NODELAY")?;
    Ok((stream, peer))
}

/// Connects to `address`, without delay in sending.
///
/// # Errors
/// As the system's `connect`.
pub async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The servers behind a proxy, taken in turn.
#[derive(Debug)]
pub struct Upstreams {
    addresses: Vec<SocketAddr>,
    next: Cell<usize>,
}

impl Upstreams {
    /// Takes turns among `addresses`.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(addresses: Vec<SocketAddr>) -> anyhow::Result<Self> {
        anyhow::ensure!(!addresses.is_empty(), "no upstream given: say --upstream ADDRESS");
        Ok(Self { addresses, next: Cell::new(0) })
    }

    /// The one whose turn it is.
    pub fn next(&self) -> SocketAddr {
        let turn = self.next.get();
        self.next.set(turn.wrapping_add(1));
        self.addresses[turn % self.addresses.len()]
    }
}
