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

use crate::entry::{EntryRef, InstanceRef};
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
    AllDown(EntryRef<'s>),
    /// Nothing matches: 404.
    NoRoute,
    /// The table has never been read, so what it would say is unknown: 503.
    NotLoaded,
}

/// The entry that was taken, and which of its instances may serve the request.
#[derive(Debug)]
pub struct Found<'s> {
    /// The entry; its pattern is what the log calls `route`.
    pub entry: EntryRef<'s>,
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
) -> impl Iterator<Item = EntryRef<'s>> + use<'s, 'h> {
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

fn select<'s>(
    entry: EntryRef<'s>,
    path: &str,
    usable: &mut impl FnMut(&InstanceRef<'s>) -> bool,
) -> Selection {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::explain::{Outcome, explain};
    use crate::health::Health;
    use crate::member::Member;
    use crate::pattern::Pattern;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn host(text: &str) -> Host {
        Host::parse(text.as_bytes()).unwrap().0
    }

    /// An instance whose last byte of the address is its number.
    fn numbered(number: u8, path: Option<&str>) -> Member {
        Member { path: path.map(str::to_owned), ..Member::at(([10, 0, 0, number], 80).into()) }
    }

    fn number(instance: &InstanceRef<'_>) -> u8 {
        match instance.address() {
            Some(std::net::SocketAddr::V4(address)) => address.ip().octets()[3],
            other => panic!("{other:?}"),
        }
    }

    fn table<'a>(routes: impl IntoIterator<Item = (&'a str, u8, Option<&'a str>)>) -> Snapshot {
        let mut members: BTreeMap<&str, Vec<Member>> = BTreeMap::new();
        for (pattern, number, path) in routes {
            members.entry(pattern).or_default().push(numbered(number, path));
        }
        members
            .into_iter()
            .map(|(pattern, members)| Entry::new(&Pattern::parse(pattern).unwrap(), members).unwrap())
            .collect()
    }

    /// What a request comes to: the pattern and the numbers of the instances, or the pattern that is down.
    fn result(
        table: &Snapshot,
        name: &str,
        path: &str,
        down: &[u8],
    ) -> Result<(String, Vec<u8>), Option<String>> {
        match find(table, &host(name), path, |instance| !down.contains(&number(instance))) {
            Match::Found(Found { entry, usable }) => {
                let numbers = usable.iter().map(|&index| number(&entry.instance(usize::from(index))));
                Ok((entry.pattern().to_owned(), numbers.collect()))
            }
            Match::AllDown(entry) => Err(Some(entry.pattern().to_owned())),
            Match::NoRoute | Match::NotLoaded => Err(None),
        }
    }

    #[test]
    fn the_most_specific_entry_with_a_usable_instance_is_taken() {
        let table = table([
            ("www.a.example.com", 1, None),
            ("*.a.example.com", 2, None),
            ("*.example.com", 3, None),
            ("*.com", 4, None),
            ("*", 5, None),
        ]);
        let order = ["www.a.example.com", "*.a.example.com", "*.example.com", "*.com", "*"];
        for (passed, pattern) in order.iter().enumerate() {
            let down: Vec<u8> = (1..=passed as u8).collect();
            let expected = Ok(((*pattern).to_owned(), vec![passed as u8 + 1]));
            assert_eq!(result(&table, "www.a.example.com", "/", &down), expected);
        }
        let all = [1, 2, 3, 4, 5];
        assert_eq!(result(&table, "www.a.example.com", "/", &all), Err(Some("www.a.example.com".to_owned())));
        assert_eq!(result(&table, "x.y.a.example.com", "/", &[]).unwrap().0, "*.a.example.com");
        assert_eq!(result(&table, "example.com", "/", &[]).unwrap().0, "*.com");
        assert_eq!(result(&table, "com", "/", &[]).unwrap().0, "*");
        assert_eq!(result(&table, "[::ffff:1.2.3.4]", "/", &[]).unwrap().0, "*");
    }

    #[test]
    fn path_prefixes_win_by_whole_segments_the_longest_first() {
        let table = table([
            ("a.example", 1, None),
            ("a.example", 2, Some("/api")),
            ("a.example", 3, Some("/api/v2")),
            ("b.example", 4, Some("/api")),
            ("c.example", 5, Some("/")),
            ("c.example", 6, None),
        ]);
        for (name, path, expected) in [
            ("a.example", "/", Some(1)),
            ("a.example", "/apix", Some(1)),
            ("a.example", "/api", Some(2)),
            ("a.example", "/api/", Some(2)),
            ("a.example", "/api/x", Some(2)),
            ("a.example", "/api?x", Some(2)),
            ("a.example", "/api/v2", Some(3)),
            ("a.example", "/api/v2/x", Some(3)),
            ("a.example", "/api/v22", Some(2)),
            ("a.example", "/API", Some(1)),
            ("b.example", "/", None),
            ("b.example", "/api", Some(4)),
            ("c.example", "/any", Some(5)),
            ("c.example", "*", Some(6)),
        ] {
            let numbers = result(&table, name, path, &[]).ok().map(|(_, numbers)| numbers);
            assert_eq!(numbers, expected.map(|number| vec![number]), "{name}{path}");
        }
    }

    #[test]
    fn a_prefix_whose_instances_are_down_gives_way_to_the_next() {
        let table =
            table([("a.example", 1, None), ("a.example", 2, Some("/api")), ("a.example", 3, Some("/api"))]);
        let numbers = |down: &[u8]| result(&table, "a.example", "/api", down).map(|(_, numbers)| numbers);
        assert_eq!(numbers(&[]), Ok(vec![2, 3]));
        assert_eq!(numbers(&[2]), Ok(vec![3]));
        assert_eq!(numbers(&[2, 3]), Ok(vec![1]));
        assert_eq!(numbers(&[1, 2, 3]), Err(Some("a.example".to_owned())));
    }

    #[test]
    fn a_drained_instance_is_never_chosen() {
        let drained = Member { weight: 0, ..numbered(1, None) };
        let entry = |members: Vec<Member>| -> Snapshot {
            [Entry::new(&Pattern::parse("a.example").unwrap(), members).unwrap()].into_iter().collect()
        };
        let both = entry(vec![drained.clone(), numbered(2, None)]);
        assert_eq!(result(&both, "a.example", "/", &[]).unwrap().1, [2]);
        assert_eq!(result(&entry(vec![drained]), "a.example", "/", &[]), Err(Some("a.example".to_owned())));
    }

    #[test]
    fn a_table_never_read_gives_no_answer_rather_than_none() {
        let asked = |table: &Snapshot| format!("{:?}", find(table, &host("a.example"), "/", |_| true));
        assert_eq!(asked(&Snapshot::unread()), "NotLoaded");
        assert_eq!(asked(&Snapshot::empty()), "NoRoute");
    }

    #[test]
    fn more_usable_instances_than_fit_inline_are_all_listed() {
        let table = table((0..100).map(|number| ("a.example", number, None)));
        let (_, numbers) = result(&table, "a.example", "/", &[]).unwrap();
        assert_eq!(numbers, (0..100).collect::<Vec<u8>>());
    }

    type Route = (String, u8, Option<&'static str>);

    /// The contract's rules, written down as plainly as they go.
    fn model(
        routes: &[Route],
        host: &Host,
        path: &str,
        down: &[u8],
    ) -> Result<(String, Vec<u8>), Option<String>> {
        let serves =
            |prefix: &str| prefix == "/" || path == prefix || path.starts_with(&format!("{prefix}/"));
        let mut patterns: Vec<&str> = routes.iter().map(|(pattern, ..)| pattern.as_str()).collect();
        patterns.retain(|pattern| Pattern::parse(pattern).unwrap().matches(host));
        // The exact host first, then the longest wildcard; `*` is the shortest.
        patterns.sort_by_key(|pattern| (pattern.starts_with('*'), std::cmp::Reverse(pattern.len())));
        patterns.dedup();
        let mut all_down = None;
        for pattern in patterns {
            let mut able: Vec<(&Route, usize)> = routes
                .iter()
                .filter(|(there, _, prefix)| there == pattern && prefix.is_none_or(serves))
                .map(|route| (route, route.2.map_or(0, str::len)))
                .collect();
            if !able.is_empty() && all_down.is_none() {
                all_down = Some(pattern.to_owned());
            }
            able.retain(|((_, number, _), _)| !down.contains(number));
            if let Some(longest) = able.iter().map(|(_, length)| *length).max() {
                let best = able.iter().filter(|(_, length)| *length == longest);
                let mut numbers: Vec<u8> = best.map(|((_, number, _), _)| *number).collect();
                numbers.sort_unstable();
                numbers.dedup();
                return Ok((pattern.to_owned(), numbers));
            }
        }
        Err(all_down)
    }

    fn any_route() -> impl Strategy<Value = Route> {
        let paths = prop::sample::select(vec![
            None,
            None,
            Some("/"),
            Some("/a"),
            Some("/a/b"),
            Some("/ab"),
            Some("/b"),
        ]);
        ("\\*|(\\*\\.)?[ab](\\.[ab]){0,3}", 0..12u8, paths)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn matching_agrees_with_the_rules_and_with_its_explanation(
            routes in prop::collection::vec(any_route(), 0..16),
            name in "[ab](\\.[ab]){0,4}",
            path in "(/(a|b|ab)){0,3}/?",
            down in prop::collection::vec(0..12u8, 0..8),
        ) {
            let path = format!("/{}", path.trim_start_matches('/'));
            let table = table(routes.iter().map(|(pattern, number, path)| (pattern.as_str(), *number, *path)));
            let expected = model(&routes, &host(&name), &path, &down);
            let actual = result(&table, &name, &path, &down);
            prop_assert_eq!(&actual, &expected);

            let explained = explain(&table, &format!("{name}{path}"), |instance| {
                if down.contains(&number(instance)) {
                    Health::Down { reason: "told so".to_owned() }
                } else {
                    Health::Unknown
                }
            }).unwrap();
            let eligible: usize = explained.steps.iter()
                .flat_map(|step| &step.instances)
                .filter(|instance| instance.passed_over.is_none())
                .count();
            match (actual, explained.outcome) {
                (Ok((pattern, numbers)), Outcome::Routed { pattern: told, .. }) => {
                    prop_assert_eq!(pattern, told);
                    prop_assert_eq!(eligible, numbers.len());
                }
                (Err(Some(pattern)), Outcome::AllDown { pattern: told }) => prop_assert_eq!(pattern, told),
                (Err(None), Outcome::NoRoute) => prop_assert_eq!(eligible, 0),
                (actual, told) => prop_assert!(false, "{actual:?} is explained as {told:?}"),
            }
        }
    }
}
