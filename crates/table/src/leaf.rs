//! The leaves of a [snapshot](crate::snapshot): a few entries in one block of memory.
//!
//! Looking a host up costs cache misses, and little else. So a leaf keeps apart what is read to find an
//! entry, a few bytes each that a processor's cache has room for even in a large table, and the entries
//! themselves, packed one behind the other. The one miss that remains is the entry's own. A leaf never
//! changes; a new one is made of the old, some kilobytes at most unless a single entry is larger.
//!
//! ```text
//! index:   tags  one byte of each entry's hash, so that mostly only the right entry is looked at
//!          ends  u32 each: where the entry ends in the other block
//! entries: packed
//! ```

use std::sync::Arc;

use crate::entry::EntryRef;

const TAG: usize = 1;
const END: usize = 4;

/// A few entries; cheap to clone.
#[derive(Clone)]
pub(crate) struct Leaf {
    index: Arc<[u8]>,
    entries: Arc<[u8]>,
}

impl Leaf {
    /// A leaf of these entries, each with its tag.
    pub(crate) fn new<'a>(entries: impl Iterator<Item = (u8, EntryRef<'a>)> + Clone) -> Leaf {
        let count = entries.clone().count();
        let size = entries.clone().map(|(_, entry)| entry.as_bytes().len()).sum();
        let mut index = Vec::with_capacity(count * (TAG + END));
        index.extend(entries.clone().map(|(tag, _)| tag));
        let mut packed = Vec::with_capacity(size);
        for (_, entry) in entries {
            packed.extend_from_slice(entry.as_bytes());
            // A leaf is split long before it has 4 GiB.
            index.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        }
        Leaf { index: index.into(), entries: packed.into() }
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.index.len() / (TAG + END)
    }

    /// The size of its entries in bytes.
    pub(crate) fn size(&self) -> usize {
        self.entries.len()
    }

    fn tags(&self) -> &[u8] {
        &self.index[..self.len()]
    }

    /// Where entry `index - 1` ends, which is where entry `index` begins.
    fn begin(&self, index: usize) -> usize {
        let Some(before) = index.checked_sub(1) else { return 0 };
        let end = &self.index[self.len() + before * END..];
        u32::from_le_bytes([end[0], end[1], end[2], end[3]]) as usize
    }

    /// The entry of this index, which must be below [`len`](Self::len).
    pub(crate) fn entry(&self, index: usize) -> EntryRef<'_> {
        EntryRef::of_checked(&self.entries[self.begin(index)..self.begin(index + 1)])
    }

    /// Finds an entry with this tag that the function accepts.
    pub(crate) fn find(
        &self,
        tag: u8,
        accept: impl Fn(EntryRef<'_>) -> bool,
    ) -> Option<(usize, EntryRef<'_>)> {
        let tagged = self.tags().iter().enumerate().filter(|&(_, &there)| there == tag);
        tagged.map(|(index, _)| (index, self.entry(index))).find(|&(_, entry)| accept(entry))
    }

    /// Every entry with its tag.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u8, EntryRef<'_>)> + Clone {
        self.tags().iter().enumerate().map(|(index, &tag)| (tag, self.entry(index)))
    }

    /// The same leaf with one entry more.
    pub(crate) fn with(&self, tag: u8, entry: EntryRef<'_>) -> Leaf {
        Leaf::new(self.iter().chain([(tag, entry)]))
    }

    /// The same leaf with another entry in the place of this one.
    pub(crate) fn replacing(&self, index: usize, tag: u8, entry: EntryRef<'_>) -> Leaf {
        Leaf::new(
            self.iter().enumerate().map(move |(at, there)| if at == index { (tag, entry) } else { there }),
        )
    }

    /// The same leaf without this entry.
    pub(crate) fn without(&self, index: usize) -> Leaf {
        Leaf::new(self.iter().enumerate().filter(move |&(at, _)| at != index).map(|(_, there)| there))
    }

    /// Where in memory it is.
    #[cfg(test)]
    pub(crate) fn address(&self) -> usize {
        self.entries.as_ptr().addr()
    }
}

impl Default for Leaf {
    fn default() -> Self {
        Leaf::new([].into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::member::Member;
    use crate::pattern::Pattern;

    fn entry(host: &str) -> Entry {
        Entry::new(&Pattern::parse(host).unwrap(), [Member::at(([10, 0, 0, 1], 80).into())]).unwrap()
    }

    fn hosts(leaf: &Leaf) -> Vec<&str> {
        leaf.iter().map(|(_, entry)| entry.pattern()).collect()
    }

    #[test]
    fn entries_are_added_replaced_and_taken_out() {
        let [a, b, c] = ["a.example", "bb.example", "c.example"].map(entry);
        let leaf = Leaf::default().with(1, a.view()).with(1, b.view());
        assert_eq!(hosts(&leaf), ["a.example", "bb.example"]);
        assert_eq!(hosts(&leaf.replacing(0, 2, c.view())), ["c.example", "bb.example"]);
        assert_eq!(hosts(&leaf.without(1)), ["a.example"]);
        assert_eq!(hosts(&leaf.without(0).without(0)), [""; 0]);
        assert_eq!(leaf.len(), 2);
    }

    #[test]
    fn an_entry_is_found_by_tag_and_content() {
        let [a, b] = ["a.example", "bb.example"].map(entry);
        let leaf = Leaf::default().with(1, a.view()).with(1, b.view());
        let find = |tag, host: &str| leaf.find(tag, |entry| entry.pattern() == host).map(|(index, _)| index);
        assert_eq!(find(1, "bb.example"), Some(1));
        assert_eq!(find(2, "bb.example"), None);
        assert_eq!(find(1, "c.example"), None);
    }
}
