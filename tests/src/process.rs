//! Child processes that never outlive the test that started them.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::wait::PATIENCE;

/// A running program. Dropping it kills it, by its id; if the test is failing by then, what the program
/// wrote is shown.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// Where its standard output and error go: files, so that a full pipe never stops it.
    output: TempDir,
    ended: Option<ExitStatus>,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Process {
    /// Starts a program, without standard input.
    pub fn start(command: &mut Command) -> Process {
        let output = TempDir::new().expect("a temporary directory");
        let file = |name| File::create(output.path().join(name)).expect("a file in a new directory");
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("start {name}: {error}"));
        Process { name, child, output, ended: None }
    }

    /// Runs a program to its end.
    pub fn run(command: &mut Command) -> Finished {
        Process::start(command).wait()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        self.written("stdout")
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.written("stderr")
    }

    fn written(&self, name: &str) -> String {
        let mut bytes = Vec::new();
        File::open(self.path(name))
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .expect("a file that was created before");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.output.path().join(name)
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal to a process that has not been waited for.
    pub fn signal(&self, signal: Signal) {
        assert!(self.ended.is_none(), "{} has ended", self.name);
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|error| panic!("signal {}: {error}", self.name));
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            // It may have ended by itself, which is as good.
            let _ = self.child.kill();
            self.ended = Some(self.child.wait().expect("a child that was not waited for"));
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child of this process");
        }
        self.ended.is_none()
    }

    /// Waits until it ends.
    pub fn wait(mut self) -> Finished {
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() {
            assert!(Instant::now() < deadline, "{} did not end within {PATIENCE:?}", self.name);
            std::thread::sleep(Duration::from_millis(2));
        }
        let status = self.ended.expect("it does not run");
        Finished {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }

    /// The memory it holds, in bytes (`VmRSS` of `/proc/PID/status`).
    pub fn resident_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a VmRSS line");
        let kib = line.trim().trim_end_matches("kB").trim();
        kib.parse::<u64>().expect("a number of KiB") * 1024
    }

    /// How many file descriptors it has open.
    pub fn open_descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.id());
        std::fs::read_dir(&path).unwrap_or_else(|error| panic!("read {path}: {error}")).count()
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "a failing test shows what its programs said")]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} ({}) wrote to standard error:\n{}", self.name, self.id(), self.stderr());
            eprintln!("--- {} ended: {:?}", self.name, self.ended);
        }
    }
}

impl Finished {
    /// The only line it wrote to standard error.
    ///
    /// # Panics
    /// When it wrote none, or more than one.
    pub fn only_line_of_stderr(&self) -> &str {
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "expected exactly one line on standard error: {self:#?}");
        lines[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_ends_with_its_handle() {
        let process = Process::start(Command::new("sleep").arg("1000"));
        let path = format!("/proc/{}", process.id());
        assert!(std::path::Path::new(&path).exists());
        drop(process);
        assert!(!std::path::Path::new(&path).exists());
    }

    #[test]
    fn status_and_output_are_kept() {
        let finished = Process::run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]));
        assert_eq!(finished.code, Some(3));
        assert_eq!(finished.stdout, "out\n");
        assert_eq!(finished.only_line_of_stderr(), "err");
    }

    #[test]
    fn a_signal_shows_in_the_status() {
        let process = Process::start(Command::new("sleep").arg("1000"));
        process.terminate();
        let finished = process.wait();
        assert_eq!((finished.code, finished.signal), (None, Some(15)));
    }
}
