//! What a memcached answers in the classic text protocol to one request of each kind, whole and cut in two.
#![no_main]

#[path = "../../crates/memcached/tests/checks/mod.rs"]
mod checks;

use libfuzzer_sys::fuzz_target;
use waypost_memcached::protocol::Dialect;

fuzz_target!(|input: &[u8]| {
    checks::check(Dialect::Text, input);
});
