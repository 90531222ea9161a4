//! A configuration: every error is reported, none is a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost::config::Config;

fuzz_target!(|input: &str| {
    let _ = Config::from_text(input, None, &[]);
});
