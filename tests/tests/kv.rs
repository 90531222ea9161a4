//! `waypost kv` as its users run it, on each kind of store.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use waypost_tests::{Memcached, Port, Redis, Reply, eventually, program};

/// What became of a run.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

fn command(store: &str, arguments: &[&[u8]]) -> Command {
    let mut command = Command::new(program());
    command.arg("kv").args(arguments.iter().map(|argument| std::ffi::OsStr::from_bytes(argument)));
    // A busy machine is to fail no test.
    command.args(["--timeout", "30s"]).env("WAYPOST_STORE", store).env_remove("NO_COLOR");
    command
}

fn run_with_input(store: &str, arguments: &[&[u8]], input: &[u8]) -> Run {
    let mut command = command(store, arguments);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program starts");
    let mut stdin = child.stdin.take().expect("it was piped");
    let input = input.to_vec();
    // It may end without having read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic");
    let stderr = String::from_utf8(output.stderr).expect("text");
    Run { code: output.status.code(), stdout: output.stdout, stderr }
}

fn run(store: &str, arguments: &[&str]) -> Run {
    let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
    run_with_input(store, &arguments, b"")
}

/// Runs what must succeed, and returns its output.
fn ok(store: &str, arguments: &[&str]) -> String {
    let run = run(store, arguments);
    assert_eq!((run.code, &run.stderr[..]), (Some(0), ""), "{store}: {arguments:?}");
    String::from_utf8(run.stdout).expect("text")
}

