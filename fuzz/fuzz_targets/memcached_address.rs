//! An address of memcached, or a configuration string of libmemcached: what is accepted is shown, without the
//! password, as what reads back the same, and places any key on one of its servers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_memcached::{Address, Placement};

fuzz_target!(|input: &str| {
    let Ok(mut address) = Address::parse(input) else { return };
    address.password = None;
    assert_eq!(Address::parse(&address.to_string()), Ok(address.clone()));
    // Large rings only cost time.
    if address.servers.len() < 20 {
        let placement = Placement::new(&address);
        assert!(placement.server(input.as_bytes()) < address.servers.len());
        assert_eq!(placement.candidates(input.as_bytes()).count(), address.servers.len());
    }
});
