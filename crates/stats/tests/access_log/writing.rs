//! Lines reach the file: all, once, whole.

use std::fs;
use std::thread;

use waypost_stats::{AccessLog, AccessLogError, AccessLogOptions};

use crate::lines::{assert_complete, numbers_in, push, wait_until};

#[test]
fn every_line_of_many_workers_is_written_once_and_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    let log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
    thread::scope(|scope| {
        for worker in 0..8 {
            let mut handle = log.handle();
            scope.spawn(move || {
                for number in 0..5_000 {
                    push(&mut handle, &worker.to_string(), number);
                    if number % 97 == 0 {
                        handle.flush();
                    }
                }
            });
        }
    });
    log.close().unwrap();

    let numbers = numbers_in(&path);
    assert_eq!(numbers.len(), 8);
    for (worker, numbers) in &numbers {
        assert_complete(worker, numbers, 5_000);
    }
    let stats = log.stats();
    assert_eq!((stats.lines, stats.bytes), (40_000, fs::metadata(&path).unwrap().len()));
    assert_eq!((stats.queued_bytes, stats.write_errors, stats.lost_lines), (0, 0, 0));
}

#[test]
fn a_flushed_line_reaches_the_file_while_the_handle_lives() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    let log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
    let mut handle = log.handle();
    push(&mut handle, "w", 0);
    handle.flush();
    wait_until("the line is written", || log.stats().lines == 1);
    assert_complete("w", &numbers_in(&path)["w"], 1);
}

#[test]
fn a_log_that_exists_is_appended_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    for number in 0..3 {
        let log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
        push(&mut log.handle(), "w", number);
    }
    assert_complete("w", &numbers_in(&path)["w"], 3);
}

#[test]
fn two_logs_on_one_file_do_not_disturb_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    thread::scope(|scope| {
        for process in ["old", "new"] {
            let log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
            scope.spawn(move || {
                let mut handle = log.handle();
                for number in 0..20_000 {
                    push(&mut handle, process, number);
                }
                drop(handle);
                log.close().unwrap();
                assert_eq!(log.stats().torn_bytes, 0, "{process}");
            });
        }
    });
    let numbers = numbers_in(&path);
    assert_complete("old", &numbers["old"], 20_000);
    assert_complete("new", &numbers["new"], 20_000);
}

#[test]
fn a_process_that_sits_on_the_files_lock_cannot_stop_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    let log = AccessLog::open(&path, AccessLogOptions::default()).unwrap();
    let other = fs::File::open(&path).unwrap();
    other.lock().unwrap();
    let mut handle = log.handle();
    for number in 0..1_000 {
        push(&mut handle, "w", number);
    }
    drop(handle);
    log.close().unwrap();
    assert_complete("w", &numbers_in(&path)["w"], 1_000);
}

#[test]
fn a_line_longer_than_a_buffer_is_written_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    let options = AccessLogOptions { max_queued: 1, ..AccessLogOptions::default() };
    let log = AccessLog::open(&path, options).unwrap();
    let mut handle = log.handle();
    let writer = "w".repeat(300_000);
    for number in 0..3 {
        push(&mut handle, &writer, number);
    }
    drop(handle);
    log.close().unwrap();
    assert_complete("w…", &numbers_in(&path)[&writer], 3);
}

#[test]
fn lines_pushed_after_closing_are_counted_as_lost() {
    let directory = tempfile::tempdir().unwrap();
    let log = AccessLog::open(directory.path().join("access.json"), AccessLogOptions::default()).unwrap();
    let mut handle = log.handle();
    log.close().unwrap();
    for number in 0..1_000 {
        push(&mut handle, "w", number);
    }
    drop(handle);
    assert_eq!(log.stats().lost_lines, 1_000);
    log.close().unwrap();
}

#[test]
fn a_missing_directory_is_an_error_unless_it_is_to_be_created() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost-data/logs/access.json");
    let error = AccessLog::open(&path, AccessLogOptions::default()).unwrap_err();
    assert!(matches!(error, AccessLogError::Open { .. }), "{error:?}");
    assert!(error.to_string().contains("create its directory"), "{error}");
    assert!(!path.parent().unwrap().exists());

    let options = AccessLogOptions { create_directory: true, ..AccessLogOptions::default() };
    AccessLog::open(&path, options).unwrap();
    assert!(path.is_file());
}

#[test]
fn a_path_that_cannot_be_opened_is_an_error_that_names_it_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let error = AccessLog::open(directory.path(), AccessLogOptions::default()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains(&directory.path().display().to_string()), "{message}");
    assert!(message.ends_with("give the path of a file"), "{message}");

    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let options = AccessLogOptions { create_directory: true, ..AccessLogOptions::default() };
    let error = AccessLog::open(file.join("access.json"), options).unwrap_err();
    assert!(matches!(error, AccessLogError::Directory { .. }), "{error:?}");
}

/// The superuser may write everywhere but in `/sys`, where nobody can create a file.
#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    let error = AccessLog::open("/sys/access.json", AccessLogOptions::default()).unwrap_err();
    assert!(matches!(error, AccessLogError::Open { .. }), "{error:?}");
    assert!(error.to_string().contains("/sys/access.json"), "{error}");
}
