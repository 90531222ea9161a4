//! What the embedded table has acknowledged survives SIGKILL, whoever wrote it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use waypost_tests::{Client, Process, Random, Router, SmallDisk, Upstream, eventually};

/// The hosts of the table, as `route export` writes them.
fn hosts(router: &Router) -> BTreeSet<String> {
    let exported = router.cli_ok(["route", "export"]).stdout;
    exported
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            line["host"].as_str().expect("a host").to_owned()
        })
        .collect()
}

/// Adds one host through the admin API; whether that was acknowledged.
fn add(admin: &mut Client, authority: &str, host: &str) -> bool {
    let body =
        format!(r#"{{"changes":[{{"op":"add","host":"{host}","member":{{"address":"127.0.0.1:9"}}}}]}}"#);
    let request = format!(
        "POST /api/v1/routes HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    match admin.try_exchange(request) {
        Ok(response) => {
            assert_eq!(response.status, 200, "{}", response.text());
            true
        }
        Err(_) => false,
    }
}

#[test]
fn no_acknowledged_route_is_lost_by_sigkill() {
    let mut router = Router::start();
    let mut expected = BTreeSet::new();
    for round in 0..3 {
        let (acknowledged, count) = (Mutex::new(BTreeSet::new()), AtomicUsize::new(0));
        let acknowledge = |host: String| {
            acknowledged.lock().unwrap().insert(host);
            count.fetch_add(1, Ordering::SeqCst);
        };
        let (address, authority) = (router.admin(), router.admin().to_string());
        let killed = std::thread::scope(|scope| {
            for writer in 0..4 {
                let (acknowledge, authority) = (&acknowledge, &authority);
                scope.spawn(move || {
                    let mut admin = Client::connect(address);
                    for number in 0.. {
                        let host = format!("api-{round}-{writer}-{number}.test");
                        if !add(&mut admin, authority, &host) {
                            break;
                        }
                        acknowledge(host);
                    }
                });
            }
            for writer in 0..2 {
                let (acknowledge, authority) = (&acknowledge, &authority);
                scope.spawn(move || {
                    for number in 0.. {
                        let host = format!("cli-{round}-{writer}-{number}.test");
                        let mut command = std::process::Command::new(waypost_tests::program());
                        command.args(["route", "add", &host, "127.0.0.1:9", "--admin", authority]);
                        match Process::run(&mut command).code {
                            Some(0) => acknowledge(host),
                            code => {
                                assert_eq!(code, Some(1));
                                break;
                            }
                        }
                    }
                });
            }
            let goal = 100 * (round + 1);
            eventually("routes are acknowledged", || (count.load(Ordering::SeqCst) >= goal).then_some(()));
            router.kill();
            true
        });
        assert!(killed);
        expected.append(&mut acknowledged.into_inner().unwrap());
        router.resume();
        let found = hosts(&router);
        let lost: Vec<_> = expected.difference(&found).collect();
        assert!(lost.is_empty(), "round {round}: {} of {} lost: {lost:?}", lost.len(), expected.len());
    }
}

#[test]
fn an_import_that_is_killed_is_there_whole_or_not_at_all() {
    const LINES: usize = 20_000;
    let mut router = Router::start();
    let file = router.directory().join("many.jsonl");
    let lines: String = (0..LINES)
        .map(|number| format!("{{\"host\":\"i{number}.test\",\"address\":\"127.0.0.1:9\"}}\n"))
        .collect();
    std::fs::write(&file, lines).unwrap();
    router.cli_ok(["route", "add", "before.test", "127.0.0.1:9"]);
    let mut random = Random::new();
    let mut is_there = false;
    for round in 0..6 {
        let mut import = Process::start(
            router.command(["route".as_ref(), "import".as_ref(), file.as_os_str()]).arg("--json"),
        );
        std::thread::sleep(std::time::Duration::from_millis(random.below(400) as u64));
        let was_running = import.is_running();
        router.kill();
        let acknowledged = import.wait().code == Some(0);
        assert!(acknowledged || was_running, "round {round}: the import failed by itself");
        router.resume();
        let found = hosts(&router);
        assert!(found.contains("before.test"), "round {round}");
        let imported = found.len() - 1;
        assert!(imported == 0 || imported == LINES, "round {round}: {imported} of {LINES} lines are there");
        is_there |= acknowledged;
        assert!(imported == LINES || !is_there, "round {round}: an acknowledged import is gone");
        is_there |= imported == LINES;
    }
    router.import(&std::fs::read_to_string(&file).unwrap());
    router.kill();
    router.resume();
    assert_eq!(hosts(&router).len(), LINES + 1);
}

#[test]
fn a_removal_survives_sigkill() {
    let mut router = Router::start();
    for host in ["a.test", "b.test"] {
        router.cli_ok(["route", "add", host, "127.0.0.1:9", "127.0.0.1:10"]);
    }
    router.cli_ok(["route", "remove", "a.test"]);
    router.cli_ok(["route", "remove", "b.test", "127.0.0.1:9"]);
    router.kill();
    router.resume();
    assert_eq!(hosts(&router), BTreeSet::from(["b.test".to_owned()]));
    assert!(!router.cli_ok(["route", "export"]).stdout.contains("127.0.0.1:9\""));
}

#[test]
fn a_router_that_was_killed_routes_again_at_once() {
    let upstream = Upstream::named("here");
    let mut router = Router::start();
    router.route("k.test", &upstream);
    for _ in 0..3 {
        router.kill();
        router.resume();
        assert_eq!(router.connect().get("k.test", "/").text(), "here");
    }
}

#[test]
fn the_access_log_holds_whole_lines_after_sigkill() {
    let upstream = Upstream::named("ok");
    let mut router = Router::start();
    router.route("k.test", &upstream);
    let log = router.data().join("access.json");
    for _ in 0..3 {
        let mut client = router.connect();
        for number in 0..200 {
            assert_eq!(client.get("k.test", &format!("/{number}")).status, 200);
        }
        router.kill();
        router.resume();
    }
    assert_eq!(router.connect().get("k.test", "/last").status, 200);
    router.process().terminate();
    assert_eq!(router.wait().code, Some(0));
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    assert!(text.contains("/last"), "the drained router left out its last request");
}

#[test]
fn a_process_killed_while_it_makes_a_table_leaves_one_that_can_be_used_or_none() {
    for attempt in 0..30 {
        let directory = tempfile::TempDir::new().expect("a directory");
        let table = format!("embedded:{}", directory.path().display());
        let add = |host: &str| {
            let mut command = std::process::Command::new(waypost_tests::program());
            command.args(["route", "add", host, "127.0.0.1:1", "--table", &table]);
            command
        };
        let mut killed = Process::start(&mut add("a.test"));
        // At another moment each time; where it falls is all the same.
        std::thread::sleep(std::time::Duration::from_millis(attempt));
        killed.kill();
        let added = Process::run(&mut add("b.test"));
        assert_eq!(added.code, Some(0), "attempt {attempt}: {added:?}");
    }
}

#[test]
fn a_full_disk_refuses_changes_until_there_is_room_again_and_loses_none() {
    let disk = SmallDisk::new();
    let upstream = Upstream::named("ok");
    let table = format!("embedded:{}", disk.path().join("table").display());
    let mut router = Router::with().flag("--table", table).start();
    router.route("before.test", &upstream);
    disk.fill();
    let address = upstream.address().to_string();
    for attempt in 0..3 {
        let refused = router.cli(["route", "add", "full.test", &address]);
        assert_eq!(refused.code, Some(1), "attempt {attempt} was acknowledged: {refused:?}");
        assert_eq!(router.connect().get("before.test", "/").text(), "ok", "routing stopped");
    }
    disk.make_room();
    eventually("changes to be taken again", || {
        (router.cli(["route", "add", "after.test", &address]).code == Some(0)).then_some(())
    });
    router.kill();
    router.resume();
    assert_eq!(hosts(&router), BTreeSet::from(["after.test".to_owned(), "before.test".to_owned()]));
    assert_eq!(router.connect().get("after.test", "/").text(), "ok");
    drop(router);
}
