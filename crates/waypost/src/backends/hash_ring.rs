//! `type = "hash_ring"`.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use toml::de::DeValue;
use waypost_backend::{Algorithm, Backend, HashRing as Node, HashRingOptions};
use waypost_http1::Fields;

use super::cluster::HealthKeys;
use super::cookie::CookieName;
use super::{BackendSpec, BackendType, Child, Findings, Site};
use crate::config::{Config, Setting, expected, quoted, section, words};

/// More points than this make members' shares no more even, only the ring larger.
const MOST_POINTS: u32 = 10_000;

section! {
    /// Consistent hashing: what is asked for decides on the member, so that each sees the same requests again
    /// and again. A member that is down gives its keys, and only its keys, to the next point up; all down is
    /// 503. In which order members are listed does not matter. See [clusters](clusters.md).
    HashRing {
        /// The backends on the ring.
        members: Vec<String>,
        /// What decides: `path_and_query`, `host`, the value of a field as `header:X-User`, or of a cookie as
        /// `cookie:session`. A request without the field or cookie goes by path and query.
        key: RingKey = RingKey(waypost_backend::RingKey::PathAndQuery),
        /// How many points each member has on the ring. Not set: 128, but 160 with `ketama`, which are nginx's.
        points: Option<u32> = None,
        /// How keys and members are placed: `ketama` places as nginx does with `hash KEY consistent`, a
        /// `client` by host and port as its `url` has them, any other backend by its name; `xxh3` spreads
        /// keys more evenly.
        algorithm: Algorithm = Algorithm::Ketama,
        /// Bounded loads: no member gets more requests at once than so many times the average, as `1.25`; what
        /// is above goes to the next. Not set: however many its keys bring.
        bound: Option<Bound> = None,
        /// How often each member is asked how it is.
        probe_interval: Duration = Duration::from_secs(1),
        /// After so many failures in a row a member is down.
        fall: u32 = 3,
        /// After so many good probes in a row a member is up again.
        rise: u32 = 2,
        /// For so long a member that has come up again gets only some of its keys, and ever more of them.
        slow_start: Duration = Duration::ZERO,
    }
}

words! {
    Algorithm {
        Ketama = "ketama",
        Xxh3 = "xxh3",
    }
}

impl HashRing {
    fn health(&self) -> HealthKeys {
        let HashRing { probe_interval, fall, rise, slow_start, .. } = *self;
        HealthKeys { probe_interval, fall, rise, slow_start }
    }
}

impl BackendType for HashRing {
    const NAME: &'static str = "hash_ring";

    fn children(&self) -> Vec<Child<'_>> {
        Child::each("members", &self.members)
    }

    fn check(&self, found: &mut Findings<'_>) {
        self.health().check(&self.members, found);
        if self.points.is_some_and(|points| !(1..=MOST_POINTS).contains(&points)) {
            found.add("points", format_args!("must be from 1 to {MOST_POINTS}"));
        }
    }

    fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Backend> {
        let options = HashRingOptions {
            key: self.key.0.clone(),
            algorithm: self.algorithm,
            points: self.points,
            bound: self.bound.map(|bound| bound.0),
            cluster: self.health().options(),
        };
        let names = names_on_ring(site.config(), &self.members);
        let members = names.into_iter().zip(site.backends(&self.members)).collect();
        Rc::new(Node::new(name, members, options, site.peers().registry()))
    }
}

/// The names by which members are placed. Two that would have the same go by their backends' names.
fn names_on_ring(config: &Config, members: &[String]) -> Vec<String> {
    let names: Vec<&str> = members.iter().map(|member| name_on_ring(config, member)).collect();
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&str> = names.iter().copied().filter(|name| !seen.insert(*name)).collect();
    let name = |(name, member): (&str, &String)| if twice.contains(name) { member.clone() } else { name.to_owned() };
    names.iter().copied().zip(members).map(name).collect()
}

