//! Choosing one of several usable instances.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use waypost_backend::Exchange;
use waypost_backend::upstream::Peers;

use crate::entry::InstanceRef;
use crate::matching::Found;

/// How an instance is chosen. All ways respect weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The less busy of two drawn at random: close to the least busy of all, without all routers running
    /// after the same one.
    #[default]
    P2c,
    /// Any one.
    Random,
    /// Each in turn.
    RoundRobin,
    /// The one with the fewest requests in hand.
    LeastRequests,
    /// By the client's address, so that a client stays with its instance.
    Hash,
}

/// So many entries have a turn of their own in one worker; entries that fall together share one.
const TURNS: usize = 1024;

/// One worker's choices.
#[derive(Debug)]
pub(super) struct Balancer {
    balance: Balance,
    random: Cell<u64>,
    turns: Box<[Cell<u32>]>,
}

impl Balancer {
    pub(super) fn new(balance: Balance) -> Balancer {
        let seed = RandomState::new().hash_one(0);
        let turns = if balance == Balance::RoundRobin { TURNS } else { 0 };
        Balancer {
            balance,
            random: Cell::new(seed),
            turns: (0..turns).map(|place| Cell::new((seed >> (place % 32)) as u32)).collect(),
        }
    }

    /// The index of the chosen instance.
    pub(super) fn choose(&self, found: &Found<'_>, exchange: &Exchange, peers: &Peers) -> u16 {
        let usable = found.usable.as_slice();
        if let [only] = usable {
            return *only;
        }
        let instance = |index: u16| found.entry.instance(usize::from(index));
        match self.balance {
            Balance::P2c => {
                let first = self.draw(usable, &instance, None);
                let second = match *usable {
                    [a, b] if first == a => b,
                    [a, _] => a,
                    _ => self.draw(usable, &instance, Some(first)),
                };
                let less = is_less_busy(&instance(second), &instance(first), peers);
                if less { second } else { first }
            }
            Balance::Random => self.draw(usable, &instance, None),
            Balance::RoundRobin => {
                let turn = &self.turns[hash(found.entry.pattern().as_bytes(), b"") as usize % TURNS];
                turn.set(turn.get().wrapping_add(1));
                let total: u32 = usable.iter().map(|&index| u32::from(instance(index).weight())).sum();
                at(usable, &instance, turn.get() % total.max(1), None)
            }
            Balance::LeastRequests => {
                // Where several have least, weights decide.
                let mut least = self.draw(usable, &instance, None);
                for &other in usable {
                    if is_less_busy(&instance(other), &instance(least), peers) {
                        least = other;
                    }
                }
                least
            }
            Balance::Hash => by_hash(usable, &instance, exchange.downstream.client.ip()),
        }
    }

    /// Draws one at random, each as likely as its weight, but not `except`.
    fn draw<'e>(
        &self,
        usable: &[u16],
        instance: &impl Fn(u16) -> InstanceRef<'e>,
        except: Option<u16>,
    ) -> u16 {
        let weight = |index: u16| if Some(index) == except { 0 } else { u32::from(instance(index).weight()) };
        let total: u32 = usable.iter().map(|&index| weight(index)).sum();
        let place = (u64::from(self.next() as u32) * u64::from(total.max(1))) >> 32;
        at(usable, instance, place as u32, except)
    }

    /// The next random number (SplitMix64).
    fn next(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The instance in whose share of all weights a place falls.
fn at<'e>(
    usable: &[u16],
    instance: &impl Fn(u16) -> InstanceRef<'e>,
    place: u32,
    except: Option<u16>,
) -> u16 {
    let mut left = place;
    let mut last = usable[0];
    for &index in usable.iter().filter(|&&index| Some(index) != except) {
        let weight = u32::from(instance(index).weight());
        if left < weight {
            return index;
        }
        left -= weight;
        last = index;
    }
    last
}

/// Whether `a` has less in hand than `b`, each for its weight. What has no address is never busy.
fn is_less_busy(a: &InstanceRef<'_>, b: &InstanceRef<'_>, peers: &Peers) -> bool {
    let load = |instance: &InstanceRef<'_>| match instance.address() {
        Some(address) if instance.backend().is_none() => u64::from(peers.get(address).state().in_flight()),
        _ => 0,
    };
    load(a) * u64::from(b.weight()) < load(b) * u64::from(a.weight())
}

