//! The whole table at one moment: immutable, shared, and cheap to derive the next one from.
//!
//! A [`Snapshot`] is a hash trie. A branch has sixteen children, chosen by four bits of the key's hash; a
//! [leaf](crate::leaf) holds a few entries side by side. A change copies the branches on its way down and
//! one leaf, about a hundred pointers and some kilobytes in a table of a million hosts, and shares all the
//! rest with the snapshot it came from. Readers hold whichever snapshot they began with and never see it
//! change.
//!
//! Hosts come from outside, so the hash is seeded at random for each table: nobody can prepare names that
//! meet in one leaf. A leaf whose keys share their whole hash still works, only slower.
//!
//! Entries are kept under the part of their pattern behind the `*`: `*.example.com` under `.example.com`,
//! `*` under nothing, hosts under themselves. No host begins with a dot or is empty, so these don't meet,
//! and every wildcard that may match a host is looked up by a slice of it, without building its name.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;

use crate::entry::{Entry, EntryRef};
use crate::leaf::Leaf;
use crate::pattern::{MAX_PATTERN, Pattern, wildcard_depth};

const BITS: u32 = 4;
const FAN_OUT: usize = 1 << BITS;
/// A leaf with more entries is split, unless the hash has no bits left to split it by.
const LEAF_MAX: usize = 32;
/// So is a leaf of more bytes, unless it is a single entry: a change copies a leaf.
const LEAF_BYTES: usize = 16 << 10;
/// A branch whose children hold no more entries than this together becomes a leaf again; well below
/// [`LEAF_MAX`], so that one host that comes and goes doesn't split and join forever.
const JOIN_BELOW: usize = LEAF_MAX / 2;
/// Wildcards have at most this many labels, each of at least one byte and a dot.
const DEPTHS: usize = MAX_PATTERN / 2 + 1;

/// The table at one moment; see the module's description.
#[derive(Clone)]
pub struct Snapshot {
    root: Node,
    hasher: RandomState,
    len: usize,
    instances: usize,
    /// How many wildcards of n labels there are.
    wildcards: Arc<[u32; DEPTHS]>,
    /// Bit n: there is a wildcard of n labels.
    depths: u128,
    serial: u64,
    loaded: bool,
}

/// One change of a table's entries, as a store reports it once it has been made.
#[derive(Debug, Clone)]
pub enum Delta {
    /// The entry is new, or takes the place of the one with its pattern.
    Put(Entry),
    /// The pattern has no entry any more.
    Remove(Pattern),
}

#[derive(Clone)]
enum Node {
    Leaf(Leaf),
    Branch(Arc<[Node; FAN_OUT]>),
}

impl Default for Node {
    fn default() -> Self {
        Node::Leaf(Leaf::default())
    }
}

/// The pattern without its `*`: what its entry is kept under.
fn key_of(pattern: &[u8]) -> &[u8] {
    pattern.strip_prefix(b"*").unwrap_or(pattern)
}

/// Which child of a branch at this height (the root's is 0) leads to the hash.
fn child_of(hash: u64, height: u32) -> usize {
    (hash >> (height * BITS)) as usize % FAN_OUT
}

/// What a leaf remembers of a hash: the bits that come last on the way down.
fn tag_of(hash: u64) -> u8 {
    (hash >> (u64::BITS - u8::BITS)) as u8
}

/// Whether a leaf of so many entries and bytes has to be split, and can be.
fn is_too_large(entries: usize, bytes: usize, height: u32) -> bool {
    let too_large = entries > LEAF_MAX || (bytes > LEAF_BYTES && entries > 1);
    too_large && (height + 1) * BITS <= u64::BITS
}

impl Snapshot {
    /// A table that has not been read yet: it has no entries, and [`is_loaded`](Self::is_loaded) tells it
    /// from one that was read and is empty.
    pub fn unread() -> Snapshot {
        Snapshot { loaded: false, ..Snapshot::empty() }
    }

    /// A table that was read and has no entries.
    pub fn empty() -> Snapshot {
        Snapshot {
            root: Node::default(),
            hasher: RandomState::default(),
            len: 0,
            instances: 0,
            wildcards: Arc::new([0; DEPTHS]),
            depths: 0,
            serial: 0,
            loaded: true,
        }
    }

