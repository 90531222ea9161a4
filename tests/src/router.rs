//! The router under test: the real program, on free ports, with a directory of its own.
//!
//! The program is the one `WAYPOST_BIN` names; without that it is built, once a process, in the profile and
//! the target directory of the tests themselves.

use std::ffi::OsStr;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::Client;
use crate::message::Response;
use crate::port::Port;
use crate::process::{Finished, Process};
use crate::upstream::Upstream;
use crate::wait::{PATIENCE, eventually};

/// Where the program is; built first if need be.
pub fn program() -> &'static Path {
    // A failure is kept as well: the other tests of this process would only run into it again.
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| match std::env::var_os("WAYPOST_BIN").map(PathBuf::from) {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => Err(format!("WAYPOST_BIN names no file: {}", path.display())),
        None => build(),
    });
    program.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

fn build() -> Result<PathBuf, String> {
    // A test runs as TARGET/PROFILE/deps/NAME.
    let test = std::env::current_exe().expect("the path of the running test");
    let profile = test.ancestors().nth(2).expect("a profile's directory above the test's");
    let target = profile.parent().expect("a target directory above the profile's");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "waypost", "--bin", "waypost", "--target-dir"]).arg(target);
    if profile.file_name() == Some(OsStr::new("release")) {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
    match built.status.success() {
        true => Ok(profile.join("waypost")),
        false => Err(format!("building waypost failed:\n{}", String::from_utf8_lossy(&built.stderr))),
    }
}

/// What a router is started with.
#[derive(Debug, Default)]
pub struct RouterBuilder {
    config: Option<String>,
    arguments: Vec<String>,
}

/// A running router, or one between two lives: its ports and its directory stay its own.
#[derive(Debug)]
pub struct Router {
    http: Port,
    admin: Port,
    directory: TempDir,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl RouterBuilder {
    /// Gives it a configuration file (TOML). Addresses and the data directory come by flags, which win.
    pub fn config(mut self, toml: impl Into<String>) -> RouterBuilder {
        self.config = Some(toml.into());
        self
    }

    /// Adds a flag of `serve`, with its value.
    pub fn flag(mut self, name: &str, value: impl Display) -> RouterBuilder {
        self.arguments.extend([name.to_owned(), value.to_string()]);
        self
    }

    /// Starts it, and waits until it answers.
    pub fn start(self) -> Router {
        let directory = TempDir::new().expect("a temporary directory");
        let mut arguments = self.arguments;
        if let Some(config) = self.config {
            let path = directory.path().join("waypost.toml");
            std::fs::write(&path, config).expect("a file in a new directory");
            arguments.extend(["--config".to_owned(), path.display().to_string()]);
        }
        let mut router =
            Router { http: Port::free(), admin: Port::free(), directory, arguments, process: None };
        router.resume();
        router
    }
}

impl Router {
    /// Starts a router with nothing but its addresses and its directory set.
    pub fn start() -> Router {
        Router::with().start()
    }

    /// A router to be described further.
    pub fn with() -> RouterBuilder {
        RouterBuilder::default()
    }

    /// Starts it again, after it was killed or has ended, on the same ports and data.
    pub fn resume(&mut self) {
        assert!(self.process.is_none(), "the router runs");
        self.process = Some(Process::start(&mut self.serve_command()));
        eventually("the router answers on its admin address", || {
            let process = self.process.as_mut().expect("it was just started");
            assert!(process.is_running(), "the router ended:\n{}", process.stderr());
            self.admin_status("/healthz").filter(|status| *status == 200)
        });
    }

    /// GETs a path of its admin API.
    pub fn admin_get(&self, path: &str) -> Response {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin());
        Client::connect(self.admin()).exchange(request)
    }

    /// What `/readyz` says: its status, and its JSON.
    pub fn readiness(&self) -> (u16, serde_json::Value) {
        let response = self.admin_get("/readyz");
        let json = serde_json::from_slice(&response.body);
        (response.status, json.unwrap_or_else(|error| panic!("{error}: {:?}", response.text())))
    }

