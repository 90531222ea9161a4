//! What a Redis server holds and what a router routes by, in one form, to be compared host by host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::SocketAddr;

use serde_json::Value;

use crate::redis::Redis;
use crate::resp::{Reply, encode};
use crate::router::Router;
use crate::wait::PATIENCE;

/// Host → members, as they stand in a set of Redis.
pub type Hosts = BTreeMap<String, BTreeSet<String>>;

/// What the server holds under `instances:` that is well-formed: sets, and their members with an IP address
/// and a port.
pub fn of_redis(redis: &Redis) -> Hosts {
    let mut client = redis.connect();
    let keys = client.run(&["KEYS", "instances:*"]).texts();
    let reads: Vec<Vec<u8>> = keys.iter().map(|key| encode(&["SMEMBERS", key])).collect();
    let sets = client.try_pipeline(&reads).expect("answers of Redis");
    let mut hosts = Hosts::new();
    for (key, set) in keys.iter().zip(sets) {
        // A key may be of another type, or gone since it was listed.
        let Reply::Array(_) = set else { continue };
        let members: BTreeSet<String> = set.texts().into_iter().filter(|text| is_member(text)).collect();
        if !members.is_empty() {
            hosts.insert(key["instances:".len()..].to_owned(), members);
        }
    }
    hosts
}

/// Whether a text begins as a member does. The suites write no other fault into what they compare.
fn is_member(text: &str) -> bool {
    let address = text.split('#').next().unwrap_or_default();
    address == "-" || address.parse::<SocketAddr>().is_ok_and(|address| address.port() != 0)
}

/// What the router routes by, as its admin API exports it.
pub fn of_router(router: &Router) -> Hosts {
    let response = router.admin_get("/api/v1/export");
    assert_eq!(response.status, 200, "{}", response.text());
    of_export(&response.text())
}

/// What lines say that `route export` wrote.
pub fn of_export(lines: &str) -> Hosts {
    let mut hosts = Hosts::new();
    for line in lines.lines() {
        let route: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let host = route["host"].as_str().unwrap_or_else(|| panic!("no host: {line}"));
        hosts.entry(host.to_owned()).or_default().insert(member(&route));
    }
    hosts
}

/// The text of a member, without what may be left off at its end.
fn member(route: &Value) -> String {
    let text = |name: &str| route[name].as_str().unwrap_or_default();
    let mut extensions = Vec::new();
    for name in ["weight", "path", "scheme", "backend"] {
        match &route[name] {
            Value::Null => {}
            Value::String(value) => extensions.push(format!("{name}={value}")),
            value => extensions.push(format!("{name}={value}")),
        }
    }
    let address = route["address"].as_str().unwrap_or("-");
    let parts =
        [address, text("version_type"), text("node"), text("instance"), &extensions.join("&")].join("#");
    parts.trim_end_matches('#').to_owned()
}

/// Waits until the router's table equals the server's, host by host.
///
/// # Panics
/// When it doesn't come to that, with what differs and `hint`.
pub fn await_equal(router: &Router, redis: &Redis, hint: &str) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let (expected, found) = (of_redis(redis), of_router(router));
        if expected == found {
            return;
        }
        if std::time::Instant::now() > deadline {
            panic!("the router's table differs from Redis's {hint}:\n{}", difference(&expected, &found));
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// The first hosts that differ, each with what both hold.
fn difference(redis: &Hosts, router: &Hosts) -> String {
    const SHOWN: usize = 20;
    let hosts: BTreeSet<&String> = redis.keys().chain(router.keys()).collect();
    let differing: Vec<&String> =
        hosts.into_iter().filter(|host| redis.get(*host) != router.get(*host)).collect();
    let mut text =
        format!("{} hosts of {} in Redis and {} in the router\n", differing.len(), redis.len(), router.len());
    for host in differing.iter().take(SHOWN) {
        writeln!(text, "{host}: Redis {:?}, router {:?}", redis.get(*host), router.get(*host))
            .expect("writing to a string never fails");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exported_line_becomes_the_member_it_was() {
        for (line, member) in [
            (r#"{"host":"a","address":"127.0.0.1:1"}"#, "127.0.0.1:1"),
            (r#"{"host":"a","address":"127.0.0.1:1","instance":"i"}"#, "127.0.0.1:1###i"),
            (
                r#"{"host":"a","address":"[::1]:1","version_type":"v","weight":3,"path":"/p"}"#,
                "[::1]:1#v###weight=3&path=/p",
            ),
            (r#"{"host":"a","backend":"b"}"#, "-####backend=b"),
        ] {
            assert_eq!(of_export(line)["a"], BTreeSet::from([member.to_owned()]), "{line}");
        }
    }
}
