//! Ranges and conditions of a request for a file: what is asked for is there, whatever is asked.
#![no_main]

use http::Method;
use libfuzzer_sys::fuzz_target;
use waypost_backend::conditional::{Validators, evaluate, range_holds};
use waypost_backend::range::{Ranges, parse};
use waypost_http1::Fields;

const LENGTH: u64 = 1000;

fuzz_target!(|input: &[u8]| {
    if let Some(Ranges::Parts(parts)) = parse(input, LENGTH) {
        assert!(parts.iter().all(|part| part.start < part.end && part.end <= LENGTH));
        assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= LENGTH);
    }
    let validators = Validators { etag: Some("\"a\"".into()), modified: Some(std::time::SystemTime::UNIX_EPOCH) };
    let mut fields = Fields::new();
    for name in ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"] {
        if fields.push(name, input).is_err() {
            return;
        }
    }
    let _ = evaluate(&Method::GET, &fields, &validators);
    let _ = range_holds(&fields, &validators);
});
