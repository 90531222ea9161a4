//! A host's instances, packed into a few bytes.
//!
//! A router holds every entry of its table in memory, a million of them if need be, and reads one a
//! request. What that costs is cache misses, so an entry is one block of bytes that is read in place,
//! with what routing needs in front:
//!
//! ```text
//! pattern length  u8
//! instances       u16, at least 1
//! pattern         UTF-8
//! heads           one an instance, 16 bytes each:
//!                 flags u8; lengths of version type, node and instance key u8 ×3;
//!                 IPv4 address u8 ×4; port u16; weight u16; where its rest begins u32
//! rests           one an instance: IPv6 address (16 bytes), id (16 bytes), path length u16,
//!                 backend length u8, path, backend, version type, node, instance
//! ```
//!
//! Numbers are little-endian. Of a rest only what the flags announce is there; what a head has no use for
//! is zero. Instances stand sorted, those with the longest path prefix first and those without any last,
//! so that the instances of one prefix stand together and matching finds the best ones first. The same
//! members always give the same bytes.
//!
//! [`Entry`] owns such bytes; [`EntryRef`] and [`InstanceRef`] read them, wherever they are. The embedded
//! table keeps exactly these bytes on disk, so [`Entry::from_bytes`] checks everything once, and whatever
//! it accepts can be read without a further check.

use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use uuid::Uuid;

use crate::member::{self, Member, MemberError, Scheme};
use crate::pattern::Pattern;

/// The most instances one host can have.
pub const MAX_INSTANCES: usize = u16::MAX as usize;

const COUNT_AT: usize = 1;
const PATTERN_AT: usize = 3;

const HEAD: usize = 16;
// Where the parts of a head stand in it.
const KEY_LENS: usize = 1;
const IPV4: usize = 4;
const PORT: usize = 8;
const WEIGHT: usize = 10;
const REST: usize = 12;

// The flags of a head.
const V4: u8 = 1;
const V6: u8 = 1 << 1;
const HTTPS: u8 = 1 << 2;
const ID: u8 = 1 << 3;
/// The lengths of path and backend are written, and at least one of the two is there.
const NAMED: u8 = 1 << 4;
const ALL_FLAGS: u8 = V4 | V6 | HTTPS | ID | NAMED;

/// The size of the two lengths that [`NAMED`] announces.
const NAMED_LENS: usize = 3;

/// A pattern and its instances, immutable and cheap to clone (one reference count).
#[derive(Clone, PartialEq, Eq)]
pub struct Entry(Arc<[u8]>);

/// An entry read in place, from an [`Entry`] or a [`Snapshot`](crate::snapshot::Snapshot).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntryRef<'a>(&'a [u8]);

/// One instance of an entry, read in place.
#[derive(Clone, Copy)]
pub struct InstanceRef<'a> {
    /// The whole entry.
    bytes: &'a [u8],
    /// Where the instance's head begins in it.
    head: usize,
}

/// Why an entry can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// One of its members is not valid.
    #[error("{pattern}: {source}")]
    Member {
        /// The entry's pattern.
        pattern: Pattern,
        /// What is wrong with the member.
        source: MemberError,
    },
    /// It would have no instance; a host without instances has no entry.
    #[error("{0} has no instance")]
    Empty(Pattern),
    /// It would have more than [`MAX_INSTANCES`] instances.
    #[error("{0} has more than {MAX_INSTANCES} instances")]
    TooMany(Pattern),
}

/// The bytes are no entry: what is wrong, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a packed entry: {what} (at byte {at})")]
pub struct EntryBytesError {
    what: &'static str,
    at: usize,
}

