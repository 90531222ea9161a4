//! A table kept by hand.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let _ = waypost_table::routes_toml::parse(input);
});
