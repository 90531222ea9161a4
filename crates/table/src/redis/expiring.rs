//! Hosts whose members run out at a time that is known.
//!
//! A server removes keys that have run out when it gets to it, a tenth of a second later or more; asked for
//! one, it says at once that it is gone. So the host is read again at that moment.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::keys::HostKey;

/// Who runs out when.
#[derive(Default)]
pub(super) struct Expiring {
    by_host: HashMap<HostKey, Instant>,
    in_order: BTreeSet<(Instant, HostKey)>,
}

impl Expiring {
    /// Notes when a host runs out, or that it does not.
    pub(super) fn set(&mut self, host: &HostKey, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.by_host.insert(host.clone(), at),
            None if self.by_host.is_empty() => None,
            None => self.by_host.remove(host),
        };
        if let Some(before) = before {
            self.in_order.remove(&(before, host.clone()));
        }
        if let Some(at) = at {
            self.in_order.insert((at, host.clone()));
        }
    }

    /// When the next one runs out.
    pub(super) fn next(&self) -> Option<Instant> {
        self.in_order.first().map(|(at, _)| *at)
    }

    /// Takes out those that have run out by now, at most `limit`.
    pub(super) fn take_due(&mut self, now: Instant, limit: usize) -> Vec<HostKey> {
        let mut due = Vec::new();
        while due.len() < limit && self.next().is_some_and(|at| at <= now) {
            let Some((_, host)) = self.in_order.pop_first() else { break };
            self.by_host.remove(&host);
            due.push(host);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn hosts_are_due_in_the_order_they_run_out_and_only_by_their_last_time() {
        let mut expiring = Expiring::default();
        let now = Instant::now();
        let at = |seconds| Some(now + Duration::from_secs(seconds));
        let [a, b, c] = [b"a", b"b", b"c"].map(|host| HostKey::from(&host[..]));
        expiring.set(&a, at(9));
        expiring.set(&b, at(2));
        expiring.set(&c, at(1));
        expiring.set(&a, at(1));
        expiring.set(&c, None);
        assert_eq!(expiring.next(), at(1));
        let later = now + Duration::from_secs(3);
        assert_eq!(expiring.take_due(later, 1), [a]);
        assert_eq!(expiring.take_due(later, 9), [b]);
        assert_eq!((expiring.take_due(later, 9).len(), expiring.next()), (0, None));
    }
}