impl Entry {
    /// Packs the members of a pattern, in any order. They are a set: one given twice counts once.
    ///
    /// # Errors
    /// If a member is not valid, or there are none, or too many.
    pub fn new(pattern: &Pattern, members: impl IntoIterator<Item = Member>) -> Result<Entry, EntryError> {
        let mut checked = Vec::new();
        for member in members {
            let member =
                member.checked().map_err(|source| EntryError::Member { pattern: pattern.clone(), source })?;
            checked.push(member);
        }
        checked.sort_by(order);
        checked.dedup();
        match checked.len() {
            0 => return Err(EntryError::Empty(pattern.clone())),
            count if count > MAX_INSTANCES => return Err(EntryError::TooMany(pattern.clone())),
            _ => {}
        }

        let name = pattern.as_str().as_bytes();
        let heads_at = PATTERN_AT + name.len();
        let rests_at = heads_at + checked.len() * HEAD;
        let mut bytes = Vec::with_capacity(rests_at + checked.len() * 128);
        bytes.push(name.len() as u8);
        bytes.extend_from_slice(&(checked.len() as u16).to_le_bytes());
        bytes.extend_from_slice(name);
        bytes.resize(rests_at, 0);
        for (index, member) in checked.iter().enumerate() {
            let mut head = head_of(member);
            // 65,535 instances of at most 2,400 bytes stay far below 4 GiB.
            head[REST..].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
            bytes[heads_at + index * HEAD..][..HEAD].copy_from_slice(&head);
            write_rest(&mut bytes, member);
        }
        Ok(Entry(bytes.into()))
    }

    /// Takes in bytes that [`EntryRef::as_bytes`] gave, checking all of them.
    ///
    /// # Errors
    /// If they are anything that [`Entry::new`] could not have made.
    pub fn from_bytes(bytes: &[u8]) -> Result<Entry, EntryBytesError> {
        EntryRef::check(bytes).map(EntryRef::to_entry)
    }

    /// The entry, to be read.
    pub fn view(&self) -> EntryRef<'_> {
        EntryRef(&self.0)
    }

    /// The pattern this entry stands under, in its normal form.
    pub fn pattern(&self) -> &str {
        self.view().pattern()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

/// The order of instances in an entry: by path, longest first, then by anything that tells them apart.
fn order(a: &Member, b: &Member) -> Ordering {
    path_order(a.path.as_deref(), b.path.as_deref())
        .then_with(|| a.address.cmp(&b.address))
        .then_with(|| a.backend.cmp(&b.backend))
        .then_with(|| a.version_type.cmp(&b.version_type))
        .then_with(|| a.node.cmp(&b.node))
        .then_with(|| a.instance.cmp(&b.instance))
        .then_with(|| (a.instance_id, a.weight, a.scheme).cmp(&(b.instance_id, b.weight, b.scheme)))
}

fn path_order(a: Option<&str>, b: Option<&str>) -> Ordering {
    let length = |path: Option<&str>| path.map_or(0, str::len);
    length(b).cmp(&length(a)).then_with(|| a.cmp(&b))
}

fn keys_of(member: &Member) -> [&str; 3] {
    [&member.version_type, &member.node, &member.instance].map(|key| key.as_deref().unwrap_or_default())
}

/// The head of a checked member's instance, but for where its rest begins.
fn head_of(member: &Member) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let named = member.path.is_some() || member.backend.is_some();
    let flags = [
        (V4, member.address.is_some_and(|address| address.is_ipv4())),
        (V6, member.address.is_some_and(|address| address.is_ipv6())),
        (HTTPS, member.scheme == Scheme::Https),
        (ID, member.instance_id.is_some()),
        (NAMED, named),
    ];
    head[0] = flags.into_iter().filter(|&(_, set)| set).fold(0, |all, (flag, _)| all | flag);
    for (into, key) in head[KEY_LENS..].iter_mut().zip(keys_of(member)) {
        // A key has at most 255 bytes.
        *into = key.len() as u8;
    }
    if let Some(address) = member.address {
        if let IpAddr::V4(ip) = address.ip() {
            head[IPV4..PORT].copy_from_slice(&ip.octets());
        }
        head[PORT..WEIGHT].copy_from_slice(&address.port().to_le_bytes());
    }
    head[WEIGHT..REST].copy_from_slice(&member.weight.to_le_bytes());
    head
}

