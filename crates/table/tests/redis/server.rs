//! Real servers for these tests: each in a directory of its own, on a free port, ended when it is dropped.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use redis::{Connection, ConnectionLike};
use waypost_table::RedisAddress;

/// How long anything may take that is waited for.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < DEADLINE, "not in {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port that nobody listens on, below those the system hands out.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at the same time begin at different places.
    let start = 15_000 + (std::process::id() % 150) as u16 * 100;
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed) % 2000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A server that runs, or ran.
pub(crate) struct Server {
    pub(crate) port: u16,
    directory: tempfile::TempDir,
    options: Vec<String>,
    is_sentinel: bool,
    process: Option<Child>,
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::start_with(&[])
    }

    /// Starts a server with these words of configuration on its command line.
    pub(crate) fn start_with(options: &[&str]) -> Server {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let directory = tempfile::tempdir().unwrap();
        let mut server = Server { port: free_port(), directory, options, is_sentinel: false, process: None };
        server.resume();
        server
    }

    pub(crate) fn replica_of(master: &Server) -> Server {
        let replica = Server::start_with(&[
            "--replicaof",
            &format!("127.0.0.1 {}", master.port),
            "--repl-diskless-sync-delay",
            "0",
        ]);
        eventually("the replica is linked", || replica.info("replication").contains("master_link_status:up"));
        replica
    }

    /// Starts a Sentinel that watches these masters by name.
    pub(crate) fn sentinel(masters: &[(&str, u16)], quorum: u32) -> Server {
        let port = free_port();
        let directory = tempfile::tempdir().unwrap();
        let mut text = format!("port {port}\nbind 127.0.0.1\n");
        for (name, at) in masters {
            text.push_str(&format!(
                "sentinel monitor {name} 127.0.0.1 {at} {quorum}\nsentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 3000\n"
            ));
        }
        fs::write(directory.path().join("sentinel.conf"), text).unwrap();
        let mut server = Server { port, directory, options: Vec::new(), is_sentinel: true, process: None };
        server.resume();
        server
    }

    /// More words of configuration for the next start.
    pub(crate) fn option(&mut self, words: &[&str]) {
        self.options.extend(words.iter().map(|&word| word.to_owned()));
    }

    /// Starts it again where it was.
    pub(crate) fn resume(&mut self) {
        let mut command = Command::new(program());
        if self.is_sentinel {
            command.args(["sentinel.conf", "--sentinel"]);
        } else {
            let port = self.port.to_string();
            command.args([
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--enable-debug-command",
                "yes",
            ]);
            command.args(&self.options);
        }
        let log = fs::File::create(self.directory.path().join("log")).unwrap();
        let child = command.current_dir(self.directory.path()).stdout(Stdio::from(log)).spawn();
        self.process = Some(child.expect("redis-server is installed"));
        eventually("the server listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Sends a signal to it.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn address(&self) -> RedisAddress {
        address(&self.url())
    }

    pub(crate) fn connect(&self) -> Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// Runs one command, words parted by spaces, and returns its reply.
    pub(crate) fn run(&self, command: &str) -> redis::Value {
        run(&mut self.connect(), command)
    }

    pub(crate) fn info(&self, section: &str) -> String {
        redis::cmd("INFO").arg(section).query(&mut self.connect()).unwrap_or_default()
    }

    /// The members of a set, sorted.
    pub(crate) fn set(&self, key: &str) -> Vec<String> {
        let mut members: Vec<String> = redis::cmd("SMEMBERS").arg(key).query(&mut self.connect()).unwrap();
        members.sort();
        members
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Debian keeps servers where users may not look.
fn program() -> PathBuf {
    let known = ["/usr/bin/redis-server", "/usr/sbin/redis-server", "/usr/local/bin/redis-server"];
    known.map(PathBuf::from).into_iter().find(|path| path.exists()).unwrap_or_else(|| "redis-server".into())
}

pub(crate) fn run(connection: &mut dyn ConnectionLike, command: &str) -> redis::Value {
    let mut words = command.split(' ');
    let mut packed = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        packed.arg(word);
    });
    packed.query(connection).unwrap_or_else(|error| panic!("{command}: {error}"))
}

pub(crate) fn address(text: &str) -> RedisAddress {
    RedisAddress::parse(text).unwrap().unwrap()
}
