//! Three real Sentinels that watch a master with two replicas, all on loopback.

use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use crate::port::Port;
use crate::process::Process;
use crate::redis::Redis;
use crate::resp::{RedisClient, Reply};
use crate::wait::{PATIENCE, eventually};

/// The master's name among the Sentinels.
const MASTER: &str = "routes";

/// The Sentinels and the servers they watch.
#[derive(Debug)]
pub struct Sentinels {
    /// The servers: the first was the master to begin with.
    pub servers: Vec<Redis>,
    sentinels: Vec<Sentinel>,
}

#[derive(Debug)]
struct Sentinel {
    port: Port,
    /// Its configuration, which it rewrites as things change.
    _directory: TempDir,
    _process: Process,
}

impl Sentinels {
    /// Starts all of them, and waits until each Sentinel knows of the others and of both replicas.
    pub fn start() -> Sentinels {
        let durable = || Redis::with().durable();
        let master = durable().start();
        let replicas = [0; 2].map(|_| durable().replica_of(&master).start());
        let sentinels = (0..3).map(|_| Sentinel::start(master.address())).collect();
        let all = Sentinels { servers: [master].into_iter().chain(replicas).collect(), sentinels };
        for sentinel in &all.sentinels {
            eventually("each Sentinel knows of everyone", || {
                let state = sentinel.ask(&["SENTINEL", "MASTER", MASTER])?;
                let field = |name: &str| {
                    let at = state.items().iter().position(|item| item.text().as_deref() == Some(name))?;
                    state.items()[at + 1].text()
                };
                let known = field("num-slaves")? == "2" && field("num-other-sentinels")? == "2";
                (known && field("flags")? == "master").then_some(())
            });
        }
        all
    }

    /// The address by which the router finds the master.
    pub fn url(&self) -> String {
        let addresses: Vec<String> =
            self.sentinels.iter().map(|sentinel| sentinel.port.address().to_string()).collect();
        format!("redis+sentinel://{}/{MASTER}", addresses.join(","))
    }

    /// Which of the servers the Sentinels take for the master, if all of them agree.
    pub fn master(&self) -> Option<usize> {
        let mut named = self.sentinels.iter().map(|sentinel| {
            let reply = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER])?;
            let [host, port] = reply.items() else { return None };
            format!("{}:{}", host.text()?, port.text()?).parse::<SocketAddr>().ok()
        });
        let first = named.next()??;
        if !named.all(|another| another == Some(first)) {
            return None;
        }
        self.servers.iter().position(|server| server.address() == first)
    }

    /// Tells a Sentinel to make another server the master, though this one lives.
    pub fn force_failover(&self) {
        eventually("a Sentinel begins a failover", || {
            self.sentinels[0].ask(&["SENTINEL", "FAILOVER", MASTER])
        });
    }

    /// Waits until another server than `old` is the master and takes writes.
    pub fn await_other_master(&self, old: usize) -> usize {
        eventually("a failover", || {
            let master = self.master().filter(|master| *master != old)?;
            let role = self.servers[master].try_connect(PATIENCE).ok()?.try_run(&["ROLE"]).ok()?;
            (role.items()[0].text().as_deref() == Some("master")).then_some(master)
        })
    }
}

impl Sentinel {
    fn start(master: SocketAddr) -> Sentinel {
        let port = Port::free();
        let directory = TempDir::new().expect("a temporary directory");
        let configuration = directory.path().join("sentinel.conf");
        let (ip, master_port) = (master.ip(), master.port());
        let lines = format!(
            "port {}\nbind 127.0.0.1\nprotected-mode no\ndir {}\n\
             sentinel monitor {MASTER} {ip} {master_port} 2\n\
             sentinel down-after-milliseconds {MASTER} 700\n\
             sentinel failover-timeout {MASTER} 5000\n\
             sentinel parallel-syncs {MASTER} 2\n",
            port.number(),
            directory.path().display(),
        );
        std::fs::write(&configuration, lines).expect("a file in a new directory");
        let mut command = Command::new("redis-server");
        let process = Process::start(command.arg(&configuration).arg("--sentinel"));
        Sentinel { port, _directory: directory, _process: process }
    }

    fn ask(&self, words: &[&str]) -> Option<Reply> {
        RedisClient::connect(self.port.address(), PATIENCE).ok()?.try_run(words).ok()
    }
}
