//! `waypost route … --table redis://…`: what the commands write, in which transaction, and beside whom.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use waypost_tests::resp::encode;
use waypost_tests::{
    Finished, Port, Process, Redis, RedisClient, Reply, Router, Upstream, eventually, program, table,
};

const ID: &str = "6c0f1f5e-1d2c-4b7a-9a57-3f0f6a1d0001";
const OTHER_ID: &str = "6c0f1f5e-1d2c-4b7a-9a57-3f0f6a1d0002";

/// `waypost route ARGUMENTS --table URL`.
fn route<A: AsRef<OsStr>>(redis: &Redis, arguments: &[A]) -> Finished {
    let mut command = Command::new(program());
    command.env("NO_COLOR", "1").arg("route").args(arguments).args(["--table", &redis.url()]);
    Process::run(&mut command)
}

fn route_ok<A: AsRef<OsStr>>(redis: &Redis, arguments: &[A]) -> String {
    let finished = route(redis, arguments);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    finished.stdout
}

fn set(redis: &Redis, key: &str) -> Vec<String> {
    redis.run(&["SMEMBERS", key]).texts()
}

fn serial(redis: &Redis) -> i64 {
    match redis.run(&["GET", "serial"]) {
        Reply::Nil => 0,
        reply => reply.integer(),
    }
}

/// Sees every command that a server runs.
struct Monitor {
    client: RedisClient,
}

impl Monitor {
    fn start(redis: &Redis) -> Monitor {
        let mut client = redis.connect();
        client.run(&["MONITOR"]);
        Monitor { client }
    }

    /// The commands since it was started, each its words in lower case, up to a mark set now.
    fn commands(mut self, redis: &Redis) -> Vec<Vec<String>> {
        redis.run(&["ECHO", "that is all"]);
        let mut commands = Vec::new();
        loop {
            // `1700000000.123 [0 127.0.0.1:1234] "SADD" "key" "member"`
            let line = self.client.read().unwrap().text().expect("a line");
            let words: Vec<String> = line.split('"').skip(1).step_by(2).map(str::to_lowercase).collect();
            if words.iter().any(|word| word == "that is all") {
                return commands;
            }
            commands.push(words);
        }
    }
}

/// The words of the only transaction there is, and that nothing was written outside of it.
fn only_transaction(commands: &[Vec<String>]) -> Vec<Vec<String>> {
    let at = |name: &str| {
        let mut found = commands.iter().enumerate().filter(|(_, words)| words[0] == name);
        let (index, _) = found.next().unwrap_or_else(|| panic!("no {name}: {commands:#?}"));
        (index, found.next().is_some())
    };
    let ((begin, again), (end, _)) = (at("multi"), at("exec"));
    assert!(!again, "more than one transaction: {commands:#?}");
    let writes = ["sadd", "srem", "del", "unlink", "incr", "set", "hset", "hdel", "rename"];
    for (index, words) in commands.iter().enumerate() {
        let is_inside = begin < index && index < end;
        assert!(
            is_inside || !writes.contains(&words[0].as_str()),
            "written outside: {words:?} of {commands:#?}"
        );
    }
    commands[begin + 1..end].to_vec()
}

fn writes(commands: &[Vec<String>], what: &[&str]) -> bool {
    commands.iter().any(|words| what.iter().zip(words).filter(|(a, b)| a == b).count() == what.len())
}

