//! A real memcached on a port of its own, or on a unix socket, which can be stopped, killed, hung, and
//! started again: empty, as memcached always begins.
//!
//! Besides that it can be spoken to in the classic text protocol, by code that owes nothing to the client
//! under test: what that one says it wrote is looked for here.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::forky;
use crate::port::Port;
use crate::process::Process;
use crate::wait::{PATIENCE, eventually};

/// What a server is started with.
#[derive(Debug, Default)]
pub struct MemcachedBuilder {
    options: Vec<String>,
    is_unix: bool,
    is_newer: bool,
}

/// A running server, or one between two lives: its port and its socket stay its own.
#[derive(Debug)]
pub struct Memcached {
    port: Port,
    directory: TempDir,
    options: Vec<String>,
    is_unix: bool,
    is_newer: bool,
    process: Option<Process>,
}

/// A connection to a server, in the text protocol.
pub struct MemcachedClient {
    stream: BufReader<Box<dyn Stream>>,
}

/// TCP or a unix socket.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl MemcachedBuilder {
    /// Adds words to its command line, as `["-I", "2m"]`.
    pub fn option(mut self, words: &[&str]) -> MemcachedBuilder {
        self.options.extend(words.iter().map(|&word| word.to_owned()));
        self
    }

    /// Has it listen on a unix socket, and on no port.
    pub fn unix(mut self) -> MemcachedBuilder {
        self.is_unix = true;
        self
    }

    /// Takes a newer one than Debian's stable release has: at least 1.6.40.
    pub fn newer(mut self) -> MemcachedBuilder {
        self.is_newer = true;
        self
    }

    /// Starts it, and waits until it answers.
    pub fn start(self) -> Memcached {
        let MemcachedBuilder { options, is_unix, is_newer } = self;
        let directory = TempDir::new().expect("a temporary directory");
        let mut memcached =
            Memcached { port: Port::free(), directory, options, is_unix, is_newer, process: None };
        memcached.resume();
        memcached
    }
}

impl Memcached {
    /// Starts a server as memcached is without options.
    pub fn start() -> Memcached {
        Memcached::with().start()
    }

    /// A server to be described further.
    pub fn with() -> MemcachedBuilder {
        MemcachedBuilder::default()
    }

    /// Starts it again where it was, after it was stopped or killed, and waits until it answers.
    pub fn resume(&mut self) {
        assert!(self.process.is_none(), "memcached runs");
        let mut command = match self.is_newer {
            true => forky::program("memcached", "usr/bin/memcached"),
            false => Command::new("memcached"),
        };
        // Without the user it refuses to run as root; anybody else's is not looked at.
        command.args(["-u", "root", "-t", "2"]).args(&self.options);
        if self.is_unix {
            command.arg("-s").arg(self.socket());
        } else {
            command.args(["-l", "127.0.0.1", "-U", "0", "-p", &self.port.number().to_string()]);
        }
        self.process = Some(Process::start(&mut command));
        eventually("memcached answers", || {
            let process = self.process.as_mut().expect("it was just started");
            assert!(process.is_running(), "memcached ended:\n{}", process.stderr());
            let id = process.id();
            let answer = self.try_connect().and_then(|mut client| client.try_run("stats")).ok()?;
            // Whoever else may hold the port for a moment isn't it. One that wants a password says so.
            (!answer.starts_with("STAT pid ") || answer == format!("STAT pid {id}")).then_some(())
        });
    }

    /// The port it listens on, or would, unless it is on a unix socket.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The unix socket it listens on, if it was asked to.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Its address as the router takes it.
    pub fn url(&self) -> String {
        match self.is_unix {
            true => format!("memcached+unix://{}", self.socket().display()),
            false => format!("memcached://{}", self.address()),
        }
    }

    /// Opens a connection to it.
    pub fn connect(&self) -> MemcachedClient {
        self.try_connect().unwrap_or_else(|error| panic!("{}: {error}", self.url()))
    }