    /// A table of these entries; of two with one pattern the last stands.
    pub fn from_entries(entries: impl IntoIterator<Item = Entry>) -> Snapshot {
        let mut builder = SnapshotBuilder::new();
        for entry in entries {
            builder.push(entry.view());
        }
        builder.finish()
    }

    /// The same table with these changes, made in order. Shares what they don't touch.
    #[must_use]
    pub fn with(&self, changes: impl IntoIterator<Item = Delta>) -> Snapshot {
        let mut next = self.clone();
        for change in changes {
            next.change(&change);
        }
        next
    }

    /// Makes one change in place. Branches that other snapshots share are copied first, once; so a batch
    /// of changes to one clone costs less than as many clones.
    pub fn change(&mut self, change: &Delta) {
        self.loaded = true;
        match change {
            Delta::Put(entry) => self.put(entry.view()),
            Delta::Remove(pattern) => self.remove(pattern.as_str()),
        }
    }

    /// The same table under another serial.
    #[must_use]
    pub fn with_serial(mut self, serial: u64) -> Snapshot {
        self.serial = serial;
        self
    }

    /// Changes the serial in place.
    pub fn set_serial(&mut self, serial: u64) {
        self.serial = serial;
    }

    fn put(&mut self, entry: EntryRef<'_>) {
        let hash = hash_of(&self.hasher, entry);
        let replaced = put(&mut self.root, 0, hash, entry, &self.hasher);
        if let Some(instances) = replaced {
            self.uncount(entry.pattern(), instances);
        }
        self.count(entry);
    }

    fn remove(&mut self, pattern: &str) {
        let hash = self.hasher.hash_one(key_of(pattern.as_bytes()));
        if let Some(instances) = remove(&mut self.root, 0, hash, pattern) {
            self.uncount(pattern, instances);
        }
    }

    fn count(&mut self, entry: EntryRef<'_>) {
        self.len += 1;
        self.instances += entry.len();
        if let Some(depth) = wildcard_depth(entry.pattern()) {
            Arc::make_mut(&mut self.wildcards)[depth] += 1;
            self.depths |= 1 << depth;
        }
    }

    fn uncount(&mut self, pattern: &str, instances: usize) {
        self.len -= 1;
        self.instances -= instances;
        if let Some(depth) = wildcard_depth(pattern) {
            let count = &mut Arc::make_mut(&mut self.wildcards)[depth];
            *count -= 1;
            if *count == 0 {
                self.depths &= !(1 << depth);
            }
        }
    }

    /// The entry that stands under exactly this pattern (in its normal form).
    pub fn get(&self, pattern: &str) -> Option<EntryRef<'_>> {
        let key = pattern.strip_prefix('*').unwrap_or(pattern);
        self.get_key(key, pattern.len() > key.len())
    }

    /// The entry of a host, or of the wildcard whose text behind the `*` this is.
    pub(crate) fn get_key(&self, key: &str, wildcard: bool) -> Option<EntryRef<'_>> {
        if self.len == 0 {
            return None;
        }
        let key = key.as_bytes();
        let hash = self.hasher.hash_one(key);
        let mut node = &self.root;
        let mut height = 0;
        let leaf = loop {
            match node {
                Node::Leaf(leaf) => break leaf,
                Node::Branch(children) => node = &children[child_of(hash, height)],
            }
            height += 1;
        };
        let is_it = |entry: EntryRef<'_>| {
            let pattern = entry.pattern_bytes();
            // A host that begins with a dot doesn't exist; one that is asked for is no wildcard.
            if wildcard { pattern.strip_prefix(b"*") == Some(key) } else { pattern == key }
        };
        leaf.find(tag_of(hash), is_it).map(|(_, entry)| entry)
    }

    /// Whether some wildcard has this many labels behind its `*.`; where none has, looking is in vain.
    pub(crate) fn has_wildcards_of(&self, depth: usize) -> bool {
        depth < DEPTHS && self.depths & (1 << depth) != 0
    }

    /// Whether there is any wildcard below a name (`*` alone is none).
    pub(crate) fn has_wildcards(&self) -> bool {
        self.depths != 0
    }

    /// Every entry, in no particular order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { above: Vec::new(), node: Some(&self.root), index: 0 }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of instances of all entries together.
    pub fn instances(&self) -> usize {
        self.instances
    }

    /// The number of wildcard entries (`*` is not counted).
    pub fn wildcards(&self) -> usize {
        self.wildcards.iter().map(|&count| count as usize).sum()
    }

    /// The store's serial when it was in this state; 0 where the store has none.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Whether the table was ever read from its store.
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }
}

