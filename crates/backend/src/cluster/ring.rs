//! A circle of numbers with points of members on it: a key belongs to the member of the next point up.
//!
//! Where a member's points are depends on its name alone. So the order in which members are listed means
//! nothing, and a member that goes gives its keys, and no others, to the members of the next points.

/// How points and keys become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// As nginx's `hash KEY consistent`, which places as `Cache::Memcached::Fast` does: CRC-32, each point
    /// of a member the hash of its host, a zero byte, its port, and the point before.
    Ketama,
    /// XXH3 of the name and the point's number, over 64 bits: members' shares differ less.
    Xxh3,
}

impl Algorithm {
    /// How many points a member has unless told: 160 is what nginx gives a server.
    pub fn usual_points(self) -> u32 {
        match self {
            Algorithm::Ketama => 160,
            Algorithm::Xxh3 => 128,
        }
    }

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Ketama => "ketama",
            Algorithm::Xxh3 => "xxh3",
        }
    }

    /// The place of a key.
    pub fn place(self, key: &[u8]) -> u64 {
        match self {
            Algorithm::Ketama => crc32fast::hash(key).into(),
            Algorithm::Xxh3 => xxhash_rust::xxh3::xxh3_64(key),
        }
    }

    /// The places of a member's points.
    fn points(self, name: &str, count: u32) -> Vec<u64> {
        match self {
            Algorithm::Ketama => {
                let (host, port) = host_and_port(name);
                let mut base = crc32fast::Hasher::new();
                base.update(host.as_bytes());
                base.update(b"\0");
                base.update(port.as_bytes());
                let next = |before: u32| {
                    let mut hasher = base.clone();
                    hasher.update(&before.to_le_bytes());
                    hasher.finalize()
                };
                let chain = std::iter::successors(Some(next(0)), |before| Some(next(*before)));
                chain.take(count as usize).map(u64::from).collect()
            }
            Algorithm::Xxh3 => (0..count)
                .map(|number| {
                    let text = [name.as_bytes(), b"\0", &number.to_le_bytes()].concat();
                    xxhash_rust::xxh3::xxh3_64(&text)
                })
                .collect(),
        }
    }
}

/// A server's host and its port, as nginx parts what its `server` line says: a port is digits behind a colon.
fn host_and_port(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (name, ""),
    }
}

/// The points of all members.
#[derive(Debug)]
pub struct Ring {
    algorithm: Algorithm,
    /// In the order of their places, of which no two are the same.
    points: Box<[Point]>,
    members: usize,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    place: u64,
    member: u32,
}

impl Ring {
    /// A ring of members by their names, which differ, each with so many points.
    pub fn new(algorithm: Algorithm, points: u32, names: &[impl AsRef<str>]) -> Ring {
        let mut all: Vec<Point> = Vec::with_capacity(names.len() * points as usize);
        for (member, name) in (0u32..).zip(names) {
            let places = algorithm.points(name.as_ref(), points).into_iter();
            all.extend(places.map(|place| Point { place, member }));
        }
        // By name where places are the same: the order of the list must not tell.
        all.sort_by_key(|point| (point.place, names[point.member as usize].as_ref()));
        all.dedup_by_key(|point| point.place);
        Ring { algorithm, points: all.into(), members: names.len() }
    }

    /// The place of a key.
    pub fn place(&self, key: &[u8]) -> u64 {
        self.algorithm.place(key)
    }

    /// The member that a place belongs to; none on a ring without points.
    pub fn owner(&self, place: u64) -> Option<usize> {
        let index = self.first(place);
        let point = self.points.get(index).or_else(|| self.points.first())?;
        Some(point.member as usize)
    }

