//! `waypost route` and `waypost backend` against a running router.

use std::io::{Read, Write};
use std::thread;

use crate::program::{Place, Run, listener};
use crate::router::Router;
use waypost::VersionSets;
use waypost::config::StatsAddress;

#[test]
fn routes_are_changed_and_shown_through_the_router() {
    let place = Place::new();
    let router = Router::start(&place, &[]);
    let admin = router.admin.to_string();
    let run = |arguments: &[&str]| place.ok(&[arguments, &["--admin", &admin]].concat());
    assert_eq!(run(&["route", "list"]), "serial 0\n");
    assert_eq!(run(&["route", "add", "a.example", "127.0.0.1:1"]), "added 127.0.0.1:1 to a.example\n");
    assert!(run(&["route", "add", "a.example", "127.0.0.1:1"]).contains("nothing changed"));
    run(&["route", "add", "b.example", &admin, "--version-type", "12"]);
    let listing = run(&["route", "list"]);
    assert!(
        listing.starts_with("serial 2\na.example\n  127.0.0.1:1  not tried yet\nb.example\n"),
        "{listing}"
    );
    assert!(run(&["route", "list", "a.example"]).starts_with("serial 2\na.example\n"));
    let json: serde_json::Value = serde_json::from_str(&run(&["route", "list", "--json"])).unwrap();
    assert_eq!(json["entries"][1]["instances"][0]["version_type"], "12");

    let explained = run(&["route", "explain", "http://a.example/x"]);
    assert!(explained.contains("1. a.example: taken"), "{explained}");
    assert!(explained.contains("through the backends:\n  routes (routes): "), "{explained}");
    assert!(run(&["backend", "list"]).starts_with("routes (routes)  up  2 entries"));
    assert!(run(&["backend", "explain", "c.example"]).contains("404"));

    let check = place.run(&router.at(&["route", "check"], &admin));
    assert_eq!(check.code, 1, "{check:?}");
    assert!(check.stdout.starts_with("a.example: no instance accepts a connection"), "{check:?}");
    let pruned = run(&["route", "check", "--prune"]);
    assert!(pruned.starts_with("removed 127.0.0.1:1 of a.example: "), "{pruned}");

    let export = run(&["route", "export"]);
    assert_eq!(export.lines().count(), 1, "{export}");
    place.write("routes", &export.replace("b.example", "c.example"));
    let imported = run(&["route", "import", "routes", "--replace"]);
    assert_eq!(imported, "imported 1 entries with 1 instances: 1 changed, 1 removed\n");
    place.write("wrong", "x\n");
    let line = place.fails(&router.at(&["route", "import", "wrong"], &admin));
    assert!(line.contains("wrong: nothing was imported: line 1"), "{line}");
    assert_eq!(run(&["route", "remove", "c.example"]), "removed c.example\n");
}

#[test]
fn what_was_added_through_a_router_is_there_when_it_was_killed() {
    let place = Place::new();
    let router = Router::start(&place, &[]);
    let admin = router.admin.to_string();
    let sets = ["--version-type", "12", "--workspace", "1"];
    place.ok(&router.at(&[&["route", "add", "a.example", "127.0.0.1:1"], &sets[..]].concat(), &admin));
    let line = place.fails(&["route", "list", "--table", "embedded:waypost-data"]);
    assert!(line.contains("in use by another process"), "{line}");
    drop(router);
    assert!(place.ok(&["route", "list", "--table", "embedded:waypost-data"]).contains("a.example"));
    let sets = VersionSets::open(&StatsAddress::Embedded(place.path().join("waypost-data"))).unwrap();
    assert_eq!(sets.of("workspace:1").unwrap(), ["12"]);
}

