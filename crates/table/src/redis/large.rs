//! Sets that are larger than a page, read page by page beside everything else.
//!
//! One page a turn, so that others stay fresh however large a set is; at most [`MAX_INSTANCES`] and one
//! members, so that memory stays bounded; and after a set as much time for others as it took. While a set is
//! read the entry that was there stays. A change of the set in the meantime is told by the feed as any
//! change is, and the set is read again.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use redis::Pipeline;

use crate::entry::MAX_INSTANCES;

use super::connection::Replies;
use super::fault::Fault;
use super::keys::{HostKey, IDS, INSTANCES, key};
use super::stored::{Page, Set, Stored, queue_page, take_page};

/// The longest pause after a set.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How many hosts wait with what was read of them already; others begin from the start.
const MAX_BEGUN: usize = 16;

/// Large sets that wait or are being read; see the module's description.
#[derive(Default)]
pub(super) struct Large {
    waiting: VecDeque<Reading>,
    hosts: HashSet<HostKey>,
    began: Option<Instant>,
    resume: Option<Instant>,
}

/// One host of which a set is large.
struct Reading {
    stored: Stored,
    /// What has been read of the set: pages may name a member twice.
    seen: HashSet<Vec<u8>>,
}

impl Large {
    /// Takes over a host whose sets were read in part; of one that waits already the new reading stands.
    pub(super) fn start(&mut self, mut stored: Stored) {
        self.forget(&stored.host);
        self.hosts.insert(stored.host.clone());
        if self.waiting.len() >= MAX_BEGUN {
            let from_the_start = || Set::Part(Page { next: b"0".to_vec(), members: Vec::new() });
            (stored.members, stored.ids) = (from_the_start(), from_the_start());
        }
        self.waiting.push_back(Reading { stored, seen: HashSet::new() });
    }

    /// Forgets a host, which was read whole elsewhere.
    pub(super) fn forget(&mut self, host: &HostKey) {
        if self.hosts.remove(host) {
            self.waiting.retain(|reading| reading.stored.host != *host);
            self.began = None;
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Large::default();
    }

    /// Whether none is being read.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the next page may be asked for; none if there is nothing to ask for.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        (!self.is_empty()).then(|| self.resume.unwrap_or(now))
    }

    /// Appends the command for one page.
    pub(super) fn queue(&mut self, pipeline: &mut Pipeline) {
        let Some(reading) = self.waiting.front() else { return };
        self.began.get_or_insert_with(Instant::now);
        let host = &reading.stored.host;
        match (&reading.stored.members, &reading.stored.ids) {
            (Set::Part(page), _) => queue_page(pipeline, &key(INSTANCES, host), &page.next),
            (_, Set::Part(page)) => queue_page(pipeline, &key(IDS, host), &page.next),
            // Nothing is in part: a page of nothing is soon read.
            _ => queue_page(pipeline, &key(INSTANCES, host), b"0"),
        }
    }

    /// Reads the reply; a host that is whole now is returned.
    pub(super) fn take(&mut self, replies: &mut Replies) -> Result<Option<Stored>, Fault> {
        let page = take_page(replies)?;
        let Some(reading) = self.waiting.front_mut() else { return Ok(None) };
        let set = match (&mut reading.stored.members, &mut reading.stored.ids) {
            (members @ Set::Part(_), _) => members,
            (_, ids) => ids,
        };
        grow(set, page, &mut reading.seen);
        let is_part = |set: &Set| matches!(set, Set::Part(_));
        if is_part(&reading.stored.members) || is_part(&reading.stored.ids) {
            return Ok(None);
        }
        let took = self.began.take().map_or(Duration::ZERO, |began| began.elapsed());
        self.resume = Some(Instant::now() + took.min(LONGEST_PAUSE));
        let whole = self.waiting.pop_front().map(|reading| reading.stored);
        if let Some(stored) = &whole {
            self.hosts.remove(&stored.host);
        }
        Ok(whole)
    }
}

/// Adds a page to a set, which is whole after the last one, or when there is more than can be used.
fn grow(set: &mut Set, page: Option<Page>, seen: &mut HashSet<Vec<u8>>) {
    let Set::Part(part) = set else { return };
    let Some(page) = page else {
        *set = Set::WrongType;
        seen.clear();
        return;
    };
    if seen.is_empty() {
        seen.extend(part.members.iter().cloned());
    }
    let new: Vec<Vec<u8>> = page.members.into_iter().filter(|member| seen.insert(member.clone())).collect();
    part.members.extend(new);
    part.next = page.next;
    if part.next.is_empty() || part.members.len() > MAX_INSTANCES {
        part.members.truncate(MAX_INSTANCES + 1);
        *set = Set::Whole(std::mem::take(&mut part.members));
        seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::Value;

    fn text(text: String) -> Value {
        Value::BulkString(text.into_bytes())
    }

    fn page(next: &str, members: std::ops::Range<usize>) -> Value {
        let members = members.map(|index| text(format!("m{index}"))).collect();
        Value::Array(vec![text(next.to_owned()), Value::Array(members)])
    }

    fn started() -> Large {
        let mut large = Large::default();
        let part = Page { next: b"7".to_vec(), members: vec![b"m0".to_vec()] };
        large.start(Stored {
            host: b"h".as_slice().into(),
            members: Set::Part(part.clone()),
            ids: Set::Part(part),
            links: Vec::new(),
            expires: None,
        });
        large
    }

    fn taken(large: &mut Large, reply: Value) -> Option<Stored> {
        let mut pipeline = redis::pipe();
        large.queue(&mut pipeline);
        assert_eq!(pipeline.len(), 1);
        large.take(&mut vec![reply].into_iter()).unwrap()
    }

    #[test]
    fn pages_become_sets_without_doubles() {
        let mut large = started();
        assert!(taken(&mut large, page("9", 0..3)).is_none());
        assert!(taken(&mut large, page("0", 2..4)).is_none());
        let stored = taken(&mut large, page("0", 1..2)).unwrap();
        assert_eq!((stored.members.read().len(), stored.ids.read().len()), (4, 2));
        assert!(large.is_empty() && large.next(Instant::now()).is_none());
    }

    #[test]
    fn no_more_is_read_than_can_be_used() {
        let mut large = started();
        assert!(taken(&mut large, page("9", 0..MAX_INSTANCES + 500)).is_none());
        let stored = taken(&mut large, page("0", 0..1)).unwrap();
        assert_eq!(stored.members.read().len(), MAX_INSTANCES + 1);
    }

    #[test]
    fn a_set_that_becomes_something_else_is_told() {
        let mut large = started();
        assert!(taken(&mut large, page("0", 0..1)).is_none());
        let gone = Value::Array(vec![text("0".to_owned()), Value::Array(Vec::new())]);
        assert!(taken(&mut large, gone).is_some());
    }
}
