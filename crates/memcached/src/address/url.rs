//! `memcached://HOST[:PORT][/WEIGHT],…?SETTING=VALUE&…` and `memcached+unix:///PATH?…`.
//!
//! Percent-encoding works in hosts, paths and values; a `+` is a plus. `distribution=consistent` heeds
//! weights as soon as one is above 1, which is what libmemcached does with servers added after the
//! distribution was chosen. The other cases have libmemcached's clients' names: `ketama` never heeds
//! weights; `consistent_weighted` always does; `ketama_weighted` is the latter with MD5 for the keys, unless
//! another hash is named.

use std::borrow::Cow;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use super::error::{did_you_mean, options};
use super::{Address, AddressError, Protocol, ServerAddress, duration};
use crate::hash::Hash;
use crate::placement::Distribution;

/// Every setting.
const SETTINGS: [&str; 17] = [
    "hash",
    "point_hash",
    "distribution",
    "prefix",
    "hash_with_namespace",
    "ttl",
    "timeout",
    "connect_timeout",
    "protocol",
    "tls",
    "tls_ca",
    "user",
    "password",
    "failover",
    "retry_timeout",
    "replicas",
    "pool",
];

/// Every word for a distribution.
const DISTRIBUTIONS: [&str; 6] =
    ["modula", "consistent", "consistent_weighted", "ketama", "ketama_weighted", "random"];

pub(super) fn parse(text: &str) -> Result<Address, AddressError> {
    let unknown = || {
        let word = text.split("://").next().unwrap_or_default();
        // What stands further on may be a password.
        AddressError::Scheme { found: word.chars().take(20).collect() }
    };
    let (scheme, rest) = text.split_once("://").ok_or_else(unknown)?;
    let (place, settings) = rest.split_once('?').unwrap_or((rest, ""));
    let servers = match scheme.to_ascii_lowercase().as_str() {
        "memcached" => servers(place)?,
        "memcached+unix" => {
            let path = percent_decode_str(place).decode_utf8().map_err(|_| AddressError::Server {
                server: place.into(),
                problem: "the path is not UTF-8 once it is decoded".into(),
            })?;
            vec![ServerAddress::unix(&path, 1)?]
        }
        _ => return Err(unknown()),
    };
    let mut address = Address { servers, ..Address::default() };
    apply(&mut address, settings)?;
    Ok(address)
}

fn servers(place: &str) -> Result<Vec<ServerAddress>, AddressError> {
    if place.contains('@') {
        return Err(AddressError::UserInfo);
    }
    // `memcached://host/?…` is how many write it.
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.is_empty() {
        return Err(AddressError::NoServer);
    }
    place.split(',').map(ServerAddress::parse).collect()
}

fn apply(address: &mut Address, settings: &str) -> Result<(), AddressError> {
    let mut given = Vec::new();
    let mut distribution = None;
    for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let Some(name) = SETTINGS.into_iter().find(|known| *known == name) else {
            let hint = did_you_mean(name, SETTINGS).unwrap_or_else(|| options(SETTINGS));
            return Err(AddressError::Unknown { name: name.into(), hint });
        };
        if given.contains(&name) {
            return Err(AddressError::Twice { name: name.into() });
        }
        given.push(name);
        let setting = Setting { name, encoded: value };
        match name {
            "hash" => address.hash = setting.hash()?,
            "point_hash" => address.point_hash = Some(setting.hash()?),
            "distribution" => distribution = Some(setting.word(&DISTRIBUTIONS)?),
            "prefix" => address.prefix = percent_decode_str(value).collect(),
            "hash_with_namespace" => address.hash_with_namespace = setting.flag()?,
            "ttl" => address.ttl = Some(setting.ttl()?),
            "timeout" => address.timeout = setting.limit()?,
            "connect_timeout" => address.connect_timeout = setting.limit()?,
            "protocol" => {
                let name = setting.word(&Protocol::ALL.map(Protocol::name))?;
                address.protocol = Protocol::ALL.into_iter().find(|it| it.name() == name).unwrap_or_default();
            }
            "tls" => address.tls = setting.flag()?,
            "tls_ca" => address.tls_ca = Some(setting.filled("the path of a file")?.into()),
            "user" => address.user = Some(setting.filled("a name")?),
            "password" => address.password = Some(setting.text()?.into_owned()),
            "failover" => address.failover = setting.flag()?,
            "retry_timeout" => address.retry_timeout = setting.duration()?,
            "replicas" => address.replicas = setting.number(1, u32::MAX, "a number from 1")?,
            _ => {
                let expected = format!("a number from 1 to {}", Address::MAX_POOL);
                address.pool = setting.number(1, Address::MAX_POOL, &expected)?;
            }
        }
    }
    if let Some(word) = distribution {
        place(address, word, given.contains(&"hash"));
    }
    Ok(())
}

