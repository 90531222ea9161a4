//! Waiting for a condition, which is not the same as sleeping: a test goes on as soon as it holds.

use std::time::{Duration, Instant};

/// How long anything here waits before it gives up. Far more than anything takes, so that a busy machine
/// fails no test.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` gives a value, and returns it.
///
/// # Panics
/// When it gave none within [`PATIENCE`]; `what` is named in the message.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
