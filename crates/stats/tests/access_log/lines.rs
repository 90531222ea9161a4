//! Lines that can be told apart, and what a file must hold of them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use waypost_stats::{LogHandle, Record};

/// Pushes the line number `number` of the writer named `writer`.
pub(crate) fn push(handle: &mut LogHandle, writer: &str, number: usize) {
    let request_id = format!("{writer}-{number}");
    handle.push(&Record {
        version_type_key: Some("vt"),
        node_key: Some("node"),
        instance_key: None,
        bytes: 1,
        code: 200,
        upstream_response_time: None,
        finished: SystemTime::now(),
        total: Duration::from_millis(1),
        request_id: &request_id,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        method: b"GET",
        host: b"example.com",
        path: b"/some/path/that/makes/lines/of/different/lengths"[..number % 48 + 1].as_ref(),
        protocol: "HTTP/1.1",
        upstream: None,
        tries: 0,
        bytes_received: 1,
        route: None,
        user_agent: None,
        referer: None,
        error: None,
    });
}

/// For each writer, the numbers of its lines in the order they stand in. Fails unless all of `content` is
/// whole lines.
pub(crate) fn numbers(content: &str) -> BTreeMap<String, Vec<usize>> {
    assert!(content.is_empty() || content.ends_with('\n'), "ends in half a line: {:?}", tail(content));
    let mut numbers = BTreeMap::<String, Vec<usize>>::new();
    for line in content.lines() {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        let (writer, number) = value["request_id"].as_str().unwrap().rsplit_once('-').unwrap();
        numbers.entry(writer.to_owned()).or_default().push(number.parse().unwrap());
    }
    numbers
}

fn tail(content: &str) -> &str {
    content.rsplit('\n').next().unwrap_or_default()
}

/// As `numbers`, of a file.
pub(crate) fn numbers_in(path: &Path) -> BTreeMap<String, Vec<usize>> {
    numbers(&fs::read_to_string(path).unwrap())
}

/// Fails unless the numbers are 0, 1, 2 … up to `count`.
pub(crate) fn assert_complete(writer: &str, numbers: &[usize], count: usize) {
    let difference = numbers.iter().copied().enumerate().find(|(at, number)| at != number);
    assert_eq!(difference, None, "{writer}: first line that is not in its place");
    assert_eq!(numbers.len(), count, "{writer}");
}

/// Waits until `reached`, for as long as a busy machine may take.
pub(crate) fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !reached() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
