//! The floor of the benchmark: bytes from a client to an upstream and back, with no idea of what they
//! mean. Each client's connection has one of its own to the upstream for as long as it lasts. A proxy on
//! readiness-based I/O can't do with fewer system calls, so what it costs above this is its own work.

#![forbid(unsafe_code)]

use std::net::SocketAddr;

use clap::Parser;
use tokio::net::TcpStream;
use waypost_bench::{Upstreams, accept, connect, listen, run};

/// Relays TCP connections.
#[derive(Parser)]
struct Arguments {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// Where to connect to; taken in turn when given several times
    #[arg(long)]
    upstream: Vec<SocketAddr>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    run(async move {
        let upstreams = Upstreams::new(arguments.upstream)?;
        let listener = listen(arguments.listen).await?;
        loop {
            let (client, _) = accept(&listener).await?;
            tokio::task::spawn_local(relay(client, upstreams.next()));
        }
    })
}

/// Relays one connection. When either side fails, both are closed: the load generator counts that.
async fn relay(mut client: TcpStream, address: SocketAddr) {
    if let Ok(mut upstream) = connect(address).await {
        let _closed = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
    }
}
