//! The host of a request: what is accepted is in its normal form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_http1::Host;

fuzz_target!(|input: &[u8]| {
    if let Ok((host, _)) = Host::parse(input) {
        assert_eq!(Host::parse(host.as_str().as_bytes()), Ok((host, None)));
    }
});
