//! A table kept by hand in a file: followed as it changes, and only while it makes sense.

use std::net::SocketAddr;

use tempfile::TempDir;
use waypost_tests::{Router, Upstream, eventually};

fn write(directory: &TempDir, text: &str) {
    std::fs::write(directory.path().join("routes.toml"), text).unwrap();
}

fn route(host: &str, address: SocketAddr) -> String {
    format!("[[route]]\nhost = \"{host}\"\ninstances = [\"{address}\"]\n")
}

fn start(directory: &TempDir) -> Router {
    Router::with().flag("--table", format_args!("file:{}/routes.toml", directory.path().display())).start()
}

#[test]
fn an_edit_is_followed_and_a_bad_one_is_refused_whole() {
    let directory = TempDir::new().unwrap();
    let upstream = Upstream::named("here");
    write(&directory, &route("a.test", upstream.address()));
    let mut router = start(&directory);
    let mut client = router.connect();
    assert_eq!(client.get("a.test", "/").text(), "here");

    write(&directory, &format!("{}\n[[route]]\nhots = \"c.test\"\n", route("b.test", upstream.address())));
    eventually("the bad edit is said", || router.process().stderr().contains("hots").then_some(()));
    assert_eq!(client.get("a.test", "/").text(), "here");
    assert_eq!(client.get("b.test", "/").status, 404);

    write(&directory, &route("b.test", upstream.address()));
    eventually("the good edit is followed", || (client.get("b.test", "/").status == 200).then_some(()));
    assert_eq!(client.get("a.test", "/").status, 404);
}

#[test]
fn a_file_that_is_replaced_is_followed() {
    let directory = TempDir::new().unwrap();
    let upstream = Upstream::named("here");
    write(&directory, &route("a.test", upstream.address()));
    let router = start(&directory);
    let mut client = router.connect();
    for host in ["b.test", "c.test"] {
        // As editors do it.
        let new = directory.path().join("new");
        std::fs::write(&new, route(host, upstream.address())).unwrap();
        std::fs::rename(&new, directory.path().join("routes.toml")).unwrap();
        eventually("the new file is followed", || (client.get(host, "/").status == 200).then_some(()));
    }
}

#[test]
fn a_file_that_goes_away_leaves_its_table() {
    let directory = TempDir::new().unwrap();
    let upstream = Upstream::named("here");
    write(&directory, &route("a.test", upstream.address()));
    let mut router = start(&directory);
    std::fs::remove_file(directory.path().join("routes.toml")).unwrap();
    eventually("the missing file is said", || {
        router.process().stderr().contains("routes.toml").then_some(())
    });
    for _ in 0..5 {
        assert_eq!(router.connect().get("a.test", "/").text(), "here");
    }
}

#[test]
fn the_command_line_does_not_write_the_file() {
    let directory = TempDir::new().unwrap();
    write(&directory, "");
    let router = start(&directory);
    let finished = router.cli(["route", "add", "a.test", "127.0.0.1:9"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    assert!(finished.only_line_of_stderr().contains("routes.toml"), "{finished:#?}");
    assert_eq!(std::fs::read_to_string(directory.path().join("routes.toml")).unwrap(), "");
}
