//! Why a key lives where it lives, for people and for programs (`waypost kv where`).

use std::fmt;

use serde::Serialize;

use super::{Distribution, Placement};
use crate::hash::Hash;

/// The way from a key to its server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The key, without its prefix; bytes that are not UTF-8 are replaced.
    pub key: String,
    /// What is hashed: the key, after its prefix where `hash_with_namespace` is on.
    pub hashed: String,
    /// The hash.
    pub hash: Hash,
    /// Its value.
    pub value: u32,
    /// How its server follows from it.
    pub distribution: Distribution,
    /// The point on the ring, where there is a ring and more than one server.
    pub point: Option<ChosenPoint>,
    /// The key's server; none for an address without servers.
    pub server: Option<ChosenServer>,
    /// The servers after it, in the order of failover.
    pub next: Vec<ChosenServer>,
}

/// The first point at or after a key's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChosenPoint {
    /// The point's value.
    pub value: u32,
    /// How many points the ring has.
    pub of: usize,
}

/// A server of the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChosenServer {
    /// Its place in the address, from 0.
    pub index: usize,
    /// `host:port` or the socket's path.
    pub address: String,
    /// Its weight, which counts on the weighted ring only.
    pub weight: u32,
}

impl Explanation {
    pub(super) fn new(placement: &Placement, key: &[u8]) -> Explanation {
        let candidates = placement.candidates(key);
        let point = match (&placement.ring, candidates.at.point) {
            (Some(ring), Some(index)) => Some(ChosenPoint { value: ring.value(index), of: ring.len() }),
            _ => None,
        };
        let mut servers = candidates.map(|index| {
            let server = &placement.servers[index];
            ChosenServer { index, address: server.endpoint.to_string(), weight: server.weight }
        });
        let server = servers.next();
        Explanation {
            key: String::from_utf8_lossy(key).into_owned(),
            hashed: String::from_utf8_lossy(&[&placement.namespace, key].concat()).into_owned(),
            hash: placement.hash,
            value: placement.value(key),
            distribution: placement.distribution,
            point,
            server,
            next: servers.collect(),
        }
    }
}

impl fmt::Display for Explanation {
    /// A few lines, each a word and what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { hashed, hash, value, distribution, .. } = self;
        writeln!(f, "key     {}", self.key.escape_debug())?;
        writeln!(f, "hash    {hash} of {} is {value} ({value:#010x})", hashed.escape_debug())?;
        let servers = self.next.len() + usize::from(self.server.is_some());
        match self.point {
            Some(ChosenPoint { value: point, of }) => {
                let turned = if point < *value { ", past the end, the first point of all" } else { "" };
                writeln!(f, "placed  {distribution}: point {point} ({point:#010x}) of {of}{turned}")?;
            }
            None if servers < 2 => writeln!(f, "placed  the only server, whatever the distribution")?,
            None if *distribution == Distribution::Random => {
                writeln!(f, "placed  random: this time, and another one the next")?;
            }
            None => writeln!(f, "placed  {distribution}: {value} modulo {servers}")?,
        }
        match &self.server {
            Some(server) => write!(f, "server  {} (weight {})", server.address, server.weight)?,
            None => write!(f, "server  none: the address has no servers")?,
        }
        for (at, server) in self.next.iter().enumerate() {
            let word = if at == 0 { "\nthen    " } else { ", " };
            write!(f, "{word}{}", server.address)?;
        }
        Ok(())
    }
}