/// Runs what must fail with one line on standard error that ends in this result; returns the line.
fn fails(store: &str, arguments: &[&str], result: &str) -> String {
    let run = run(store, arguments);
    assert_eq!(run.code, Some(1), "{store}: {arguments:?}: {run:?}");
    assert_eq!(run.stderr.lines().count(), 1, "{store}: {arguments:?}: {run:?}");
    let line = run.stderr.trim_end().to_owned();
    assert!(line.starts_with("waypost: ") && line.ends_with(result), "{store}: {arguments:?}: {line}");
    line
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Runs a test on a store of each kind.
fn on_each(test: impl Fn(&str)) {
    let (redis, memcached) = (Redis::start(), Memcached::start());
    let directory = TempDir::new().expect("a directory");
    let embedded = format!("embedded:{}", directory.path().display());
    ok(&embedded, &["set", "made", "x"]);
    for store in [&redis.url(), &memcached.url(), &embedded] {
        test(store);
    }
}

const NOT_FOUND: &str = "MEMCACHED_NOTFOUND (16)";
const NOT_STORED: &str = "MEMCACHED_NOTSTORED (14)";

#[test]
fn each_command_does_what_it_says_and_fails_with_the_name_and_number_of_libmemcached() {
    on_each(|store| {
        fails(store, &["get", "k"], NOT_FOUND);
        fails(store, &["replace", "k", "v"], NOT_STORED);
        fails(store, &["append", "k", "v"], NOT_STORED);
        fails(store, &["prepend", "k", "v"], NOT_STORED);
        fails(store, &["delete", "k"], NOT_FOUND);
        fails(store, &["touch", "k", "10"], NOT_FOUND);
        fails(store, &["incr", "k"], NOT_FOUND);
        fails(store, &["decr", "k"], NOT_FOUND);
        assert_eq!(ok(store, &["add", "k", "b"]), "");
        let line = fails(store, &["add", "k", "c"], NOT_STORED);
        assert!(line.contains(&format!("add k in {store}: ")), "{line}");
        assert_eq!(ok(store, &["append", "k", "c"]), "");
        assert_eq!(ok(store, &["prepend", "k", "a"]), "");
        assert_eq!(ok(store, &["get", "k"]), "abc");
        fails(store, &["incr", "k"], "MEMCACHED_CLIENT_ERROR (9)");
        assert_eq!(ok(store, &["replace", "k", "r"]), "");
        assert_eq!(ok(store, &["set", "k", "-5"]), "");
        assert_eq!(ok(store, &["get", "k"]), "-5");
        assert_eq!(ok(store, &["touch", "k", "1h"]), "");
        assert_eq!(ok(store, &["set", "l", "x"]), "");
        let line = fails(store, &["delete", "k", "none", "l", "other"], "(and 1 more)");
        assert!(line.contains(&format!("delete none in {store}")) && line.contains(NOT_FOUND), "{line}");
        fails(store, &["get", "k"], NOT_FOUND);
        fails(store, &["get", "l"], NOT_FOUND);
        fails(store, &["get", ""], "MEMCACHED_BAD_KEY_PROVIDED (33)");
        fails(store, &["get", &"k".repeat(70_000)], "MEMCACHED_KEY_TOO_BIG (39)");
    });
}

#[test]
fn counters_count_and_show_the_number() {
    on_each(|store| {
        assert_eq!(ok(store, &["counter", "c", "5"]), "5\n");
        assert_eq!(ok(store, &["counter", "c"]), "5\n");
        assert_eq!(ok(store, &["counter", "c", "-2"]), "3\n");
        assert_eq!(ok(store, &["counter", "c", "-20"]), "0\n");
        assert_eq!(ok(store, &["counter", "--set", "c", "18446744073709551615"]), "18446744073709551615\n");
        assert_eq!(ok(store, &["decr", "c", "15"]), "18446744073709551600\n");
        assert_eq!(ok(store, &["incr", "c"]), "18446744073709551601\n");
        assert_eq!(ok(store, &["counter", "c", "--set", "7"]), "7\n");
        assert_eq!(json(&ok(store, &["incr", "c", "--json"]))[0]["value"], 8);
    });
}

#[test]
fn a_swap_wants_the_token_that_get_shows() {
    on_each(|store| {
        ok(store, &["set", "k", "one", "--flags", "3"]);
        let shown = ok(store, &["get", "k", "--token"]);
        let (head, value) = shown.split_once('\n').expect("two lines");
        let words: Vec<&str> = head.split(' ').collect();
        let ["VALUE", "k", "3", "3", token] = words[..] else { panic!("{head}") };
        assert_eq!(value, "one\n");
        assert_eq!(json(&ok(store, &["get", "k", "--json"]))[0]["token"], token);
        assert_eq!(ok(store, &["cas", "k", "two", "--token", token]), "");
        fails(store, &["cas", "k", "three", "--token", token], "MEMCACHED_DATA_EXISTS (12)");
        assert_eq!(ok(store, &["get", "k"]), "two");
        fails(store, &["cas", "none", "x", "--token", token], NOT_FOUND);
    });
}

#[test]
fn values_and_keys_are_any_bytes() {
    let every: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    on_each(|store| {
        let key: &[u8] = b"a b\xff\n";
        let set = run_with_input(store, &[b"set", key, b"-"], &every);
        assert_eq!(set.code, Some(0), "{set:?}");
        let get = run_with_input(store, &[b"get", key], b"");
        assert!(get.stdout == every && get.code == Some(0), "{store}: {}", get.stderr);
        // Several values come with a line in front that has no space or line end of the key's.
        ok(store, &["set", "k", "v"]);
        let several = run_with_input(store, &[b"get", key, b"k"], b"");
        let head = b"VALUE a\\x20b\\xff\\x0a 0 100000\n";
        let expected = [&head[..], &every, b"\nVALUE k 0 1\nv\n"].concat();
        assert!(several.stdout == expected, "{store}: {}", several.stdout.escape_ascii());
        // JSON is text or base64.
        ok(store, &["set", "text", "ü\n"]);
        let lines = json(&ok(store, &["get", "text", "--json"]));
        assert_eq!((&lines[0]["key"], &lines[0]["value"]), (&"text".into(), &"ü\n".into()));
        run_with_input(store, &[b"set", key, b"-"], b"\x00\xff");
        let get = run_with_input(store, &[b"get", key, b"--json"], b"");
        let lines = json(&String::from_utf8(get.stdout).expect("text"));
        assert_eq!(
            (&lines[0]["key_base64"], &lines[0]["value_base64"]),
            (&"YSBi/wo=".into(), &"AP8=".into())
        );
        // Nothing is a value too.
        assert_eq!(run_with_input(store, &[b"set", b"empty", b"-"], b"").code, Some(0));
        assert_eq!(ok(store, &["get", "empty"]), "");
    });
}

#[test]
fn json_has_the_result_of_each_key() {
    on_each(|store| {
        ok(store, &["set", "k", "v", "--flags", "7"]);
        let get = run(store, &["get", "none", "k", "--json"]);
        assert_eq!(get.code, Some(1));
        assert_eq!(get.stderr.lines().count(), 1, "{get:?}");
        let lines = json(&String::from_utf8(get.stdout).expect("text"));
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["result"], &lines[0]["number"]), (&"MEMCACHED_NOTFOUND".into(), &16.into()));
        assert_eq!((&lines[1]["result"], &lines[1]["number"]), (&"MEMCACHED_SUCCESS".into(), &0.into()));
        assert_eq!((&lines[1]["flags"], &lines[1]["value"]), (&7.into(), &"v".into()));
        let add = run(store, &["add", "k", "v", "--json"]);
        let lines = json(&String::from_utf8(add.stdout).expect("text"));
        assert_eq!((add.code, &lines[0]["number"]), (Some(1), &14.into()));
        assert_eq!(json(&ok(store, &["delete", "k", "--json"]))[0]["key"], "k");
    });
}

