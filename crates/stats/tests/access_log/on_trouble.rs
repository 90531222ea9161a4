//! The file takes lines slowly, or not at all.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use waypost_stats::{AccessLog, AccessLogError, AccessLogOptions};

use crate::lines::{assert_complete, numbers, numbers_in, push, wait_until};

/// A pipe with a name: a file that takes nothing until somebody reads.
fn pipe(directory: &Path) -> PathBuf {
    let path = directory.join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// Opens `path` for reading, and reads to its end once told to.
fn reader(path: &Path) -> (mpsc::Sender<()>, thread::JoinHandle<String>) {
    let (go, told) = mpsc::channel();
    let path = path.to_owned();
    let reader = thread::spawn(move || {
        let mut file = fs::File::open(path).unwrap();
        told.recv().unwrap();
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        content
    });
    (go, reader)
}

#[test]
fn a_slow_file_delays_the_worker_which_is_counted_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = pipe(directory.path());
    let (go, reader) = reader(&path);
    let options = AccessLogOptions {
        max_queued: 256 * 1024,
        max_delay: Duration::from_secs(600),
        ..AccessLogOptions::default()
    };
    let log = AccessLog::open(&path, options).unwrap();
    let mut handle = log.handle();
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..10_000 {
                push(&mut handle, "w", number);
            }
        });
        wait_until("the worker waits", || log.stats().delays > 0);
        assert!(log.stats().queued_bytes <= 256 * 1024, "{:?}", log.stats());
        go.send(()).unwrap();
    });
    log.close().unwrap();
    let stats = log.stats();
    drop(log);
    assert_complete("w", &numbers(&reader.join().unwrap())["w"], 10_000);
    assert_eq!((stats.lines, stats.lost_lines), (10_000, 0));
    assert!(stats.delay_time > Duration::ZERO);
}

#[test]
fn when_the_bound_on_waiting_is_reached_lines_are_given_up_one_by_one_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = pipe(directory.path());
    let (go, reader) = reader(&path);
    let options = AccessLogOptions {
        max_queued: 256 * 1024,
        max_delay: Duration::from_millis(20),
        ..AccessLogOptions::default()
    };
    let log = AccessLog::open(&path, options).unwrap();
    let mut handle = log.handle();
    for number in 0..10_000 {
        push(&mut handle, "w", number);
    }
    let lost = log.stats().lost_lines as usize;
    assert!(lost > 0, "{:?}", log.stats());
    assert!(log.stats().delays > 0, "{:?}", log.stats());

    go.send(()).unwrap();
    wait_until("the queue is empty", || {
        handle.flush();
        log.stats().queued_bytes == 0
    });
    push(&mut handle, "w", 10_000);
    drop(handle);
    log.close().unwrap();
    drop(log);
    let numbers = &numbers(&reader.join().unwrap())["w"];
    assert_eq!(numbers.len() + lost, 10_001, "what is not there is counted");
    assert!(numbers.is_sorted_by(|a, b| a < b), "in order, each once");
    assert_eq!(numbers.last(), Some(&10_000), "the first line after the outage");
}

#[test]
fn closing_does_not_wait_for_ever_for_a_pipe_that_nobody_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = pipe(directory.path());
    let (_go, _reader) = reader(&path);
    let options = AccessLogOptions { max_delay: Duration::from_millis(20), ..AccessLogOptions::default() };
    let log = AccessLog::open(&path, options).unwrap();
    let mut handle = log.handle();
    for number in 0..1_000 {
        push(&mut handle, "w", number);
    }
    drop(handle);
    let Err(AccessLogError::Unwritten { lines, .. }) = log.close() else { panic!("{:?}", log.stats()) };
    assert_eq!(lines + log.stats().lines, 1_000);
    assert_eq!(lines, log.stats().lost_lines);
}

#[test]
fn a_full_disk_is_never_a_silent_loss() {
    let options = AccessLogOptions { max_delay: Duration::from_millis(50), ..AccessLogOptions::default() };
    let log = AccessLog::open("/dev/full", options).unwrap();
    let mut handle = log.handle();
    for number in 0..1_000 {
        push(&mut handle, "w", number);
    }
    handle.flush();
    wait_until("writing is tried again and again", || log.stats().write_errors > 2);
    drop(handle);
    let error = log.close().unwrap_err();
    assert!(matches!(error, AccessLogError::Unwritten { lines: 1_000, .. }), "{error:?}");
    assert!(error.to_string().contains("/dev/full"), "{error}");
    assert_eq!((log.stats().lines, log.stats().lost_lines), (0, 1_000));
}

/// Names the file that a copy of this test program, started with a limit on the size of files, writes to.
const FILE: &str = "WAYPOST_STATS_TEST_FILLS";

/// The part of the process on the full disk, played by a copy of this program; alone it does nothing.
#[test]
fn a_copy_started_by_another_test_fills_its_disk() {
    let Ok(path) = std::env::var(FILE) else { return };
    let options = AccessLogOptions { max_delay: Duration::from_secs(60), ..AccessLogOptions::default() };
    let log = AccessLog::open(path, options).unwrap();
    let mut handle = log.handle();
    for number in 0..2_000 {
        push(&mut handle, "w", number);
    }
    drop(handle);
    wait_until("the disk is full", || log.stats().write_errors > 0);
    #[allow(clippy::print_stdout, reason = "it tells the test that started it")]
    {
        println!("full");
    }
    log.close().unwrap();
    assert_eq!((log.stats().lines, log.stats().lost_lines), (2_000, 0));
}

/// A limit on the size of files stands for the full disk: it too cuts a write short and refuses the rest.
#[test]
fn a_disk_that_fills_up_in_the_middle_of_a_line_leaves_whole_lines_and_later_gets_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    let mut copy = Command::new("sh")
        .args(["-c", "trap '' XFSZ && ulimit -S -f 100 && exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "on_trouble::a_copy_started_by_another_test_fills_its_disk", "--nocapture"])
        .env(FILE, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(copy.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("full")), "the copy ended before its disk was full");

    let kept = numbers_in(&path)["w"].len();
    assert!((1..2_000).contains(&kept), "{kept} lines fit");
    let lifted = Command::new("prlimit")
        .args(["--pid", &copy.id().to_string(), "--fsize=unlimited"])
        .status()
        .unwrap();
    assert!(lifted.success());
    said.for_each(drop);
    assert!(copy.wait().unwrap().success());
    assert_complete("w", &numbers_in(&path)["w"], 2_000);
}
