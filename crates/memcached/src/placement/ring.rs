//! The ring of points: each server owns some numbers, a key belongs to the first point at or after its
//! hash. Servers come and go while most keys stay.

use std::fmt::Write as _;

use crate::address::{Endpoint, ServerAddress};
use crate::hash::{Hash, md5_points};

/// Points a server on the unweighted ring.
const POINTS: u32 = 100;

/// Points a server of average weight on the weighted ring.
const WEIGHTED_POINTS: f32 = 160.0;

/// What libmemcached adds before it rounds down, so that a whole number stays itself.
const ROUNDING: f32 = 1e-10;

/// memcached's own port, which the text of a point leaves out.
const DEFAULT_PORT: u16 = 11211;

/// A number that a server owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    value: u32,
    server: u32,
}

/// The points of all servers, by value and then by server.
#[derive(Debug)]
pub(super) struct Ring {
    points: Box<[Point]>,
}

impl Ring {
    /// 100 points each: the key hash of `host-0` to `host-99`.
    pub(super) fn unweighted(servers: &[ServerAddress], hash: Hash) -> Ring {
        Ring::collect(servers, |_, text, add| {
            for number in 0..POINTS {
                add(hash.digest(text.numbered(number)));
            }
        })
    }

    /// Points by weight, four out of each MD5 digest.
    pub(super) fn weighted(servers: &[ServerAddress]) -> Ring {
        let total = servers.iter().map(|server| u64::from(server.weight)).sum();
        Ring::collect(servers, |server, text, add| {
            for number in 0..digests(server.weight, total, servers.len()) {
                md5_points(text.numbered(number)).into_iter().for_each(&mut *add);
            }
        })
    }

    /// Sorts the values that `values` names for each server.
    fn collect(
        servers: &[ServerAddress],
        values: impl Fn(&ServerAddress, &mut PointText, &mut dyn FnMut(u32)),
    ) -> Ring {
        let mut points = Vec::new();
        for (index, server) in (0u32..).zip(servers) {
            let add = &mut |value| points.push(Point { value, server: index });
            values(server, &mut PointText::new(server), add);
        }
        points.sort_unstable();
        Ring { points: points.into() }
    }

    /// The index of the point for a hash, and its server; none when no server has a point.
    pub(super) fn locate(&self, hash: u32) -> Option<(usize, usize)> {
        let found = self.points.partition_point(|point| point.value < hash);
        let index = if found == self.points.len() { 0 } else { found };
        self.points.get(index).map(|point| (index, point.server as usize))
    }

    /// The value of a point.
    pub(super) fn value(&self, index: usize) -> u32 {
        self.points[index].value
    }

    /// The server of a point, counted on over the ring's end.
    pub(super) fn server(&self, index: usize) -> usize {
        self.points[index % self.points.len()].server as usize
    }

    /// How many points there are.
    pub(super) fn len(&self) -> usize {
        self.points.len()
    }
}

/// How many digests of four points a server has. Every step is in `f32`, as in libmemcached: in exact
/// arithmetic some servers would have four points more.
fn digests(weight: u32, total: u64, servers: usize) -> u32 {
    let share = weight as f32 / total as f32;
    // Rounded down and, since shares sum up to 1, at most 40 times the number of servers.
    (share * WEIGHTED_POINTS / 4.0 * servers as f32 + ROUNDING).floor() as u32
}

/// The texts whose hashes are a server's points: `host-0`, or `host:port-0`.
struct PointText {
    text: String,
    /// Where the number begins.
    stem: usize,
}

impl PointText {
    fn new(server: &ServerAddress) -> PointText {
        let text = match &server.endpoint {
            Endpoint::Tcp { host, port: DEFAULT_PORT } => format!("{host}-"),
            Endpoint::Tcp { host, port } => format!("{host}:{port}-"),
            // To libmemcached a socket has the port 0.
            Endpoint::Unix(path) => format!("{}:0-", path.display()),
        };
        PointText { stem: text.len(), text }
    }

    fn numbered(&mut self, number: u32) -> &[u8] {
        self.text.truncate(self.stem);
        // Writing to a string can't fail.
        let _ = write!(self.text, "{number}");
        self.text.as_bytes()
    }
}