impl<'a> IntoIterator for &'a Snapshot {
    type Item = EntryRef<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl FromIterator<Entry> for Snapshot {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        Snapshot::from_entries(entries)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("entries", &self.len)
            .field("instances", &self.instances)
            .field("serial", &self.serial)
            .field("loaded", &self.loaded)
            .finish_non_exhaustive()
    }
}

fn hash_of(hasher: &RandomState, entry: EntryRef<'_>) -> u64 {
    hasher.hash_one(key_of(entry.pattern_bytes()))
}

/// Builds a table of many entries at once: each leaf is written only one time.
///
/// Entries wait apart for each child of the root. Those of one child are freed when it is built, so that
/// the next is built in their place and the whole never takes much more memory than the table itself.
pub struct SnapshotBuilder {
    snapshot: Snapshot,
    waiting: [Waiting; FAN_OUT],
}

/// Entries that wait to be built into one child of the root.
#[derive(Default)]
struct Waiting {
    /// Their bytes, in pieces so that growing never copies what is there.
    pieces: Vec<Vec<u8>>,
    slots: Vec<Slot>,
}

/// An entry that waits.
struct Slot {
    hash: u64,
    piece: u32,
    from: u32,
    len: u32,
}

const FIRST_PIECE: usize = 4 << 10;
const LARGEST_PIECE: usize = 4 << 20;

impl Waiting {
    fn push(&mut self, hash: u64, entry: EntryRef<'_>) {
        let bytes = entry.as_bytes();
        let last = self.pieces.last().map_or(0, Vec::capacity);
        if self.pieces.last().is_none_or(|piece| piece.capacity() - piece.len() < bytes.len()) {
            let size = (2 * last).clamp(FIRST_PIECE, LARGEST_PIECE).max(bytes.len());
            self.pieces.push(Vec::with_capacity(size));
        }
        let piece = self.pieces.len() - 1;
        let into = &mut self.pieces[piece];
        // An entry has less than 4 GiB, and there are fewer than four billion pieces.
        let slot = Slot { hash, piece: piece as u32, from: into.len() as u32, len: bytes.len() as u32 };
        into.extend_from_slice(bytes);
        self.slots.push(slot);
    }

    fn entry(&self, slot: &Slot) -> EntryRef<'_> {
        EntryRef::of_checked(&self.pieces[slot.piece as usize][slot.from as usize..][..slot.len as usize])
    }

    /// Puts the slots into the trie's order, and of two with one pattern keeps the last.
    fn settle(&mut self) {
        // The trie reads a hash from its low bits up, so reversed hashes sort as it does; what came later
        // stands later.
        self.slots.sort_unstable_by_key(|slot| (slot.hash.reverse_bits(), slot.piece, slot.from));
        let is_replaced = |at: usize| {
            let slot = &self.slots[at];
            let mut same_hash = self.slots[at + 1..].iter().take_while(|later| later.hash == slot.hash);
            same_hash.any(|later| self.entry(later).pattern_bytes() == self.entry(slot).pattern_bytes())
        };
        let replaced: Vec<bool> = (0..self.slots.len()).map(is_replaced).collect();
        let mut replaced = replaced.into_iter();
        self.slots.retain(|_| !replaced.next().unwrap_or_default());
    }

    fn tagged(&self) -> impl Iterator<Item = (u8, EntryRef<'_>)> + Clone {
        self.slots.iter().map(|slot| (tag_of(slot.hash), self.entry(slot)))
    }

    /// The size of the entries in bytes.
    fn size(&self) -> usize {
        self.slots.iter().map(|slot| slot.len as usize).sum()
    }
}

impl SnapshotBuilder {
    /// A builder of an empty table.
    pub fn new() -> SnapshotBuilder {
        SnapshotBuilder { snapshot: Snapshot::empty(), waiting: Default::default() }
    }

    /// Takes in an entry; of two with one pattern the last stands.
    pub fn push(&mut self, entry: EntryRef<'_>) {
        let hash = hash_of(&self.snapshot.hasher, entry);
        self.waiting[child_of(hash, 0)].push(hash, entry);
    }

