//! Ports for servers under test: free, below the range the kernel takes outgoing ports from (so that no
//! connection can occupy one between two lives of a server), and claimed against other test processes.

use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};

use crate::random::Random;

/// Where to look. The kernel's own range begins at 32768.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// A loopback port that no other test has, for as long as this value lives. Nothing listens on it.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// An abstract socket named after the port: exclusive on the machine, and gone with the process.
    _claim: UnixListener,
}

impl Port {
    /// Claims a free port.
    pub fn free() -> Port {
        // Always a random start, whatever seed a test repeats: processes must not all begin at one place.
        let start = Random::unseeded().below(RANGE.len()) as u16;
        (0..RANGE.len() as u16)
            .map(|step| RANGE.start + (start + step) % RANGE.len() as u16)
            .find_map(Port::claim)
            .expect("a free port on loopback")
    }

    fn claim(number: u16) -> Option<Port> {
        let name = format!("waypost-tests-port-{number}");
        let address = UnixAddr::from_abstract_name(name).expect("a short name is a valid one");
        let claim = UnixListener::bind_addr(&address).ok()?;
        // Whoever does not know of claims shows when binding.
        TcpListener::bind(("127.0.0.1", number)).ok()?;
        Some(Port { number, _claim: claim })
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The port on 127.0.0.1.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_port_is_not_given_twice() {
        let first = Port::free();
        assert!(Port::claim(first.number()).is_none());
        let number = first.number();
        drop(first);
        assert!(Port::claim(number).is_some());
    }

    #[test]
    fn a_port_in_use_is_not_given() {
        let port = Port::free();
        let number = port.number();
        let listener = TcpListener::bind(port.address()).unwrap();
        drop(port);
        assert!(Port::claim(number).is_none());
        drop(listener);
    }
}
