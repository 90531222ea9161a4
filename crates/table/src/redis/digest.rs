//! Comparing the table with its store, slowly and without end, in case a change was not told.
//!
//! A round goes through the whole store and looks at each host; in the end it looks for hosts that the table
//! has and the round did not meet. What differs is read again by the usual way, which makes it good. If that
//! changed the table and no word of it comes within [`GRACE`] either, the change was missed, and is counted:
//! a number other than zero says that something between the server and us loses messages.
//!
//! A round takes about a minute, or longer for tables that would need more than a few thousand reads a
//! second for that.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use redis::Pipeline;

use super::connection::Replies;
use super::fault::Fault;
use super::keys::HostKey;
use super::mirror::Mirror;
use super::stored::{Ask, Set, Stored};
use super::walk::{Leg, Walk};

/// How often a page is compared.
const EVERY: Duration = Duration::from_millis(100);

/// How many pages a round is to have.
const PAGES: usize = 600;

/// The least and the most hosts of a page.
const PAGE: (usize, usize) = (16, 256);

/// How long a word of a change may come after the change was seen.
const GRACE: Duration = Duration::from_secs(1);

/// The most hosts that are suspected at once.
const MAX_SUSPECTS: usize = 10_000;

/// The comparison; see the module's description.
pub(super) struct Digest {
    walk: Walk,
    next: Instant,
    /// Hosts that differed; with the time they were made good, if they were.
    suspects: HashMap<HostKey, Option<Instant>>,
}

impl Digest {
    pub(super) fn new() -> Digest {
        Digest { walk: Walk::new(), next: Instant::now() + EVERY, suspects: HashMap::new() }
    }

    /// Begins a round from the start; what the table is made of has changed.
    pub(super) fn restart(&mut self) {
        *self = Digest::new();
    }

    /// When the next page is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Appends the commands for a page; none at the end of a round.
    pub(super) fn queue(&mut self, pipeline: &mut Pipeline, entries: usize) -> Option<Leg> {
        self.next = Instant::now() + EVERY;
        let (least, most) = PAGE;
        let page = (entries / PAGES).clamp(least, most);
        (!self.walk.is_done()).then(|| self.walk.queue(pipeline, page, Ask { expiry: false }))
    }

    /// Reads the replies, and returns the hosts that differ from the table.
    pub(super) fn take(
        &mut self,
        leg: Leg,
        replies: &mut Replies,
        mirror: &Mirror,
    ) -> Result<Vec<HostKey>, Fault> {
        let read = self.walk.take(leg, replies)?;
        // A large set was read whole when it changed; reading it again and again would cost too much.
        let is_whole = |stored: &Stored| matches!(stored.members, Set::Whole(_) | Set::WrongType);
        let differing = read.into_iter().filter(|stored| is_whole(stored) && mirror.differs(stored));
        Ok(differing.map(|stored| stored.host).collect())
    }

    /// Ends a round and begins the next: the hosts that the table has and the round did not meet.
    pub(super) fn end_of_round(&mut self, mirror: &Mirror) -> Vec<HostKey> {
        let walk = std::mem::replace(&mut self.walk, Walk::new());
        let missing = mirror.missing(|host| walk.has_met(host)).into_iter().take(MAX_SUSPECTS);
        missing.map(|pattern| HostKey::from(pattern.as_str().as_bytes())).collect()
    }

    /// Notes that these hosts differ and are about to be read again.
    pub(super) fn suspect(&mut self, hosts: &[HostKey]) {
        for host in hosts {
            if self.suspects.len() < MAX_SUSPECTS {
                self.suspects.insert(host.clone(), None);
            }
        }
    }

    /// Notes that reading a host changed the table.
    pub(super) fn changed(&mut self, host: HostKey) {
        if let Some(since) = self.suspects.get_mut(&host) {
            since.get_or_insert_with(Instant::now);
        }
    }

    /// Notes that the server has told of a change of this host.
    pub(super) fn told(&mut self, host: &HostKey) {
        if !self.suspects.is_empty() {
            self.suspects.remove(host);
        }
    }

    /// How many changes turned out to have been missed since this was last asked.
    pub(super) fn missed(&mut self) -> u64 {
        let mut missed = 0;
        self.suspects.retain(|_, since| {
            let is_over = since.is_some_and(|since| since.elapsed() >= GRACE);
            missed += u64::from(is_over);
            // One that was as it should be when read again was a change that was under way.
            since.is_some() && !is_over
        });
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_is_told_after_all_was_not_missed() {
        let mut digest = Digest::new();
        let [a, b, c] = [b"a", b"b", b"c"].map(|host| HostKey::from(&host[..]));
        digest.suspect(&[a.clone(), b.clone(), c.clone()]);
        digest.changed(a.clone());
        digest.changed(b.clone());
        assert_eq!(digest.missed(), 0, "a word may still come");
        digest.told(&a);
        let past = Instant::now().checked_sub(2 * GRACE);
        digest.suspects.insert(b, past);
        assert_eq!(digest.missed(), 1);
        assert!(digest.suspects.is_empty());
    }
}