/// Rendezvous hashing: every instance bids for the client, the highest bid wins, so that an instance that
/// goes takes only its own clients along. A bid is `ln(u) / weight` of a number `u` in (0, 1).
fn by_hash<'e>(usable: &[u16], instance: &impl Fn(u16) -> InstanceRef<'e>, client: IpAddr) -> u16 {
    let key = client.to_canonical().to_string();
    let bid = |index: u16| {
        let instance = instance(index);
        let name = instance.backend().map(str::to_owned);
        let name = name.or_else(|| instance.address().map(|address| address.to_string())).unwrap_or_default();
        let unit = ((hash(key.as_bytes(), name.as_bytes()) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        unit.ln() / f64::from(instance.weight().max(1))
    };
    let best = usable.iter().copied().max_by(|&a, &b| bid(a).total_cmp(&bid(b)));
    // There is at least one.
    best.unwrap_or(usable[0])
}

/// FNV-1a over both parts, mixed: the same in every process, so that all routers agree.
pub(super) fn hash(first: &[u8], second: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in first.iter().chain(&[0xff]).chain(second) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::net::SocketAddr;

    use waypost_backend::upstream::{InFlight, Registry};
    use waypost_backend::{Downstream, Timers};
    use waypost_http1::Scheme;

    use crate::entry::Entry;
    use crate::matching::{Match, find};
    use crate::member::Member;
    use crate::pattern::Pattern;
    use crate::snapshot::Snapshot;

    struct Bench {
        snapshot: Snapshot,
        peers: std::rc::Rc<Peers>,
        exchange: Exchange,
    }

    impl Bench {
        fn new(members: &[&str]) -> Bench {
            let members = members.iter().map(|text| Member::parse(text).expect("a member").0);
            let pattern = Pattern::parse("a.example").unwrap();
            let entry = Entry::new(&pattern, members).unwrap();
            let snapshot = Snapshot::from_entries([entry]);
            let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
            let mut exchange =
                Exchange::new(Downstream { client: nowhere, local: nowhere, scheme: Scheme::Http });
            exchange.host = waypost_http1::Host::parse(b"a.example").unwrap().0;
            exchange.request.set_target(b"/").unwrap();
            Bench { snapshot, peers: Peers::new(Registry::new(), Timers::new()), exchange }
        }

        fn choose(&self, balancer: &Balancer) -> u16 {
            match find(&self.snapshot, &self.exchange.host, "/", |_| true) {
                Match::Found(found) => {
                    let index = balancer.choose(&found, &self.exchange, &self.peers);
                    found.entry.instance(usize::from(index)).address().unwrap().port()
                }
                other => panic!("{other:?}"),
            }
        }

        fn shares(&self, balance: Balance, draws: u32) -> HashMap<u16, u32> {
            let balancer = Balancer::new(balance);
            let mut shares = HashMap::new();
            for _ in 0..draws {
                *shares.entry(self.choose(&balancer)).or_default() += 1;
            }
            shares
        }
    }

    #[test]
    fn shares_follow_weights() {
        let bench =
            Bench::new(&["127.0.0.1:1####weight=1", "127.0.0.1:2####weight=3", "127.0.0.1:3####weight=6"]);
        for balance in [Balance::Random, Balance::RoundRobin, Balance::LeastRequests] {
            let shares = bench.shares(balance, 10_000);
            for (port, expected) in [(1, 1000), (2, 3000), (3, 6000)] {
                let share = shares.get(&port).copied().unwrap_or(0);
                assert!(share.abs_diff(expected) < 400, "{balance:?}: {port} was drawn {share} times");
            }
        }
    }

    #[test]
    fn the_less_busy_one_is_chosen() {
        let bench = Bench::new(&["127.0.0.1:1", "127.0.0.1:2"]);
        let busy = bench.peers.get("127.0.0.1:1".parse().unwrap());
        let _in_hand = InFlight::begin(busy.state());
        for balance in [Balance::P2c, Balance::LeastRequests] {
            assert_eq!(bench.shares(balance, 200), HashMap::from([(2, 200)]), "{balance:?}");
        }
    }

    #[test]
    fn two_choices_share_evenly_when_nobody_is_busy() {
        let bench = Bench::new(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4"]);
        for (port, share) in bench.shares(Balance::P2c, 10_000) {
            assert!(share.abs_diff(2500) < 400, "{port} was drawn {share} times");
        }
    }

    #[test]
    fn a_hash_is_steady_and_moves_only_the_clients_of_what_goes() {
        let mut all = Bench::new(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
        let mut fewer = Bench::new(&["127.0.0.1:1", "127.0.0.1:3"]);
        let balancer = Balancer::new(Balance::Hash);
        let mut shares: HashMap<u16, u32> = HashMap::new();
        for number in 0..3000u32 {
            let client = IpAddr::from(number.to_be_bytes());
            all.exchange.downstream.client.set_ip(client);
            fewer.exchange.downstream.client.set_ip(client);
            let port = all.choose(&balancer);
            assert_eq!(all.choose(&balancer), port);
            if port != 2 {
                assert_eq!(fewer.choose(&balancer), port, "{client} moved though its instance stayed");
            }
            *shares.entry(port).or_default() += 1;
        }
        assert!(shares.values().all(|share| share.abs_diff(1000) < 200), "{shares:?}");
    }
}
