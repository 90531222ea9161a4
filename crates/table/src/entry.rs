//! A host's instances, packed into one allocation.
//!
//! A router holds every entry of its table in memory, a million of them if need be, and reads one a
//! request. So an [`Entry`] is one immutable, shared block of bytes that is read in place:
//!
//! ```text
//! pattern length  u8
//! instances       u16, at least 1
//! offsets         one u32 an instance: where its record begins
//! pattern         UTF-8
//! records         flags u8, lengths of version type, node and instance key u8 ×3,
//!                 address (4 or 16 bytes, and the port), id (16 bytes),
//!                 weight u16, path length u16, backend length u8,
//!                 then the texts: version type, node, instance, path, backend
//! ```
//!
//! Numbers are little-endian; what a record's flags don't announce is left out. Instances stand sorted,
//! those with the longest path prefix first and those without any last, so that the instances of one
//! prefix stand together and matching finds the best ones first. The same members always give the same
//! bytes.
//!
//! The embedded table keeps exactly these bytes, so [`Entry::from_bytes`] checks everything once and
//! whatever it accepts can be read without a further check.

use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use uuid::Uuid;

use crate::member::{self, DEFAULT_WEIGHT, Member, MemberError, Scheme};
use crate::pattern::Pattern;

/// The most instances one host can have.
pub const MAX_INSTANCES: usize = u16::MAX as usize;

const COUNT_AT: usize = 1;
const OFFSETS_AT: usize = 3;
const OFFSET_SIZE: usize = 4;
/// Flags and three lengths.
const RECORD_HEAD: usize = 4;

const V4: u8 = 1;
const V6: u8 = 1 << 1;
const HTTPS: u8 = 1 << 2;
const ID: u8 = 1 << 3;
/// Weight, path and backend are written.
const EXTRA: u8 = 1 << 4;
const EXTRA_SIZE: usize = 5;
const ALL_FLAGS: u8 = V4 | V6 | HTTPS | ID | EXTRA;

/// A pattern and its instances, immutable and cheap to clone (one reference count).
#[derive(Clone, PartialEq, Eq)]
pub struct Entry(Arc<[u8]>);

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
        let mut bytes = Vec::with_capacity(OFFSETS_AT + name.len() + checked.len() * 128);
        bytes.push(name.len() as u8);
        bytes.extend_from_slice(&(checked.len() as u16).to_le_bytes());
        bytes.resize(OFFSETS_AT + checked.len() * OFFSET_SIZE, 0);
        bytes.extend_from_slice(name);
        for (index, member) in checked.iter().enumerate() {
            // 65,535 records of at most 2,100 bytes stay far below 4 GiB.
            let offset = (bytes.len() as u32).to_le_bytes();
            let at = OFFSETS_AT + index * OFFSET_SIZE;
            bytes[at..at + OFFSET_SIZE].copy_from_slice(&offset);
            write_record(&mut bytes, member);
        }
        Ok(Entry(bytes.into()))
    }

    /// Takes in bytes that [`Entry::as_bytes`] gave, checking all of them.
    ///
    /// # Errors
    /// If they are anything that [`Entry::new`] could not have made.
    pub fn from_bytes(bytes: &[u8]) -> Result<Entry, EntryBytesError> {
        check(bytes)?;
        Ok(Entry(bytes.into()))
    }

    /// The packed bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The pattern this entry stands under, in its normal form.
    pub fn pattern(&self) -> &str {
        let from = OFFSETS_AT + self.len() * OFFSET_SIZE;
        text(&self.0, from, usize::from(self.0[0]))
    }

    /// The pattern in its owned form.
    pub fn to_pattern(&self) -> Pattern {
        // A checked entry holds a pattern in its normal form, so the fallback is never taken.
        Pattern::parse(self.pattern()).unwrap_or_else(|_| Pattern::any())
    }

    /// The number of instances, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "an entry is never empty")]
    pub fn len(&self) -> usize {
        usize::from(read_u16(&self.0, COUNT_AT))
    }

    /// The instance of this index, in constant time.
    ///
    /// # Panics
    /// If there is none: `index` must be below [`len`](Self::len).
    pub fn instance(&self, index: usize) -> InstanceRef<'_> {
        assert!(index < self.len(), "instance {index} of an entry with {}", self.len());
        InstanceRef { record: &self.0[read_u32(&self.0, OFFSETS_AT + index * OFFSET_SIZE) as usize..] }
    }

    /// Every instance: those with the longest path prefix first, those without one last.
    pub fn instances(&self) -> impl ExactSizeIterator<Item = InstanceRef<'_>> {
        (0..self.len()).map(|index| self.instance(index))
    }

    /// Every instance in its owned form.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member> {
        self.instances().map(|instance| instance.to_member())
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}", self.pattern())?;
        for member in self.members() {
            write!(f, " {member}")?;
        }
        f.write_str(")")
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