#[test]
fn a_router_with_a_token_is_used_with_it_alone() {
    let place = Place::new();
    place.write("token", "0123456789abcdef\n");
    place.write("w.toml", "[admin]\ntoken_file = 'token'\n");
    let router = Router::start(&place, &["--config", "w.toml"]);
    let admin = router.admin.to_string();
    let line = place.fails(&router.at(&["route", "list"], &admin));
    assert!(line.contains("wants a token"), "{line}");
    place.ok(&router.at(&["route", "list", "--token-file", "token"], &admin));
    let mut list = place.command(&router.at(&["route", "list"], &admin));
    let run = Run::of(list.env("WAYPOST_ADMIN_TOKEN", "0123456789abcdef").output().unwrap());
    assert_eq!(run.code, 0, "{run:?}");
    assert!(place.fails(&router.at(&["route", "list", "--token-file", "nofile"], &admin)).contains("nofile"));
}

#[test]
fn backends_of_the_configuration_are_listed_and_explained() {
    let place = Place::new();
    place.write(
        "w.toml",
        "[backend.routes]\ntype = 'routes'\nbackends = ['old', 'gone']\n\
         [backend.old]\ntype = 'redirect'\nto = 'https://new.example$path'\n\
         [backend.gone]\ntype = 'respond'\nstatus = 410\n",
    );
    let router = Router::start(&place, &["--config", "w.toml"]);
    let admin = router.admin.to_string();
    let run = |arguments: &[&str]| place.ok(&[arguments, &["--admin", &admin]].concat());
    let listing = run(&["backend", "list"]);
    assert!(
        listing.contains("\n  gone (respond)  up") && listing.contains("\n  old (redirect)  up"),
        "{listing}"
    );
    run(&["route", "add", "a.example", "--backend", "old"]);
    let explained = run(&["backend", "explain", "a.example/x"]);
    assert!(
        explained.contains("  old (redirect): ") && explained.contains("https://new.example/x"),
        "{explained}"
    );
    let with = ["--method", "POST", "--header", "Cookie: a=b", "--header", "X-Of: c"];
    run(&[&["backend", "explain", "a.example/x"], &with[..]].concat());
    for (wrong, said) in [(["--method", "a b"], "no method"), (["--header", "a b: c"], "NAME: VALUE")] {
        let line =
            place.fails(&router.at(&[&["backend", "explain", "a.example"], &wrong[..]].concat(), &admin));
        assert!(line.contains(said), "{line}");
    }
    run(&["route", "add", "b.example", "--backend", "odl"]);
    let check = place.run(&router.at(&["route", "check"], &admin));
    assert!(check.stdout.contains("there is no backend 'odl'"), "{check:?}");
}

#[test]
fn what_is_no_router_is_said_to_be_none() {
    let place = Place::new();
    let not_http: &[u8] = b"SSH-2.0-x\r\n";
    let not_json = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let not_found = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello";
    for answer in [not_http, not_json, not_found] {
        let listener = listener();
        let admin = listener.local_addr().unwrap().to_string();
        let stranger = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer);
        });
        let line = place.fails(&["backend", "list", "--admin", &admin]);
        assert!(line.contains("is no Waypost router") && line.contains(&admin), "{line}");
        stranger.join().unwrap();
    }
}

#[test]
fn a_router_that_is_not_there_is_said_not_to_be_with_what_to_do() {
    let place = Place::new();
    let admin = listener().local_addr().unwrap().to_string();
    let start = format!("no router answers at {admin}: start one with `waypost serve`");
    let line = place.fails(&["backend", "list", "--admin", &admin]);
    assert!(line.trim_end().ends_with(&format!("{start}, or name another with --admin")), "{line}");
    let line = place.fails(&["route", "list", "--admin", &admin]);
    assert!(
        line.trim_end().ends_with(&format!("{start}, name another with --admin, or use --table")),
        "{line}"
    );
}

#[test]
fn a_listing_that_breaks_off_is_not_taken_for_the_whole() {
    let place = Place::new();
    for arguments in [&["route", "export"][..], &["route", "list"], &["route", "list", "--json"]] {
        let listener = listener();
        let admin = listener.local_addr().unwrap().to_string();
        let router = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n{\"serial\":0}\n\r\n");
        });
        let line = place.fails(&[arguments, &["--admin", &admin]].concat());
        assert!(line.contains("did not finish its answer"), "{line}");
        router.join().unwrap();
    }
}