fn write_rest(bytes: &mut Vec<u8>, member: &Member) {
    if let Some(IpAddr::V6(ip)) = member.address.map(|address| address.ip()) {
        bytes.extend_from_slice(&ip.octets());
    }
    if let Some(id) = member.instance_id {
        bytes.extend_from_slice(id.as_bytes());
    }
    let path = member.path.as_deref().unwrap_or_default();
    let backend = member.backend.as_deref().unwrap_or_default();
    if !path.is_empty() || !backend.is_empty() {
        // Both lengths fit: the member was checked.
        bytes.extend_from_slice(&(path.len() as u16).to_le_bytes());
        bytes.push(backend.len() as u8);
    }
    for text in [path, backend].into_iter().chain(keys_of(member)) {
        bytes.extend_from_slice(text.as_bytes());
    }
}

fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn text(bytes: &[u8], from: usize, len: usize) -> &str {
    // Checked entries hold UTF-8 here, so the fallback is never taken.
    std::str::from_utf8(&bytes[from..from + len]).unwrap_or_default()
}

impl<'a> EntryRef<'a> {
    /// Bytes that are known to be those of an entry.
    pub(crate) fn of_checked(bytes: &'a [u8]) -> EntryRef<'a> {
        EntryRef(bytes)
    }

    /// The packed bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The entry on its own, copied out of wherever it is.
    pub fn to_entry(self) -> Entry {
        Entry(self.0.into())
    }

    /// The pattern this entry stands under, in its normal form.
    pub fn pattern(self) -> &'a str {
        text(self.0, PATTERN_AT, self.pattern_len())
    }

    /// The pattern as bytes, without the cost of showing that they are text.
    pub(crate) fn pattern_bytes(self) -> &'a [u8] {
        &self.0[PATTERN_AT..][..self.pattern_len()]
    }

    fn pattern_len(self) -> usize {
        usize::from(self.0[0])
    }

    /// The pattern in its owned form.
    pub fn to_pattern(self) -> Pattern {
        // A checked entry holds a pattern in its normal form, so the fallback is never taken.
        Pattern::parse(self.pattern()).unwrap_or_else(|_| Pattern::any())
    }

    /// The number of instances, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "an entry is never empty")]
    pub fn len(self) -> usize {
        usize::from(read_u16(self.0, COUNT_AT))
    }

    /// The instance of this index, in constant time.
    ///
    /// # Panics
    /// If there is none: `index` must be below [`len`](Self::len).
    pub fn instance(self, index: usize) -> InstanceRef<'a> {
        assert!(index < self.len(), "instance {index} of an entry with {}", self.len());
        InstanceRef { bytes: self.0, head: PATTERN_AT + self.pattern_len() + index * HEAD }
    }

    /// Every instance: those with the longest path prefix first, those without one last.
    pub fn instances(self) -> impl ExactSizeIterator<Item = InstanceRef<'a>> {
        (0..self.len()).map(move |index| self.instance(index))
    }

    /// Every instance in its owned form.
    pub fn members(self) -> impl ExactSizeIterator<Item = Member> + use<'a> {
        (0..self.len()).map(move |index| self.instance(index).to_member())
    }

    /// The entry that these bytes are, if they are what [`Entry::new`] makes; reading it can then neither
    /// panic nor give a value that no member has.
    ///
    /// # Errors
    /// What is wrong with them, and where.
    pub fn check(bytes: &'a [u8]) -> Result<EntryRef<'a>, EntryBytesError> {
        let wrong = |what, at| Err(EntryBytesError { what, at });
        let cut_short = || wrong("it is cut short", bytes.len());
        if bytes.len() < PATTERN_AT {
            return cut_short();
        }
        let entry = EntryRef(bytes);
        if entry.len() == 0 {
            return wrong("it has no instance", COUNT_AT);
        }
        let heads_at = PATTERN_AT + entry.pattern_len();
        let rests_at = heads_at + entry.len() * HEAD;
        if bytes.len() < rests_at {
            return cut_short();
        }
        let normal = |name: &str| Pattern::parse(name).is_ok_and(|pattern| pattern.as_str() == name);
        if !std::str::from_utf8(entry.pattern_bytes()).is_ok_and(normal) {
            return wrong("its pattern is not one in its normal form", PATTERN_AT);
        }

        let mut at = rests_at;
        let mut path_before = None;
        for (index, instance) in entry.instances().enumerate() {
            if instance.rest() != at {
                return wrong("a rest is not where its head says", instance.head);
            }
            let Some(end) = instance.checked_end() else {
                return wrong("an instance is malformed", instance.head);
            };
            if index > 0 && path_order(path_before, instance.path()).is_gt() {
                return wrong("its instances are out of order", instance.head);
            }
            path_before = instance.path();
            at = end;
        }
        if at == bytes.len() { Ok(entry) } else { wrong("bytes follow it", at) }
    }
}