fn write_record(bytes: &mut Vec<u8>, member: &Member) {
    let keys = [&member.version_type, &member.node, &member.instance].map(|k| k.as_deref().unwrap_or(""));
    let path = member.path.as_deref().unwrap_or("");
    let backend = member.backend.as_deref().unwrap_or("");
    let extra = member.weight != DEFAULT_WEIGHT || !path.is_empty() || !backend.is_empty();

    let mut flags = match member.address {
        Some(SocketAddr::V4(_)) => V4,
        Some(SocketAddr::V6(_)) => V6,
        None => 0,
    };
    for (flag, set) in
        [(HTTPS, member.scheme == Scheme::Https), (ID, member.instance_id.is_some()), (EXTRA, extra)]
    {
        if set {
            flags |= flag;
        }
    }
    // The lengths fit: every member was checked.
    bytes.push(flags);
    bytes.extend(keys.iter().map(|key| key.len() as u8));
    if let Some(address) = member.address {
        match address.ip() {
            IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
        }
        bytes.extend_from_slice(&address.port().to_le_bytes());
    }
    if let Some(id) = member.instance_id {
        bytes.extend_from_slice(id.as_bytes());
    }
    if extra {
        bytes.extend_from_slice(&member.weight.to_le_bytes());
        bytes.extend_from_slice(&(path.len() as u16).to_le_bytes());
        bytes.push(backend.len() as u8);
    }
    for text in keys.iter().chain([&path, &backend]) {
        bytes.extend_from_slice(text.as_bytes());
    }
}

fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn text(bytes: &[u8], from: usize, len: usize) -> &str {
    // Checked entries hold UTF-8 here, so the fallback is never taken.
    std::str::from_utf8(&bytes[from..from + len]).unwrap_or_default()
}

/// One instance of an entry, read in place.
#[derive(Clone, Copy)]
pub struct InstanceRef<'a> {
    /// The record and whatever follows it.
    record: &'a [u8],
}

/// Where the parts of a record stand, as its head tells.
struct Layout {
    address: usize,
    id: usize,
    extra: usize,
    texts: usize,
}

impl Layout {
    fn of(flags: u8) -> Layout {
        let address = RECORD_HEAD;
        let id = address
            + match flags & (V4 | V6) {
                0 => 0,
                V4 => 4 + 2,
                _ => 16 + 2,
            };
        let extra = id + if flags & ID != 0 { 16 } else { 0 };
        let texts = extra + if flags & EXTRA != 0 { EXTRA_SIZE } else { 0 };
        Layout { address, id, extra, texts }
    }
}

impl<'a> InstanceRef<'a> {
    fn has(&self, flag: u8) -> bool {
        self.record[0] & flag != 0
    }

    fn layout(&self) -> Layout {
        Layout::of(self.record[0])
    }

    /// Key `index` of version type, node and instance.
    fn key(&self, index: usize) -> Option<&'a str> {
        let length = |index: usize| usize::from(self.record[1 + index]);
        let from = self.layout().texts + (0..index).map(length).sum::<usize>();
        Some(text(self.record, from, length(index))).filter(|key| !key.is_empty())
    }

    fn after_keys(&self) -> usize {
        self.layout().texts + self.record[1..RECORD_HEAD].iter().map(|&len| usize::from(len)).sum::<usize>()
    }

    fn path_len(&self) -> usize {
        if self.has(EXTRA) { usize::from(read_u16(self.record, self.layout().extra + 2)) } else { 0 }
    }

    fn backend_len(&self) -> usize {
        if self.has(EXTRA) { usize::from(self.record[self.layout().extra + 4]) } else { 0 }
    }

    /// IP address and port; none only where there is a [`backend`](Self::backend).
    pub fn address(&self) -> Option<SocketAddr> {
        let at = self.layout().address;
        if self.has(V4) {
            let ip: [u8; 4] = self.record[at..at + 4].try_into().ok()?;
            Some((Ipv4Addr::from(ip), read_u16(self.record, at + 4)).into())
        } else if self.has(V6) {
            let ip: [u8; 16] = self.record[at..at + 16].try_into().ok()?;
            Some((Ipv6Addr::from(ip), read_u16(self.record, at + 16)).into())
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
        let at = self.layout().id;
        self.has(ID).then(|| Uuid::from_slice(&self.record[at..at + 16]).ok()).flatten()
    }

    /// The share of requests among its siblings; 0: drained, never chosen.
    pub fn weight(&self) -> u16 {
        if self.has(EXTRA) { read_u16(self.record, self.layout().extra) } else { DEFAULT_WEIGHT }
    }

    /// The path prefix it serves, in whole segments; none: every path.
    pub fn path(&self) -> Option<&'a str> {
        let len = self.path_len();
        (len > 0).then(|| text(self.record, self.after_keys(), len))
    }

    /// How to speak to the address.
    pub fn scheme(&self) -> Scheme {
        if self.has(HTTPS) { Scheme::Https } else { Scheme::Http }
    }

    /// The backend of the configuration that serves this instance instead of the address.
    pub fn backend(&self) -> Option<&'a str> {
        let len = self.backend_len();
        (len > 0).then(|| text(self.record, self.after_keys() + self.path_len(), len))
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
}

