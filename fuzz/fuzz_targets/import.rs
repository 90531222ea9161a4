//! An import of JSON lines: what is accepted is exported and imported to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_table::transfer::{export, import};

fuzz_target!(|input: &[u8]| {
    if let Ok(snapshot) = import(input) {
        let mut text = Vec::new();
        export(&snapshot, &mut text).expect("memory takes everything");
        let again = import(&text[..]).expect("what is exported can be imported");
        assert_eq!(again.len(), snapshot.len());
        assert_eq!(again.instances(), snapshot.instances());
    }
});
