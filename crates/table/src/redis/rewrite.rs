//! What has to be said to a store so that a host has other members.
//!
//! A set may hold what others wrote: members with extensions of their own, or malformed ones. What need not
//! change is left exactly as it stands, and what is malformed stays until the host is removed.
//!
//! Ids are kept in step like this. A member that is added gets the id it was given, which is noted in the
//! hash of links, or else one derived from host and member, which needs no note. With a member its id goes;
//! with the last member all ids go. Whose an id is that someone else wrote may not be known
//! ([`tell`](super::decoded::tell)): such ids go together with the last member that has none, and until then
//! the sets may be out of step, which `waypost route check` shows.

use std::collections::BTreeSet;

use redis::Cmd;
use uuid::Uuid;

use crate::member::Member;
use crate::pattern::Pattern;

use super::decoded::{Told, derived_id};
use super::keys::{IDS, INSTANCES, LINKS, key, keys};
use super::stored::Stored;

/// What a host is to become.
pub(super) struct Wanted<'a> {
    /// Its members.
    pub(super) members: &'a [Member],
    /// Whether what is malformed is to go too.
    pub(super) clean: bool,
}

/// The commands that make of a host what is wanted; none if it is that already.
pub(super) fn rewrite(pattern: &Pattern, stored: &Stored, told: &[Told], wanted: &Wanted<'_>) -> Vec<Cmd> {
    let is_kept = |told: &Told| match &told.member {
        Ok(member) => wanted.members.contains(member),
        Err(_) => !wanted.clean,
    };
    let (kept, gone): (Vec<&Told>, Vec<&Told>) = told.iter().partition(|told| is_kept(told));
    let is_there = |member: &&Member| kept.iter().any(|told| told.member.as_ref() == Ok(*member));
    let added: Vec<(String, &Member)> =
        wanted.members.iter().filter(|m| !is_there(m)).map(|m| (m.to_string(), m)).collect();
    if kept.is_empty() && added.is_empty() {
        return if stored.is_nothing() { Vec::new() } else { vec![command("DEL", &keys(&stored.host))] };
    }
    if gone.is_empty() && added.is_empty() {
        return Vec::new();
    }

    let host = &stored.host;
    let mut commands = Vec::new();
    let texts: Vec<&[u8]> = added.iter().map(|(text, _)| text.as_bytes()).collect();
    let removed: Vec<&[u8]> =
        gone.iter().map(|told| told.raw.as_slice()).filter(|raw| !texts.contains(raw)).collect();
    let is_new = |text: &&&[u8]| !told.iter().any(|told| told.raw == **text);
    let new: Vec<&[u8]> = texts.iter().filter(is_new).copied().collect();
    push(&mut commands, "SREM", key(INSTANCES, host), &removed);
    push(&mut commands, "SADD", key(INSTANCES, host), &new);

    let ids = Ids::of(pattern, stored, &kept, &gone, &added);
    push(&mut commands, "SREM", key(IDS, host), &ids.removed);
    let new: Vec<&[u8]> = ids.new.iter().map(String::as_bytes).collect();
    push(&mut commands, "SADD", key(IDS, host), &new);
    let is_linked = |raw: &&[u8]| stored.links.iter().any(|(linked, _)| linked == raw);
    let unlinked: Vec<&[u8]> = gone.iter().map(|told| told.raw.as_slice()).filter(is_linked).collect();
    push(&mut commands, "HDEL", key(LINKS, host), &unlinked);
    let links: Vec<&[u8]> =
        ids.links.iter().flat_map(|(text, id)| [text.as_bytes(), id.as_bytes()]).collect();
    push(&mut commands, "HSET", key(LINKS, host), &links);
    commands
}

/// What becomes of a host's ids.
struct Ids<'a> {
    removed: Vec<&'a [u8]>,
    new: Vec<String>,
    /// Members whose id can't be told otherwise, with their ids.
    links: Vec<(&'a str, String)>,
}

impl<'a> Ids<'a> {
    fn of(
        pattern: &Pattern,
        stored: &'a Stored,
        kept: &[&Told],
        gone: &[&Told],
        added: &'a [(String, &Member)],
    ) -> Ids<'a> {
        let own = |told: &&Told| told.member.as_ref().ok().and_then(|member| member.instance_id);
        let is_without = |told: &&Told| own(told).is_none();
        let kept_ids: BTreeSet<Uuid> = kept.iter().filter_map(own).collect();
        let gone_ids: BTreeSet<Uuid> = gone.iter().filter_map(own).collect();
        let mut wanted = BTreeSet::new();
        let mut links = Vec::new();
        for (text, member) in added {
            let derived = derived_id(pattern.as_str(), text);
            let id = member.instance_id.unwrap_or(derived);
            wanted.insert(id);
            if id != derived {
                links.push((text.as_str(), id.to_string()));
            }
        }
        // Ids of nobody that is left can only have been those of members that went without one.
        let nobody_is_without = gone.iter().any(is_without) && !kept.iter().any(is_without);
        let goes = |raw: &&Vec<u8>| match Uuid::try_parse_ascii(raw) {
            Ok(id) if kept_ids.contains(&id) || wanted.contains(&id) => false,
            Ok(id) => gone_ids.contains(&id) || nobody_is_without,
            Err(_) => nobody_is_without,
        };
        let there: BTreeSet<Uuid> =
            stored.ids.read().iter().filter_map(|raw| Uuid::try_parse_ascii(raw).ok()).collect();
        Ids {
            removed: stored.ids.read().iter().filter(goes).map(Vec::as_slice).collect(),
            new: wanted.difference(&there).map(Uuid::to_string).collect(),
            links,
        }
    }
}