impl fmt::Debug for InstanceRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstanceRef({})", self.to_member())
    }
}

/// Checks that the bytes are what [`Entry::new`] makes, so that reading them can neither panic nor give
/// a value that no member has.
fn check(bytes: &[u8]) -> Result<(), EntryBytesError> {
    let wrong = |what, at| Err(EntryBytesError { what, at });
    if bytes.len() < OFFSETS_AT {
        return wrong("it is cut short", bytes.len());
    }
    let count = usize::from(read_u16(bytes, COUNT_AT));
    if count == 0 {
        return wrong("it has no instance", COUNT_AT);
    }
    let name_at = OFFSETS_AT + count * OFFSET_SIZE;
    let records_at = name_at + usize::from(bytes[0]);
    let Some(name) = bytes.get(name_at..records_at) else { return wrong("it is cut short", bytes.len()) };
    let normal = |name: &str| Pattern::parse(name).is_ok_and(|pattern| pattern.as_str() == name);
    if !std::str::from_utf8(name).is_ok_and(normal) {
        return wrong("its pattern is not one in its normal form", name_at);
    }

    let mut at = records_at;
    let mut before: Option<InstanceRef<'_>> = None;
    for index in 0..count {
        if read_u32(bytes, OFFSETS_AT + index * OFFSET_SIZE) as usize != at {
            return wrong("an offset is wrong", OFFSETS_AT + index * OFFSET_SIZE);
        }
        let Some(end) = check_record(bytes, at) else { return wrong("a record is malformed", at) };
        let instance = InstanceRef { record: &bytes[at..end] };
        if before.is_some_and(|before| path_order(before.path(), instance.path()).is_gt()) {
            return wrong("its records are out of order", at);
        }
        before = Some(instance);
        at = end;
    }
    if at != bytes.len() {
        return wrong("bytes follow it", at);
    }
    Ok(())
}

/// Checks the record that begins here; where it ends, if it is one.
fn check_record(bytes: &[u8], at: usize) -> Option<usize> {
    let record = bytes.get(at..)?;
    let flags = *record.first()?;
    if flags & !ALL_FLAGS != 0 || flags & (V4 | V6) == (V4 | V6) {
        return None;
    }
    let mut end = Layout::of(flags).texts;
    // What the accessors below read of the head is there.
    record.get(..end)?;
    let instance = InstanceRef { record };
    let key_lens = [1, 2, 3].map(|at| usize::from(record[at]));
    let lens = [key_lens[0], key_lens[1], key_lens[2], instance.path_len(), instance.backend_len()];
    let valid: [fn(&str) -> bool; 5] =
        [member::is_key, member::is_key, member::is_key, member::is_path, member::is_backend_name];
    for (len, valid) in lens.into_iter().zip(valid) {
        let text = std::str::from_utf8(record.get(end..end + len)?).ok()?;
        if len > 0 && !valid(text) {
            return None;
        }
        end += len;
    }
    let has_target = instance.address().is_some() || instance.backend().is_some();
    let listens = instance.address().is_none_or(|address| address.port() != 0);
    let path_is_normal = instance.path().is_none_or(|path| path == "/" || !path.ends_with('/'));
    (has_target && listens && path_is_normal).then_some(at + end)
}