#[test]
fn a_huge_value_is_stored_where_it_fits_and_too_large_where_it_does_not() {
    let huge: Vec<u8> = (0..8_u32 << 20).map(|n| (n % 253) as u8).collect();
    on_each(|store| {
        let set = run_with_input(store, &[b"set", b"k", b"-"], &huge);
        if store.starts_with("memcached") {
            assert_eq!(set.code, Some(1), "{}", set.stderr);
            assert!(set.stderr.trim_end().ends_with("MEMCACHED_E2BIG (37)"), "{}", set.stderr);
            fails(store, &["get", "k"], NOT_FOUND);
        } else {
            assert_eq!(set.code, Some(0), "{}", set.stderr);
            assert!(run(store, &["get", "k"]).stdout == huge, "{store}");
        }
    });
}

#[test]
fn what_has_a_time_to_live_ends() {
    on_each(|store| {
        ok(store, &["set", "k", "v", "--ttl", "1"]);
        ok(store, &["counter", "c", "1", "--ttl", "1s"]);
        ok(store, &["set", "kept", "v", "--ttl", "1"]);
        ok(store, &["touch", "kept", "0"]);
        ok(store, &["set", "long", "v", "--ttl", "40d"]);
        for key in ["k", "c"] {
            eventually("the end of a value", || (run(store, &["get", key]).code == Some(1)).then_some(()));
        }
        assert_eq!(ok(store, &["get", "kept"]), "v");
        assert_eq!(ok(store, &["get", "long"]), "v");
    });
}

#[test]
fn twenty_processes_that_count_at_once_each_get_a_number_of_their_own() {
    on_each(|store| {
        let children: Vec<_> = (0..20)
            .map(|_| {
                command(store, &[b"counter", b"c", b"1"]).stdout(Stdio::piped()).spawn().expect("it starts")
            })
            .collect();
        let mut numbers = BTreeSet::new();
        for child in children {
            let output = child.wait_with_output().expect("it ends");
            assert!(output.status.success(), "{store}");
            let text = String::from_utf8(output.stdout).expect("text");
            numbers.insert(text.trim_end().parse::<u64>().expect("a number"));
        }
        assert_eq!(numbers, (1..=20).collect(), "{store}");
    });
}

#[test]
fn what_was_acknowledged_is_there_after_other_processes_were_killed_while_they_wrote() {
    let directory = TempDir::new().expect("a directory");
    let store = format!("embedded:{}", directory.path().display());
    let (mut acknowledged, attempts) = (0, 40);
    for attempt in 0..attempts {
        let counting = command(&store, &[b"counter", b"c", b"1"]).stdout(Stdio::piped()).spawn();
        let mut counting = counting.expect("it starts");
        // At another moment each time; where it falls is all the same.
        std::thread::sleep(std::time::Duration::from_millis(attempt));
        // It may have ended by itself, which is as good.
        let _ = counting.kill();
        let output = counting.wait_with_output().expect("it ends");
        acknowledged += u64::from(!output.stdout.is_empty());
    }
    let there: u64 = ok(&store, &["counter", "c"]).trim_end().parse().expect("a number");
    assert!((acknowledged..=attempts).contains(&there), "{there} of {acknowledged} to {attempts}");
    ok(&store, &["set", "k", "v"]);
}

#[test]
fn a_libmemcached_string_is_a_store() {
    let (one, two) = (Memcached::start(), Memcached::start());
    let store = format!("--SERVER={} --SERVER={} --DISTRIBUTION=consistent", one.address(), two.address());
    ok(&store, &["set", "k", "v"]);
    assert!(one.get("k").is_some() != two.get("k").is_some());
    let flag = Command::new(program()).args(["kv", "get", "k", "--store", &store]).output();
    assert_eq!(flag.expect("it ends").stdout, b"v");
}

