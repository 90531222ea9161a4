//! A response's head, its framing, and what is written from it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_http1::{Fields, HeadLimits, HeadScanner, ResponseHead, Scan, response_body_length};

fuzz_target!(|input: &[u8]| {
    let limits = HeadLimits::default();
    let Ok(Scan::Complete(length)) = HeadScanner::new().scan(input, &limits) else { return };
    let Ok(mut head) = ResponseHead::read(&input[..length], &limits, Fields::new()) else { return };
    let _ = response_body_length(&head.fields, head.version, head.status, false);
    head.keeps_alive();
    head.fields.remove_hop_by_hop();
    let mut written = Vec::new();
    head.write_to(&mut written);
    written.extend_from_slice(b"\r\n");
    let wide = HeadLimits { line: usize::MAX, size: usize::MAX, fields: HeadLimits::MOST_FIELDS };
    assert_eq!(HeadScanner::new().scan(&written, &wide), Ok(Scan::Complete(written.len())));
    let again = ResponseHead::read(&written, &wide, Fields::new()).expect("what is written can be read");
    assert_eq!(again.status, head.status);
    assert_eq!(again.fields.len(), head.fields.len());
});
