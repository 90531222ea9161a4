//! An acknowledged change survives `kill -9`.
//!
//! The test starts itself a second time as a process that changes a table and prints each change once it
//! is acknowledged, kills that process in the middle, and looks for everything that was printed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, thread};

use waypost_table::{Change, EmbeddedTable, ImportMode, Member, Pattern, Snapshot, TableStore};

/// Tells the second process where the table is.
const DIRECTORY: &str = "WAYPOST_TEST_TABLE";

fn added(host: &str) -> Change {
    let member = Member::at(SocketAddr::from(([10, 0, 0, 1], 80)));
    Change::AddInstance { host: Pattern::parse(host).unwrap(), member }
}

#[allow(clippy::print_stdout, reason = "the other process reads it")]
fn acknowledge(host: &str) {
    println!("acknowledged {host}");
}

/// Changes the table from several threads until it is killed.
fn change_until_killed(directory: &Path) {
    let store = EmbeddedTable::open(directory).unwrap();
    thread::scope(|scope| {
        for caller in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for number in 0.. {
                    let host = format!("{caller}-{number}.example");
                    store.apply(vec![added(&host)]).unwrap();
                    acknowledge(&host);
                }
            });
        }
        scope.spawn(|| {
            for number in 0.. {
                let line = |part| format!(r#"{{"host":"{part}.{number}.import","backend":"x"}}"#);
                let lines = format!("{}\n{}\n", line('a'), line('b'));
                let import: Snapshot = waypost_table::transfer::import(lines.as_bytes()).unwrap();
                store.import(import, ImportMode::Merge).unwrap();
                acknowledge(&format!("a.{number}.import"));
            }
        });
    });
}

#[test]
fn an_acknowledged_change_survives_being_killed() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return change_until_killed(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..3 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "an_acknowledged_change_survives_being_killed", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut note = |line: Option<std::io::Result<String>>| {
            let line = line?.ok()?;
            acknowledged.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
            Some(())
        };
        for _ in 0..500 {
            note(lines.next()).expect("the changing process ended by itself");
        }
        child.kill().unwrap();
        // What it had said before it died counts too; its last line may be cut, and then counts less.
        while note(lines.next()).is_some() {}
        child.wait().unwrap();

        let store = EmbeddedTable::open(directory.path()).unwrap();
        let table = store.table().snapshot();
        let is_whole = |host: &str| host.ends_with(".example") || host.ends_with(".import");
        for host in acknowledged.iter().filter(|host| is_whole(host)) {
            assert!(table.get(host).is_some(), "{host} was acknowledged and is gone after round {round}");
        }
        for entry in table.iter().filter(|entry| entry.pattern().ends_with(".import")) {
            let other = match entry.pattern().split_at(1) {
                ("a", rest) => format!("b{rest}"),
                (_, rest) => format!("a{rest}"),
            };
            assert!(table.get(&other).is_some(), "half an import: {} without {other}", entry.pattern());
        }
    }
}
