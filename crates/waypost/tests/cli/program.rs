//! The program as its users run it.

use std::iter;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use tempfile::TempDir;

/// A directory to run the program in, of its own and at first empty.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
}

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { directory: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The program in this directory, with nothing of it set in the environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WAYPOST_"))
        {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().unwrap())
    }

    /// Runs what must succeed, and returns its output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{arguments:?}: {run:#?}");
        run.stdout
    }

    /// Runs what must fail with one line on standard error, and returns the line.
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.code, 1, "{arguments:?}: {run:#?}");
        assert_eq!(run.stderr.lines().count(), 1, "{arguments:?}: {run:#?}");
        run.stderr
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }
}

impl Run {
    pub(crate) fn of(output: Output) -> Run {
        Run {
            code: output.status.code().expect("the program ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A listener on a free port, below those that outgoing connections take, and another one each time: a port
/// that a test has let go of is not yet free for the next.
pub(crate) fn listener() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() as u16 % 10_000;
    let mut ports = iter::repeat_with(|| 20_000 + (first + NEXT.fetch_add(1, Relaxed)) % 12_000).take(12_000);
    ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).expect("a free port")
}