    /// Opens a connection to it, if it takes one.
    pub fn try_connect(&self) -> io::Result<MemcachedClient> {
        let stream: Box<dyn Stream> = if self.is_unix {
            let stream = UnixStream::connect(self.socket())?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Box::new(stream)
        } else {
            let stream = TcpStream::connect_timeout(&self.address(), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Box::new(stream)
        };
        Ok(MemcachedClient { stream: BufReader::new(stream) })
    }

    /// The value of a key, without its flags, on a connection of its own.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.connect().get(key).map(|(value, _)| value)
    }

    /// Writes a value, on a connection of its own.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) {
        self.connect().set(key, value.as_ref(), 0, 0);
    }

    /// Its process.
    ///
    /// # Panics
    /// When it doesn't run.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("memcached runs")
    }

    /// Ends it by SIGTERM.
    pub fn stop(&mut self) {
        let process = self.process.take().expect("memcached runs");
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
        let tasks = format!("/proc/{}/task", self.process().id());
        // The signal reaches one thread after the other, and those that run may still answer.
        eventually("memcached's threads have stopped", || {
            let mut threads = std::fs::read_dir(&tasks).expect("the threads of a child");
            let is_stopped = |status: String| status.contains("State:\tT");
            threads
                .all(|thread| {
                    let status = thread.expect("a thread's folder").path().join("status");
                    std::fs::read_to_string(status).is_ok_and(is_stopped)
                })
                .then_some(())
        });
    }

    /// Lets it go on (SIGCONT).
    pub fn unhang(&mut self) {
        self.process().signal(Signal::CONT);
    }
}

impl MemcachedClient {
    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("memcached reads");
    }

    /// Reads a line, and returns it without its end.
    pub fn line(&mut self) -> String {
        self.try_line().expect("memcached answers")
    }

    fn try_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let whole = line.strip_suffix("\r\n").map(str::to_owned);
        whole
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, format!("{line:?} is no whole line")))
    }

    fn try_run(&mut self, command: &str) -> io::Result<String> {
        self.stream.get_mut().write_all(format!("{command}\r\n").as_bytes())?;
        self.try_line()
    }

    /// Sends a command whose answer is one line, and returns that.
    pub fn run(&mut self, command: &str) -> String {
        self.try_run(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// A key's value and flags.
    pub fn get(&mut self, key: &str) -> Option<(Vec<u8>, u32)> {
        let head = self.run(&format!("get {key}"));
        if head == "END" {
            return None;
        }
        let words: Vec<&str> = head.split(' ').collect();
        let ["VALUE", found, flags, length] = words[..] else { panic!("get {key}: {head}") };
        assert_eq!(found, key);
        let length: usize = length.parse().expect("a length");
        let mut value = vec![0; length + 2];
        self.stream.read_exact(&mut value).expect("a whole value");
        value.truncate(length);
        assert_eq!(self.line(), "END");
        Some((value, flags.parse().expect("flags")))
    }

    /// Writes a value.
    pub fn set(&mut self, key: &str, value: &[u8], flags: u32, ttl: u32) {
        let head = format!("set {key} {flags} {ttl} {}\r\n", value.len());
        self.send([head.as_bytes(), value, b"\r\n"].concat());
        assert_eq!(self.line(), "STORED", "set {key}");
    }

    /// What `stats` with these words says.
    pub fn stats(&mut self, words: &str) -> BTreeMap<String, String> {
        self.send(format!("stats {words}").trim_end().to_owned() + "\r\n");
        let mut stats = BTreeMap::new();
        loop {
            let line = self.line();
            if line == "END" {
                return stats;
            }
            let (name, value) = line
                .strip_prefix("STAT ")
                .and_then(|stat| stat.split_once(' '))
                .unwrap_or_else(|| panic!("stats {words}: {line}"));
            stats.insert(name.to_owned(), value.to_owned());
        }
    }
}
