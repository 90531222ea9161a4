//! Changes by any means are in the table soon after, and what can't be used harms nothing else.

use std::time::Duration;

use crate::Router;
use crate::server::{Server, eventually, run};

#[test]
fn a_table_that_is_there_is_read_at_the_start() {
    let server = Server::start();
    server.run("SADD instances:a.example 10.0.0.1:80#v#n#i 10.0.0.2:80");
    server.run("SADD instances:*.b.example [::1]:80");
    server.run("SET serial 41");
    let router = Router::follow(&server);
    let status = router.status();
    assert_eq!((status.entries, status.instances, status.serial, status.loaded), (2, 3, 41, true));
    assert!(status.error.is_none() && status.following.unwrap().tells);
    assert_eq!(router.members("*.b.example"), ["[::1]:80"]);
}

#[test]
fn an_empty_store_is_an_empty_table_that_was_read() {
    let server = Server::start();
    let status = Router::follow(&server).status();
    assert!(status.loaded && status.entries == 0 && status.error.is_none());
}

#[test]
fn a_change_by_any_command_is_followed() {
    let server = Server::start();
    let router = Router::follow(&server);
    let mut client = server.connect();
    let mut change = |command: &str| run(&mut client, command);

    change("SADD instances:a.example 10.0.0.1:80");
    router.has("a.example", &["10.0.0.1:80"]);
    change("SADD instances:a.example 10.0.0.2:80");
    router.has("a.example", &["10.0.0.1:80", "10.0.0.2:80"]);
    change("SREM instances:a.example 10.0.0.1:80");
    router.has("a.example", &["10.0.0.2:80"]);
    change("RENAME instances:a.example instances:b.example");
    router.has("b.example", &["10.0.0.2:80"]);
    router.has("a.example", &[]);
    change("COPY instances:b.example instances:c.example");
    router.has("c.example", &["10.0.0.2:80"]);
    change("SUNIONSTORE instances:d.example instances:b.example instances:c.example");
    router.has("d.example", &["10.0.0.2:80"]);
    change("SMOVE instances:d.example instances:c.example 10.0.0.2:80");
    router.has("d.example", &[]);
    change("DEL instances:b.example");
    router.has("b.example", &[]);
    change("UNLINK instances:c.example");
    router.has("c.example", &[]);
    assert_eq!(router.len(), 0, "the last host is gone too");

    let mut client = server.connect();
    redis::pipe()
        .atomic()
        .cmd("SADD")
        .arg("instances:m.example")
        .arg("10.0.0.1:80")
        .cmd("INCR")
        .arg("serial")
        .exec(&mut client)
        .unwrap();
    router.has("m.example", &["10.0.0.1:80"]);
    eventually("the serial is followed", || router.status().serial == 1);
    let dump: Vec<u8> = redis::cmd("DUMP").arg("instances:m.example").query(&mut client).unwrap();
    redis::cmd("RESTORE").arg("instances:r.example").arg(0).arg(dump).exec(&mut client).unwrap();
    router.has("r.example", &["10.0.0.1:80"]);
    let script = "return redis.call('SADD', KEYS[1], ARGV[1])";
    redis::cmd("EVAL")
        .arg(script)
        .arg(1)
        .arg("instances:s.example")
        .arg("10.0.0.3:80")
        .exec(&mut client)
        .unwrap();
    router.has("s.example", &["10.0.0.3:80"]);

    run(&mut client, "FLUSHDB");
    eventually("the table is empty", || router.len() == 0);
    run(&mut client, "SADD instances:a.example 10.0.0.1:80");
    router.has("a.example", &["10.0.0.1:80"]);
    assert_eq!(router.status().following.unwrap().repaired, 0, "all of it was told");
}

#[test]
fn a_host_that_runs_out_is_gone_when_it_has() {
    let server = Server::start_with(&["--hz", "1"]);
    let mut client = server.connect();
    run(&mut client, "SADD instances:before.example 10.0.0.1:80");
    run(&mut client, "PEXPIRE instances:before.example 700");
    let router = Router::follow(&server);
    run(&mut client, "SADD instances:after.example 10.0.0.1:80");
    router.has("after.example", &["10.0.0.1:80"]);
    run(&mut client, "PEXPIRE instances:after.example 300");
    eventually("both have run out", || router.len() == 0);
    run(&mut client, "SADD instances:kept.example 10.0.0.1:80");
    run(&mut client, "PEXPIRE instances:kept.example 100");
    run(&mut client, "PERSIST instances:kept.example");
    std::thread::sleep(Duration::from_millis(200));
    router.has("kept.example", &["10.0.0.1:80"]);
}

#[test]
fn another_database_is_another_table() {
    let server = Server::start();
    let router = Router::follow_url(&format!("{}/3", server.url()));
    let mut client = server.connect();
    run(&mut client, "SADD instances:zero.example 10.0.0.1:80");
    run(&mut client, "SELECT 3");
    run(&mut client, "SADD instances:three.example 10.0.0.1:80");
    router.has("three.example", &["10.0.0.1:80"]);
    assert_eq!(router.len(), 1);
}

