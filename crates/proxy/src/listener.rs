//! Sockets to listen on, one a worker.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel holds until they are accepted, a socket.
const BACKLOG: i32 = 4096;

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {}", explain(.error))]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub error: io::Error,
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there; stop it, or name another address with --listen".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); name a higher port with --listen"
                .to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address".to_owned(),
        _ => error.to_string(),
    }
}

/// Opens one socket a worker on an address. Port 0 is one free port, the same for all.
pub(crate) fn listen(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, ListenError> {
    let failed = |error| ListenError { address, error };
    // Sockets that share their port would share it with another program's just as well: see first
    // whether it can be had alone.
    let probe = socket(address, false).map_err(failed)?;
    let address = probe.local_addr().map_err(failed)?;
    drop(probe);
    (0..workers)
        .map(|_| {
            let listener = socket(address, true).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            Ok(listener)
        })
        .collect()
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}
