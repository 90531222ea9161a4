//! From what a store holds of a host to its entry.
//!
//! Whatever is malformed is left out and described; it never takes anything else with it. A host must stand
//! in its key in its normal form, lower-case and without a final dot: no other spelling was ever found by a
//! request, and two keys can't be one host.
//!
//! The schema doesn't say which id belongs to which member. It is found out in this order: the link that our
//! own writer has noted; the id that our writer derives from host and member where none is given
//! ([`derived_id`]); an instance key that is itself one of the ids; and if then one member and one id are
//! left over, they belong together. An id is only for people and for keeping the sets in step: a member
//! without one is routed to like any other.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::entry::{Entry, MAX_INSTANCES};
use crate::member::Member;
use crate::pattern::{MAX_PATTERN, Pattern};

use super::keys::{IDS, INSTANCES, shown};
use super::stored::{Set, Stored};

/// How many problems of one host are described; more are only counted.
const MAX_DESCRIBED: usize = 8;

/// What derived ids are derived in.
const NAMESPACE: Uuid = Uuid::from_u128(0x6c7b_94b0_5a33_4d5e_9d0e_77a1_3f0c_52d8);

/// What a host of the store is to the table.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// Its pattern, if the key names one.
    pub(super) pattern: Option<Pattern>,
    /// Its entry, if it has any member that can be used.
    pub(super) entry: Option<Entry>,
    /// What was left out and why: the first few.
    pub(super) problems: Vec<Described>,
    /// How many things were left out.
    pub(super) problem_count: usize,
    /// The numbers of members and of ids, where they differ.
    pub(super) out_of_step: Option<(usize, usize)>,
    /// Names of extensions that are not known here.
    pub(super) unknown: BTreeSet<String>,
}

/// One thing that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Described {
    /// The key it stands in.
    pub(super) key: String,
    /// What is wrong with it.
    pub(super) problem: String,
}

/// One member of a set, as bytes and as what they say.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) raw: Vec<u8>,
    /// With the id that is known to be its own.
    pub(super) member: Result<Member, String>,
}

/// The id that our writer gives a member that was added without one.
pub(super) fn derived_id(pattern: &str, member: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{pattern}\n{member}").as_bytes())
}

/// Which pattern the host in a key is.
pub(super) fn pattern_of(host: &[u8]) -> Result<Pattern, String> {
    if host.len() > MAX_PATTERN {
        return Err(format!("its host has {} bytes: no host has more than {MAX_PATTERN}", host.len()));
    }
    let text = std::str::from_utf8(host).map_err(|_| "its host is not UTF-8".to_owned())?;
    let pattern = Pattern::parse(text).map_err(|error| on_one_line(&error.to_string()))?;
    match pattern.as_str() == text {
        true => Ok(pattern),
        false => Err(format!("no request is for this spelling of the host: write it as {pattern}")),
    }
}

/// A text with its control characters written as escapes.
fn on_one_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if c.is_control() {
            line.extend(c.escape_default())
        } else {
            line.push(c)
        }
        line
    })
}

/// Reads the members of a host and finds their ids. Names of unknown extensions are put into `unknown`.
pub(super) fn tell(pattern: &Pattern, stored: &Stored, unknown: &mut BTreeSet<String>) -> Vec<Told> {
    let read = |raw: &Vec<u8>| {
        let text = std::str::from_utf8(raw).map_err(|_| "it is not UTF-8".to_owned())?;
        let (member, names) = Member::parse(text).map_err(|error| error.to_string())?;
        unknown.extend(names);
        Ok(member)
    };
    let members: Vec<Result<Member, String>> = stored.members.read().iter().map(read).collect();
    let told = stored.members.read().iter().zip(members);
    let mut told: Vec<Told> = told.map(|(raw, member)| Told { raw: raw.clone(), member }).collect();
    assign_ids(pattern, stored, &mut told);
    told
}

