//! What a Redis table may hold, well-formed and not: what is legal routes, what is not is named once, and
//! nothing else suffers from it.

use std::collections::BTreeMap;

use serde_json::Value;
use waypost_tests::resp::encode;
use waypost_tests::{Redis, Router, Upstream, answer, eventually, table};

fn router_of(redis: &Redis) -> Router {
    let router = Router::with().flag("--table", redis.url()).start();
    router.await_ready();
    router
}

/// The router's log lines that name something.
fn lines_naming(router: &mut Router, what: &str) -> Vec<String> {
    router.process().stderr().lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
}

#[test]
fn a_member_of_every_legal_shape_routes_and_its_keys_are_logged() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    let address = upstream.address().to_string();
    let cases = [
        ("address.test", "", ["null", "null", "null"]),
        ("version.test", "#12", ["12", "null", "null"]),
        ("node.test", "#12#node-1", ["12", "node-1", "null"]),
        ("whole.test", "#12#node-1#i-1", ["12", "node-1", "i-1"]),
        ("holes.test", "###i-1", ["null", "null", "i-1"]),
        ("ends.test", "###", ["null", "null", "null"]),
        ("extended.test", "#12#n#i#weight=3", ["12", "n", "i"]),
        ("only-extended.test", "####weight=3&scheme=http", ["null", "null", "null"]),
        ("ends-extended.test", "#12#n#i#", ["12", "n", "i"]),
        ("blanks.test", "#a b#ä#\"\\", ["a b", "ä", "\"\\"]),
    ];
    for (host, rest, _) in &cases {
        redis.sadd(host, &[&format!("{address}{rest}")]);
    }
    let mut router = router_of(&redis);
    for (host, ..) in &cases {
        assert_eq!(router.answer_of(host), Ok("here".into()), "{host}");
    }
    router.process().terminate();
    assert_eq!(router.wait().code, Some(0));
    let log = std::fs::read_to_string(router.data().join("access.json")).unwrap();
    let keys: BTreeMap<String, [String; 3]> = log
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let text =
                |name: &str| line[name].as_str().unwrap_or_else(|| panic!("{name}: {line}")).to_owned();
            (text("host"), ["version_type_key", "node_key", "instance_key"].map(text))
        })
        .collect();
    for (host, _, expected) in &cases {
        assert_eq!(&keys[*host], expected, "{host}");
    }
}

#[test]
fn an_ipv6_address_is_written_in_brackets() {
    let redis = Redis::start();
    redis.sadd("six.test", &["[::1]:8080#12", "[2001:db8::1]:80"]);
    let router = router_of(&redis);
    table::await_equal(&router, &redis, "");
}

#[test]
fn members_of_one_address_are_instances_each() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    let address = upstream.address().to_string();
    let members = ["", "#12", "#12#n#i", "#13"].map(|rest| format!("{address}{rest}"));
    redis.sadd("a.test", &members.each_ref().map(String::as_str));
    let router = router_of(&redis);
    assert_eq!(router.answer_of("a.test"), Ok("here".into()));
    table::await_equal(&router, &redis, "");
    redis.run(&["SREM", "instances:a.test", &members[1]]);
    table::await_equal(&router, &redis, "after one was removed");
}

#[test]
fn extensions_do_what_they_do_in_the_embedded_table() {
    let [plain, api, drained] = ["plain", "api", "drained"].map(Upstream::named);
    let redis = Redis::start();
    let [plain, api, drained] = [&plain, &api, &drained].map(|upstream| upstream.address().to_string());
    let members = [format!("{plain}#1"), format!("{api}####path=/api"), format!("{drained}####weight=0")];
    redis.sadd("x.test", &members.each_ref().map(String::as_str));
    redis.sadd("b.test", &["-####backend=other"]);
    let other = Upstream::named("other");
    let config = format!(
        "[backend.other]\ntype = \"client\"\nurl = \"http://{}\"\n\
         [backend.routes]\ntype = \"routes\"\nbackends = [\"other\"]\n",
        other.address()
    );
    let router = Router::with().config(config).flag("--table", redis.url()).start();
    router.await_ready();
    let mut client = router.connect();
    for _ in 0..20 {
        assert_eq!(client.get("x.test", "/").text(), "plain");
        assert_eq!(client.get("x.test", "/api/x").text(), "api");
    }
    assert_eq!(client.get("b.test", "/").text(), "other");
    table::await_equal(&router, &redis, "");
}

#[test]
fn an_unknown_extension_is_ignored_with_one_warning() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    for number in 0..5 {
        redis.sadd(&format!("h{number}.test"), &[&format!("{}####colour{}=red", upstream.address(), 1)]);
    }
    let mut router = router_of(&redis);
    for number in 0..5 {
        assert_eq!(router.answer_of(&format!("h{number}.test")), Ok("here".into()));
    }
    redis.sadd("h0.test", &["127.0.0.1:1"]);
    redis.route("last.test", upstream.address());
    router.await_answer("last.test", Ok("here"));
    let lines = lines_naming(&mut router, "colour1");
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

