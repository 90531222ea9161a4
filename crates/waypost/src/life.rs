//! Where the router is in its life, for whatever part of it is asked. All trees share one, by the registry of
//! servers that they share anyway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use waypost_backend::upstream::Registry;

/// A router's life.
#[derive(Debug)]
pub(crate) struct Life {
    began: Instant,
    draining: AtomicBool,
}

impl Life {
    /// The life of the router that this registry is of: it begins when it is first asked for.
    pub(crate) fn of(registry: &Registry) -> Arc<Life> {
        registry.shared("life", || Life { began: Instant::now(), draining: AtomicBool::new(false) })
    }

    /// How long the router has been running.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether it is on its way out.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Says that it is on its way out.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }
}
