//! A member of the route table as stores keep it: what is accepted comes back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_table::Member;

fuzz_target!(|input: &str| {
    if let Ok((member, _)) = Member::parse(input) {
        let (again, unknown) = Member::parse(&member.to_string()).expect("what is written can be read");
        assert_eq!(again, member);
        assert!(unknown.is_empty());
    }
});
