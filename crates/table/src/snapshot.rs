//! The whole table at one moment: immutable, shared, and cheap to derive the next one from.
//!
//! A [`Snapshot`] is a hash trie. A branch has sixteen children, chosen by four bits of the key's hash; a
//! leaf holds up to [`LEAF_MAX`] entries side by side. A change copies the branches on its way down and
//! one leaf, about a hundred pointers in a table of a million hosts, and shares all the rest with the
//! snapshot it came from. Readers hold whichever snapshot they began with and never see it change.
//!
//! Hosts come from outside, so the hash is seeded at random for each process: nobody can prepare names
//! that meet in one leaf. A leaf whose keys share their whole hash still works, only slower.
//!
//! Entries are kept under the part of their pattern behind the `*`: `*.example.com` under `.example.com`,
//! `*` under nothing, hosts under themselves. No host begins with a dot or is empty, so these don't meet,
//! and every wildcard that may match a host is looked up by a slice of it, without building its name.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;

use crate::entry::Entry;
use crate::pattern::{MAX_PATTERN, Pattern, wildcard_depth};

const BITS: u32 = 4;
const FAN_OUT: usize = 1 << BITS;
/// A leaf with more entries is split, unless the hash has no bits left to split it by.
const LEAF_MAX: usize = 32;
/// A branch whose children hold no more than this together becomes a leaf again; well below
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
    Leaf(Arc<[Slot]>),
    Branch(Arc<[Node; FAN_OUT]>),
}

#[derive(Clone)]
struct Slot {
    hash: u64,
    entry: Entry,
}

impl Default for Node {
    fn default() -> Self {
        Node::Leaf(Arc::default())
    }
}

/// What a pattern's entry is kept under: the pattern without its `*`.
fn key_of(pattern: &str) -> &str {
    pattern.strip_prefix('*').unwrap_or(pattern)
}

/// Which child of a branch at this height (the root's is 0) leads to the hash.
fn child_of(hash: u64, height: u32) -> usize {
    (hash >> (height * BITS)) as usize % FAN_OUT
}