#[test]
fn add_and_remove_write_both_sets_and_the_serial_in_one_transaction() {
    let redis = Redis::start();
    let monitor = Monitor::start(&redis);
    let arguments =
        ["add", "a.test", "127.0.0.1:8080", "--version-type", "12", "--node", "n", "--instance", "i"];
    route_ok(&redis, &[&arguments[..], &["--instance-id", ID]].concat());
    let transaction = only_transaction(&monitor.commands(&redis));
    assert!(writes(&transaction, &["sadd", "instances:a.test", "127.0.0.1:8080#12#n#i"]), "{transaction:#?}");
    assert!(writes(&transaction, &["sadd", "instance_ids:a.test", ID]), "{transaction:#?}");
    assert!(writes(&transaction, &["incr", "serial"]), "{transaction:#?}");
    assert_eq!(set(&redis, "instances:a.test"), ["127.0.0.1:8080#12#n#i"]);
    assert_eq!(set(&redis, "instance_ids:a.test"), [ID]);
    assert_eq!(serial(&redis), 1);

    let monitor = Monitor::start(&redis);
    route_ok(&redis, &["remove", "a.test", "127.0.0.1:8080"]);
    let transaction = only_transaction(&monitor.commands(&redis));
    assert!(writes(&transaction, &["incr", "serial"]), "{transaction:#?}");
    assert_eq!(redis.run(&["EXISTS", "instances:a.test", "instance_ids:a.test"]).integer(), 0);
    assert_eq!(serial(&redis), 2);
}

#[test]
fn an_instance_without_an_id_is_given_one_so_that_the_sets_stay_in_step() {
    let redis = Redis::start();
    route_ok(&redis, &["add", "a.test", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    let ids = set(&redis, "instance_ids:a.test");
    assert_eq!(ids.len(), 3);
    for id in &ids {
        let groups: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12], "{id} is no UUID");
    }
    route_ok(&redis, &["remove", "a.test", "127.0.0.1:2"]);
    assert_eq!(set(&redis, "instances:a.test"), ["127.0.0.1:1", "127.0.0.1:3"]);
    assert_eq!(set(&redis, "instance_ids:a.test").len(), 2);
    route_ok(&redis, &["remove", "a.test"]);
    assert_eq!(redis.run(&["KEYS", "instance*"]).texts(), [""; 0]);
}

#[test]
fn the_id_of_an_instance_goes_with_it() {
    let redis = Redis::start();
    route_ok(&redis, &["add", "a.test", "127.0.0.1:1", "--instance-id", ID]);
    route_ok(&redis, &["add", "a.test", "127.0.0.1:2", "--instance-id", OTHER_ID]);
    let listed = route_ok(&redis, &["list", "--json"]);
    assert!(listed.contains(ID) && listed.contains(OTHER_ID), "{listed}");
    route_ok(&redis, &["remove", "a.test", "127.0.0.1:1"]);
    assert_eq!(set(&redis, "instance_ids:a.test"), [OTHER_ID]);
}

#[test]
fn adding_what_is_there_and_removing_what_is_not_changes_nothing_and_says_so() {
    let redis = Redis::start();
    route_ok(&redis, &["add", "a.test", "127.0.0.1:1", "--version-type", "12", "--instance-id", ID]);
    let before = serial(&redis);
    for arguments in [
        &["add", "a.test", "127.0.0.1:1", "--version-type", "12", "--instance-id", ID][..],
        &["add", "a.test", "127.0.0.1:1", "--version-type", "12"],
        &["remove", "a.test", "127.0.0.1:2"],
        &["remove", "b.test"],
    ] {
        assert!(!route_ok(&redis, arguments).is_empty(), "{arguments:?} says nothing");
    }
    assert_eq!(serial(&redis), before);
    assert_eq!(set(&redis, "instances:a.test"), ["127.0.0.1:1#12"]);
    assert_eq!(set(&redis, "instance_ids:a.test"), [ID]);
}

#[test]
fn adding_with_other_attributes_replaces_the_member() {
    let redis = Redis::start();
    route_ok(&redis, &["add", "a.test", "127.0.0.1:1", "--version-type", "12"]);
    route_ok(&redis, &["add", "a.test", "127.0.0.1:1", "--version-type", "13", "--weight", "3"]);
    assert_eq!(set(&redis, "instances:a.test"), ["127.0.0.1:1#13###weight=3"]);
    assert_eq!(set(&redis, "instance_ids:a.test").len(), 1);
}

