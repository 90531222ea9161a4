//! What a process leaves that ended in the middle of a line.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use waypost_stats::{AccessLog, AccessLogError, AccessLogOptions};

use crate::lines::{assert_complete, numbers_in, push, wait_until};

/// Names the file that a copy of this test program, started to be killed, writes to.
const FILE: &str = "WAYPOST_STATS_TEST_WRITES_TO";

/// Names the writers of that copy.
const ROUND: &str = "WAYPOST_STATS_TEST_ROUND";

/// The part of the killed process, played by a copy of this program; alone it does nothing.
#[test]
fn a_copy_started_by_another_test_writes_until_it_is_killed() {
    let (Ok(path), Ok(round)) = (std::env::var(FILE), std::env::var(ROUND)) else { return };
    let log = AccessLog::open(path, AccessLogOptions::default()).unwrap();
    thread::scope(|scope| {
        for worker in 0..2 {
            let (mut handle, round) = (log.handle(), &round);
            scope.spawn(move || {
                for number in 0.. {
                    push(&mut handle, &format!("{round}.{worker}"), number);
                }
            });
        }
    });
}

fn start_copy(path: &Path, round: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process_end::a_copy_started_by_another_test_writes_until_it_is_killed"])
        .env(FILE, path)
        .env(ROUND, round.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_process_leaves_only_whole_lines_once_the_log_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    for round in 0..10 {
        let before = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let mut copy = start_copy(&path, round);
        wait_until("the copy writes", || {
            fs::metadata(&path).is_ok_and(|metadata| metadata.len() > before + 300_000)
        });
        copy.kill().unwrap();
        copy.wait().unwrap();

        let left = fs::metadata(&path).unwrap().len();
        let log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
        let kept = fs::metadata(&path).unwrap().len();
        assert_eq!(log.stats().torn_bytes, left - kept, "round {round}");
        drop(log);
    }
    let numbers = numbers_in(&path);
    assert!(numbers.len() >= 10, "each round wrote: {:?}", numbers.keys());
    for (writer, numbers) in &numbers {
        assert_complete(writer, numbers, numbers.len());
    }
}

#[test]
fn half_a_line_at_the_end_is_cut_off_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    let cases = [
        ("", 0),
        ("{}\n", 0),
        ("{\"version_type_key\":\"a", 22),
        ("{}\n{}\n{\"version", 9),
        ("{}\n\0\0\0", 3),
    ];
    let long = format!("{{}}\n{{\"path\":\"{}", "x".repeat(100_000));
    let cases = cases.into_iter().chain([(long.as_str(), 100_009)]);
    for (content, torn) in cases {
        fs::write(&path, content).unwrap();
        let log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
        assert_eq!(log.stats().torn_bytes, torn as u64, "{content:.40?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content[..content.len() - torn], "{content:.40?}");
    }
}

#[test]
fn half_a_line_left_by_another_process_is_cut_off_before_the_next_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    let log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
    fs::File::options().append(true).open(&path).unwrap().write_all(b"{\"version_ty").unwrap();
    push(&mut log.handle(), "w", 0);
    log.close().unwrap();
    assert_complete("w", &numbers_in(&path)["w"], 1);
    assert_eq!(log.stats().torn_bytes, 12);
}

#[test]
fn a_file_that_is_no_log_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.img");
    let content = vec![b'x'; 3_000_000];
    fs::write(&path, &content).unwrap();
    let error = AccessLog::open(&path, AccessLogOptions::default()).unwrap_err();
    assert!(matches!(error, AccessLogError::NotALog { .. }), "{error:?}");
    assert!(fs::read(&path).unwrap() == content);
}
