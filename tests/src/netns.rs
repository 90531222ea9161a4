//! A network namespace joined to ours by a pair of virtual interfaces, so that a server in it can be cut off
//! without a reset: packets are lost, and neither side is told.
//!
//! It needs the right to make one (CAP_SYS_ADMIN and CAP_NET_ADMIN; root has both) and the programs `unshare`,
//! `nsenter` and `ip`. Where one of them is missing the test fails and says which.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::Arc;

use crate::port::Port;
use crate::process::Process;
use crate::wait::eventually;

/// A namespace with a link to it. Both are gone when the value is dropped.
#[derive(Debug)]
pub struct Namespace {
    /// Holds the namespace; programs are started beside it.
    holder: Process,
    /// The interface's name outside; inside it is `inner`.
    outer: String,
    address: Ipv4Addr,
    /// What makes names and addresses differ from those of other tests that run now.
    _number: Port,
}

impl Namespace {
    /// Makes one, its link up.
    ///
    /// # Panics
    /// Where it can't, with what is missing.
    pub fn create() -> Arc<Namespace> {
        let number = Port::free();
        let holder = Process::start(Command::new("unshare").args(["--net", "sleep", "infinity"]));
        let outer = format!("waypost{}", number.number());
        // Four addresses each of 198.18.0.0/15, which is set apart for tests (RFC 2544): nobody routes it.
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + 4 * u32::from(number.number());
        let [near, far] = [base + 1, base + 2].map(Ipv4Addr::from);
        let mut namespace = Namespace { holder, outer, address: far, _number: number };
        namespace.await_own_network();
        let (outer, id) = (namespace.outer.clone(), namespace.holder.id().to_string());
        ip(&["link", "add", &outer, "type", "veth", "peer", "name", "inner", "netns", &id]);
        ip(&["address", "add", &format!("{near}/30"), "dev", &outer]);
        ip(&["link", "set", &outer, "up"]);
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace.ip(&["address", "add", &format!("{far}/30"), "dev", "inner"]);
        namespace.join();
        Arc::new(namespace)
    }

    /// Waits until the holder has left our namespace for its own.
    fn await_own_network(&mut self) {
        let network = |id: &str| fs::read_link(format!("/proc/{id}/ns/net")).ok();
        let ours = network("self");
        eventually("a network namespace of its own", || {
            assert!(
                self.holder.is_running(),
                "`unshare --net` failed, so no network can be cut: this test needs root (CAP_SYS_ADMIN and \
                 CAP_NET_ADMIN). It said: {}",
                self.holder.stderr()
            );
            network(&self.holder.id().to_string()).filter(|theirs| Some(theirs) != ours.as_ref())
        });
    }

    /// The address of whatever runs inside.
    pub fn inner_address(&self) -> IpAddr {
        self.address.into()
    }

    /// A command that runs inside, in the same process that is started.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--net", program]);
        command
    }

    /// Loses every packet from now on, both ways.
    pub fn cut(&self) {
        self.ip(&["link", "set", "inner", "down"]);
    }

    /// Loses none any more.
    pub fn join(&self) {
        self.ip(&["link", "set", "inner", "up"]);
    }

    fn ip(&self, arguments: &[&str]) {
        run(self.command("ip").args(arguments));
    }
}

fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments));
}

fn run(command: &mut Command) {
    let finished = Process::run(command);
    assert_eq!(
        finished.code,
        Some(0),
        "{command:?} failed; it needs root (CAP_NET_ADMIN) and the package iproute2: {}",
        finished.stderr
    );
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::Redis;

    #[test]
    fn a_cut_link_loses_what_is_sent_and_ends_no_connection() {
        let namespace = Namespace::create();
        let redis = Redis::with().inside(&namespace).start();
        let mut stream = TcpStream::connect(redis.address()).unwrap();
        let mut answer = [0; 7];
        stream.write_all(b"PING\r\n").unwrap();
        stream.read_exact(&mut answer).unwrap();
        namespace.cut();
        stream.write_all(b"PING\r\n").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let error = stream.read_exact(&mut answer).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
        namespace.join();
        stream.set_read_timeout(Some(crate::PATIENCE)).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+PONG\r\n");
    }
}