fn assign_ids(pattern: &Pattern, stored: &Stored, told: &mut [Told]) {
    let id = |bytes: &Vec<u8>| Uuid::try_parse_ascii(bytes).ok();
    let mut free: BTreeSet<Uuid> = stored.ids.read().iter().filter_map(id).collect();
    if free.is_empty() {
        return;
    }
    // Deriving takes longer than all the rest, and most ids can't have been derived.
    let any_derived = free.iter().any(|id| id.get_version_num() == 5);
    for Told { raw, member } in told.iter_mut() {
        let Ok(member) = member else { continue };
        let linked =
            || stored.links.iter().find(|(linked, _)| linked == raw).and_then(|(_, bytes)| id(bytes));
        let derived = || any_derived.then(|| derived_id(pattern.as_str(), &String::from_utf8_lossy(raw)));
        let key = || member.instance.as_deref().and_then(|key| Uuid::try_parse(key).ok());
        let candidates: [&dyn Fn() -> Option<Uuid>; 3] = [&linked, &derived, &key];
        let own = candidates.into_iter().filter_map(|candidate| candidate()).find(|id| free.contains(id));
        member.instance_id = own;
        own.map(|own| free.remove(&own));
    }
    let mut without =
        told.iter_mut().filter_map(|told| told.member.as_mut().ok()).filter(|m| m.instance_id.is_none());
    if let (Some(member), None, 1) = (without.next(), without.next(), free.len()) {
        member.instance_id = free.pop_first();
    }
}

/// Makes an entry of what the store holds of a host.
pub(super) fn decode(stored: &Stored) -> Decoded {
    let mut decoded = Decoded::default();
    let key = |prefix: &str| shown(&[prefix.as_bytes(), &stored.host].concat());
    match pattern_of(&stored.host) {
        Ok(pattern) => decoded.pattern = Some(pattern),
        Err(problem) => {
            if !stored.is_nothing() {
                decoded.describe(key(INSTANCES), problem);
            }
            return decoded;
        }
    }
    let Some(pattern) = decoded.pattern.clone() else { return decoded };
    for (prefix, set) in [(INSTANCES, &stored.members), (IDS, &stored.ids)] {
        if *set == Set::WrongType {
            decoded
                .describe(key(prefix), "it is not a set: delete it, and add its instances again".to_owned());
        }
    }

    let mut members = Vec::new();
    for Told { raw, member } in tell(&pattern, stored, &mut decoded.unknown) {
        match member {
            Ok(member) => members.push(member),
            Err(problem) => {
                decoded.describe(key(INSTANCES), format!("member '{}': {problem}", shown(&raw)));
            }
        }
    }
    let (member_count, id_count) = (stored.members.read().len(), stored.ids.read().len());
    if member_count != id_count && stored.members != Set::WrongType && stored.ids != Set::WrongType {
        decoded.out_of_step = Some((member_count, id_count));
    }
    if members.len() > MAX_INSTANCES {
        let problem = format!("it has more than {MAX_INSTANCES} members: the others are left out");
        decoded.describe(key(INSTANCES), problem);
        members.truncate(MAX_INSTANCES);
    }
    if !members.is_empty() {
        match Entry::new(&pattern, members) {
            Ok(entry) => decoded.entry = Some(entry),
            Err(error) => decoded.describe(key(INSTANCES), error.to_string()),
        }
    }
    decoded
}

