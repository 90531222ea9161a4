//! `waypost route --table`: the table's store without a router.

use crate::program::{Place, Run, listener};
use waypost::VersionSets;
use waypost::config::StatsAddress;

const TABLE: &str = "embedded:data";

/// Runs a `route` command that must succeed on the table.
fn route(place: &Place, arguments: &[&str]) -> String {
    place.ok(&[&["route"], arguments, &["--table", TABLE]].concat())
}

fn route_fails(place: &Place, arguments: &[&str]) -> String {
    place.fails(&[&["route"], arguments, &["--table", TABLE]].concat())
}

#[test]
fn adding_what_is_there_and_removing_what_is_not_is_no_error_and_says_so() {
    let place = Place::new();
    let add = &["add", "Example.com", "127.0.0.1:1", "[::1]:2"];
    assert_eq!(route(&place, add), "added 127.0.0.1:1 to example.com\nadded [::1]:2 to example.com\n");
    let again = route(&place, add);
    assert_eq!(again.matches("nothing changed").count(), 2, "{again}");
    let weight = route(&place, &["add", "example.com", "127.0.0.1:1", "--weight", "3"]);
    assert_eq!(weight, "updated 127.0.0.1:1 of example.com\n");
    assert_eq!(
        route(&place, &["remove", "example.com", "127.0.0.1:1"]),
        "removed 127.0.0.1:1 of example.com\n"
    );
    let again = route(&place, &["remove", "example.com", "127.0.0.1:1"]);
    assert_eq!(again, "127.0.0.1:1 of example.com is not there: nothing changed\n");
    assert_eq!(route(&place, &["remove", "example.com"]), "removed example.com\n");
    assert_eq!(route(&place, &["remove", "example.com"]), "example.com is not there: nothing changed\n");
    let json = route(&place, &["add", "example.com", "127.0.0.1:1", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["outcomes"][0], "added");
}

#[test]
fn a_listing_has_everything_and_subdomains_behind_their_domain() {
    let place = Place::new();
    route(&place, &["add", "www.example.com", "127.0.0.1:1"]);
    let id = "6f3f9b3e-0d4c-4b59-8d5e-1f6f3f1c2a10";
    let all = ["--version-type", "12", "--node", "n1", "--instance", "i1", "--instance-id", id];
    let more = ["--weight", "3", "--path", "/api", "--scheme", "https"];
    route(&place, &[&["add", "example.com", "10.0.0.1:8080"], &all[..], &more[..]].concat());
    route(&place, &["add", "*", "--backend", "site"]);
    let expected = format!(
        "serial 3\n\
         *\n  backend site\n\
         example.com\n  10.0.0.1:8080  path /api  scheme https  weight 3  version-type 12  node n1  instance i1  id {id}\n\
         www.example.com\n  127.0.0.1:1\n"
    );
    assert_eq!(route(&place, &["list"]), expected);
    assert_eq!(route(&place, &["dump"]), expected);
    assert_eq!(route(&place, &["list", "www.example.com"]), "serial 3\nwww.example.com\n  127.0.0.1:1\n");
    let json: serde_json::Value = serde_json::from_str(&route(&place, &["list", "--json"])).unwrap();
    assert_eq!((&json["serial"], json["entries"].as_array().unwrap().len()), (&serde_json::json!(3), 3));
    assert_eq!(json["entries"][1]["instances"][0]["instance_id"], id);
}

#[test]
fn what_can_not_be_a_route_is_refused_in_one_line() {
    let place = Place::new();
    let add = |flags: &[&str]| route_fails(&place, &[&["add", "example.com", "127.0.0.1:1"], flags].concat());
    assert!(add(&["--path", "api"]).contains("api"));
    assert!(add(&["--node", "a#b"]).contains("node"));
    let two = route_fails(&place, &["add", "a", "127.0.0.1:1", "127.0.0.1:2", "--instance", "i"]);
    assert!(two.contains("one by one"), "{two}");
    assert!(!place.path().join("data").exists(), "nothing was to be made");
}

#[test]
fn a_table_that_is_not_there_is_not_made_by_looking_at_it() {
    let place = Place::new();
    for arguments in [&["list"][..], &["export"], &["check"], &["remove", "a"], &["explain", "a"]] {
        let line = route_fails(&place, arguments);
        assert!(line.contains("there is no table in data"), "{line}");
    }
    assert!(!place.path().join("data").exists());
}

#[test]
fn an_url_is_explained_without_a_router() {
    let place = Place::new();
    route(&place, &["add", "*.example.com", "127.0.0.1:1", "--path", "/api"]);
    let text = route(&place, &["explain", "http://A.example.com:99/api/x?y"]);
    for part in ["host a.example.com", "1. a.example.com: no entry", "2. *.example.com: taken", "routed by"] {
        assert!(text.contains(part), "{part:?} is missing from\n{text}");
    }
    let json = route(&place, &["explain", "a.example.com", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["table"]["outcome"]["outcome"], "no_route");
    assert!(route_fails(&place, &["explain", "ftp://x"]).contains("ftp"));
}

/// A `route` command on another table.
fn other<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["route"], arguments, &["--table", "embedded:other"]].concat()
}