    /// The table of all entries.
    pub fn finish(self) -> Snapshot {
        let SnapshotBuilder { mut snapshot, mut waiting } = self;
        for child in &mut waiting {
            child.settle();
            child.tagged().for_each(|(_, entry)| snapshot.count(entry));
        }
        let size = waiting.iter().map(Waiting::size).sum();
        snapshot.root = if is_too_large(snapshot.len, size, 0) {
            Node::Branch(Arc::new(waiting.map(|child| build(&child, &child.slots, 1))))
        } else {
            Node::Leaf(Leaf::new(waiting.iter().flat_map(Waiting::tagged)))
        };
        snapshot
    }
}

impl Default for SnapshotBuilder {
    fn default() -> Self {
        SnapshotBuilder::new()
    }
}

/// The node of these slots, which are in the trie's order and agree in all bits below this height.
fn build(waiting: &Waiting, slots: &[Slot], height: u32) -> Node {
    let bytes = slots.iter().take(LEAF_MAX + 1).map(|slot| slot.len as usize).sum();
    if !is_too_large(slots.len(), bytes, height) {
        let tagged = slots.iter().map(|slot| (tag_of(slot.hash), waiting.entry(slot)));
        return Node::Leaf(Leaf::new(tagged));
    }
    let mut children: [Node; FAN_OUT] = Default::default();
    for group in slots.chunk_by(|a, b| child_of(a.hash, height) == child_of(b.hash, height)) {
        children[child_of(group[0].hash, height)] = build(waiting, group, height + 1);
    }
    Node::Branch(Arc::new(children))
}

/// Puts the entry in place; if it replaces one, returns how many instances that had.
fn put(node: &mut Node, height: u32, hash: u64, entry: EntryRef<'_>, hasher: &RandomState) -> Option<usize> {
    match node {
        Node::Branch(children) => {
            let child = &mut Arc::make_mut(children)[child_of(hash, height)];
            put(child, height + 1, hash, entry, hasher)
        }
        Node::Leaf(leaf) => {
            let tag = tag_of(hash);
            let found = leaf.find(tag, |there| there.pattern_bytes() == entry.pattern_bytes());
            let (next, replaced) = match found {
                Some((index, there)) => (leaf.replacing(index, tag, entry), Some(there.len())),
                None => (leaf.with(tag, entry), None),
            };
            *node = grown(next, height, hasher);
            replaced
        }
    }
}

