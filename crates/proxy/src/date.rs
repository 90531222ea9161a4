//! The `Date` field's value, put together once a second.

use std::cell::{Cell, RefCell};
use std::time::{SystemTime, UNIX_EPOCH};

/// One worker's `Date`, as of its last tick.
#[derive(Debug, Default)]
pub(crate) struct Date {
    second: Cell<u64>,
    text: RefCell<String>,
}

impl Date {
    /// Looks at the clock.
    pub(crate) fn tick(&self) {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.second.replace(second) != second {
            *self.text.borrow_mut() = httpdate::fmt_http_date(now);
        }
    }

    /// Appends `Date: …` and the end of its line (RFC 9110 §6.6.1).
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(self.text.borrow().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}
