//! A request's head, from the scan for its end to its framing, and what is written from it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_http1::{HeadLimits, HeadScanner, Host, RequestHead, Scan, request_body_length};

fuzz_target!(|input: &[u8]| {
    let limits = HeadLimits::default();
    let mut scanner = HeadScanner::new();
    // However it is cut, the scan says the same.
    let cut = input.len() / 2;
    let early = scanner.scan(&input[..cut], &limits);
    let whole = HeadScanner::new().scan(input, &limits);
    if early == Ok(Scan::Partial) {
        assert_eq!(scanner.scan(input, &limits), whole);
    }
    let Ok(Scan::Complete(length)) = whole else { return };
    let mut head = RequestHead::default();
    if head.read(&input[..length], &limits).is_err() {
        return;
    }
    let framing = request_body_length(&head.fields, head.version);
    let host = head.authority().ok().map(Host::parse);
    let mut written = Vec::new();
    head.write_to(&mut written);
    written.extend_from_slice(b"\r\n");
    // What is sent on is one head, and means what was read.
    let wide = HeadLimits { line: usize::MAX, size: usize::MAX, fields: HeadLimits::MOST_FIELDS };
    assert_eq!(HeadScanner::new().scan(&written, &wide), Ok(Scan::Complete(written.len())));
    let mut again = RequestHead::default();
    again.read(&written, &wide).expect("what is written can be read");
    assert_eq!(again.target(), head.target());
    assert_eq!(again.fields.len(), head.fields.len());
    if framing.is_ok() {
        assert_eq!(request_body_length(&again.fields, again.version), framing);
    }
    if let (waypost_http1::Target::Origin, Some(host)) = (head.form(), host) {
        assert_eq!(again.authority().ok().map(Host::parse), Some(host));
    }
    head.fields.remove_hop_by_hop();
});
