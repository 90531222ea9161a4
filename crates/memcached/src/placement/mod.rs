//! Which server a key lives on: libmemcached's distributions, point for point.
//!
//! A [`Placement`] is built once from an [`Address`] and then answers without allocation. It promises the
//! same server as libmemcached 1.1 for every key (`tests/golden` holds what libmemcached chose), and an
//! order of the other servers in which [`Placement::candidates`] gives each of them once: the order of
//! failover and of replicas, which is ours.

mod explanation;
mod ring;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Serialize, Serializer};

use crate::address::{Address, ServerAddress};
use crate::hash::Hash;

pub use explanation::{ChosenPoint, ChosenServer, Explanation};
use ring::Ring;

/// How a hash becomes a server: `MEMCACHED_BEHAVIOR_DISTRIBUTION` of libmemcached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Distribution {
    /// The hash modulo the number of servers, in the order they are written. Another number of servers
    /// moves nearly every key.
    #[default]
    Modula,
    /// A ring with 100 points a server, weights ignored: libmemcached's `DISTRIBUTION_CONSISTENT` (and
    /// `CONSISTENT_KETAMA`, which is the same) while its flag for weights is off.
    Consistent,
    /// A ring whose points are MD5 digests, about 160 a server, more for a heavier one: libmemcached's
    /// `CONSISTENT_WEIGHTED`, and `CONSISTENT` once a server with a weight above 1 was added. Keys are
    /// hashed with [`Address::hash`]; `KETAMA_WEIGHTED` sets that to MD5 as well.
    ConsistentWeighted,
    /// Any server, another one each time: what was written is found again only by luck.
    Random,
}

impl Distribution {
    /// Every distribution there is.
    pub const ALL: [Distribution; 4] = [
        Distribution::Modula,
        Distribution::Consistent,
        Distribution::ConsistentWeighted,
        Distribution::Random,
    ];

    /// The name in an address.
    pub fn name(self) -> &'static str {
        match self {
            Distribution::Modula => "modula",
            Distribution::Consistent => "consistent",
            Distribution::ConsistentWeighted => "consistent_weighted",
            Distribution::Random => "random",
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Distribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The longest text libmemcached hashes with its namespace.
const LONGEST_HASHED: usize = 250;

/// Decides the server of each key.
#[derive(Debug)]
pub struct Placement {
    servers: Box<[ServerAddress]>,
    hash: Hash,
    distribution: Distribution,
    /// What is hashed in front of the key: the prefix if `hash_with_namespace`, else nothing.
    namespace: Box<[u8]>,
    ring: Option<Ring>,
    /// The state of the random distribution's generator.
    random: AtomicU64,
}

impl Placement {
    /// Lays out the servers. An address without servers has no candidates for any key.
    pub fn new(address: &Address) -> Placement {
        let ring = match address.distribution {
            Distribution::Modula | Distribution::Random => None,
            Distribution::Consistent => {
                Some(Ring::unweighted(&address.servers, address.point_hash.unwrap_or(address.hash)))
            }
            Distribution::ConsistentWeighted => Some(Ring::weighted(&address.servers)),
        };
        Placement {
            servers: address.servers.clone().into(),
            hash: address.hash,
            distribution: address.distribution,
            namespace: if address.hash_with_namespace {
                address.prefix.clone().into()
            } else {
                Box::default()
            },
            ring,
            random: AtomicU64::new(seed()),
        }
    }

    /// The index of a key's server among the address's servers. The key is without its prefix.
    pub fn server(&self, key: &[u8]) -> usize {
        self.locate(key).server
    }

    /// All servers, each once: the key's own, then those to go to when it is away. On a ring they follow in
    /// the order of the points after the key's, so that the keys of a lost server spread over the others;
    /// otherwise by index.
    pub fn candidates(&self, key: &[u8]) -> Candidates<'_> {
        Candidates { placement: self, at: self.locate(key), given: 0, seen: Vec::new(), steps: 0 }
    }

    /// Why a key goes where it goes.
    pub fn explain(&self, key: &[u8]) -> Explanation {
        Explanation::new(self, key)
    }

    /// The servers, as the address has them.
    pub fn servers(&self) -> &[ServerAddress] {
        &self.servers
    }

    /// The hash of a key, its namespace included where that counts.
    fn value(&self, key: &[u8]) -> u32 {
        if self.namespace.is_empty() {
            return self.hash.digest(key);
        }
        let length = self.namespace.len() + key.len();
        if length > LONGEST_HASHED {
            // As libmemcached does; such a key can't be sent anyway.
            return 0;
        }
        let mut text = [0; LONGEST_HASHED];
        let (namespace, rest) = text.split_at_mut(self.namespace.len());
        namespace.copy_from_slice(&self.namespace);
        rest[..key.len()].copy_from_slice(key);
        self.hash.digest(&text[..length])
    }

    fn locate(&self, key: &[u8]) -> Location {
        let count = self.servers.len();
        if count < 2 {
            return Location { point: None, server: 0 };
        }
        if let Some(ring) = &self.ring
            && let Some((point, server)) = ring.locate(self.value(key))
        {
            return Location { point: Some(point), server };
        }
        let number = match self.distribution {
            Distribution::Random => self.next_random(),
            _ => u64::from(self.value(key)),
        };
        // Smaller than the number of servers.
        Location { point: None, server: (number % count as u64) as usize }
    }

    /// The next number of SplitMix64, a generator whose state is a counter.
    fn next_random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut number = self.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ number >> 31
    }
}

/// A start for the random distribution that differs between processes.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// Where a key came to lie.
#[derive(Debug, Clone, Copy)]
struct Location {
    /// The index of the point on the ring, where there is a ring.
    point: Option<usize>,
    server: usize,
}

/// The servers for a key in the order they are asked, each once. See [`Placement::candidates`].
#[derive(Debug)]
pub struct Candidates<'a> {
    placement: &'a Placement,
    at: Location,
    /// How many were given.
    given: usize,
    /// Which were given; empty until a second one is asked for, so that the usual case doesn't allocate.
    seen: Vec<bool>,
    /// Steps made on the ring, or by index, from the key's own place.
    steps: usize,
}

impl Candidates<'_> {
    /// The server so many steps on. Past the ring's end come those that have no point on it, by index.
    fn step(&mut self) -> usize {
        self.steps += 1;
        let count = self.placement.servers.len();
        match (&self.placement.ring, self.at.point) {
            (Some(ring), Some(point)) if self.steps < ring.len() => ring.server(point + self.steps),
            (Some(ring), Some(_)) => (self.steps - ring.len()) % count,
            _ => (self.at.server + self.steps) % count,
        }
    }
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let count = self.placement.servers.len();
        if self.given == count {
            return None;
        }
        if self.given == 0 {
            self.given = 1;
            return Some(self.at.server);
        }
        if self.seen.is_empty() {
            self.seen = vec![false; count];
            self.seen[self.at.server] = true;
        }
        // Every server comes up: by index, or at the latest after the ring's end.
        loop {
            let server = self.step();
            if !self.seen[server] {
                self.seen[server] = true;
                self.given += 1;
                return Some(server);
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.placement.servers.len() - self.given;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Candidates<'_> {}

#[cfg(test)]
mod tests;