impl Decoded {
    /// Notes something that was left out.
    pub(super) fn describe(&mut self, key: String, problem: String) {
        self.problem_count += 1;
        if self.problems.len() < MAX_DESCRIBED {
            self.problems.push(Described { key, problem });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    fn stored(host: &[u8], members: &[&str], ids: &[&str]) -> Stored {
        Stored {
            host: host.into(),
            members: Set::Whole(raw(members)),
            ids: Set::Whole(raw(ids)),
            links: Vec::new(),
            expires: None,
        }
    }

    const A: &str = "11111111-1111-4111-8111-111111111111";
    const B: &str = "22222222-2222-4222-8222-222222222222";

    fn ids_of(stored: &Stored) -> Vec<Option<String>> {
        let entry = decode(stored).entry.unwrap();
        entry.view().members().map(|member| member.instance_id.map(|id| id.to_string())).collect()
    }

    #[test]
    fn what_is_malformed_is_named_and_the_rest_is_used() {
        let decoded = decode(&stored(b"a.example", &["10.0.0.1:80#v", "nonsense", "10.0.0.2:80"], &[]));
        assert_eq!(decoded.entry.unwrap().view().len(), 2);
        assert_eq!(decoded.problem_count, 1);
        assert_eq!(decoded.problems[0].key, "instances:a.example");
        assert!(decoded.problems[0].problem.contains("'nonsense'"), "{:?}", decoded.problems);
    }

    #[test]
    fn a_key_whose_host_no_request_can_have_is_left_out() {
        for host in [
            &b""[..],
            b"\xff",
            b"a\r\nb\0.example",
            b"A.example",
            b"a.example.",
            b"a b",
            b"a:80",
            &[b'x'; 70_000],
        ] {
            let decoded = decode(&stored(host, &["10.0.0.1:80"], &[]));
            assert!(decoded.entry.is_none() && decoded.problem_count == 1, "{:?}", decoded.problems);
            let Described { key, problem } = &decoded.problems[0];
            assert!(key.len() + problem.len() < 1000);
            assert!(!format!("{key}{problem}").contains(char::is_control));
        }
        assert_eq!(decode(&stored(b"\xff", &[], &[])).problem_count, 0, "a key that is gone is no problem");
    }

    #[test]
    fn a_key_of_another_type_is_named() {
        let decoded = decode(&Stored { members: Set::WrongType, ..stored(b"a.example", &[], &[A]) });
        assert!(decoded.entry.is_none() && decoded.out_of_step.is_none());
        assert!(decoded.problems[0].problem.contains("not a set"));
        let decoded = decode(&Stored { ids: Set::WrongType, ..stored(b"a.example", &["10.0.0.1:80"], &[]) });
        assert!(decoded.entry.is_some());
        assert_eq!(decoded.problems[0].key, "instance_ids:a.example");
    }

    #[test]
    fn a_members_id_is_found_where_it_can_be() {
        let alone = stored(b"a.example", &["10.0.0.1:80"], &[A]);
        assert_eq!(ids_of(&alone), [Some(A.to_owned())]);

        let two = stored(b"a.example", &["10.0.0.1:80", "10.0.0.2:80"], &[A, B]);
        assert_eq!(ids_of(&two), [None, None], "nothing says whose they are");
        let linked = Stored { links: vec![(b"10.0.0.2:80".to_vec(), A.into())], ..two };
        assert_eq!(ids_of(&linked), [Some(B.to_owned()), Some(A.to_owned())]);

        let derived = derived_id("a.example", "10.0.0.2:80").to_string();
        let by_us = stored(b"a.example", &["10.0.0.1:80", "10.0.0.2:80"], &[&derived]);
        assert_eq!(ids_of(&by_us), [None, Some(derived)]);

        let by_key = format!("10.0.0.1:80#v#n#{B}");
        let by_key = stored(b"a.example", &[&by_key, "10.0.0.2:80"], &[A, B]);
        assert_eq!(ids_of(&by_key), [Some(B.to_owned()), Some(A.to_owned())]);
    }

    #[test]
    fn sets_that_differ_in_number_are_out_of_step() {
        assert_eq!(decode(&stored(b"a", &["10.0.0.1:80"], &[])).out_of_step, Some((1, 0)));
        assert_eq!(decode(&stored(b"a", &[], &[A])).out_of_step, Some((0, 1)));
        assert_eq!(decode(&stored(b"a", &["10.0.0.1:80"], &["odd"])).out_of_step, None);
    }

    proptest! {
        #[test]
        fn no_bytes_of_a_store_make_it_panic(
            host: Vec<u8>,
            members in prop::collection::vec(any::<Vec<u8>>(), 0..8),
            ids in prop::collection::vec(any::<Vec<u8>>(), 0..8),
        ) {
            let links = members.iter().cloned().zip(ids.iter().cloned()).collect();
            let (members, ids) = (Set::Whole(members), Set::Whole(ids));
            decode(&Stored { host: host.into(), members, ids, links, expires: None });
        }
    }
}