    /// Waits until it can route.
    pub fn await_ready(&self) {
        eventually("the router is ready", || (self.readiness().0 == 200).then_some(()));
    }

    /// What a GET of a host comes to: the text of a 200, or the status.
    pub fn answer_of(&self, host: &str) -> Result<String, u16> {
        let response = self.connect().get(host, "/");
        if response.status == 200 { Ok(response.text()) } else { Err(response.status) }
    }

    /// Waits until a host is answered with this text, or this status.
    pub fn await_answer(&self, host: &str, answer: Result<&str, u16>) {
        let mut last = None;
        let deadline = Instant::now() + PATIENCE;
        while last.as_ref().map(|last: &Result<String, u16>| last.as_deref().map_err(|status| *status))
            != Some(answer)
        {
            assert!(Instant::now() < deadline, "{host}: waited for {answer:?}, the last was {last:?}");
            std::thread::sleep(Duration::from_millis(2));
            last = Some(self.answer_of(host));
        }
    }

    /// The command that starts it, for a test that wants to see it fail.
    pub fn serve_command(&self) -> Command {
        let mut command = waypost();
        command.arg("serve").args(&self.arguments).arg("--data").arg(self.data());
        command.args(["--listen", &self.http().to_string(), "--admin", &self.admin().to_string()]);
        command.current_dir(self.directory.path());
        command
    }

    fn admin_status(&self, path: &str) -> Option<u16> {
        let mut client = Client::try_connect(self.admin()).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin());
        client.try_exchange(request).ok().map(|response| response.status)
    }

    /// Where it takes HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http.address()
    }

    /// Where its admin API is.
    pub fn admin(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A directory beside its data, for a test's own files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its process.
    ///
    /// # Panics
    /// When it doesn't run.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the router runs")
    }

    /// Its process id, to send signals while others use the router.
    ///
    /// # Panics
    /// When it doesn't run.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("the router runs").id()
    }

    /// Opens a connection to it.
    pub fn connect(&self) -> Client {
        Client::connect(self.http())
    }

    /// The command `waypost ARGUMENTS --admin ADDRESS`, not yet run.
    pub fn command<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = waypost();
        command.args(arguments).arg("--admin").arg(self.admin().to_string());
        command
    }

    /// Runs `waypost ARGUMENTS --admin ADDRESS`.
    pub fn cli<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Finished {
        Process::run(&mut self.command(arguments))
    }

    /// Runs a command that must succeed.
    pub fn cli_ok<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Finished {
        let finished = self.cli(arguments);
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        finished
    }

    /// Adds a route: a host, its instances' addresses and more flags, as `route add` takes them.
    pub fn route_add(&self, host: &str, addresses: &[SocketAddr], flags: &[&str]) {
        let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        let arguments = ["route", "add", host].into_iter().chain(addresses.iter().map(String::as_str));
        self.cli_ok(arguments.chain(flags.iter().copied()));
    }

    /// Routes a host to an upstream.
    pub fn route(&self, host: &str, upstream: &Upstream) {
        self.route_add(host, &[upstream.address()], &[]);
    }

    /// Adds many routes at once: JSON lines, as `route import` reads them.
    pub fn import(&self, lines: &str) {
        let path = self.directory().join("routes.jsonl");
        std::fs::write(&path, lines).expect("a file in the test's own directory");
        self.cli_ok([OsStr::new("route"), OsStr::new("import"), path.as_os_str()]);
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process().kill();
        self.process = None;
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> Finished {
        self.process.take().expect("the router runs").wait()
    }

    /// Waits until it takes no more connections, as one does that drains.
    pub fn await_refusal(&self) {
        eventually(&format!("connections refused within {PATIENCE:?}"), || {
            Client::try_connect(self.http()).is_err().then_some(())
        });
    }
}

/// The program, in an environment that doesn't configure it.
fn waypost() -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WAYPOST_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1");
    command
}
