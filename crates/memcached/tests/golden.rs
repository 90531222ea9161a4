//! Hashes, servers and configuration strings as libmemcached itself answers them (see `golden/README.md`).

use waypost_memcached::{Address, Hash, Placement};

const HASHES: &str = include_str!("golden/hashes.txt");
const SERVERS: &str = include_str!("golden/servers.txt");
const STRINGS: &str = include_str!("golden/strings.txt");

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
}

fn keys() -> Vec<Vec<u8>> {
    HASHES.lines().skip(1).map(|line| unhex(line.split(' ').next().unwrap())).collect()
}

/// The keys whose server is another one than libmemcached's.
fn differences(address: &Address, servers: &str) -> Vec<String> {
    let placement = Placement::new(address);
    let keys = keys();
    assert_eq!(servers.len(), keys.len());
    keys.iter()
        .zip(servers.chars())
        .map(|(key, server)| (key, server.to_digit(36).unwrap() as usize, placement.server(key)))
        .filter(|(_, theirs, ours)| theirs != ours)
        .map(|(key, theirs, ours)| format!("{}: {ours} instead of {theirs}", key.escape_ascii()))
        .collect()
}

#[test]
fn every_hash_is_libmemcacheds() {
    let names: Vec<&str> = HASHES.lines().next().unwrap().split(' ').skip(1).collect();
    assert_eq!(names.len(), Hash::ALL.len());
    for line in HASHES.lines().skip(1) {
        let (key, values) = line.split_once(' ').unwrap();
        for (name, value) in names.iter().zip(values.split(' ')) {
            let hash = Hash::from_name(name).unwrap();
            assert_eq!(hash.digest(&unhex(key)).to_string(), value, "{name} of {key}");
        }
    }
}

#[test]
fn every_key_is_on_libmemcacheds_server() {
    let mut wrong = Vec::new();
    for line in SERVERS.lines() {
        let (address, servers) = line.split_once(' ').unwrap();
        let differences = differences(&Address::parse(address).unwrap(), servers);
        wrong.extend(
            differences.first().map(|first| format!("{address}: {} keys: {first}", differences.len())),
        );
    }
    assert!(
        wrong.is_empty(),
        "{} of {} addresses:\n{}",
        wrong.len(),
        SERVERS.lines().count(),
        wrong.join("\n")
    );
}

#[test]
fn a_configuration_string_means_what_it_means_to_libmemcached() {
    for line in STRINGS.lines() {
        let (servers, string) = line.split_once(' ').unwrap();
        match Address::parse(string) {
            Err(error) => assert_eq!(servers, "-", "{string}: {error}"),
            Ok(address) if servers == "-" => panic!("{string} was accepted as {address}"),
            Ok(address) => {
                let differences = differences(&address, servers);
                assert!(differences.is_empty(), "{string}, which is {address}: {}", differences.join("\n"));
                // As does what it is displayed as.
                let again = Address::parse(&address.to_string()).unwrap();
                assert_eq!(again, address, "{string} is displayed as {address}");
            }
        }
    }
}

#[test]
fn the_golden_files_cover_every_hash_and_fixed_distribution() {
    for hash in Hash::ALL {
        for distribution in ["modula", "consistent", "ketama", "consistent_weighted"] {
            let found = SERVERS.contains(&format!("?distribution={distribution}&hash={hash} "));
            assert!(found, "no servers for {distribution} with {hash}");
        }
    }
    assert!(SERVERS.contains("?distribution=ketama_weighted&hash=md5 "));
}
