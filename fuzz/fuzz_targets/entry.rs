//! Packed entries from disk: whatever the bytes, reading them in place never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_table::Entry;

fuzz_target!(|input: &[u8]| {
    if let Ok(entry) = Entry::from_bytes(input) {
        let view = entry.view();
        let _ = view.pattern();
        for instance in view.instances() {
            let member = instance.to_member();
            let _ = member.to_string();
        }
    }
});