fn push(commands: &mut Vec<Cmd>, name: &str, key: Vec<u8>, arguments: &[&[u8]]) {
    if !arguments.is_empty() {
        let mut command = command(name, &[key]);
        command.arg(arguments);
        commands.push(command);
    }
}

fn command(name: &str, keys: &[Vec<u8>]) -> Cmd {
    let mut command = redis::cmd(name);
    for key in keys {
        command.arg(key);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::super::decoded::tell;
    use super::super::stored::Set;
    use super::*;

    const A: &str = "11111111-1111-4111-8111-111111111111";
    const B: &str = "22222222-2222-4222-8222-222222222222";

    fn raw(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    fn stored(members: &[&str], ids: &[&str], links: &[(&str, &str)]) -> Stored {
        Stored {
            host: b"a.example".as_slice().into(),
            members: Set::Whole(raw(members)),
            ids: Set::Whole(raw(ids)),
            links: links
                .iter()
                .map(|(member, id)| (member.as_bytes().to_vec(), id.as_bytes().to_vec()))
                .collect(),
            expires: None,
        }
    }

    fn member(text: &str) -> Member {
        Member::parse(text).unwrap().0
    }

    /// The commands as texts, with the members that a function makes of those that are there.
    fn told(stored: &Stored, clean: bool, change: impl FnOnce(&mut Vec<Member>)) -> Vec<String> {
        let pattern = Pattern::parse("a.example").unwrap();
        let told = tell(&pattern, stored, &mut BTreeSet::new());
        let mut members: Vec<Member> = told.iter().filter_map(|told| told.member.clone().ok()).collect();
        change(&mut members);
        let commands = rewrite(&pattern, stored, &told, &Wanted { members: &members, clean });
        let text = |command: &Cmd| {
            let words = command.args_iter().map(|arg| match arg {
                redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                _ => String::new(),
            });
            words.collect::<Vec<_>>().join(" ")
        };
        commands.iter().map(text).collect()
    }

    #[test]
    fn a_new_member_brings_a_derived_id_or_its_own() {
        let derived = derived_id("a.example", "10.0.0.1:80#v");
        assert_eq!(
            told(&stored(&[], &[], &[]), false, |members| members.push(member("10.0.0.1:80#v"))),
            ["SADD instances:a.example 10.0.0.1:80#v", &format!("SADD instance_ids:a.example {derived}")]
        );
        let given = Member { instance_id: Some(A.parse().unwrap()), ..member("10.0.0.1:80#v") };
        assert_eq!(
            told(&stored(&[], &[], &[]), false, |members| members.push(given)),
            [
                "SADD instances:a.example 10.0.0.1:80#v",
                &format!("SADD instance_ids:a.example {A}"),
                &format!("HSET instance_id_of:a.example 10.0.0.1:80#v {A}"),
            ]
        );
    }

    #[test]
    fn a_member_that_goes_takes_its_id_along() {
        let two = stored(&["10.0.0.1:80", "10.0.0.2:80"], &[A, B], &[("10.0.0.1:80", B)]);
        assert_eq!(
            told(&two, false, |members| members.retain(|member| member.to_string() != "10.0.0.1:80")),
            [
                "SREM instances:a.example 10.0.0.1:80",
                &format!("SREM instance_ids:a.example {B}"),
                "HDEL instance_id_of:a.example 10.0.0.1:80",
            ]
        );
        let everything = "DEL instances:a.example instance_ids:a.example instance_id_of:a.example";
        assert_eq!(told(&two, false, Vec::clear), [everything]);
        assert!(told(&stored(&[], &[], &[]), true, Vec::clear).is_empty());
    }

    #[test]
    fn ids_that_nobody_can_place_go_with_the_last_member_that_has_none() {
        let three = stored(&["10.0.0.1:80", "10.0.0.2:80"], &[A, B], &[]);
        let without = |gone: &'static str| {
            move |members: &mut Vec<Member>| members.retain(|member| member.to_string() != gone)
        };
        assert_eq!(told(&three, false, without("10.0.0.1:80")), ["SREM instances:a.example 10.0.0.1:80"]);
        let replaced = told(&three, false, |members| *members = vec![member("10.0.0.3:80")]);
        assert!(replaced.contains(&format!("SREM instance_ids:a.example {A} {B}")), "{replaced:?}");
    }

    #[test]
    fn what_others_wrote_stays_as_it_is_unless_the_host_goes() {
        let odd = stored(&["10.0.0.1:80####color=red", "nonsense"], &[], &[]);
        assert!(told(&odd, false, |_| {}).is_empty());
        let added = told(&odd, false, |members| members.push(member("10.0.0.2:80")));
        assert!(added.iter().all(|command| command.starts_with("SADD")), "{added:?}");
        assert_eq!(told(&odd, true, |_| {}), ["SREM instances:a.example nonsense"]);
    }

    #[test]
    fn an_update_takes_over_the_id() {
        let derived = derived_id("a.example", "10.0.0.1:80").to_string();
        let one = stored(&["10.0.0.1:80"], &[&derived], &[]);
        let commands = told(&one, false, |members| members[0].weight = 3);
        assert_eq!(
            commands,
            [
                "SREM instances:a.example 10.0.0.1:80",
                "SADD instances:a.example 10.0.0.1:80####weight=3",
                &format!("HSET instance_id_of:a.example 10.0.0.1:80####weight=3 {derived}"),
            ]
        );
    }
}