/// A server is known by its address, also behind backends that wrap it: those neither move its keys when they
/// are put around it nor when they are taken off.
fn name_on_ring<'a>(config: &'a Config, member: &'a str) -> &'a str {
    let mut name = member;
    while let Some(backend) = config.backend(name) {
        match (&backend.spec, backend.spec.children().as_slice()) {
            (BackendSpec::Client(client), _) => return &client.url.authority,
            (_, [Child { key: "backend", name: wrapped }]) => name = wrapped,
            _ => break,
        }
    }
    member
}

/// What of a request decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingKey(pub waypost_backend::RingKey);

impl Setting for RingKey {
    fn kind() -> String {
        "path_and_query, host, header:NAME or cookie:NAME".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        use waypost_backend::RingKey as Key;
        let wrong = || format!("{text:?} is not {}", Self::kind());
        let key = match text.split_once(':') {
            None if text == "path_and_query" => Key::PathAndQuery,
            None if text == "host" => Key::Host,
            Some(("header", name)) if Fields::new().push(name, b"").is_ok() => Key::Header(name.to_owned()),
            Some(("cookie", name)) => Key::Cookie(CookieName::parse(name).map_err(|_| wrong())?.0),
            _ => return Err(wrong()),
        };
        Ok(Self(key))
    }

    fn show(&self) -> Option<String> {
        use waypost_backend::RingKey as Key;
        quoted(match &self.0 {
            Key::PathAndQuery => "path_and_query".to_owned(),
            Key::Host => "host".to_owned(),
            Key::Header(name) => format!("header:{name}"),
            Key::Cookie(name) => format!("cookie:{name}"),
        })
    }
}

/// How many times the average a member may have in hand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound(pub f64);

impl Setting for Bound {
    fn kind() -> String {
        "a number from 1 to 100 as 1.25".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let bound = text.trim().parse().ok().filter(|bound| (1.0..=100.0).contains(bound));
        bound.map(Self).ok_or_else(|| format!("expected {}, found {text}", Self::kind()))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Float(number) => Self::parse(number.as_str()),
            DeValue::Integer(number) => Self::parse(number.as_str()),
            other => Err(expected(&Self::kind(), other)),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_of_four() {
        for text in ["path_and_query", "host", "header:X-User", "cookie:session"] {
            assert_eq!(RingKey::parse(text).unwrap().show().unwrap(), format!("\"{text}\""));
        }
        for text in ["", "path", "header:", "header:a b", "cookie:", "cookie:a=b", "Host", "host:x"] {
            assert!(RingKey::parse(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn a_bound_is_no_less_than_the_average() {
        assert_eq!(Bound::parse("1.25"), Ok(Bound(1.25)));
        assert_eq!(Bound::parse("2"), Ok(Bound(2.0)));
        for text in ["0.5", "-1", "nan", "inf", "1e9", "x", ""] {
            assert!(Bound::parse(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn a_server_is_placed_by_its_address_whatever_is_wrapped_around_it() {
        let text = r#"
            entry = "ring"
            [backend.ring]
            type = "hash_ring"
            members = ["plain", "wrapped", "fixed", "twin1", "twin2"]
            [backend.plain]
            type = "client"
            url = "http://Cache1.internal"
            [backend.wrapped]
            type = "headers"
            backend = "inner"
            [backend.inner]
            type = "client"
            url = "http://10.0.0.2:80"
            [backend.fixed]
            type = "respond"
            [backend.twin1]
            type = "client"
            url = "http://10.0.0.3:8080"
            [backend.twin2]
            type = "client"
            url = "http://10.0.0.3:8080/"
        "#;
        let config = Config::from_text(text, None, &[]).unwrap_or_else(|problems| panic!("{problems}"));
        let members = ["plain", "wrapped", "fixed", "twin1", "twin2"].map(str::to_owned);
        assert_eq!(
            names_on_ring(&config, &members),
            ["cache1.internal", "10.0.0.2:80", "fixed", "twin1", "twin2"]
        );
    }
}