    /// Every member once, in the order of their next points up from a place.
    pub fn from(&self, place: u64) -> impl Iterator<Item = usize> + '_ {
        let (before, behind) = self.points.split_at(self.first(place));
        let mut seen = vec![false; self.members];
        behind
            .iter()
            .chain(before)
            .map(|point| point.member as usize)
            .filter(move |member| !std::mem::replace(&mut seen[*member], true))
            // Once each has come, the rest of the circle holds nothing new.
            .take(self.members)
    }

    fn first(&self, place: u64) -> usize {
        self.points.partition_point(|point| point.place < place)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn owners(ring: &Ring, names: &[String], keys: u32) -> Vec<String> {
        let owner = |key: u32| ring.owner(ring.place(format!("/{key}").as_bytes()));
        (0..keys).map(|key| names[owner(key).expect("a ring with points")].clone()).collect()
    }

    fn algorithms() -> impl Strategy<Value = Algorithm> {
        prop_oneof![Just(Algorithm::Ketama), Just(Algorithm::Xxh3)]
    }

    fn names() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::btree_set("[a-z]{1,8}(:[1-9][0-9]{0,3})?", 1..12)
            .prop_map(|names| names.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_order_of_members_means_nothing(
            algorithm in algorithms(),
            (names, shuffled) in names().prop_flat_map(|names| (Just(names.clone()), Just(names).prop_shuffle())),
        ) {
            let (one, other) = (Ring::new(algorithm, 40, &names), Ring::new(algorithm, 40, &shuffled));
            prop_assert_eq!(owners(&one, &names, 200), owners(&other, &shuffled, 200));
        }

        #[test]
        fn a_member_that_goes_gives_its_keys_and_only_its_keys_to_the_next(
            algorithm in algorithms(),
            names in names(),
            gone in any::<prop::sample::Index>(),
        ) {
            let gone = gone.index(names.len());
            let left: Vec<String> = names.iter().filter(|name| **name != names[gone]).cloned().collect();
            let (all, less) = (Ring::new(algorithm, 40, &names), Ring::new(algorithm, 40, &left));
            for key in 0..200u32 {
                let place = all.place(&key.to_be_bytes());
                let passed_over = all.from(place).find(|member| *member != gone).map(|member| &names[member]);
                prop_assert_eq!(passed_over, less.owner(place).map(|member| &left[member]));
            }
        }

        #[test]
        fn every_member_comes_once_from_any_place(
            algorithm in algorithms(),
            names in names(),
            place in any::<u64>(),
        ) {
            let ring = Ring::new(algorithm, 40, &names);
            let mut members: Vec<usize> = ring.from(place).collect();
            prop_assert_eq!(members.first().copied(), ring.owner(place));
            members.sort_unstable();
            prop_assert_eq!(members, (0..names.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_port_is_digits_behind_the_last_colon() {
        for (name, parts) in [
            ("10.0.0.1:80", ("10.0.0.1", "80")),
            ("10.0.0.1", ("10.0.0.1", "")),
            ("cache", ("cache", "")),
            ("[::1]:8080", ("[::1]", "8080")),
            ("[::1]", ("[::1]", "")),
        ] {
            assert_eq!(host_and_port(name), parts);
        }
    }

    /// Answers of nginx 1.22.1 to `hash $request_uri consistent` over five servers that refuse connections, of
    /// which it logs one after the other as it tries them (`$upstream_addr`).
    #[test]
    fn members_come_in_the_order_in_which_nginx_tries_servers() {
        let servers =
            ["127.0.0.11:18091", "127.0.0.12:18091", "127.0.0.13:18092", "127.0.0.14", "127.0.0.15:65000"];
        let ring = Ring::new(Algorithm::Ketama, 160, &servers);
        for (uri, order) in [
            ("/", [3, 2, 4, 1, 5]),
            ("/index.html", [2, 5, 4, 1, 3]),
            ("/a?b=c", [1, 3, 5, 2, 4]),
            ("/a?b=d", [5, 3, 1, 4, 2]),
            ("/index.php", [3, 2, 5, 4, 1]),
            ("/%20x", [1, 3, 5, 2, 4]),
            ("/img/1.png", [1, 3, 2, 5, 4]),
            ("/img/2.png", [4, 1, 2, 3, 5]),
            ("/img/3.png", [5, 2, 1, 4, 3]),
            ("/q?x=1&y=2", [5, 2, 3, 4, 1]),
            ("/a", [2, 5, 3, 4, 1]),
            ("/b", [1, 5, 3, 4, 2]),
            ("/c", [1, 2, 4, 3, 5]),
            ("/d", [3, 2, 4, 1, 5]),
            ("/e", [3, 5, 2, 4, 1]),
            ("/f", [4, 5, 2, 3, 1]),
        ] {
            let members: Vec<usize> =
                ring.from(ring.place(uri.as_bytes())).map(|member| member + 1).collect();
            assert_eq!(members, order, "{uri}");
        }
    }

    #[test]
    fn shares_are_about_even() {
        let names: Vec<String> = (1..=5).map(|last| format!("10.0.0.{last}:8080")).collect();
        for algorithm in [Algorithm::Ketama, Algorithm::Xxh3] {
            let ring = Ring::new(algorithm, algorithm.usual_points(), &names);
            let mut shares: BTreeMap<String, u32> = BTreeMap::new();
            for owner in owners(&ring, &names, 10_000) {
                *shares.entry(owner).or_default() += 1;
            }
            assert!(
                shares.values().all(|share| (1_400..=2_700).contains(share)),
                "{algorithm:?}: {shares:?}"
            );
        }
    }

    #[test]
    fn a_ring_without_members_has_no_owner() {
        let ring = Ring::new(Algorithm::Ketama, 160, &[""; 0]);
        assert_eq!((ring.owner(1), ring.from(1).count()), (None, 0));
    }
}
