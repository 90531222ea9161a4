//! Going through everything a store holds, a page at a time.
//!
//! A [`Walk`] scans the names of keys and reads each host it meets once, whichever of its keys comes first.
//! Each round trip reads the hosts of one page and scans for the next. What exists from beginning to end is
//! met for sure (that is what `SCAN` promises); what comes and goes meanwhile is the feed's to tell.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use redis::{Pipeline, Value};

use super::connection::Replies;
use super::fault::Fault;
use super::keys::{HostKey, Key, SCANNED};
use super::stored::{self, Ask, Stored};

/// A walk that is under way; see the module's description.
pub(super) struct Walk {
    /// Where the next page of names begins.
    cursor: Vec<u8>,
    scanned: bool,
    waiting: VecDeque<HostKey>,
    /// Hashes of the hosts that were met: a million hosts are to fit.
    met: HashSet<u64>,
    hasher: RandomState,
}

/// What one round trip of a walk asks for.
pub(super) struct Leg {
    hosts: Vec<HostKey>,
    scans: bool,
    ask: Ask,
}

impl Walk {
    pub(super) fn new() -> Walk {
        Walk {
            cursor: b"0".to_vec(),
            scanned: false,
            waiting: VecDeque::new(),
            met: HashSet::new(),
            hasher: RandomState::default(),
        }
    }

    /// Whether everything has been read.
    pub(super) fn is_done(&self) -> bool {
        self.scanned && self.waiting.is_empty()
    }

    /// Appends the commands of the next round trip, which reads about `page` hosts.
    pub(super) fn queue(&mut self, pipeline: &mut Pipeline, page: usize, ask: Ask) -> Leg {
        let hosts: Vec<HostKey> = self.waiting.drain(..self.waiting.len().min(page)).collect();
        let scans = !self.scanned && self.waiting.len() < page;
        for host in &hosts {
            stored::queue(pipeline, host, ask);
        }
        if scans {
            pipeline.cmd("SCAN").arg(&self.cursor).arg("MATCH").arg(SCANNED).arg("COUNT").arg(page);
        }
        Leg { hosts, scans, ask }
    }

    /// Reads the replies.
    pub(super) fn take(&mut self, leg: Leg, replies: &mut Replies) -> Result<Vec<Stored>, Fault> {
        let read = leg.hosts.into_iter().map(|host| stored::take(replies, host, leg.ask));
        let read = read.collect::<Result<Vec<Stored>, Fault>>()?;
        if leg.scans {
            self.take_names(replies)?;
        }
        Ok(read)
    }

    fn take_names(&mut self, replies: &mut Replies) -> Result<(), Fault> {
        let wrong = Fault::Protocol("SCAN");
        let parts = match replies.next() {
            Some(Value::Array(parts)) => parts,
            Some(Value::ServerError(error)) => return Err(Fault::of_server(&error)),
            _ => return Err(wrong),
        };
        let mut parts = parts.into_iter();
        let (Some(Value::BulkString(next)), Some(Value::Array(names))) = (parts.next(), parts.next()) else {
            return Err(wrong);
        };
        self.scanned = next == b"0";
        self.cursor = next;
        for name in names {
            let name = stored::bytes(name).ok_or(Fault::Protocol("SCAN"))?;
            if let Key::Host(host) = Key::of(&name)
                && self.meet(host)
            {
                self.waiting.push_back(host.into());
            }
        }
        Ok(())
    }

    /// Notes that this host is there, and says whether that is news.
    pub(super) fn meet(&mut self, host: &[u8]) -> bool {
        self.met.insert(self.hasher.hash_one(host))
    }

    /// Whether this host was met.
    pub(super) fn has_met(&self, host: &[u8]) -> bool {
        self.met.contains(&self.hasher.hash_one(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(cursor: &str, names: &[&str]) -> Value {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        Value::Array(vec![text(cursor), Value::Array(names.iter().copied().map(text).collect())])
    }

    #[test]
    fn a_host_is_read_once_whichever_of_its_keys_comes_first() {
        let mut walk = Walk::new();
        let mut pipeline = redis::pipe();
        let ask = Ask { expiry: false };
        let leg = walk.queue(&mut pipeline, 10, ask);
        assert_eq!(pipeline.len(), 1);
        let found = names("5", &["instance_ids:a", "instances:a", "instance_id_of:b", "instances:c"]);
        assert!(walk.take(leg, &mut vec![found].into_iter()).unwrap().is_empty());
        assert!(!walk.is_done());

        let mut pipeline = redis::pipe();
        let leg = walk.queue(&mut pipeline, 10, ask);
        assert_eq!((leg.hosts.len(), pipeline.len()), (2, 2 * 3 + 1), "a and c, and the next page");
        let nothing = names("0", &[]);
        let mut replies: Vec<Value> = std::iter::repeat_n(nothing, 6).collect();
        replies.push(names("0", &["instances:c"]));
        assert_eq!(walk.take(leg, &mut replies.into_iter()).unwrap().len(), 2);
        assert!(walk.is_done());
        assert!(walk.has_met(b"a") && walk.has_met(b"c") && !walk.has_met(b"b"));
    }
}