#[test]
fn every_extension_is_written_behind_the_fourth_hash() {
    let redis = Redis::start();
    route_ok(&redis, &["add", "a.test", "127.0.0.1:1", "--weight", "3", "--path", "/api"]);
    route_ok(&redis, &["add", "*.b.test", "--backend", "other"]);
    assert_eq!(set(&redis, "instances:a.test"), ["127.0.0.1:1####weight=3&path=/api"]);
    assert_eq!(set(&redis, "instances:*.b.test"), ["-####backend=other"]);
}

#[test]
fn the_sets_of_the_stats_store_are_filled_when_told() {
    let [routes, stats] = [0; 2].map(|_| Redis::start());
    let arguments = ["add", "a.test", "127.0.0.1:1", "--version-type", "12"];
    let groups = ["--workspace", "1", "--application", "2", "--version", "3"];
    let url = stats.url();
    route_ok(&routes, &[&arguments[..], &groups, &["--stats", &url]].concat());
    for key in ["workspace:1", "application:2", "version:3"] {
        assert_eq!(set(&stats, key), ["12"], "{key}");
        assert_eq!(routes.run(&["EXISTS", key]).integer(), 0, "{key} is in the table's store");
    }
    assert_eq!(stats.run(&["DBSIZE"]).integer(), 3);
    assert_eq!(set(&routes, "instances:a.test"), ["127.0.0.1:1#12"]);
}

#[test]
fn list_and_dump_show_every_entry_and_the_serial_at_the_top() {
    let redis = Redis::start();
    redis.run(&["SET", "serial", "4711"]);
    redis.sadd("b.example.com", &["127.0.0.1:1#12#n#i"]);
    redis.sadd("example.com", &["127.0.0.1:2"]);
    redis.sadd("*.example.com", &["[::1]:3"]);
    let listed = route_ok(&redis, &["list"]);
    assert!(listed.lines().next().is_some_and(|line| line.contains("4711")), "{listed}");
    let place = |text: &str| listed.find(text).unwrap_or_else(|| panic!("no {text} in {listed}"));
    assert!(place("127.0.0.1:2") < place("[::1]:3") && place("[::1]:3") < place("127.0.0.1:1"), "{listed}");
    assert_eq!(route_ok(&redis, &["dump"]), listed);
    let json: serde_json::Value = serde_json::from_str(&route_ok(&redis, &["list", "--json"])).unwrap();
    assert_eq!(json["serial"], 4711);
    assert_eq!(json["entries"].as_array().map(Vec::len), Some(3));
    let one = route_ok(&redis, &["list", "b.example.com"]);
    assert!(one.contains("127.0.0.1:1") && !one.contains("127.0.0.1:2"), "{one}");
}

#[test]
fn explain_tells_the_candidates_in_order() {
    let redis = Redis::start();
    redis.sadd("*.example.com", &["127.0.0.1:1"]);
    let explained = route_ok(&redis, &["explain", "http://WWW.Example.com:8080/x"]);
    let place = |text: &str| explained.find(text).unwrap_or_else(|| panic!("no {text} in {explained}"));
    assert!(place("www.example.com") < place("*.example.com"), "{explained}");
    place("127.0.0.1:1");
}