/// Follows the word for a distribution.
fn place(address: &mut Address, word: &str, hash_given: bool) {
    address.distribution = match word {
        "modula" => Distribution::Modula,
        "random" => Distribution::Random,
        "consistent" if !address.has_weights() => Distribution::Consistent,
        "ketama" => Distribution::Consistent,
        // `consistent` with weights, and the two that always heed them.
        _ => Distribution::ConsistentWeighted,
    };
    if word == "ketama_weighted" && !hash_given {
        address.hash = Hash::Md5;
    }
}

/// A setting and its value as written.
struct Setting<'a> {
    name: &'static str,
    encoded: &'a str,
}

impl<'a> Setting<'a> {
    fn wrong(&self, expected: impl Into<String>) -> AddressError {
        let value = if self.name == "password" { "…" } else { self.encoded };
        AddressError::Value { name: self.name.into(), value: value.into(), expected: expected.into() }
    }

    /// The value, decoded.
    fn text(&self) -> Result<Cow<'a, str>, AddressError> {
        let text = percent_decode_str(self.encoded).decode_utf8();
        text.map_err(|_| self.wrong("text in UTF-8, percent-encoded"))
    }

    /// The value, which may not be empty.
    fn filled(&self, expected: &str) -> Result<String, AddressError> {
        let text = self.text()?;
        if text.is_empty() { Err(self.wrong(expected)) } else { Ok(text.into_owned()) }
    }

    /// One of some words, in any case.
    fn word(&self, words: &[&'static str]) -> Result<&'static str, AddressError> {
        let text = self.text()?;
        let found = words.iter().find(|word| word.eq_ignore_ascii_case(&text));
        found.copied().ok_or_else(|| {
            let hint = did_you_mean(&text, words.iter().copied()).unwrap_or_default();
            self.wrong(format!("one of {}{hint}", words.join(", ")))
        })
    }

    fn hash(&self) -> Result<Hash, AddressError> {
        let name = self.word(&Hash::ALL.map(Hash::name))?;
        Hash::from_name(name).ok_or_else(|| self.wrong("a hash"))
    }

    fn flag(&self) -> Result<bool, AddressError> {
        self.word(&["true", "false"]).map(|word| word == "true")
    }

    fn duration(&self) -> Result<std::time::Duration, AddressError> {
        duration::parse(&self.text()?).ok_or_else(|| self.wrong(duration::EXPECTED))
    }

    /// A duration of some length: nothing can be done in no time.
    fn limit(&self) -> Result<std::time::Duration, AddressError> {
        let limit = self.duration()?;
        if limit.is_zero() { Err(self.wrong("more than no time at all")) } else { Ok(limit) }
    }

    /// Seconds, bare or as a duration of whole seconds.
    fn ttl(&self) -> Result<u32, AddressError> {
        let text = self.text()?;
        let seconds = match text.parse() {
            Ok(seconds) => Some(seconds),
            Err(_) => duration::parse(&text)
                .filter(|duration| duration.subsec_nanos() == 0)
                .and_then(|duration| u32::try_from(duration.as_secs()).ok()),
        };
        seconds.ok_or_else(|| self.wrong("seconds, as 300 or 5m; 0 is for ever"))
    }

    fn number<N: FromStr + PartialOrd>(&self, least: N, most: N, expected: &str) -> Result<N, AddressError> {
        let number = self.text()?.parse().ok();
        number.filter(|number| (least..=most).contains(number)).ok_or_else(|| self.wrong(expected))
    }
}