impl<'a> From<&'a Entry> for EntryRef<'a> {
    fn from(entry: &'a Entry) -> Self {
        entry.view()
    }
}

impl<'a> From<&EntryRef<'a>> for EntryRef<'a> {
    fn from(entry: &EntryRef<'a>) -> Self {
        *entry
    }
}

impl fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}", self.pattern())?;
        for member in self.members() {
            write!(f, " {member}")?;
        }
        f.write_str(")")
    }
}

impl<'a> InstanceRef<'a> {
    fn head(&self) -> &'a [u8] {
        &self.bytes[self.head..][..HEAD]
    }

    fn has(&self, flag: u8) -> bool {
        self.bytes[self.head] & flag != 0
    }

    /// Where the rest begins.
    fn rest(&self) -> usize {
        let head = self.head();
        u32::from_le_bytes([head[REST], head[REST + 1], head[REST + 2], head[REST + 3]]) as usize
    }

    fn id_at(&self) -> usize {
        self.rest() + if self.has(V6) { 16 } else { 0 }
    }

    fn named_at(&self) -> usize {
        self.id_at() + if self.has(ID) { 16 } else { 0 }
    }

    fn path_at(&self) -> usize {
        self.named_at() + if self.has(NAMED) { NAMED_LENS } else { 0 }
    }

    fn path_len(&self) -> usize {
        if self.has(NAMED) { usize::from(read_u16(self.bytes, self.named_at())) } else { 0 }
    }

    fn backend_len(&self) -> usize {
        if self.has(NAMED) { usize::from(self.bytes[self.named_at() + 2]) } else { 0 }
    }

    fn key_lens(&self) -> [usize; 3] {
        let head = self.head();
        [KEY_LENS, KEY_LENS + 1, KEY_LENS + 2].map(|at| usize::from(head[at]))
    }

    /// Key `index` of version type, node and instance.
    fn key(&self, index: usize) -> Option<&'a str> {
        let lens = self.key_lens();
        let keys_at = self.path_at() + self.path_len() + self.backend_len();
        let from = keys_at + lens[..index].iter().sum::<usize>();
        (lens[index] > 0).then(|| text(self.bytes, from, lens[index]))
    }

    /// IP address and port; none only where there is a [`backend`](Self::backend).
    pub fn address(&self) -> Option<SocketAddr> {
        let head = self.head();
        let port = read_u16(head, PORT);
        if self.has(V4) {
            let ip = Ipv4Addr::new(head[IPV4], head[IPV4 + 1], head[IPV4 + 2], head[IPV4 + 3]);
            Some((ip, port).into())
        } else if self.has(V6) {
            let ip: [u8; 16] = self.bytes[self.rest()..][..16].try_into().ok()?;
            Some((Ipv6Addr::from(ip), port).into())
        } else {
            None
        }
    }

    /// The version type's key.
    pub fn version_type(&self) -> Option<&'a str> {
        self.key(0)
    }

    /// The key of the node the instance runs on.
    pub fn node(&self) -> Option<&'a str> {
        self.key(1)
    }

    /// The instance's own key.
    pub fn instance_key(&self) -> Option<&'a str> {
        self.key(2)
    }

    /// The instance's id.
    pub fn id(&self) -> Option<Uuid> {
        self.has(ID).then(|| Uuid::from_slice(&self.bytes[self.id_at()..][..16]).ok()).flatten()
    }

    /// The share of requests among its siblings; 0: drained, never chosen.
    pub fn weight(&self) -> u16 {
        read_u16(self.head(), WEIGHT)
    }

    /// The path prefix it serves, in whole segments; none: every path.
    pub fn path(&self) -> Option<&'a str> {
        let len = self.path_len();
        (len > 0).then(|| text(self.bytes, self.path_at(), len))
    }

    /// How to speak to the address.
    pub fn scheme(&self) -> Scheme {
        if self.has(HTTPS) { Scheme::Https } else { Scheme::Http }
    }

    /// The backend of the configuration that serves this instance instead of the address.
    pub fn backend(&self) -> Option<&'a str> {
        let len = self.backend_len();
        (len > 0).then(|| text(self.bytes, self.path_at() + self.path_len(), len))
    }

    /// The instance in its owned form.
    pub fn to_member(&self) -> Member {
        Member {
            address: self.address(),
            version_type: self.version_type().map(str::to_owned),
            node: self.node().map(str::to_owned),
            instance: self.instance_key().map(str::to_owned),
            instance_id: self.id(),
            weight: self.weight(),
            path: self.path().map(str::to_owned),
            scheme: self.scheme(),
            backend: self.backend().map(str::to_owned),
        }
    }

    /// Checks an instance of bytes from outside; where its rest ends, if it is one.
    fn checked_end(&self) -> Option<usize> {
        let flags = self.bytes[self.head];
        if flags & !ALL_FLAGS != 0 || flags & (V4 | V6) == (V4 | V6) {
            return None;
        }
        // What the accessors below read of the rest is there.
        let mut end = self.path_at();
        self.bytes.get(..end)?;
        let [version_type, node, instance] = self.key_lens();
        let (path, backend) = (self.path_len(), self.backend_len());
        let lens = [path, backend, version_type, node, instance];
        let valid: [fn(&str) -> bool; 5] =
            [member::is_path, member::is_backend_name, member::is_key, member::is_key, member::is_key];
        for (len, is_valid) in lens.into_iter().zip(valid) {
            let text = std::str::from_utf8(self.bytes.get(end..end + len)?).ok()?;
            if len > 0 && !is_valid(text) {
                return None;
            }
            end += len;
        }
        let head = self.head();
        let unused_is_zero = (self.has(V4) || head[IPV4..PORT] == [0; 4])
            && (self.has(V4 | V6) || read_u16(head, PORT) == 0)
            && (!self.has(NAMED) || path + backend > 0);
        let has_target = self.has(V4 | V6) || backend > 0;
        let listens = self.address().is_none_or(|address| address.port() != 0);
        let path_is_normal = self.path().is_none_or(|path| path == "/" || !path.ends_with('/'));
        (unused_is_zero && has_target && listens && path_is_normal).then_some(end)
    }
}

