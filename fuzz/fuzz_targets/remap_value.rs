//! A value of the memcached table: what is accepted comes back the same, and its server can stand in `Host`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_table::remap::RouteTarget;

fuzz_target!(|input: &[u8]| {
    if let Ok(target) = RouteTarget::parse(input) {
        assert_eq!(RouteTarget::parse(target.to_string().as_bytes()).as_ref(), Ok(&target));
        assert!(target.port() != 0 && target.server().bytes().all(|byte| byte.is_ascii_graphic()));
    }
});