/// The leaf as a node: split, if it has grown too large.
fn grown(leaf: Leaf, height: u32, hasher: &RandomState) -> Node {
    if !is_too_large(leaf.len(), leaf.size(), height) {
        return Node::Leaf(leaf);
    }
    let mut groups: [Vec<(u8, EntryRef<'_>)>; FAN_OUT] = Default::default();
    for (tag, entry) in leaf.iter() {
        groups[child_of(hash_of(hasher, entry), height)].push((tag, entry));
    }
    let children = groups.map(|group| grown(Leaf::new(group.into_iter()), height + 1, hasher));
    Node::Branch(Arc::new(children))
}

/// Takes the pattern's entry out and returns how many instances it had.
fn remove(node: &mut Node, height: u32, hash: u64, pattern: &str) -> Option<usize> {
    match node {
        Node::Branch(children) => {
            let children = Arc::make_mut(children);
            let removed = remove(&mut children[child_of(hash, height)], height + 1, hash, pattern)?;
            if let Some(joined) = joined(children) {
                *node = Node::Leaf(joined);
            }
            Some(removed)
        }
        Node::Leaf(leaf) => {
            let is_it = |entry: EntryRef<'_>| entry.pattern_bytes() == pattern.as_bytes();
            let (index, entry) = leaf.find(tag_of(hash), is_it)?;
            let removed = entry.len();
            *leaf = leaf.without(index);
            Some(removed)
        }
    }
}

/// The leaf that can take the place of these children, if they hold little enough.
fn joined(children: &[Node; FAN_OUT]) -> Option<Leaf> {
    let mut leaves: [Option<&Leaf>; FAN_OUT] = [None; FAN_OUT];
    let (mut entries, mut bytes) = (0, 0);
    for (into, child) in leaves.iter_mut().zip(children) {
        let Node::Leaf(leaf) = child else { return None };
        entries += leaf.len();
        bytes += leaf.size();
        *into = Some(leaf);
    }
    let is_little = entries <= JOIN_BELOW && (bytes <= LEAF_BYTES / 2 || entries <= 1);
    is_little.then(|| Leaf::new(leaves.into_iter().flatten().flat_map(Leaf::iter)))
}

/// Iterates over the entries of a [`Snapshot`].
pub struct Iter<'a> {
    above: Vec<std::slice::Iter<'a, Node>>,
    node: Option<&'a Node>,
    /// The next entry of a leaf.
    index: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = EntryRef<'a>;

    fn next(&mut self) -> Option<EntryRef<'a>> {
        loop {
            match self.node {
                Some(Node::Leaf(leaf)) if self.index < leaf.len() => {
                    self.index += 1;
                    return Some(leaf.entry(self.index - 1));
                }
                Some(Node::Branch(children)) => {
                    self.above.push(children.iter());
                }
                Some(Node::Leaf(_)) | None => {}
            }
            self.index = 0;
            self.node = self.above.last_mut()?.next();
            if self.node.is_none() {
                self.above.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Member;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn entry(pattern: &str, instances: u8) -> Entry {
        let members = (0..instances).map(|last| Member::at(([10, 0, 0, last], 80).into()));
        Entry::new(&Pattern::parse(pattern).unwrap(), members).unwrap()
    }

    fn patterns(snapshot: &Snapshot) -> Vec<&str> {
        let mut patterns: Vec<&str> = snapshot.iter().map(EntryRef::pattern).collect();
        patterns.sort_unstable();
        patterns
    }

    #[test]
    fn a_node_takes_no_more_room_than_a_leaf() {
        assert_eq!(size_of::<Node>(), 4 * size_of::<usize>());
    }

    #[test]
    fn a_table_never_read_is_told_from_an_empty_one() {
        assert!(!Snapshot::unread().is_loaded());
        assert!(Snapshot::empty().is_loaded());
        assert!(Snapshot::unread().with([]).is_empty());
        assert!(Snapshot::unread().with([Delta::Put(entry("a.example", 1))]).is_loaded());
    }

    #[test]
    fn hosts_wildcards_and_the_star_do_not_meet() {
        let table: Snapshot =
            ["example.com", "*.example.com", "*"].into_iter().map(|pattern| entry(pattern, 1)).collect();
        for pattern in ["example.com", "*.example.com", "*"] {
            assert_eq!(table.get(pattern).map(EntryRef::pattern), Some(pattern));
        }
        for pattern in ["", ".example.com", "*example.com", "*.com"] {
            assert_eq!(table.get(pattern), None, "{pattern}");
        }
        assert_eq!(table.wildcards(), 1);
        assert!(table.has_wildcards_of(2) && !table.has_wildcards_of(1));
    }

    #[test]
    fn of_entries_with_one_pattern_the_last_stands() {
        let table =
            Snapshot::from_entries([entry("a.example", 1), entry("b.example", 1), entry("a.example", 3)]);
        assert_eq!((table.len(), table.instances()), (2, 4));
        assert_eq!(table.get("a.example").unwrap().len(), 3);
    }

    #[test]
    fn a_large_table_finds_every_host_and_shrinks_back_to_nothing() {
        let name = |number: usize| format!("host-{number}.example");
        let built: Snapshot = (0..20_000).map(|number| entry(&name(number), 1)).collect();
        let mut grown = Snapshot::empty();
        for number in 0..20_000 {
            grown.change(&Delta::Put(entry(&name(number), 1)));
        }
        for table in [&built, &grown] {
            assert_eq!(table.len(), 20_000);
            assert!((0..20_000).all(|number| table.get(&name(number)).is_some()));
            assert_eq!(table.iter().count(), 20_000);
        }
        for number in 0..20_000 {
            grown.change(&Delta::Remove(Pattern::parse(&name(number)).unwrap()));
        }
        assert_eq!((grown.len(), grown.instances(), grown.iter().count()), (0, 0, 0));
        assert!(matches!(&grown.root, Node::Leaf(leaf) if leaf.len() == 0), "branches are left behind");
    }

    #[test]
    fn keys_whose_hashes_are_equal_still_work() {
        // At this height no bit of the hash is left to split by.
        let height = u64::BITS / BITS;
        let hasher = RandomState::default();
        let mut root = Node::default();
        let entries: Vec<Entry> = (0..80).map(|n| entry(&format!("h{n}.example"), 1)).collect();
        for replaced in [None, Some(1)] {
            for entry in &entries {
                assert_eq!(put(&mut root, height, 5, entry.view(), &hasher), replaced);
            }
        }
        for left in [Some(1), None] {
            for entry in &entries {
                assert_eq!(remove(&mut root, height, 5, entry.pattern()), left);
            }
        }
        assert!(matches!(&root, Node::Leaf(leaf) if leaf.len() == 0));
    }

    #[test]
    fn a_large_entry_does_not_make_changes_to_its_neighbours_expensive() {
        let large = |number: u32| {
            let members = (0..500u32).map(|last| Member::at(((0x0a00_0000 + last).to_be_bytes(), 80).into()));
            Entry::new(&Pattern::parse(&format!("large-{number}.example")).unwrap(), members).unwrap()
        };
        let built: Snapshot = (0..40).map(large).collect();
        let mut grown = Snapshot::empty();
        (0..40).for_each(|number| grown.change(&Delta::Put(large(number))));
        for table in [&built, &grown] {
            assert!(leaves(&table.root).iter().all(|leaf| leaf.len() <= 2), "large entries share a leaf");
            assert_eq!((table.len(), table.iter().count()), (40, 40));
        }
        (0..40).for_each(|n| {
            grown.change(&Delta::Remove(Pattern::parse(&format!("large-{n}.example")).unwrap()))
        });
        assert_eq!(leaves(&grown.root).len(), 1);
    }

    fn leaves(node: &Node) -> Vec<&Leaf> {
        match node {
            Node::Leaf(leaf) => vec![leaf],
            Node::Branch(children) => children.iter().flat_map(leaves).collect(),
        }
    }

    #[test]
    fn a_change_shares_nearly_all_of_the_table() {
        let name = |number: usize| format!("host-{number}.example");
        let table: Snapshot = (0..20_000).map(|number| entry(&name(number), 1)).collect();
        let next = table.with([Delta::Put(entry("new.example", 1))]);
        let copied = nodes(&next.root).difference(&nodes(&table.root)).count();
        // The root, at most one branch a level, and one leaf.
        assert!(copied <= 6, "{copied} nodes were copied");
    }

    /// Where every node below this one lives.
    fn nodes(node: &Node) -> std::collections::HashSet<usize> {
        match node {
            Node::Leaf(leaf) => [leaf.address()].into(),
            Node::Branch(children) => {
                let below = children.iter().flat_map(nodes);
                below.chain([Arc::as_ptr(children).addr()]).collect()
            }
        }
    }

    proptest! {
        #[test]
        fn a_snapshot_agrees_with_a_map_after_any_changes_and_leaves_the_one_before_alone(
            changes in prop::collection::vec(("(\\*\\.)?[a-d]{1,3}(\\.[ab])?|\\*", 0..4u8), 0..200)
        ) {
            let mut model: BTreeMap<String, u8> = BTreeMap::new();
            let mut table = Snapshot::empty();
            for (pattern, instances) in changes {
                let before = table.clone();
                let listed: Vec<String> = patterns(&before).into_iter().map(str::to_owned).collect();
                if instances == 0 {
                    model.remove(&pattern);
                    table = table.with([Delta::Remove(Pattern::parse(&pattern).unwrap())]);
                } else {
                    model.insert(pattern.clone(), instances);
                    table = table.with([Delta::Put(entry(&pattern, instances))]);
                }
                prop_assert_eq!(patterns(&before), listed);
            }
            prop_assert_eq!(patterns(&table), model.keys().map(String::as_str).collect::<Vec<_>>());
            for (pattern, &instances) in &model {
                prop_assert_eq!(table.get(pattern).map(EntryRef::len), Some(usize::from(instances)));
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.instances(), model.values().map(|&n| usize::from(n)).sum::<usize>());
            let depths = model.keys().filter_map(|pattern| wildcard_depth(pattern));
            prop_assert_eq!(table.wildcards(), depths.clone().count());
            for depth in 0..5 {
                prop_assert_eq!(table.has_wildcards_of(depth), depths.clone().any(|there| there == depth));
            }
        }
    }
}