fn can_split(height: u32) -> bool {
    (height + 1) * BITS <= u64::BITS
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

    /// A table of these entries, built at once; of two with one pattern the last stands.
    pub fn from_entries(entries: impl IntoIterator<Item = Entry>) -> Snapshot {
        let mut snapshot = Snapshot::empty();
        let mut slots: Vec<Slot> = entries
            .into_iter()
            .map(|entry| Slot { hash: snapshot.hash(key_of(entry.pattern())), entry })
            .collect();
        // The trie reads a hash from its low bits up, so reversed hashes sort into the trie's order; a
        // stable sort leaves entries of one pattern in the order they came.
        slots.sort_by_key(|slot| slot.hash.reverse_bits());
        drop_replaced(&mut slots);
        for slot in &slots {
            snapshot.count(&slot.entry, true);
        }
        snapshot.root = build(&slots, 0);
        snapshot
    }

    /// The same table with these changes, made in order. Shares what they don't touch.
    #[must_use]
    pub fn with(&self, changes: impl IntoIterator<Item = Delta>) -> Snapshot {
        let mut next = self.clone();
        for change in changes {
            next.change(change);
        }
        next
    }

    /// Makes one change in place. Parts that other snapshots share are copied first, once; so a batch of
    /// changes to one clone costs less than as many clones.
    pub fn change(&mut self, change: Delta) {
        self.loaded = true;
        match change {
            Delta::Put(entry) => self.put(entry),
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

    fn put(&mut self, entry: Entry) {
        let hash = self.hash(key_of(entry.pattern()));
        self.count(&entry, true);
        if let Some(replaced) = put(&mut self.root, 0, Slot { hash, entry }) {
            self.count(&replaced, false);
        }
    }

    fn remove(&mut self, pattern: &str) {
        let hash = self.hash(key_of(pattern));
        if let Some(removed) = remove(&mut self.root, 0, hash, pattern) {
            self.count(&removed, false);
        }
    }

    fn count(&mut self, entry: &Entry, added: bool) {
        let step = |count: &mut usize, by: usize| {
            *count = if added { *count + by } else { *count - by };
        };
        step(&mut self.len, 1);
        step(&mut self.instances, entry.len());
        if let Some(depth) = wildcard_depth(entry.pattern()) {
            let count = &mut Arc::make_mut(&mut self.wildcards)[depth];
            *count = if added { *count + 1 } else { *count - 1 };
            let bit = 1 << depth;
            self.depths = if *count > 0 { self.depths | bit } else { self.depths & !bit };
        }
    }

    fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The entry that stands under exactly this pattern (in its normal form).
    pub fn get(&self, pattern: &str) -> Option<&Entry> {
        let key = key_of(pattern);
        self.get_key(key, pattern.len() > key.len())
    }

    /// The entry of a host, or of the wildcard whose text behind the `*` this is.
    pub(crate) fn get_key(&self, key: &str, wildcard: bool) -> Option<&Entry> {
        if self.len == 0 {
            return None;
        }
        let hash = self.hash(key);
        let mut node = &self.root;
        let mut height = 0;
        let leaf = loop {
            match node {
                Node::Leaf(leaf) => break leaf,
                Node::Branch(children) => node = &children[child_of(hash, height)],
            }
            height += 1;
        };
        let found = leaf.iter().find(|slot| slot.hash == hash && key_of(slot.entry.pattern()) == key)?;
        // Keys of hosts and wildcards differ, unless the caller's text is not in normal form.
        (found.entry.pattern().starts_with('*') == wildcard).then_some(&found.entry)
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
        Iter { branches: Vec::new(), leaf: [].iter(), root: Some(&self.root) }
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
    type Item = &'a Entry;
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

/// Of sorted slots with one pattern, keeps the last.
fn drop_replaced(slots: &mut Vec<Slot>) {
    // Slots of one hash stand together, but those of one pattern need not be neighbours among them.
    let replaced = |slots: &[Slot], at: usize| {
        let later = slots[at + 1..].iter().take_while(|slot| slot.hash == slots[at].hash);
        later.into_iter().any(|slot| slot.entry.pattern() == slots[at].entry.pattern())
    };
    let keep: Vec<bool> = (0..slots.len()).map(|at| !replaced(slots, at)).collect();
    let mut keep = keep.into_iter();
    slots.retain(|_| keep.next().unwrap_or(true));
}

/// The node of these slots, which are in the trie's order and agree in all bits below this height.
fn build(slots: &[Slot], height: u32) -> Node {
    if slots.len() <= LEAF_MAX || !can_split(height) {
        return Node::Leaf(slots.into());
    }
    let mut children: [Node; FAN_OUT] = Default::default();
    for group in slots.chunk_by(|a, b| child_of(a.hash, height) == child_of(b.hash, height)) {
        children[child_of(group[0].hash, height)] = build(group, height + 1);
    }
    Node::Branch(Arc::new(children))
}

/// Puts the slot in place and returns the entry it replaces.
fn put(node: &mut Node, height: u32, slot: Slot) -> Option<Entry> {
    match node {
        Node::Branch(children) => {
            let child = child_of(slot.hash, height);
            put(&mut Arc::make_mut(children)[child], height + 1, slot)
        }
        Node::Leaf(leaf) => {
            let same = |s: &Slot| s.hash == slot.hash && s.entry.pattern() == slot.entry.pattern();
            if let Some(at) = leaf.iter().position(same) {
                return Some(std::mem::replace(&mut Arc::make_mut(leaf)[at], slot).entry);
            }
            if leaf.len() < LEAF_MAX || !can_split(height) {
                *leaf = leaf.iter().cloned().chain([slot]).collect();
            } else {
                let mut slots: Vec<Slot> = leaf.iter().cloned().chain([slot]).collect();
                slots.sort_by_key(|slot| slot.hash.reverse_bits());
                *node = build(&slots, height);
            }
            None
        }
    }
}

/// Takes the pattern's entry out and returns it.
fn remove(node: &mut Node, height: u32, hash: u64, pattern: &str) -> Option<Entry> {
    match node {
        Node::Branch(children) => {
            let children = Arc::make_mut(children);
            let removed = remove(&mut children[child_of(hash, height)], height + 1, hash, pattern)?;
            if let Some(joined) = join(children) {
                *node = joined;
            }
            Some(removed)
        }
        Node::Leaf(leaf) => {
            let at = leaf.iter().position(|s| s.hash == hash && s.entry.pattern() == pattern)?;
            let removed = leaf[at].entry.clone();
            *leaf = leaf[..at].iter().chain(&leaf[at + 1..]).cloned().collect();
            Some(removed)
        }
    }
}

/// The leaf that can take the place of these children, if they hold little enough.
fn join(children: &[Node; FAN_OUT]) -> Option<Node> {
    let mut slots = Vec::new();
    for child in children {
        match child {
            Node::Leaf(leaf) if slots.len() + leaf.len() <= JOIN_BELOW => slots.extend_from_slice(leaf),
            _ => return None,
        }
    }
    Some(Node::Leaf(slots.into()))
}

/// Iterates over the entries of a [`Snapshot`].
pub struct Iter<'a> {
    root: Option<&'a Node>,
    branches: Vec<std::slice::Iter<'a, Node>>,
    leaf: std::slice::Iter<'a, Slot>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        loop {
            if let Some(slot) = self.leaf.next() {
                return Some(&slot.entry);
            }
            let node = match self.root.take() {
                Some(root) => root,
                None => match self.branches.last_mut()?.next() {
                    Some(node) => node,
                    None => {
                        self.branches.pop();
                        continue;
                    }
                },
            };
            match node {
                Node::Leaf(leaf) => self.leaf = leaf.iter(),
                Node::Branch(children) => self.branches.push(children.iter()),
            }
        }
    }
}
