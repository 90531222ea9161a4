//! The command line itself: usage, configuration checks, completions, man pages.

use crate::program::{Place, Run};

#[test]
fn wrong_usage_is_status_2_and_names_what_is_wrong() {
    let place = Place::new();
    for (arguments, part) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["nonsense"], "nonsense"),
        (&["serve", "--lsten", "127.0.0.1:1"], "--listen"),
        (&["serve", "--listen", "localhost"], "127.0.0.1:8080"),
        (&["serve", "--table", "redis://10.0.0.1:port"], "not HOST or HOST:PORT"),
        (&["serve", "--stats", "redis://10.0.0.1/name"], "not the number of a database"),
        (&["serve", "--log-level", "inof"], "did you mean `info`?"),
        (&["serve", "--node-id", "x"], "UUID"),
        (&["route", "add", "example.com"], "ADDR"),
        (&["route", "add", "http://example.com:80/", "127.0.0.1:1"], "without a scheme"),
        (&["route", "add", "example.com", "localhost:1"], "localhost:1"),
        (&["route", "add", "example.com", "127.0.0.1:1", "--weight", "70000"], "70000"),
        (&["route", "add", "example.com", "127.0.0.1:1", "--scheme", "ftp"], "https"),
        (&["route", "add", "example.com", "127.0.0.1:1", "--workspace", "1"], "--version-type"),
        (&["route", "add", "example.com", "127.0.0.1:1", "--backend", "x"], "--backend"),
        (&["route", "list", "--admin", "8081"], "127.0.0.1:8081"),
        (&["completions", "tcsh"], "zsh"),
    ] {
        let run = place.run(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}: {run:#?}");
        assert!(run.stderr.contains(part), "{arguments:?}: {part:?} is missing from {}", run.stderr);
    }
}

#[test]
fn a_valid_configuration_is_said_to_be_one() {
    let place = Place::new();
    place.write("w.toml", "[listen]\nhttp = ['127.0.0.1:1']\n");
    assert_eq!(place.ok(&["check", "w.toml"]), "w.toml is a valid configuration\n");
    assert_eq!(place.ok(&["check", "w.toml", "--json"]), "{\"file\":\"w.toml\",\"errors\":[]}\n");
    let run = Run::of(place.command(&["check"]).env("WAYPOST_CONFIG", "w.toml").output().unwrap());
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn every_error_of_a_configuration_is_shown_with_its_line() {
    let place = Place::new();
    place.write("waypost.toml", "lisen = 1\n\n[backend.site]\ntype = 'clinet'\n[table\n");
    let run = place.run(&["check"]);
    assert_eq!(run.code, 1);
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{run:?}");
    assert_eq!(lines[0], "waypost.toml:1: unknown key `lisen` (did you mean `listen`?)");
    assert!(lines[1].starts_with("waypost.toml:4: `backend.site.type`: \"clinet\""), "{run:?}");
    assert!(lines[2].starts_with("waypost.toml:5: "), "{run:?}");
    let json = place.run(&["check", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["errors"][1]["line"], 4);
}

#[test]
fn serve_refuses_what_check_refuses_in_one_line() {
    let place = Place::new();
    place.write("w.toml", "a = 1\nb = 2\n");
    let line = place.fails(&["serve", "--config", "w.toml"]);
    assert_eq!(
        line,
        "waypost: w.toml:1: unknown key `a` (and 1 more: `waypost check w.toml` shows them all)\n"
    );
    let line = place.fails(&["serve", "--admin", "0.0.0.0:1"]);
    assert!(line.starts_with("waypost: --admin: `listen.admin`: on 0.0.0.0:1 anyone"), "{line}");
    let mut serve = place.command(&["serve"]);
    let run = Run::of(serve.env("WAYPOST_ADMIN", "0.0.0.0:1").output().unwrap());
    assert!(run.stderr.starts_with("waypost: WAYPOST_ADMIN: "), "{run:?}");
    assert!(std::fs::read_dir(place.path()).unwrap().all(|entry| entry.unwrap().file_name() == "w.toml"));
}

#[test]
fn completions_are_made_for_each_shell() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = place.ok(&["completions", shell]);
        for word in ["serve", "version-type", "access-log"] {
            assert!(script.contains(word), "{word} is missing for {shell}");
        }
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let place = Place::new();
    let page = place.ok(&["man"]);
    assert!(page.contains(".TH waypost 1"), "{page}");
    assert_eq!(place.ok(&["man", "--dir", "man"]), "");
    for name in ["waypost", "waypost-serve", "waypost-route-add", "waypost-backend-list", "waypost-check"] {
        assert!(place.path().join("man").join(format!("{name}.1")).is_file(), "{name} is missing");
    }
    place.write("file", "");
    assert!(place.fails(&["man", "--dir", "file"]).contains("file can't be written"));
}

#[test]
fn output_that_nobody_reads_any_more_is_no_error() {
    let place = Place::new();
    let mut child = place
        .command(&["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[test]
fn output_that_can_not_be_written_is() {
    let place = Place::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = Run::of(place.command(&["man"]).stdout(full).output().unwrap());
    assert_eq!(run.code, 1);
    assert!(run.stderr.starts_with("waypost: the output can't be written: "), "{run:?}");
}