#[test]
fn a_prefix_stands_in_front_of_every_key_as_others_see_it() {
    let (redis, memcached) = (Redis::start(), Memcached::start());
    for store in [redis.url(), memcached.url()] {
        ok(&store, &["set", "k", "v", "--prefix", "p:"]);
        assert_eq!(ok(&store, &["get", "k", "--prefix", "p:"]), "v");
        fails(&store, &["get", "k"], NOT_FOUND);
    }
    assert_eq!(redis.run(&["GET", "p:k"]), Reply::Bulk(b"v".to_vec()));
    assert_eq!(memcached.get("p:k"), Some(b"v".to_vec()));
    assert_eq!(ok(&redis.url(), &["flush", "--prefix", "p:"]), "");
    assert_eq!(redis.run(&["GET", "p:k"]), Reply::Nil);
    fails(&memcached.url(), &["flush", "--prefix", "p:"], "MEMCACHED_NOT_SUPPORTED (28)");
    fails(&memcached.url(), &["get", "k", "--prefix", "a b"], "MEMCACHED_INVALID_ARGUMENTS (38)");
}

#[test]
fn what_others_wrote_is_read_with_its_flags_and_what_is_written_they_read() {
    let memcached = Memcached::with().unix().start();
    let store = memcached.url();
    memcached.connect().set("theirs", b"x", 42, 0);
    assert_eq!(json(&ok(&store, &["get", "theirs", "--json"]))[0]["flags"], 42);
    ok(&store, &["set", "ours", "y", "--flags", "43"]);
    assert_eq!(memcached.connect().get("ours"), Some((b"y".to_vec(), 43)));
}

#[test]
fn a_flush_empties_the_store() {
    on_each(|store| {
        ok(store, &["set", "k", "v"]);
        assert_eq!(ok(store, &["flush"]), "");
        eventually("an empty store", || (run(store, &["get", "k"]).code == Some(1)).then_some(()));
    });
}

#[test]
fn where_names_the_server_that_has_the_key_and_stats_names_all() {
    let servers: Vec<Memcached> = (0..3).map(|_| Memcached::start()).collect();
    let addresses: Vec<String> = servers.iter().map(|server| server.address().to_string()).collect();
    let store = format!("memcached://{}?distribution=consistent&hash=md5", addresses.join(","));
    for number in 0..10 {
        let key = format!("key{number}");
        ok(&store, &["set", &key, "v"]);
        let place = &json(&ok(&store, &["where", &key, "--json"]))[0];
        let at = addresses.iter().position(|address| place["server"] == address[..]).expect("one of them");
        assert_eq!(servers[at].get(&key), Some(b"v".to_vec()), "{place}");
        let text = ok(&store, &["where", &key]);
        assert!(text.contains(&addresses[at]) && text.contains("consistent"), "{text}");
    }
    let stats = json(&ok(&store, &["stats", "--json"]));
    let named: Vec<&str> = stats.iter().filter_map(|server| server["server"].as_str()).collect();
    assert_eq!(named, addresses);
    assert!(stats.iter().all(|server| server["stats"]["curr_items"].is_string()), "{stats:?}");
    let text = ok(&store, &["stats"]);
    assert!(addresses.iter().all(|address| text.lines().any(|line| line == address)), "{text}");
    on_each(|store| {
        assert!(ok(store, &["where", "k"]).contains("server  "), "{store}");
        assert!(ok(store, &["stats"]).lines().count() > 2, "{store}");
    });
}

#[test]
fn one_server_of_several_that_is_away_takes_nothing_else_with_it() {
    let mut servers: Vec<Memcached> = (0..2).map(|_| Memcached::start()).collect();
    let addresses: Vec<String> = servers.iter().map(|server| server.address().to_string()).collect();
    let store = format!("memcached://{}", addresses.join(","));
    let keys: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
    let mut on_first = 0;
    for key in &keys {
        ok(&store, &["set", key, "v"]);
        on_first += usize::from(servers[0].get(key).is_some());
    }
    servers[1].kill();
    let mut arguments = vec!["get", "--json"];
    arguments.extend(keys.iter().map(String::as_str));
    let get = run(&store, &arguments);
    let lines = json(&String::from_utf8(get.stdout).expect("text"));
    let found = lines.iter().filter(|line| line["number"] == 0).count();
    assert_eq!((get.code, found, lines.len()), (Some(1), on_first, 20), "{}", get.stderr);
    assert!(get.stderr.contains(&addresses[1]), "{}", get.stderr);
    let stats = run(&store, &["stats"]);
    assert_eq!(stats.code, Some(1));
    assert!(String::from_utf8(stats.stdout).expect("text").contains("curr_items"));
}

