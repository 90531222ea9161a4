//! What a store holds of one host, and how it is asked.
//!
//! A host is read by four commands in one round trip with many other hosts'. A set is read by its first
//! page: that is all of it but for sets of many hundred members, which `large.rs` goes on with,
//! so that no reply is larger than a page however large a set is.

use std::time::Duration;

use redis::{Pipeline, Value};

use super::connection::Replies;
use super::fault::Fault;
use super::keys::{HostKey, IDS, INSTANCES, LINKS, key};

/// How many members the server is asked for at once.
pub(super) const PAGE: usize = 1000;

/// A host as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) host: HostKey,
    /// The set of members.
    pub(super) members: Set,
    /// The set of ids.
    pub(super) ids: Set,
    /// Which member has which id, where our own writer has noted it.
    pub(super) links: Vec<Link>,
    /// After which time the members run out.
    pub(super) expires: Option<Duration>,
}

/// A member and its id.
pub(super) type Link = (Vec<u8>, Vec<u8>);

/// A set as far as it has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Set {
    /// All of it; none for a key that is not there.
    Whole(Vec<Vec<u8>>),
    /// Its first page.
    Part(Page),
    /// The key holds something else.
    WrongType,
}

/// Part of a set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Where the next page begins; empty for the end.
    pub(super) next: Vec<u8>,
    pub(super) members: Vec<Vec<u8>>,
}

impl Set {
    /// The members that have been read.
    pub(super) fn read(&self) -> &[Vec<u8>] {
        match self {
            Set::Whole(members) | Set::Part(Page { members, .. }) => members,
            Set::WrongType => &[],
        }
    }
}

impl Stored {
    /// Whether the store has nothing of this host at all.
    pub(super) fn is_nothing(&self) -> bool {
        let nothing = |set: &Set| matches!(set, Set::Whole(members) if members.is_empty());
        nothing(&self.members) && nothing(&self.ids) && self.links.is_empty()
    }
}

/// Which of a host's commands are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    /// Whether the members' time to live is wanted; no use where no key runs out.
    pub(super) expiry: bool,
}

/// Appends the commands whose replies [`take`] reads.
pub(super) fn queue(pipeline: &mut Pipeline, host: &[u8], ask: Ask) {
    let members = key(INSTANCES, host);
    if ask.expiry {
        pipeline.cmd("PTTL").arg(&members);
    }
    queue_page(pipeline, &members, b"0");
    queue_page(pipeline, &key(IDS, host), b"0");
    pipeline.cmd("HSCAN").arg(key(LINKS, host)).arg(0).arg("COUNT").arg(PAGE);
}

/// Appends the command for one page of a set, whose reply [`take_page`] reads.
pub(super) fn queue_page(pipeline: &mut Pipeline, key: &[u8], cursor: &[u8]) {
    pipeline.cmd("SSCAN").arg(key).arg(cursor).arg("COUNT").arg(PAGE);
}

/// Reads the replies to [`queue`] for this host.
pub(super) fn take(replies: &mut Replies, host: HostKey, ask: Ask) -> Result<Stored, Fault> {
    let expires = if ask.expiry { take_expiry(replies)? } else { None };
    let members = take_set(replies)?;
    let ids = take_set(replies)?;
    let links = take_links(replies)?;
    Ok(Stored { host, members, ids, links, expires })
}

fn take_expiry(replies: &mut Replies) -> Result<Option<Duration>, Fault> {
    match replies.next() {
        Some(Value::Int(millis)) => Ok(u64::try_from(millis).ok().map(Duration::from_millis)),
        Some(Value::ServerError(error)) => Err(Fault::of_server(&error)),
        _ => Err(Fault::Protocol("PTTL")),
    }
}

fn take_set(replies: &mut Replies) -> Result<Set, Fault> {
    Ok(match take_page(replies)? {
        None => Set::WrongType,
        Some(page) if page.next.is_empty() => Set::Whole(page.members),
        Some(page) => Set::Part(page),
    })
}

/// Reads the reply to [`queue_page`]; none if the key holds no set.
pub(super) fn take_page(replies: &mut Replies) -> Result<Option<Page>, Fault> {
    let wrong = Fault::Protocol("SSCAN");
    let parts = match replies.next() {
        Some(Value::Array(parts)) => parts,
        Some(Value::ServerError(error)) if error.code() == "WRONGTYPE" => return Ok(None),
        Some(Value::ServerError(error)) => return Err(Fault::of_server(&error)),
        _ => return Err(wrong),
    };
    let mut parts = parts.into_iter();
    let (Some(Value::BulkString(next)), Some(Value::Array(members))) = (parts.next(), parts.next()) else {
        return Err(wrong);
    };
    let next = if next == b"0" { Vec::new() } else { next };
    let members = members.into_iter().map(bytes).collect::<Option<_>>().ok_or(wrong)?;
    Ok(Some(Page { next, members }))
}

/// Reads the reply to `HSCAN`: of a hash of many hundred links the first page, which is enough for people.
fn take_links(replies: &mut Replies) -> Result<Vec<Link>, Fault> {
    // A key of that name that isn't ours tells nothing.
    let mut fields = take_page(replies)?.unwrap_or_default().members.into_iter();
    Ok(std::iter::from_fn(|| Some((fields.next()?, fields.next()?))).collect())
}

/// The bytes of a string.
pub(super) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn page(cursor: &str, members: &[&str]) -> Value {
        Value::Array(vec![text(cursor), Value::Array(members.iter().copied().map(text).collect())])
    }

    fn taken(replies: Vec<Value>) -> Result<Stored, Fault> {
        take(&mut replies.into_iter(), HostKey::from(&b"h"[..]), Ask { expiry: true })
    }

    #[test]
    fn a_host_is_read_from_its_four_replies() {
        let replies = vec![Value::Int(-1), page("0", &["m"]), page("17", &["i"]), page("0", &["m", "i"])];
        let stored = taken(replies).unwrap();
        assert_eq!(stored.members, Set::Whole(vec![b"m".to_vec()]));
        assert_eq!(stored.ids, Set::Part(Page { next: b"17".to_vec(), members: vec![b"i".to_vec()] }));
        assert_eq!(stored.links, [(b"m".to_vec(), b"i".to_vec())]);
        assert_eq!(stored.expires, None);
        let stored = taken(vec![Value::Int(5), page("0", &[]), page("0", &[]), page("0", &[])]).unwrap();
        assert!(stored.is_nothing());
        assert_eq!(stored.expires, Some(Duration::from_millis(5)));
    }

    #[test]
    fn replies_that_no_server_gives_are_faults() {
        for replies in [
            vec![],
            vec![Value::Nil],
            vec![Value::Int(-1), Value::Nil],
            vec![Value::Int(-1), Value::Array(vec![])],
            vec![
                Value::Int(-1),
                page("0", &[]),
                Value::Array(vec![text("0"), Value::Array(vec![Value::Nil])]),
            ],
            vec![Value::Int(-1), page("0", &[]), page("0", &[]), Value::Int(3)],
        ] {
            assert!(matches!(taken(replies), Err(Fault::Protocol(_))));
        }
    }
}
