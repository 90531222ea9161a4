//! The file is moved away, deleted or truncated while lines are written.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use waypost_stats::{AccessLog, AccessLogOptions};

use crate::lines::{assert_complete, numbers, numbers_in, push, wait_until};

#[test]
fn rotation_by_renaming_under_load_loses_nothing_and_repeats_nothing() {
    const ROTATIONS: usize = 20;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    let log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
    let stop = AtomicBool::new(false);
    let pushed = thread::scope(|scope| {
        let workers = ["a", "b"].map(|worker| {
            let (mut handle, stop) = (log.handle(), &stop);
            scope.spawn(move || {
                let mut number = 0;
                while !stop.load(Relaxed) {
                    push(&mut handle, worker, number);
                    number += 1;
                }
                (worker, number)
            })
        });
        for rotation in 0..ROTATIONS {
            let lines = log.stats().lines;
            wait_until("lines are written", || log.stats().lines > lines);
            fs::rename(&path, directory.path().join(format!("{rotation:02}"))).unwrap();
            // Half of the rotations leave it to the log to notice.
            if rotation % 2 == 0 {
                log.reopen();
            }
            wait_until("there is a new file", || path.exists());
        }
        stop.store(true, Relaxed);
        workers.map(|worker| worker.join().unwrap())
    });
    log.close().unwrap();

    let mut content: String = (0..ROTATIONS)
        .map(|rotation| fs::read_to_string(directory.path().join(format!("{rotation:02}"))).unwrap())
        .collect();
    content += &fs::read_to_string(&path).unwrap();
    let numbers = numbers(&content);
    for (worker, count) in pushed {
        assert_complete(worker, &numbers[worker], count);
    }
    assert_eq!(log.stats().reopened, ROTATIONS as u64);
}

#[test]
fn a_file_moved_away_is_replaced_even_when_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    let _log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
    fs::rename(&path, directory.path().join("old")).unwrap();
    wait_until("there is a new file", || path.exists());
}

#[test]
fn reopening_a_file_that_is_still_there_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    let log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
    let mut handle = log.handle();
    push(&mut handle, "w", 0);
    handle.flush();
    log.reopen();
    push(&mut handle, "w", 1);
    drop(handle);
    log.close().unwrap();
    assert_complete("w", &numbers_in(&path)["w"], 2);
    assert_eq!(log.stats().reopened, 0);
}

#[test]
fn a_truncated_file_is_written_from_its_new_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    let log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
    let mut handle = log.handle();
    push(&mut handle, "before", 0);
    handle.flush();
    wait_until("the line is written", || log.stats().lines == 1);
    fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    push(&mut handle, "after", 0);
    drop(handle);
    log.close().unwrap();
    let numbers = numbers_in(&path);
    assert_eq!(numbers.keys().collect::<Vec<_>>(), ["after"]);
}

#[test]
fn while_no_new_file_can_be_made_lines_go_to_the_one_that_was_moved_away() {
    let directory = tempfile::tempdir().unwrap();
    let (here, there) = (directory.path().join("here"), directory.path().join("there"));
    fs::create_dir(&here).unwrap();
    let path = here.join("access.json");
    let log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
    let mut handle = log.handle();
    fs::rename(&here, &there).unwrap();
    push(&mut handle, "w", 0);
    handle.flush();
    wait_until("the line is written", || log.stats().lines == 1);
    fs::create_dir(&here).unwrap();
    log.reopen();
    wait_until("there is a new file", || path.exists());
    push(&mut handle, "w", 1);
    drop(handle);
    log.close().unwrap();
    assert_eq!(numbers_in(&there.join("access.json"))["w"], [0]);
    assert_eq!(numbers_in(&path)["w"], [1]);
}

#[test]
fn lines_wait_while_the_file_is_deleted_and_no_new_one_can_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().join("here");
    fs::create_dir(&here).unwrap();
    let path = here.join("access.json");
    let log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
    let mut handle = log.handle();
    fs::remove_dir_all(&here).unwrap();
    for number in 0..1_000 {
        push(&mut handle, "w", number);
    }
    handle.flush();
    wait_until("a write has failed", || log.stats().write_errors > 0);
    fs::create_dir(&here).unwrap();
    drop(handle);
    log.close().unwrap();
    assert_complete("w", &numbers_in(&path)["w"], 1_000);
}