#[test]
fn wildcards_are_keys_like_others() {
    let [wide, any] = ["wide", "any"].map(Upstream::named);
    let redis = Redis::start();
    redis.route("*.w.test", wide.address());
    redis.route("*", any.address());
    let router = router_of(&redis);
    for (host, expected) in [("a.w.test", "wide"), ("a.b.w.test", "wide"), ("w.test", "any"), ("x", "any")] {
        assert_eq!(router.answer_of(host), Ok(expected.into()), "{host}");
    }
    redis.run(&["DEL", "instances:*.w.test"]);
    router.await_answer("a.w.test", Ok("any"));
}

#[test]
fn a_malformed_member_is_named_once_and_nothing_else_suffers() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    let address = upstream.address().to_string();
    let malformed = [
        "nonsense-1",
        "localhost:8081",
        "10.0.0.1",
        "10.0.0.1:99999",
        "10.0.0.1:0",
        "10.0.0.300:80",
        "::1:8082",
        "[::1]",
        "#12#n#i",
        "",
        "10.0.0.1:83####weight=many",
        "10.0.0.1:84####path=relative",
        "10.0.0.1:85####scheme=gopher",
        "10.0.0.1:86####backend=no/name",
        "-",
    ];
    for (number, member) in malformed.iter().enumerate() {
        // Alone in its set, and beside a good one.
        redis.sadd(&format!("alone{number}.test"), &[member]);
        redis.sadd(&format!("beside{number}.test"), &[member, &address]);
    }
    redis.route("good.test", upstream.address());
    let mut router = router_of(&redis);
    assert_eq!(router.answer_of("good.test"), Ok("here".into()));
    for (number, member) in malformed.iter().enumerate() {
        assert_eq!(router.answer_of(&format!("beside{number}.test")), Ok("here".into()), "{member}");
        assert_eq!(router.answer_of(&format!("alone{number}.test")), Err(404), "{member}");
    }
    let skipped = |router: &Router| router.readiness().1["table"]["skipped"].as_u64();
    assert_eq!(skipped(&router), Some(2 * malformed.len() as u64));
    // Reading the same again says nothing new.
    for round in 0..3 {
        for number in 0..malformed.len() {
            redis.sadd(&format!("beside{number}.test"), &[&format!("{address}#{round}")]);
        }
        redis.cut_clients();
        redis.route(&format!("round{round}.test"), upstream.address());
        router.await_answer(&format!("round{round}.test"), Ok("here"));
    }
    for (number, member) in malformed.iter().enumerate() {
        for host in [format!("alone{number}.test"), format!("beside{number}.test")] {
            let lines = lines_naming(&mut router, &host);
            assert_eq!(lines.len(), 1, "{host} with {member:?}: {lines:#?}");
            assert!(lines[0].contains(member), "{member:?} is not named: {}", lines[0]);
        }
    }
    // What is mended counts no more.
    for (number, member) in malformed.iter().enumerate() {
        redis.run(&["DEL", &format!("instances:alone{number}.test")]);
        redis.run(&["SREM", &format!("instances:beside{number}.test"), member]);
    }
    eventually("nothing is malformed any more", || (skipped(&router) == Some(0)).then_some(()));
}

#[test]
fn a_key_of_another_type_is_named_once_and_nothing_else_suffers() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    let mut client = redis.connect();
    client.run(&["SET", "instances:string.test", "127.0.0.1:1"]);
    client.run(&["HSET", "instances:hash.test", "127.0.0.1:1", ""]);
    client.run(&["RPUSH", "instances:list.test", "127.0.0.1:1"]);
    client.run(&["ZADD", "instances:sorted.test", "1", "127.0.0.1:1"]);
    client.run(&["XADD", "instances:stream.test", "*", "127.0.0.1:1", ""]);
    client.run(&["SET", "instance_ids:ids.test", "x"]);
    redis.route("ids.test", upstream.address());
    redis.route("good.test", upstream.address());
    let mut router = router_of(&redis);
    assert_eq!(router.answer_of("good.test"), Ok("here".into()));
    assert_eq!(router.answer_of("ids.test"), Ok("here".into()));
    let hosts = ["string.test", "hash.test", "list.test", "sorted.test", "stream.test"];
    for host in hosts {
        assert_eq!(router.answer_of(host), Err(404), "{host}");
    }
    redis.cut_clients();
    redis.route("later.test", upstream.address());
    router.await_answer("later.test", Ok("here"));
    for host in hosts {
        let lines = lines_naming(&mut router, &format!("instances:{host}"));
        assert_eq!(lines.len(), 1, "{host}: {lines:#?}");
    }
}

#[test]
fn a_key_that_changes_its_type_is_followed_both_ways() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    let address = upstream.address().to_string();
    redis.run(&["SET", "instances:a.test", "x"]);
    redis.sadd("b.test", &[&address]);
    let router = router_of(&redis);
    redis.run(&["SET", "instances:b.test", "x"]);
    router.await_answer("b.test", Err(404));
    redis
        .connect()
        .try_transaction(&[
            encode(&["DEL", "instances:a.test"]),
            encode(&["SADD", "instances:a.test", &address]),
        ])
        .unwrap();
    router.await_answer("a.test", Ok("here"));
}

