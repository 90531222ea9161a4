//! What the keys of clusters have in common: their members' health.

use std::time::Duration;

use waypost_backend::{ClusterOptions, Pace};

use super::Findings;

/// The keys about members' health, as every cluster has them.
pub(super) struct HealthKeys {
    pub(super) probe_interval: Duration,
    pub(super) fall: u32,
    pub(super) rise: u32,
    pub(super) slow_start: Duration,
}

impl HealthKeys {
    pub(super) fn options(&self) -> ClusterOptions {
        let pace = Pace { interval: self.probe_interval, fall: self.fall, rise: self.rise };
        ClusterOptions { pace, slow_start: self.slow_start }
    }

    /// Reports what would leave a cluster without members, or without knowing of them.
    pub(super) fn check(&self, members: &[String], found: &mut Findings<'_>) {
        if members.is_empty() {
            found.add("members", "names no backend: a cluster needs at least one");
        }
        found.more_than_nothing("probe_interval", self.probe_interval.is_zero());
        found.more_than_nothing("fall", self.fall == 0);
        found.more_than_nothing("rise", self.rise == 0);
    }
}