#[test]
fn check_finds_what_cannot_work() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    let closed = Port::free();
    redis.route("good.test", upstream.address());
    redis.run(&["SADD", "instance_ids:good.test", ID]);
    assert_eq!(route(&redis, &["check"]).code, Some(0));
    redis.sadd("malformed.test", &["nonsense"]);
    redis.sadd("name.test", &["localhost:80"]);
    redis.run(&["SET", "instances:type.test", "x"]);
    redis.route("step.test", upstream.address());
    redis.run(&["SADD", "instance_ids:step.test", ID, OTHER_ID]);
    redis.route("closed.test", closed.address());
    redis.run(&["SADD", "instance_ids:closed.test", ID]);
    let finished = route(&redis, &["check"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    for host in ["malformed.test", "name.test", "type.test", "step.test", "closed.test"] {
        assert!(finished.stdout.contains(host), "{host} is not found:\n{}", finished.stdout);
    }
    assert!(!finished.stdout.contains("good.test"), "{}", finished.stdout);
}

#[test]
fn prune_removes_instances_that_take_no_connection_and_their_ids() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    let closed = Port::free().address().to_string();
    let open = upstream.address().to_string();
    route_ok(&redis, &["add", "a.test", &open, "--instance-id", ID]);
    route_ok(&redis, &["add", "a.test", &closed, "--instance-id", OTHER_ID]);
    route_ok(&redis, &["add", "b.test", &closed]);
    let before = serial(&redis);
    let finished = route(&redis, &["check", "--prune"]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert_eq!(set(&redis, "instances:a.test"), [open]);
    assert_eq!(set(&redis, "instance_ids:a.test"), [ID]);
    assert_eq!(redis.run(&["EXISTS", "instances:b.test", "instance_ids:b.test"]).integer(), 0);
    assert!(serial(&redis) > before);
}

#[test]
fn an_import_is_atomic_and_can_be_repeated_and_an_export_imports_elsewhere() {
    let [one, two] = [0; 2].map(|_| Redis::start());
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("routes.jsonl");
    let lines: String = (0..2000)
        .map(|number| {
            format!(
                "{{\"host\":\"h{number}.test\",\"address\":\"127.0.0.1:1\",\"version_type\":\"{number}\"}}\n"
            )
        })
        .collect();
    std::fs::write(&file, &lines).unwrap();
    let import = [OsStr::new("import"), file.as_os_str()];
    let monitor = Monitor::start(&one);
    route_ok(&one, &import);
    only_transaction(&monitor.commands(&one));
    assert_eq!(table::of_redis(&one).len(), 2000);
    assert_eq!(one.run(&["KEYS", "instance_ids:*"]).items().len(), 2000);
    let before = serial(&one);
    route_ok(&one, &import);
    assert_eq!(serial(&one), before, "the second import changed something");

    let exported = route_ok(&one, &["export"]);
    std::fs::write(&file, &exported).unwrap();
    two.sadd("extra.test", &["127.0.0.1:1"]);
    route_ok(&two, &import);
    assert_eq!(table::of_redis(&two).len(), 2001);
    route_ok(&two, &[import[0], import[1], OsStr::new("--replace")]);
    assert_eq!(table::of_redis(&two), table::of_redis(&one));
    assert_eq!(route_ok(&two, &["export"]), exported);

    std::fs::write(&file, "{\"host\":\"new.test\",\"address\":\"127.0.0.1:1\"}\n{\"host\":\"new.test\"}\n")
        .unwrap();
    let finished = route(&one, &import);
    assert_eq!(finished.code, Some(1));
    assert!(finished.only_line_of_stderr().contains("line 2"), "{finished:#?}");
    assert_eq!(one.run(&["EXISTS", "instances:new.test"]).integer(), 0);
}

#[test]
fn a_change_behind_a_replica_is_made_at_its_master_and_without_one_not_at_all() {
    let mut master = Redis::start();
    let replica = Redis::with().replica_of(&master).start();
    eventually("replication", || {
        let role = replica.run(&["ROLE"]);
        (role.items()[3].text().as_deref() == Some("connected")).then_some(())
    });
    route_ok(&replica, &["add", "a.test", "127.0.0.1:1"]);
    assert_eq!(set(&master, "instances:a.test"), ["127.0.0.1:1"]);
    assert_eq!(serial(&master), 1);
    eventually("replication", || (set(&replica, "instances:a.test") == ["127.0.0.1:1"]).then_some(()));
    master.kill();
    let finished = route(&replica, &["add", "b.test", "127.0.0.1:1"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    finished.only_line_of_stderr();
    assert_eq!(replica.run(&["EXISTS", "instances:b.test"]).integer(), 0);
}

#[test]
fn a_change_of_a_set_of_another_type_is_refused_whole() {
    let redis = Redis::start();
    redis.run(&["SET", "instance_ids:a.test", "x"]);
    let finished = route(&redis, &["add", "a.test", "127.0.0.1:1"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    finished.only_line_of_stderr();
    assert_eq!(redis.run(&["EXISTS", "instances:a.test", "serial"]).integer(), 0);
}

#[test]
fn commands_through_the_router_write_the_store_too() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    let router = Router::with().flag("--table", redis.url()).start();
    router.await_ready();
    let address = upstream.address().to_string();
    router.cli_ok(["route", "add", "a.test", &address, "--version-type", "12", "--instance-id", ID]);
    assert_eq!(set(&redis, "instances:a.test"), [format!("{address}#12")]);
    assert_eq!(set(&redis, "instance_ids:a.test"), [ID]);
    assert_eq!(serial(&redis), 1);
    router.await_answer("a.test", Ok("here"));
    router.cli_ok(["route", "remove", "a.test"]);
    assert_eq!(redis.run(&["EXISTS", "instances:a.test", "instance_ids:a.test"]).integer(), 0);
    router.await_answer("a.test", Err(404));
}

#[test]
fn a_command_through_the_router_says_so_when_the_store_is_away() {
    let mut redis = Redis::start();
    let router = Router::with().flag("--table", redis.url()).start();
    router.await_ready();
    redis.kill();
    let finished = router.cli(["route", "add", "a.test", "127.0.0.1:1"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    finished.only_line_of_stderr();
    assert_eq!(router.cli(["route", "list"]).code, Some(0), "reading needs no store");
}

#[test]
fn commands_end_with_a_reason_when_the_store_hangs() {
    let mut redis = Redis::start();
    let router = Router::with().flag("--table", redis.url()).start();
    router.await_ready();
    redis.hang();
    let add = ["add", "a.test", "127.0.0.1:1"];
    for finished in
        [route(&redis, &add), route(&redis, &["list"]), router.cli([&["route"][..], &add].concat())]
    {
        assert_eq!(finished.code, Some(1), "{finished:#?}");
        finished.only_line_of_stderr();
    }
    assert_eq!(router.cli(["route", "list"]).code, Some(0), "reading needs no store");
}

#[test]
fn a_writer_that_knows_only_sadd_works_beside_the_commands() {
    let redis = Redis::start();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (stop, mut client) = (Arc::clone(&stop), redis.connect());
        move || {
            let mut number = 0;
            while !stop.load(Ordering::SeqCst) {
                client.run(&["SADD", "instances:both.test", &format!("10.0.0.1:{}", 1 + number % 60_000)]);
                number += 1;
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
            number
        }
    });
    let ours = 12;
    for number in 0..ours {
        // The set changes under its eyes, and it gets through all the same.
        route_ok(&redis, &["add", "both.test", &format!("10.0.0.2:{}", 1 + number)]);
        if number % 2 == 0 {
            route_ok(&redis, &["remove", "both.test", &format!("10.0.0.2:{}", 1 + number)]);
        }
    }
    stop.store(true, Ordering::SeqCst);
    let theirs = writer.join().unwrap().min(60_000);
    let members = set(&redis, "instances:both.test");
    let of = |prefix: &str| members.iter().filter(|member| member.starts_with(prefix)).count();
    assert_eq!((of("10.0.0.1:"), of("10.0.0.2:")), (theirs, ours / 2));
}

#[test]
fn two_commands_at_once_both_get_through() {
    let redis = Redis::start();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let redis = &redis;
            scope.spawn(move || {
                for number in 0..10 {
                    route_ok(redis, &["add", "a.test", &format!("10.0.{writer}.1:{}", 1 + number)]);
                }
            });
        }
    });
    assert_eq!(set(&redis, "instances:a.test").len(), 40);
    assert_eq!(set(&redis, "instance_ids:a.test").len(), 40);
    assert_eq!(serial(&redis), 40);
    let router = Router::with().flag("--table", redis.url()).start();
    router.await_ready();
    table::await_equal(&router, &redis, "after many commands");
    redis.connect().pipeline(&[encode(&["FLUSHDB"])]);
    eventually("an empty table", || table::of_router(&router).is_empty().then_some(()));
}
