//! `round_robin`: members in turn, by weight, past those that are down; and what a cluster answers when all
//! of them are.

use std::collections::BTreeMap;

use waypost_tests::{Process, Router, Upstream, eventually, program};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn cluster(upstreams: &[Upstream], keys: &str) -> String {
    let members: String = (NAMES.iter().zip(upstreams))
        .map(|(name, upstream)| {
            format!("[backend.{name}]\ntype = \"client\"\nurl = \"http://{}\"\n", upstream.address())
        })
        .collect();
    format!(
        "entry = \"turns\"\n[backend.turns]\ntype = \"round_robin\"\nmembers = [\"a\", \"b\", \"c\"]\n{keys}\n{members}"
    )
}

/// Who serves so many requests, each over a connection of its own and so on any worker.
fn served(router: &Router, count: usize) -> BTreeMap<String, usize> {
    (0..count).fold(BTreeMap::new(), |mut counts, _| {
        let response = router.connect().get("turns.test", "/");
        assert_eq!(response.status, 200, "{}", response.text());
        *counts.entry(response.text()).or_insert(0) += 1;
        counts
    })
}

#[test]
fn turns_are_even_over_all_workers() {
    let upstreams = NAMES.map(Upstream::named);
    let router = Router::with().config(cluster(&upstreams, "")).flag("--workers", 4).start();
    let counts = served(&router, 300);
    // Each of four workers may be in the middle of a round.
    assert!(NAMES.iter().all(|name| counts[*name].abs_diff(100) <= 4), "{counts:?}");
}

#[test]
fn turns_go_by_weight() {
    let upstreams = NAMES.map(Upstream::named);
    let config = cluster(&upstreams, "weights = [5, 1, 2]");
    let router = Router::with().config(config).flag("--workers", 1).start();
    let counts = served(&router, 80);
    assert_eq!([counts["a"], counts["b"], counts["c"]], [50, 10, 20]);
}

#[test]
fn a_member_that_is_down_is_skipped_until_it_is_back() {
    let mut upstreams = NAMES.map(Upstream::named);
    let router = Router::with().config(cluster(&upstreams, "")).flag("--workers", 1).start();
    upstreams[1].stop();
    let counts = served(&router, 60);
    assert_eq!((counts["a"], counts.get("b"), counts["c"]), (30, None, 30));
    upstreams[1].resume();
    eventually("it serves again", || served(&router, 3).contains_key("b").then_some(()));
}

#[test]
fn all_down_is_503_that_names_the_cluster_and_is_said_once() {
    let mut upstreams = NAMES.map(Upstream::named);
    let mut router = Router::with().config(cluster(&upstreams, "probe_interval = \"100ms\"")).start();
    upstreams.iter_mut().for_each(Upstream::stop);
    for _ in 0..20 {
        let response = router.connect().get("turns.test", "/");
        assert_eq!(response.status, 503);
        assert!(response.text().contains("all members of turns are down"), "{}", response.text());
        assert_eq!(response.fields.get("retry-after"), Some("1"));
    }
    let said = |router: &mut Router, words: &str| {
        let log = router.process().stderr();
        log.lines().filter(|line| line.contains(words) && line.contains("turns")).count()
    };
    assert_eq!(said(&mut router, "all members of the cluster are down"), 1);
    assert!(router.cli_ok(["backend", "list"]).stdout.contains("0 of 3 up"));

    upstreams.iter_mut().for_each(Upstream::resume);
    eventually("it answers again", || (router.connect().get("turns.test", "/").status == 200).then_some(()));
    eventually("that is said", || (said(&mut router, "has members again") > 0).then_some(()));
    assert_eq!(said(&mut router, "has members again"), 1);
    assert_eq!(said(&mut router, "all members of the cluster are down"), 1);
}

#[test]
fn a_cluster_may_be_a_member_of_a_cluster() {
    let mut upstreams = NAMES.map(Upstream::named);
    let config = cluster(&upstreams, "")
        .replace("members = [\"a\", \"b\", \"c\"]", "members = [\"a\", \"inner\"]")
        + "[backend.inner]\ntype = \"round_robin\"\nmembers = [\"b\", \"c\"]\n";
    let router = Router::with().config(config).flag("--workers", 1).start();
    let counts = served(&router, 40);
    assert_eq!([counts["a"], counts["b"], counts["c"]], [20, 10, 10]);
    upstreams[1].stop();
    upstreams[2].stop();
    assert_eq!(
        served(&router, 20)["a"],
        20,
        "the inner cluster is passed over when all its members are down"
    );
}

#[test]
fn weights_that_fit_no_members_are_refused_with_their_line() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("w.toml");
    let upstreams = NAMES.map(Upstream::named);
    for (weights, words) in [
        ("weights = [1, 2]", "has 2 weights for 3 members"),
        ("weights = [1, 0, 1]", "each must be from 1 to 1000000"),
    ] {
        std::fs::write(&file, cluster(&upstreams, weights)).unwrap();
        let checked = Process::run(std::process::Command::new(program()).arg("check").arg(&file));
        assert_eq!(checked.code, Some(1), "{checked:?}");
        let said = checked.stdout + &checked.stderr;
        assert!(said.contains(":5: ") && said.contains(words), "{said}");
    }
}