impl fmt::Debug for InstanceRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstanceRef({})", self.to_member())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::any_member;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn member(text: &str) -> Member {
        Member::parse(text).unwrap().0
    }

    #[test]
    fn instances_with_the_longest_path_stand_first_and_those_without_last() {
        let texts =
            ["10.0.0.1:80", "10.0.0.2:80####path=/a", "10.0.0.3:80####path=/api", "10.0.0.4:80####path=/b"];
        let entry = Entry::new(&pattern("a.example"), texts.map(member)).unwrap();
        let paths: Vec<Option<&str>> = entry.view().instances().map(|instance| instance.path()).collect();
        assert_eq!(paths, [Some("/api"), Some("/a"), Some("/b"), None]);
    }

    #[test]
    fn an_instance_gives_back_what_its_member_said() {
        let id = Uuid::from_u128(7);
        let full = Member {
            instance_id: Some(id),
            ..member("[::1]:80#v#n#i#weight=0&path=/p&scheme=https&backend=b")
        };
        let entry = Entry::new(&pattern("*.example"), [full.clone()]).unwrap();
        assert_eq!(entry.pattern(), "*.example");
        let instance = entry.view().instance(0);
        assert_eq!(instance.address(), Some("[::1]:80".parse().unwrap()));
        assert_eq!(instance.version_type(), Some("v"));
        assert_eq!(instance.node(), Some("n"));
        assert_eq!(instance.instance_key(), Some("i"));
        assert_eq!(instance.id(), Some(id));
        assert_eq!(instance.weight(), 0);
        assert_eq!(instance.path(), Some("/p"));
        assert_eq!(instance.scheme(), Scheme::Https);
        assert_eq!(instance.backend(), Some("b"));
        assert_eq!(instance.to_member(), full);
    }

    #[test]
    fn an_entry_needs_an_instance_and_has_room_for_only_so_many() {
        let host = pattern("a.example");
        assert_eq!(Entry::new(&host, []), Err(EntryError::Empty(host.clone())));
        let address = |number: usize| Member::at(([10, 0, (number >> 8) as u8, number as u8], 80).into());
        let of = |count: usize| Entry::new(&host, (0..count).map(address));
        assert_eq!(of(MAX_INSTANCES).map(|entry| entry.view().len()), Ok(MAX_INSTANCES));
        let one_more = (0..MAX_INSTANCES).map(address).chain([member("10.1.0.0:80")]);
        assert_eq!(Entry::new(&host, one_more), Err(EntryError::TooMany(host.clone())));
    }

    #[test]
    fn an_invalid_member_is_refused_with_its_host() {
        let unreachable = Member { address: None, ..member("10.0.0.1:80") };
        let error = Entry::new(&pattern("a.example"), [unreachable]).unwrap_err();
        assert_eq!(error.to_string(), "a.example: there is neither an address nor a backend");
    }

    #[test]
    fn a_typical_host_takes_little_room() {
        let uuid = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
        let typical = |last: u8| Member {
            instance_id: Some(Uuid::nil()),
            ..member(&format!("10.0.0.{last}:8080#1234#{uuid}#{uuid}"))
        };
        let entry = Entry::new(&pattern("app-00000001.example.com"), [typical(1), typical(2)]).unwrap();
        assert!(entry.view().as_bytes().len() <= 260, "{} bytes", entry.view().as_bytes().len());
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let patterns = prop::sample::select(vec!["*", "a.example", "*.b.example", "[::1]"]);
        (patterns, prop::collection::vec(any_member(), 1..6))
            .prop_map(|(text, members)| Entry::new(&pattern(text), members).unwrap())
    }

    proptest! {
        #[test]
        fn an_entry_holds_the_set_of_its_members_in_any_order(
            members in prop::collection::vec(any_member(), 1..8), turn in 0..8usize
        ) {
            let host = pattern("a.example");
            let entry = Entry::new(&host, members.clone()).unwrap();
            let mut turned = members.clone();
            turned.rotate_left(turn % members.len());
            prop_assert_eq!(&Entry::new(&host, turned).unwrap(), &entry);
            prop_assert!(members.iter().all(|member| entry.view().members().any(|there| there == *member)));
            prop_assert!(entry.view().members().all(|there| members.contains(&there)));
        }

        #[test]
        fn bytes_of_an_entry_are_taken_in_again(entry in any_entry()) {
            prop_assert_eq!(Entry::from_bytes(entry.view().as_bytes()), Ok(entry));
        }

        #[test]
        fn damaged_bytes_are_refused_or_read_without_a_panic(
            entry in any_entry(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(), keep_length: bool,
        ) {
            let mut bytes = entry.view().as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if !keep_length {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Ok(entry) = Entry::from_bytes(&bytes) {
                // What is accepted is as good as what was made: it can be read, and made again.
                let members: Vec<Member> = entry.view().members().collect();
                prop_assert!(Entry::new(&entry.view().to_pattern(), members).is_ok());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Entry::from_bytes(&bytes);
        }
    }
}
