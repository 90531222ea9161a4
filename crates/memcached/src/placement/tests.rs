//! The rules of placement that hold whatever libmemcached's numbers are.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::address::Endpoint;

fn server(host: &str, weight: u32) -> ServerAddress {
    ServerAddress { endpoint: Endpoint::Tcp { host: host.into(), port: 11211 }, weight }
}

fn placement(servers: &[ServerAddress], hash: Hash, distribution: Distribution) -> Placement {
    Placement::new(&Address { servers: servers.to_vec(), hash, distribution, ..Address::default() })
}

fn parse(address: &str) -> Placement {
    Placement::new(&Address::parse(address).unwrap())
}

fn hashes() -> impl Strategy<Value = Hash> {
    prop::sample::select(Hash::ALL.to_vec())
}

fn distributions() -> impl Strategy<Value = Distribution> {
    prop::sample::select(Distribution::ALL.to_vec())
}

/// One to eight servers of different names.
fn servers() -> impl Strategy<Value = Vec<ServerAddress>> {
    prop::collection::btree_set("[a-z][a-z0-9.]{0,12}", 1..9).prop_flat_map(|hosts| {
        let weights = prop::collection::vec(1u32..20, hosts.len());
        (Just(hosts), weights).prop_map(|(hosts, weights)| {
            hosts.iter().zip(weights).map(|(host, weight)| server(host, weight)).collect()
        })
    })
}

fn keys() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..250), 1..40)
}

proptest! {
    #[test]
    fn one_server_has_every_key(hash in hashes(), distribution in distributions(), keys in keys()) {
        let placement = placement(&[server("only", 5)], hash, distribution);
        for key in keys {
            prop_assert_eq!(placement.server(&key), 0);
            prop_assert_eq!(placement.candidates(&key).collect::<Vec<_>>(), [0]);
        }
    }

    #[test]
    fn candidates_are_every_server_once_the_keys_own_first(
        servers in servers(), hash in hashes(), distribution in distributions(), keys in keys()
    ) {
        let placement = placement(&servers, hash, distribution);
        for key in keys {
            let candidates: Vec<usize> = placement.candidates(&key).collect();
            if distribution != Distribution::Random {
                prop_assert_eq!(candidates[0], placement.server(&key));
            }
            prop_assert_eq!(placement.candidates(&key).len(), servers.len());
            prop_assert_eq!(candidates.len(), servers.len());
            let different: BTreeSet<usize> = candidates.into_iter().collect();
            prop_assert_eq!(different.len(), servers.len());
        }
    }

    #[test]
    fn the_order_of_servers_does_not_matter_on_a_ring(
        servers in servers(), weighted in any::<bool>(), keys in keys(), turn in 0usize..8
    ) {
        // Points of two servers may coincide under a hash of few values, and then the first one counts.
        let distribution =
            if weighted { Distribution::ConsistentWeighted } else { Distribution::Consistent };
        let mut turned = servers.clone();
        turned.rotate_left(turn % servers.len());
        let (one, other) =
            (placement(&servers, Hash::Md5, distribution), placement(&turned, Hash::Md5, distribution));
        for key in keys {
            prop_assert_eq!(&servers[one.server(&key)], &turned[other.server(&key)]);
        }
    }

    #[test]
    fn only_the_keys_of_a_lost_server_move_and_to_the_next_candidate(
        servers in servers(), hash in hashes(), keys in keys(), lost in 0usize..8
    ) {
        prop_assume!(servers.len() > 1);
        let lost = lost % servers.len();
        let mut left = servers.clone();
        left.remove(lost);
        let before = placement(&servers, hash, Distribution::Consistent);
        let after = placement(&left, hash, Distribution::Consistent);
        for key in keys {
            let expected = before.candidates(&key).find(|candidate| *candidate != lost).unwrap();
            prop_assert_eq!(&left[after.server(&key)], &servers[expected]);
        }
    }

    #[test]
    fn a_prefix_counts_only_where_it_is_hashed(prefix in "[!-~]{1,20}", key in "[!-~]{1,200}", hash in hashes()) {
        let servers = vec![server("a", 1), server("b", 1), server("c", 1)];
        let address = |hash_with_namespace| {
            let prefix = prefix.clone().into_bytes();
            Address { servers: servers.clone(), hash, prefix, hash_with_namespace, ..Address::default() }
        };
        let bare = placement(&servers, hash, Distribution::Modula);
        prop_assert_eq!(Placement::new(&address(false)).server(key.as_bytes()), bare.server(key.as_bytes()));
        let whole = format!("{prefix}{key}");
        prop_assert_eq!(Placement::new(&address(true)).server(key.as_bytes()), bare.server(whole.as_bytes()));
    }
}

#[test]
fn modula_goes_on_by_index() {
    let placement = parse("memcached://a,b,c,d?hash=fnv1a_32");
    let first = placement.server(b"key");
    let candidates: Vec<usize> = placement.candidates(b"key").collect();
    assert_eq!(candidates, [first, (first + 1) % 4, (first + 2) % 4, (first + 3) % 4]);
}

#[test]
fn random_uses_every_server() {
    let placement = parse("memcached://a,b,c?distribution=random");
    let used: BTreeSet<usize> = (0..200).map(|_| placement.server(b"key")).collect();
    assert_eq!(used.len(), 3);
}

#[test]
fn weights_share_the_keys() {
    let placement = parse("memcached://a/1,b/3?distribution=consistent");
    let heavy = (0..10_000).filter(|key| placement.server(format!("key-{key}").as_bytes()) == 1).count();
    assert!((6_800..8_200).contains(&heavy), "{heavy} of 10,000 keys are on the server with 3 of 4 parts");
}

#[test]
fn a_server_without_points_is_the_last_candidate() {
    let placement = parse("memcached://light/1,heavy/100000,middle/50000?distribution=consistent");
    for key in ["one", "two", "three"] {
        assert_eq!(
            placement.candidates(key.as_bytes()).last(),
            Some(0),
            "{}",
            placement.explain(key.as_bytes())
        );
    }
}

#[test]
fn without_servers_there_are_no_candidates() {
    for distribution in Distribution::ALL {
        let placement = placement(&[], Hash::Md5, distribution);
        assert_eq!(placement.candidates(b"key").count(), 0);
        assert_eq!(placement.explain(b"key").server, None);
    }
}

#[test]
fn an_explanation_tells_the_way_to_the_server() {
    let placement = parse(
        "memcached://10.0.0.1,10.0.0.2:11212,10.0.0.3?hash=md5&distribution=consistent&prefix=app:&\
         hash_with_namespace=true",
    );
    let explanation = placement.explain(b"user:1");
    assert_eq!(
        explanation.to_string(),
        "key     user:1\n\
         hash    md5 of app:user:1 is 3653752828 (0xd9c7d7fc)\n\
         placed  consistent: point 3673608206 (0xdaf6d00e) of 300\n\
         server  10.0.0.1:11211 (weight 1)\n\
         then    10.0.0.2:11212, 10.0.0.3:11211"
    );
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["hash"], "md5");
    assert_eq!(json["server"]["index"], 0);
    assert_eq!(json["next"][0]["address"], "10.0.0.2:11212");
}

#[test]
fn an_explanation_shows_no_control_bytes() {
    let text = parse("memcached://a,b").explain(b"a\nb\x1b[1m").to_string();
    assert!(text.contains(r"key     a\nb\u{1b}[1m"), "{text}");
    assert!(text.contains("modulo 2"), "{text}");
}