#[test]
fn what_cannot_be_used_is_named_and_harms_nothing_else() {
    let server = Server::start();
    let mut client = server.connect();
    run(&mut client, "SADD instances:good.example 10.0.0.1:80 nonsense");
    run(&mut client, "SET instances:string.example x");
    run(&mut client, "SADD instances: 10.0.0.1:80");
    run(&mut client, "SADD instances:Upper.example 10.0.0.1:80");
    redis::cmd("SADD").arg(b"instances:\xff\n").arg(b"\xfe").exec(&mut client).unwrap();
    redis::cmd("SADD")
        .arg([&b"instances:"[..], &[b'x'; 100_000]].concat())
        .arg("10.0.0.1:80")
        .exec(&mut client)
        .unwrap();
    run(&mut client, "SET serial nonsense");
    let router = Router::follow(&server);
    assert_eq!(router.members("good.example"), ["10.0.0.1:80"]);
    assert_eq!((router.len(), router.status().skipped), (1, 6));
    let names: Vec<String> = router.store().skipped().into_iter().map(|skipped| skipped.key).collect();
    assert!(names.contains(&"instances:string.example".to_owned()), "{names:?}");

    run(&mut client, "DEL instances:string.example");
    run(&mut client, "SREM instances:good.example nonsense");
    eventually("what was mended is not counted", || router.status().skipped == 4);
    run(&mut client, "SADD instances:string.example 10.0.0.2:80");
    router.has("string.example", &["10.0.0.2:80"]);
}

#[test]
fn a_key_that_turns_into_something_else_loses_its_entry() {
    let server = Server::start();
    let router = Router::follow(&server);
    server.run("SADD instances:a.example 10.0.0.1:80");
    router.has("a.example", &["10.0.0.1:80"]);
    server.run("SET instances:a.example x");
    router.has("a.example", &[]);
    assert_eq!(router.status().skipped, 1);
}

#[test]
fn a_set_far_too_large_is_cut_and_others_stay_fresh() {
    let server = Server::start();
    let mut client = server.connect();
    let script = "for i = 1, 1000000 do redis.call('SADD', KEYS[1], '10.' .. math.floor(i / 65536) .. '.' .. math.floor(i / 256) % 256 .. '.' .. i % 256 .. ':80') end";
    redis::cmd("EVAL").arg(script).arg(1).arg("instances:huge.example").exec(&mut client).unwrap();
    run(&mut client, "SADD instances:small.example 10.0.0.1:80");
    let router = Router::follow(&server);
    assert_eq!(router.members("huge.example").len(), waypost_table::entry::MAX_INSTANCES);
    assert_eq!(router.status().skipped, 1);
    run(&mut client, "SADD instances:huge.example 11.0.0.1:80");
    run(&mut client, "SADD instances:small.example 10.0.0.2:80");
    router.has("small.example", &["10.0.0.1:80", "10.0.0.2:80"]);
    run(&mut client, "DEL instances:huge.example");
    router.has("huge.example", &[]);
}

#[test]
fn a_set_of_several_pages_is_whole() {
    let server = Server::start();
    let mut client = server.connect();
    let router = Router::follow(&server);
    let members: Vec<String> = (1..=5000).map(|port| format!("10.0.0.1:{port}")).collect();
    redis::cmd("SADD").arg("instances:a.example").arg(&members).exec(&mut client).unwrap();
    eventually("all are there", || router.members("a.example").len() == 5000);
    redis::cmd("SREM").arg("instances:a.example").arg(&members[..4990]).exec(&mut client).unwrap();
    eventually("few are there", || router.members("a.example").len() == 10);
}

#[test]
fn what_was_not_told_is_found_and_counted() {
    let server = Server::start();
    let mut client = server.connect();
    run(&mut client, "SADD instances:a.example 10.0.0.1:80");
    let router = Router::follow(&server);
    run(&mut client, "SELECT 1");
    run(&mut client, "SADD instances:b.example 10.0.0.1:80");
    run(&mut client, "SELECT 0");
    run(&mut client, "SWAPDB 0 1");
    router.has("b.example", &["10.0.0.1:80"]);
    router.has("a.example", &[]);
}

#[test]
fn a_storm_of_changes_ends_in_the_same_table() {
    let server = Server::start();
    let router = Router::follow(&server);
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let mut client = server.connect();
            std::thread::spawn(move || {
                for round in 0..2000_u32 {
                    let host = (round * 7919 + writer * 31) % 500;
                    let verb = if round % 3 == 2 { "SREM" } else { "SADD" };
                    run(
                        &mut client,
                        &format!("{verb} instances:h{host}.example 10.0.{writer}.{}:80", round % 4),
                    );
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let mut expected = std::collections::BTreeMap::new();
    for host in 0..500 {
        let members = server.set(&format!("instances:h{host}.example"));
        if !members.is_empty() {
            expected.insert(format!("h{host}.example"), members);
        }
    }
    eventually("the table is the store's", || {
        let snapshot = router.store().snapshot();
        let table: std::collections::BTreeMap<String, Vec<String>> = snapshot
            .iter()
            .map(|entry| {
                let mut members: Vec<String> = entry.members().map(|member| member.to_string()).collect();
                members.sort();
                (entry.pattern().to_owned(), members)
            })
            .collect();
        table == expected
    });
    assert_eq!(router.status().following.unwrap().repaired, 0);
}
