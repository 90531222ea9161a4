//! How long items live, as memcached wants to be told.

use std::time::{SystemTime, UNIX_EPOCH};

/// The longest relative time: memcached takes anything beyond 30 days for a Unix time.
const MAX_RELATIVE: u32 = 60 * 60 * 24 * 30;
/// The latest time that servers read without overflow: they take a signed 32-bit number.
const LATEST: u64 = i32::MAX as u64;

/// What is sent for an item that shall live `seconds` (0: for ever): itself up to 30 days, and the Unix time
/// it ends beyond that, since memcached would take the number for one.
pub(crate) fn on_the_wire(seconds: u32) -> u32 {
    if seconds <= MAX_RELATIVE {
        return seconds;
    }
    // A clock before 1970 makes the item expire at once rather than never.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    absolute(now, seconds)
}

fn absolute(now: u64, seconds: u32) -> u32 {
    // At most `i32::MAX`.
    (now + u64::from(seconds)).min(LATEST) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_30_days_it_is_relative() {
        assert_eq!(on_the_wire(0), 0);
        assert_eq!(on_the_wire(2_592_000), 2_592_000);
    }

    #[test]
    fn beyond_30_days_it_is_a_unix_time() {
        assert_eq!(absolute(1_700_000_000, 2_592_001), 1_702_592_001);
        assert!(on_the_wire(2_592_001) > 1_700_000_000);
    }

    #[test]
    fn what_servers_would_take_for_the_past_is_as_late_as_they_can() {
        assert_eq!(absolute(1_700_000_000, u32::MAX), i32::MAX as u32);
    }
}