#[test]
fn a_server_that_is_down_and_one_that_hangs_are_told_apart_and_named() {
    let port = Port::free();
    let (mut redis, mut memcached) = (Redis::start(), Memcached::start());
    redis.hang();
    memcached.hang();
    for (kind, hung) in [("redis", redis.url()), ("memcached", memcached.url())] {
        let down = format!("{kind}://{}", port.address());
        for arguments in [&["get", "k"][..], &["set", "k", "v"], &["counter", "k"]] {
            let line = fails(&down, arguments, "MEMCACHED_CONNECTION_FAILURE (3)");
            assert!(line.contains(&port.address().to_string()), "{line}");
            let slow = [arguments, &["--timeout", "200ms"]].concat();
            let run = Command::new(program()).arg("kv").args(&slow).args(["--store", &hung]).output();
            let run = run.expect("it ends");
            let line = String::from_utf8(run.stderr).expect("text");
            assert!(line.trim_end().ends_with("MEMCACHED_TIMEOUT (31)"), "{arguments:?}: {line}");
            assert_eq!((run.status.code(), line.lines().count()), (Some(1), 1));
        }
        for arguments in [&["stats"][..], &["flush"]] {
            fails(&down, arguments, "MEMCACHED_CONNECTION_FAILURE (3)");
        }
    }
    memcached.unhang();
    redis.unhang();
}

#[test]
fn a_slip_in_the_address_of_an_embedded_store_makes_none() {
    let directory = TempDir::new().expect("a directory");
    let store = format!("embedded:{}", directory.path().join("x").display());
    for arguments in [&["get", "k"][..], &["delete", "k"], &["stats"], &["flush"], &["append", "k", "v"]] {
        let run = run(&store, arguments);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains("there is no store in") && run.stderr.contains("--store"), "{run:?}");
    }
    assert!(!directory.path().join("x").exists());
}

#[test]
fn wrong_usage_is_status_2_and_names_what_is_wrong() {
    let store = "memcached://127.0.0.1:1";
    for (arguments, part) in [
        (&["get"][..], "KEY"),
        (&["set", "k"], "VALUE"),
        (&["set", "k", "v", "--ttl", "soon"], "2h"),
        (&["touch", "k", "-1"], "-1"),
        (&["incr", "k", "x"], "invalid digit"),
        (&["incr", "k", "18446744073709551616"], "too large"),
        (&["counter", "k", "1.5"], "whole number"),
        (&["counter", "--set", "k"], "<N>"),
        (&["counter", "--set", "k", "-1"], "below 0"),
        (&["counter", "k", "18446744073709551615"], "too large"),
        (&["cas", "k", "v"], "--token"),
        (&["cas", "k", "v", "--token", "x"], "40 hexadecimal digits"),
        (&["get", "k", "--store", "redi://h"], "did you mean 'redis:'?"),
        (&["get", "k", "--store", "memcached://h?hash=sha"], "hash"),
    ] {
        let run = run(store, arguments);
        assert_eq!((run.code, run.stdout.is_empty()), (Some(2), true), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(part), "{arguments:?}: {part:?} is missing from {}", run.stderr);
    }
    let none = Command::new(program()).args(["kv", "get", "k"]).env_remove("WAYPOST_STORE").output();
    let none = none.expect("it ends");
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stderr).contains("--store URL or in WAYPOST_STORE"));
}

#[test]
fn options_of_the_store_stand_before_the_command_or_behind_it() {
    let (memcached, other) = (Memcached::start(), Memcached::start());
    memcached.set("p:k", "here");
    let (store, elsewhere) = (memcached.url(), other.url());
    let options = ["--store", &store, "--prefix", "p:", "--timeout", "30s", "--json"];
    let both = ["kv", "--store", &elsewhere, "get", "--store", &store, "--prefix", "p:", "--json", "k"];
    for arguments in [
        [&["kv"][..], &options, &["get", "k"]].concat(),
        [&["kv", "get"][..], &options, &["k"]].concat(),
        [&["kv", "get", "k"][..], &options].concat(),
        // The one that stands nearest to what it is for.
        both.to_vec(),
    ] {
        // A flag goes before the variable wherever it stands.
        let output = Command::new(program()).args(&arguments).env("WAYPOST_STORE", &elsewhere).output();
        let output = output.expect("it ends");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert_eq!(json(&shown)[0]["value"], "here", "{arguments:?}");
    }
    let library = format!("--SERVER={}", memcached.address());
    let output = Command::new(program()).args(["kv", "--store", &library, "get", "p:k"]).output();
    assert_eq!(output.expect("it ends").stdout, b"here");
}

#[test]
fn a_password_in_an_address_is_never_shown() {
    let port = Port::free();
    for store in [
        format!("redis://u:hidden@{}", port.address()),
        format!("memcached://{}?user=u&password=hidden", port.address()),
    ] {
        let run = run(&store, &["get", "k"]);
        assert_eq!(run.code, Some(1));
        assert!(!run.stderr.contains("hidden"), "{}", run.stderr);
    }
}
