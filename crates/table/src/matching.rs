//! Which instances may serve a request: the rules that are the same for every table.
//!
//! The entries of a host are tried in this order, and the first with a usable instance is taken: the
//! exact host; each wildcard from the most to the least specific (for `www.a.example.com` they are
//! `*.a.example.com`, `*.example.com` and `*.com`); then `*`. Within an entry only the instances whose
//! path prefix covers the request's path, in whole segments, can serve it; of those that are usable the
//! ones with the longest prefix win, and those without a prefix come last.
//!
//! What is usable is the caller's to say (health, tries already made); an instance of weight 0 is drained
//! and never is. Which of the usable ones is chosen is the caller's as well. Nothing here allocates, but
//! for entries with more than [`INLINE`] usable instances.

use crate::entry::{Entry, InstanceRef};
use crate::host::Host;
use crate::snapshot::Snapshot;

/// So many usable instances are listed without allocating.
pub const INLINE: usize = 24;

/// What a table has for a request.
#[derive(Debug)]
pub enum Match<'s> {
    /// Instances that may serve it.
    Found(Found<'s>),
    /// An entry matches, but none of its instances is usable; the first such entry. To be answered with
    /// 503 and `Retry-After`.
    AllDown(&'s Entry),
    /// Nothing matches: 404.
    NoRoute,
    /// The table has never been read, so what it would say is unknown: 503.
    NotLoaded,
}

/// The entry that was taken, and which of its instances may serve the request.
#[derive(Debug)]
pub struct Found<'s> {
    /// The entry; its pattern is what the log calls `route`.
    pub entry: &'s Entry,
    /// The usable instances, at least one: indices into the entry, ascending.
    pub usable: Indices,
}

/// Indices of instances, inline as long as they are few.
#[derive(Debug, Clone)]
pub struct Indices(Storage);

#[derive(Debug, Clone)]
enum Storage {
    Inline(u8, [u16; INLINE]),
    Heap(Vec<u16>),
}

impl Indices {
    fn new() -> Indices {
        Indices(Storage::Inline(0, [0; INLINE]))
    }

    fn push(&mut self, index: u16) {
        match &mut self.0 {
            Storage::Inline(len, indices) if usize::from(*len) < INLINE => {
                indices[usize::from(*len)] = index;
                *len += 1;
            }
            Storage::Inline(_, indices) => {
                let mut many = Vec::with_capacity(2 * INLINE);
                many.extend_from_slice(indices);
                many.push(index);
                self.0 = Storage::Heap(many);
            }
            Storage::Heap(indices) => indices.push(index),
        }
    }

    /// The indices, ascending.
    pub fn as_slice(&self) -> &[u16] {
        match &self.0 {
            Storage::Inline(len, indices) => &indices[..usize::from(*len)],
            Storage::Heap(indices) => indices,
        }
    }
}

impl std::ops::Deref for Indices {
    type Target = [u16];

    fn deref(&self) -> &[u16] {
        self.as_slice()
    }
}

/// Finds the instances that may serve a request for this host and path.
///
/// `path` is the request's path as it will be sent; a query may follow it. `usable` is asked for each
/// instance that could serve the request, until an entry has some.
pub fn find<'s>(
    snapshot: &'s Snapshot,
    host: &Host,
    path: &str,
    mut usable: impl FnMut(&InstanceRef<'s>) -> bool,
) -> Match<'s> {
    let mut down = None;
    for entry in candidates(snapshot, host) {
        match select(entry, path, &mut usable) {
            Selection::Usable(usable) => return Match::Found(Found { entry, usable }),
            Selection::AllDown => down = down.or(Some(entry)),
            Selection::NoPath => {}
        }
    }
    match down {
        Some(entry) => Match::AllDown(entry),
        None if snapshot.is_loaded() => Match::NoRoute,
        None => Match::NotLoaded,
    }
}

/// The entries that match a host, in the order they are tried.
pub fn candidates<'s, 'h>(
    snapshot: &'s Snapshot,
    host: &'h Host,
) -> impl Iterator<Item = &'s Entry> + use<'s, 'h> {
    let name = host.as_str();
    let exact = std::iter::once_with(move || snapshot.get_key(name, false)).flatten();
    let wildcards = wildcard_keys(snapshot, name).filter_map(|key| snapshot.get_key(key, true));
    let any = std::iter::once_with(move || snapshot.get_key("", true)).flatten();
    exact.chain(wildcards).chain(any)
}

/// The slices of a host's name, each from a dot on, under which a wildcard may be kept; from the most to
/// the least specific.
fn wildcard_keys<'s, 'h>(
    snapshot: &'s Snapshot,
    name: &'h str,
) -> impl Iterator<Item = &'h str> + use<'s, 'h> {
    // An IPv6 address may have dots, but has no labels.
    let none = !snapshot.has_wildcards() || name.starts_with('[');
    let dots = if none { 0 } else { name.bytes().filter(|&b| b == b'.').count() };
    let mut rest = name;
    (1..=dots).rev().filter_map(move |depth| {
        let dot = rest[1..].find('.')? + 1;
        rest = &rest[dot..];
        snapshot.has_wildcards_of(depth).then_some(rest)
    })
}

enum Selection {
    /// These instances.
    Usable(Indices),
    /// Some serve the path, none is usable.
    AllDown,
    /// None serves the path.
    NoPath,
}

fn select<'s>(entry: &'s Entry, path: &str, usable: &mut impl FnMut(&InstanceRef<'s>) -> bool) -> Selection {
    let mut found = Indices::new();
    let mut serves_path = false;
    // Instances of one prefix stand together, the longest first.
    let mut prefix = None;
    let mut covers = true;
    for (index, instance) in entry.instances().enumerate() {
        if instance.path() != prefix || index == 0 {
            if !found.is_empty() {
                break;
            }
            prefix = instance.path();
            covers = prefix.is_none_or(|prefix| prefix_covers(prefix, path));
        }
        if covers {
            serves_path = true;
            if instance.weight() > 0 && usable(&instance) {
                // An entry has at most 65,535 instances.
                found.push(index as u16);
            }
        }
    }
    match (found.is_empty(), serves_path) {
        (false, _) => Selection::Usable(found),
        (true, true) => Selection::AllDown,
        (true, false) => Selection::NoPath,
    }
}

/// Whether a prefix covers a path (which a query may follow) in whole segments: `/api` covers `/api`,
/// `/api/x` and `/api?x`, not `/apix`; `/` covers every path that begins with it.
pub fn prefix_covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with(['/', '?']))
}
