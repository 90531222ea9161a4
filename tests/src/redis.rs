//! A real Redis server on a port of its own, which can be stopped, killed, hung, and started again with its
//! data or without.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::netns::Namespace;
use crate::port::Port;
use crate::process::Process;
use crate::resp::{RedisClient, Reply, RespError};
use crate::wait::{PATIENCE, eventually};

/// What a server is started with.
#[derive(Debug, Default)]
pub struct RedisBuilder {
    options: Vec<String>,
    namespace: Option<Arc<Namespace>>,
}

/// A running server, or one between two lives: its port and its directory stay its own.
#[derive(Debug)]
pub struct Redis {
    port: Port,
    directory: TempDir,
    options: Vec<String>,
    namespace: Option<Arc<Namespace>>,
    process: Option<Process>,
}

impl RedisBuilder {
    /// Sets an option of the configuration, with its values.
    pub fn option(mut self, name: &str, values: &[&str]) -> RedisBuilder {
        self.options.push(format!("--{name}"));
        self.options.extend(values.iter().map(|value| (*value).to_owned()));
        self
    }

    /// Keeps every acknowledged write, also when the server is killed.
    pub fn durable(self) -> RedisBuilder {
        self.option("appendonly", &["yes"]).option("appendfsync", &["no"])
    }

    /// Makes it a replica.
    pub fn replica_of(self, master: &Redis) -> RedisBuilder {
        let (host, port) = (master.address().ip().to_string(), master.address().port().to_string());
        self.option("replicaof", &[&host, &port])
    }

    /// Runs it in a network namespace.
    pub fn inside(mut self, namespace: &Arc<Namespace>) -> RedisBuilder {
        self.namespace = Some(Arc::clone(namespace));
        self
    }

    /// Starts it, and waits until it answers.
    pub fn start(self) -> Redis {
        let RedisBuilder { options, namespace } = self;
        let directory = TempDir::new().expect("a temporary directory");
        let mut redis = Redis { port: Port::free(), directory, options, namespace, process: None };
        redis.resume();
        redis
    }
}

impl Redis {
    /// Starts an empty server that keeps nothing on disk.
    pub fn start() -> Redis {
        Redis::with().start()
    }

    /// A server to be described further.
    pub fn with() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// Starts it again, after it was stopped or killed, on the same port, with what it kept on disk, and
    /// waits until it has loaded that.
    pub fn resume(&mut self) {
        self.launch();
        self.await_answer(
            |answer| matches!(answer, Err(RespError::Refused(error)) if error.starts_with("LOADING")),
        );
    }

    /// The same, and waits only until it says anything at all, which may be that it loads its data.
    pub fn resume_loading(&mut self) {
        self.launch();
        self.await_answer(|_| false);
    }

    /// Waits for an answer to a PING that isn't `too_soon`. That it asks for a password is one too.
    fn await_answer(&mut self, too_soon: impl Fn(&Result<Reply, RespError>) -> bool) {
        eventually("Redis answers", || {
            let process = self.process.as_mut().expect("it was just started");
            assert!(process.is_running(), "Redis ended:\n{}", process.stdout());
            let answer = RedisClient::connect(self.address(), PATIENCE).ok()?.try_run(&["PING"]);
            let none = matches!(answer, Err(RespError::Connection(_)));
            (!none && !too_soon(&answer)).then_some(())
        });
    }

    /// Starts it again without what it kept on disk.
    pub fn resume_empty(&mut self) {
        assert!(self.process.is_none(), "Redis runs");
        let empty = TempDir::new().expect("a temporary directory");
        self.directory = empty;
        self.resume();
    }

    fn launch(&mut self) {
        assert!(self.process.is_none(), "Redis runs");
        let mut command = match &self.namespace {
            Some(namespace) => namespace.command("redis-server"),
            None => Command::new("redis-server"),
        };
        let ip = self.address().ip().to_string();
        command.args(["--port", &self.port.number().to_string(), "--bind", &ip]).arg("--dir");
        command.arg(self.directory.path()).args(["--save", "", "--protected-mode", "no"]);
        // A replica is filled as soon as it asks.
        command.args(["--repl-diskless-sync-delay", "0"]).args(&self.options);
        self.process = Some(Process::start(&mut command));
    }

    /// Where it listens, or would.
    pub fn address(&self) -> SocketAddr {
        match &self.namespace {
            Some(namespace) => SocketAddr::new(namespace.inner_address(), self.port.number()),
            None => self.port.address(),
        }
    }

    /// Its address as the router takes it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Opens a connection to it.
    pub fn connect(&self) -> RedisClient {
        self.try_connect(PATIENCE).unwrap_or_else(|error| panic!("{}: {error}", self.address()))
    }

    /// Opens a connection to it, if it takes one.
    pub fn try_connect(&self, patience: Duration) -> Result<RedisClient, RespError> {
        RedisClient::connect(self.address(), patience)
    }

    /// Runs a command that must succeed, on a connection of its own.
    pub fn run(&self, words: &[impl AsRef<[u8]>]) -> Reply {
        self.connect().run(words)
    }

    /// Writes a host's members by hand, without the set of ids and without the serial.
    pub fn sadd(&self, host: &str, members: &[&str]) {
        let key = format!("instances:{host}");
        self.run(&[&["SADD", &key][..], members].concat());
    }

    /// Routes a host to an address, as [`Redis::sadd`] does.
    pub fn route(&self, host: &str, address: SocketAddr) {
        self.sadd(host, &[&address.to_string()]);
    }

    /// Ends every connection of other clients from the server's side.
    pub fn cut_clients(&self) {
        self.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }

    /// Its process.
    ///
    /// # Panics
    /// When it doesn't run.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("Redis runs")
    }

    /// Ends it by SIGTERM.
    pub fn stop(&mut self) {
        let process = self.process.take().expect("Redis runs");
        process.terminate();
        process.wait();
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process().kill();
        self.process = None;
    }

    /// Stops it from doing anything, its connections left open (SIGSTOP).
    pub fn hang(&mut self) {
        self.process().signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn unhang(&mut self) {
        self.process().signal(Signal::CONT);
    }
}
