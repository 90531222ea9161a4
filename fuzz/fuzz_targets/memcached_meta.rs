//! What a memcached answers in the meta protocol to one request of each kind, whole and cut in two.
#![no_main]

#[path = "../../crates/memcached/tests/checks/mod.rs"]
mod checks;

use libfuzzer_sys::fuzz_target;
use waypost_memcached::protocol::Dialect;

fuzz_target!(|input: &[u8]| {
    checks::check(Dialect::Meta, input);
});