#[test]
fn a_serial_that_is_no_number_disturbs_nothing() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    for value in ["many", "-1", "99999999999999999999999999", ""] {
        redis.run(&["SET", "serial", value]);
        redis.route("a.test", upstream.address());
        let router = router_of(&redis);
        assert_eq!(router.answer_of("a.test"), Ok("here".into()), "{value:?}");
        redis.run(&["DEL", "instances:a.test"]);
        router.await_answer("a.test", Err(404));
    }
    redis.run(&["DEL", "serial"]);
    redis.run(&["SADD", "serial", "x"]);
    redis.route("a.test", upstream.address());
    let router = router_of(&redis);
    assert_eq!(router.answer_of("a.test"), Ok("here".into()));
}

#[test]
fn keys_and_members_of_odd_bytes_disturb_nothing() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    let mut client = redis.connect();
    let address = upstream.address().to_string();
    let hosts: Vec<Vec<u8>> = vec![
        vec![],
        b"\xff\xfe".to_vec(),
        b"a b.test".to_vec(),
        b"line\r\nbreak.test".to_vec(),
        b"nul\0.test".to_vec(),
        b"..".to_vec(),
        b".".to_vec(),
        b"*.*.test".to_vec(),
        b"a*.test".to_vec(),
        b"http://a.test/".to_vec(),
        "ümlaut.test".into(),
        vec![b'x'; 100_000],
        vec![b'\n'; 1000],
        "{tag}.test".into(),
        b"[::1".to_vec(),
    ];
    for host in &hosts {
        for prefix in ["instances:", "instance_ids:"] {
            client.run(&[b"SADD".to_vec(), [prefix.as_bytes(), host].concat(), address.clone().into_bytes()]);
        }
    }
    let members: Vec<Vec<u8>> = vec![
        b"\xff".to_vec(),
        vec![b'#'; 70_000],
        b"127.0.0.1:1#\xff#\xfe#\xfd".to_vec(),
        vec![b'1'; 1_000_000],
    ];
    for (number, member) in members.iter().enumerate() {
        let key = format!("instances:m{number}.test");
        client.run(&[b"SADD", key.as_bytes(), member, address.as_bytes()]);
    }
    redis.route("good.test", upstream.address());
    let mut router = router_of(&redis);
    assert_eq!(router.answer_of("good.test"), Ok("here".into()));
    for number in 0..members.len() {
        assert_eq!(router.answer_of(&format!("m{number}.test")), Ok("here".into()), "member {number}");
    }
    redis.route("later.test", upstream.address());
    router.await_answer("later.test", Ok("here"));
    // A log line is a line, and bounded, whatever is named in it.
    let log = router.process().stderr();
    let longest = log.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 2000, "a line of the log has {longest} bytes");
    assert!(!log.chars().any(|c| c.is_control() && c != '\n'), "control characters in the log");
}

#[test]
fn keys_of_others_are_left_alone() {
    let upstream = Upstream::named("here");
    let redis = Redis::start();
    let mut client = redis.connect();
    for key in ["serialised", "instancesa.test", "instances", "Instances:a.test", "xinstances:a.test"] {
        client.run(&["SADD", key, "127.0.0.1:1"]);
    }
    redis.route("good.test", upstream.address());
    let router = router_of(&redis);
    assert_eq!(table::of_router(&router).keys().collect::<Vec<_>>(), ["good.test"]);
    assert_eq!(router.readiness().1["table"]["skipped"], 0);
}

#[test]
fn a_million_members_in_one_set_leave_the_others_fresh() {
    let upstream = Upstream::serving(|request| answer(200, request.fields.get("host").unwrap_or_default()));
    let redis = Redis::start();
    let script = "for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do \
                  redis.call('SADD', KEYS[1], '10.' .. bit.band(bit.rshift(i, 16), 255) .. '.' .. \
                  bit.band(bit.rshift(i, 8), 255) .. '.' .. bit.band(i, 255) .. ':80') end";
    for hundred_thousands in 0..10 {
        let (first, last) = (hundred_thousands * 100_000, hundred_thousands * 100_000 + 99_999);
        redis.run(&["EVAL", script, "1", "instances:big.test", &first.to_string(), &last.to_string()]);
    }
    assert_eq!(redis.run(&["SCARD", "instances:big.test"]).integer(), 1_000_000);
    redis.route("good.test", upstream.address());
    let mut router = router_of(&redis);
    router.await_answer("good.test", Ok("good.test"));
    for number in 0..20 {
        let host = format!("h{number}.test");
        redis.route(&host, upstream.address());
        redis.sadd("big.test", &[&format!("11.0.0.1:{}", 1 + number)]);
        router.await_answer(&host, Ok(&host));
    }
    eventually("the large set is named", || {
        (!lines_naming(&mut router, "big.test").is_empty()).then_some(())
    });
    assert_eq!(lines_naming(&mut router, "big.test").len(), 1);
    let memory = router.process().resident_memory();
    assert!(memory < 600 << 20, "the router holds {} MiB", memory >> 20);
}