#[test]
fn an_export_imports_again_and_a_wrong_line_changes_nothing() {
    let place = Place::new();
    route(&place, &["add", "a.example", "127.0.0.1:1", "--version-type", "7"]);
    route(&place, &["add", "b.example", "127.0.0.1:2"]);
    let export = route(&place, &["export"]);
    assert_eq!(export.lines().count(), 2);
    place.write("routes", &export);
    let imported = place.ok(&other(&["import", "routes"]));
    assert_eq!(imported, "imported 2 entries with 2 instances: 2 changed, 0 removed\n");
    assert_eq!(place.ok(&other(&["export"])), export);
    assert!(place.ok(&other(&["import", "routes"])).contains("0 changed"));

    place.write("wrong", &format!("{export}x\n{{}}\n"));
    let line = place.fails(&other(&["import", "wrong", "--replace"]));
    assert!(line.contains("wrong: nothing was imported: line 3") && line.contains("and 1 more"), "{line}");
    assert_eq!(place.ok(&other(&["export"])), export);
    place.write("one", export.lines().next().unwrap());
    assert!(place.ok(&other(&["import", "one", "--replace"])).contains("1 removed"));
    assert!(place.fails(&other(&["import", "nofile"])).contains("nofile can't be read"));
    assert!(place.fails(&other(&["import", "."])).contains("can't be read"));
}

#[test]
fn an_import_can_come_by_standard_input() {
    let place = Place::new();
    place.write("routes", "{\"host\":\"a.example\",\"address\":\"127.0.0.1:1\"}\n");
    let file = std::fs::File::open(place.path().join("routes")).unwrap();
    let mut import = place.command(&["route", "import", "-", "--table", TABLE]);
    let run = Run::of(import.stdin(file).output().unwrap());
    assert_eq!(run.code, 0, "{run:?}");
    assert!(route(&place, &["list"]).contains("a.example"));
}

#[test]
fn a_check_names_what_can_not_work_and_prune_removes_it() {
    let place = Place::new();
    let listener = listener();
    let up = listener.local_addr().unwrap().to_string();
    route(&place, &["add", "good.example", &up]);
    assert_eq!(route(&place, &["check"]), "every entry can work\n");
    route(&place, &["add", "gone.example", "127.0.0.1:1"]);
    route(&place, &["add", "drained.example", &up, "--weight", "0"]);
    let run = place.run(&["route", "check", "--table", TABLE]);
    assert_eq!((run.code, run.stdout.lines().count(), run.stderr.lines().count()), (1, 2, 1), "{run:?}");
    assert!(run.stdout.contains("gone.example: no instance accepts a connection"), "{run:?}");
    route(&place, &["remove", "drained.example"]);
    let pruned = route(&place, &["check", "--prune"]);
    assert!(pruned.starts_with("removed 127.0.0.1:1 of gone.example: "), "{pruned}");
    assert!(!route(&place, &["list"]).contains("gone.example"));
}

#[test]
fn version_types_are_kept_in_the_sets_they_are_counted_to() {
    let place = Place::new();
    let sets = ["--workspace", "1", "--application", "2", "--version", "3"];
    route(&place, &[&["add", "a.example", "127.0.0.1:1", "--version-type", "12"], &sets[..]].concat());
    let elsewhere = ["--version-type", "13", "--workspace", "1", "--stats", "embedded:elsewhere"];
    route(&place, &[&["add", "b.example", "127.0.0.1:1"], &elsewhere[..]].concat());
    let of = |directory: &str, set: &str| {
        VersionSets::open(&StatsAddress::Embedded(place.path().join(directory))).unwrap().of(set).unwrap()
    };
    assert_eq!(of("data", "workspace:1"), ["12"]);
    assert_eq!(of("data", "application:2"), ["12"]);
    assert_eq!(of("data", "version:3"), ["12"]);
    assert_eq!(of("elsewhere", "workspace:1"), ["13"]);
}

#[test]
fn a_table_kept_by_hand_is_read_and_not_written() {
    let place = Place::new();
    place.write("routes.toml", "[[route]]\nhost = \"a.example\"\ninstances = [\"127.0.0.1:1\"]\n");
    let listing = place.ok(&["route", "list", "--table", "file:routes.toml"]);
    assert!(listing.contains("a.example\n  127.0.0.1:1\n"), "{listing}");
    let line = place.fails(&["route", "add", "b.example", "127.0.0.1:1", "--table", "file:routes.toml"]);
    assert!(line.contains("edit the file"), "{line}");
    place.write("routes.toml", "[[route]]\nhst = 1\n");
    let line = place.fails(&["route", "list", "--table", "file:routes.toml"]);
    assert!(line.contains("routes.toml:2"), "{line}");
}
