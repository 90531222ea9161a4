//! `waypost route` on a memcached table, through a router and directly.

use waypost_tests::{Finished, Memcached, Process, Router, Upstream};

fn router(memcached: &Memcached, more: &str) -> Router {
    let config = format!("[table]\nttl = \"1h\"\nnegative_ttl = \"1h\"\n{more}\n");
    let router = Router::with().config(config).flag("--table", memcached.url()).start();
    router.await_ready();
    router
}

/// Runs a command on the table itself.
fn direct(memcached: &Memcached, arguments: &[&str]) -> Finished {
    let mut command = std::process::Command::new(waypost_tests::program());
    Process::run(command.arg("route").args(arguments).args(["--table", &memcached.url()]))
}

#[test]
fn a_route_is_added_and_removed_and_doing_it_again_says_so() {
    let (memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    let target = format!("http://{}/", upstream.address());
    let router = router(&memcached, "");
    let key = "http://a.test:80/";
    assert_eq!(router.answer_of("a.test"), Err(404));
    let steps: [(&[&str], String); 7] = [
        (&["route", "add", "http://A.test", &target], format!("added {key}, which leads to {target}\n")),
        (&["route", "add", key, &target], format!("{key} leads to {target} already: nothing changed\n")),
        (
            &["route", "add", key, "http://127.0.0.1:9/"],
            format!("updated {key}, which leads to http://127.0.0.1:9/ now\n"),
        ),
        (&["route", "remove", key, &target], format!("{key} to {target} is not there: nothing changed\n")),
        (&["route", "add", key, &target], format!("updated {key}, which leads to {target} now\n")),
        (&["route", "remove", key, &target], format!("removed {key} to {target}\n")),
        (&["route", "remove", key], format!("{key} is not there: nothing changed\n")),
    ];
    for (arguments, said) in steps {
        assert_eq!(router.cli_ok(arguments).stdout, said, "{arguments:?}");
        // A change through the router is in force, whatever was cached.
        let value = memcached.get(key).map(|value| String::from_utf8(value).expect("text"));
        let answer = router.answer_of("a.test");
        match value {
            Some(value) if value == target => assert_eq!(answer.as_deref(), Ok("here")),
            Some(_) => assert!(answer.is_err_and(|status| status != 404)),
            None => assert_eq!(answer, Err(404)),
        }
    }
}

#[test]
fn the_table_can_be_changed_without_a_router() {
    let mut memcached = Memcached::start();
    let (key, target) = ("http://a.test:80/", "http://127.0.0.1:9000/");
    let said = direct(&memcached, &["add", key, target]);
    assert_eq!(
        (said.code, &*said.stdout),
        (Some(0), "added http://a.test:80/, which leads to http://127.0.0.1:9000/\n")
    );
    assert_eq!(memcached.get(key).as_deref(), Some(target.as_bytes()));
    let explained = direct(&memcached, &["explain", "http://www.a.test/x"]);
    assert!(explained.stdout.contains("2. http://*.a.test:80/: no entry"), "{explained:#?}");
    let explained = direct(&memcached, &["explain", "http://a.test/x"]);
    assert!(explained.stdout.contains("sends it to http://127.0.0.1:9000/"), "{explained:#?}");
    assert_eq!(direct(&memcached, &["remove", key]).code, Some(0));
    assert_eq!(memcached.get(key), None);
    memcached.kill();
    let away = direct(&memcached, &["add", key, target]);
    assert_eq!(away.code, Some(1));
    assert!(away.only_line_of_stderr().contains(&memcached.address().to_string()), "{away:#?}");
}

#[test]
fn what_needs_all_entries_is_refused_since_memcached_can_t_list_them() {
    let memcached = Memcached::start();
    let router = router(&memcached, "");
    for arguments in
        [&["list"][..], &["export"], &["check"], &["check", "--prune"], &["add", "a.test", "127.0.0.1:1"]]
    {
        let refused = direct(&memcached, arguments);
        assert_eq!(refused.code, Some(1), "{refused:#?}");
        assert!(refused.only_line_of_stderr().contains("can't list them"), "{refused:#?}");
    }
    for arguments in
        [&["route", "export"][..], &["route", "check", "--prune"], &["route", "add", "a.test", "127.0.0.1:1"]]
    {
        let refused = router.cli(arguments);
        assert_eq!(refused.code, Some(1), "{refused:#?}");
        assert!(refused.only_line_of_stderr().contains("can't list them"), "{refused:#?}");
    }
    let list = router.admin_get("/api/v1/routes");
    assert_eq!(list.status, 409, "{}", list.text());
}

#[test]
fn a_running_router_lists_and_checks_what_it_knows() {
    let (memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    let target = format!("http://{}/", upstream.address());
    memcached.set("http://*.a.test:80/", &target);
    memcached.set("http://down.test:80/", "http://127.0.0.73:9/");
    memcached.set("http://bad.test:80/", "nonsense");
    let router = router(&memcached, "wildcards = true");
    assert!(router.cli_ok(["route", "list"]).stdout.contains("no key was asked for yet"));
    assert_eq!(router.answer_of("www.a.test").as_deref(), Ok("here"));
    let checked = router.cli_ok(["route", "check"]);
    assert_eq!(checked.stdout, "every entry can work\n");
    assert_eq!(router.answer_of("down.test"), Err(503));
    assert_eq!(router.answer_of("bad.test"), Err(404));
    assert_eq!(router.answer_of("missing.test"), Err(404));
    let listed = router.cli_ok(["route", "list"]).stdout;
    for part in [
        format!("http://www.a.test:80/  {target} by http://*.a.test:80/  "),
        "http://down.test:80/  http://127.0.0.73:9/  ".to_owned(),
        "http://bad.test:80/  does not parse  ".to_owned(),
        "http://missing.test:80/  not in the table  ".to_owned(),
        "4 keys are known; memcached does not list its keys".to_owned(),
    ] {
        assert!(listed.contains(&part), "{part:?} is missing from\n{listed}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&router.cli_ok(["route", "list", "--json"]).stdout).expect("JSON");
    assert_eq!(json["known"].as_array().map(Vec::len), Some(4), "{json}");
    let checked = router.cli(["route", "check"]);
    assert_eq!(checked.code, Some(1));
    for part in [
        "http://bad.test:80/: malformed: 'nonsense'",
        "http://down.test:80/: no instance accepts a connection",
    ] {
        assert!(checked.stdout.contains(part), "{part:?} is missing from\n{}", checked.stdout);
    }
    let metrics = router.admin_get("/metrics").text();
    for line in ["waypost_table_cached 4", "waypost_table_skipped 1", "waypost_table_store_connected 1"] {
        waypost_tests::eventually(line, || router.admin_get("/metrics").text().contains(line).then_some(()));
    }
    assert!(metrics.contains("waypost_table_loaded 1"), "{metrics}");
}

#[test]
fn explain_asks_memcached_and_tells_each_key() {
    let (memcached, upstream) = (Memcached::start(), Upstream::named("here"));
    let target = format!("http://{}/", upstream.address());
    let router = router(&memcached, "wildcards = true");
    assert_eq!(router.answer_of("www.a.test"), Err(404));
    memcached.set("http://*.a.test:80/", &target);
    memcached.set("http://*:80/", &target);
    let explained = router.cli_ok(["route", "explain", "http://www.a.test/x"]).stdout;
    for part in [
        "1. http://www.a.test:80/: no entry\n",
        "2. http://*.a.test:80/: taken\n",
        "3. http://*.test:80/: no entry\n",
        "4. http://*:80/: there is an entry, not needed\n",
        "cached: http://www.a.test:80/  not in the table",
        "routes (routes): sends it to",
        "with Host: 127.0.0.1",
    ] {
        assert!(explained.contains(part), "{part:?} is missing from\n{explained}");
    }
    assert!(upstream.requests().is_empty(), "something was sent");
}

#[test]
fn a_table_of_hosts_takes_no_route_by_url() {
    let router = Router::start();
    let refused = router.cli(["route", "add", "http://a.test:80/", "http://127.0.0.1:1/"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.only_line_of_stderr().contains("by host"), "{refused:#?}");
    for arguments in
        [["route", "add", "a.test", "http://127.0.0.1:1/"], ["route", "add", "http://a.test/", "127.0.0.1:1"]]
    {
        assert_eq!(router.cli(arguments).code, Some(2));
    }
    assert_eq!(router.cli(["route", "add", "http://a.test/x/", "http://127.0.0.1:1/"]).code, Some(2));
}
