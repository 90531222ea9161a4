//! Addresses as people write them, rightly and wrongly.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> String {
    match Address::parse(text) {
        Ok(address) => panic!("{text} was accepted as {address}"),
        Err(error) => error.to_string(),
    }
}

fn places(address: &Address) -> Vec<String> {
    address.servers.iter().map(|server| format!("{} {}", server.endpoint, server.weight)).collect()
}

#[test]
fn servers_have_ports_and_weights() {
    let address =
        parse("memcached://10.0.0.1,cache.example.org:11300,[::1],[2001:db8::1]:11212/5,%2Frun%2Fm.sock/2");
    let expected = [
        "10.0.0.1:11211 1",
        "cache.example.org:11300 1",
        "[::1]:11211 1",
        "[2001:db8::1]:11212 5",
        "/run/m.sock 2",
    ];
    assert_eq!(places(&address), expected);
    assert_eq!(places(&parse("memcached+unix:///run/my%20cache.sock?ttl=5")), ["/run/my cache.sock 1"]);
    assert_eq!(places(&parse("MEMCACHED://Host/?ttl=5")), ["Host:11211 1"]);
}

#[test]
fn what_is_not_said_is_the_default() {
    assert_eq!(parse("memcached://localhost"), Address::default());
}

#[test]
fn every_setting_is_read() {
    let address = parse(
        "memcached://a,b?hash=MD5&point_hash=crc&distribution=consistent&prefix=app%3A&hash_with_namespace=true&\
         ttl=5m&timeout=1s&connect_timeout=100ms&protocol=binary&tls=true&tls_ca=/etc/ca.pem&user=me&\
         password=s%26cret&failover=true&retry_timeout=5s&replicas=2&pool=16",
    );
    let expected = Address {
        servers: parse("memcached://a,b").servers,
        hash: Hash::Md5,
        point_hash: Some(Hash::Crc),
        distribution: Distribution::Consistent,
        prefix: b"app:".to_vec(),
        hash_with_namespace: true,
        ttl: Some(300),
        timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_millis(100),
        protocol: Protocol::Binary,
        tls: true,
        tls_ca: Some("/etc/ca.pem".into()),
        user: Some("me".into()),
        password: Some("s&cret".into()),
        failover: true,
        retry_timeout: Duration::from_secs(5),
        replicas: 2,
        pool: 16,
    };
    assert!(address == expected, "{address}");
}

#[test]
fn weights_count_where_the_distribution_heeds_them() {
    let cases = [
        ("a,b", "consistent", Distribution::Consistent, Hash::OneAtATime),
        ("a,b/2", "consistent", Distribution::ConsistentWeighted, Hash::OneAtATime),
        ("a,b/2", "ketama", Distribution::Consistent, Hash::OneAtATime),
        ("a,b", "consistent_weighted", Distribution::ConsistentWeighted, Hash::OneAtATime),
        ("a,b", "ketama_weighted", Distribution::ConsistentWeighted, Hash::Md5),
        ("a,b", "ketama_weighted&hash=crc", Distribution::ConsistentWeighted, Hash::Crc),
        ("a,b/2", "modula", Distribution::Modula, Hash::OneAtATime),
    ];
    for (servers, word, distribution, hash) in cases {
        let address = parse(&format!("memcached://{servers}?distribution={word}"));
        assert_eq!((address.distribution, address.hash), (distribution, hash), "{servers} {word}");
        assert_eq!(parse(&address.to_string()), address, "{address}");
    }
}

#[test]
fn the_password_is_never_shown() {
    let address = parse("memcached://a?user=me&password=hunter2");
    assert_eq!(address.to_string(), "memcached://a?user=me");
    assert_eq!(format!("{address:?}"), "Address(memcached://a?user=me)");
    for text in [
        "memcached://a?password=hunter2",
        "memcached://me:hunter2@a",
        "memcached://a?password=hunter2%ff",
        "memcached://a?user=me&password=hunter2&password=hunter2",
        "memcache://a?user=me&password=hunter2",
    ] {
        assert!(!error(text).contains("hunter2"), "{}", error(text));
    }
}

#[test]
fn errors_say_what_could_be_written() {
    let cases = [
        ("memcached://a?hsah=md5", "there is no setting \"hsah\" (did you mean hash?)"),
        ("memcached://a?timeout=5", "timeout=5: expected a duration as 500ms, 5s, 2m or 1h"),
        ("memcached://a?timeout=0s", "timeout=0s: expected more than no time at all"),
        ("memcached://a?timeout=25h", "timeout=25h: expected at most 1d"),
        ("memcached://a?retry_timeout=9999999999d", "retry_timeout=9999999999d: expected at most 1d"),
        ("memcached://a?tls_ca=/etc/ca.pem", "tls_ca has no effect without tls=true"),
        ("memcached://a?tls=yes", "tls=yes: expected one of true, false"),
        (
            "memcached://a?distribution=consistant",
            "consistent_weighted, ketama, ketama_weighted, random (did you mean consistent?)",
        ),
        ("memcached://a?hash=murmur2", "(did you mean murmur?)"),
        ("memcached://a?hash=md5&hash=md5", "hash is given twice"),
        ("memcached://a?replicas=2", "replicas=2: expected a number from 1 to 1, the number of servers"),
        ("memcached://a?pool=0", "pool=0: expected a number from 1 to 1024"),
        ("memcached://a?ttl=1500ms", "ttl=1500ms: expected seconds, as 300 or 5m; 0 is for ever"),
        (
            "memcached://a?prefix=a%20b",
            "the prefix has the byte 0x20; spaces and control bytes can't stand in a key",
        ),
        ("memcached://a?password=x", "there is a password but no user: add user=NAME"),
        ("memcached://", "the address names no server"),
        ("memcached://me@a", "a user is not written before @ but as ?user=NAME&password=SECRET"),
        ("memcached://a,,b", "the host is missing"),
        ("memcached://::1", "an IPv6 address stands in brackets, as [::1]:11211"),
        ("memcached://[::1", "server \"[::1\": the bracket is not closed"),
        ("memcached://a:0", "server \"a:0\": \"0\" is no port; ports are from 1 to 65535"),
        ("memcached://a:+1", "is no port"),
        ("memcached://a/0", "server \"a/0\": a weight is a whole number from 1, as host:11211/5"),
        ("memcached://%2Fsocket:5", "a unix socket has no port"),
        ("memcached+unix://socket", "server \"socket\": a socket's path begins with /"),
        ("redis://a", "\"redis\" begins no address of memcached"),
        ("10.0.0.1:11211", "begins no address of memcached"),
        ("", "begins no address of memcached"),
        ("--SERVRE=aaa", "there is no setting \"--SERVRE\" (did you mean --SERVER?)"),
        (
            "--SERVER=aaa --USE-UDP",
            "--USE-UDP of the libmemcached configuration: UDP has no replies to trust",
        ),
        ("--SERVER=aaa --NUMBER-OF-REPLICAS=2", "write replicas=3 in an address memcached://"),
        ("--SERVER=[::1]:11211", "write memcached://[::1]:11211 instead"),
        ("--SERVER=aaa --CONFIGURE-FILE=\"x\"", "files of options are not read"),
        ("--SERVER=aaa --HASH=mumur", "there is no hash \"mumur\" (did you mean murmur?)"),
        ("--DISTRIBUTION=consistent --SERVER=aaa/?2 --REMOVE-FAILED-SERVERS=1", "failover=true"),
        ("--HASH=MD5", "the address names no server"),
    ];
    for (text, expected) in cases {
        let found = error(text);
        assert!(found.contains(expected), "{text}\n  expected: {expected}\n  found:    {found}");
    }
}

#[test]
fn a_long_prefix_and_too_many_servers_are_refused() {
    let prefix = "p".repeat(Address::MAX_PREFIX);
    assert_eq!(parse(&format!("memcached://a?prefix={prefix}")).prefix.len(), Address::MAX_PREFIX);
    assert_eq!(
        error(&format!("memcached://a?prefix={prefix}p")),
        "the prefix has 129 bytes; at most 128 are allowed"
    );
    let servers = vec!["a"; Address::MAX_SERVERS + 1].join(",");
    assert_eq!(
        error(&format!("memcached://{servers}")),
        "the address names 1001 servers; at most 1000 are possible"
    );
}

#[test]
fn options_of_libmemcached_are_followed() {
    let address = parse(
        "--SERVER=a --SERVER=b:11212/?5\n --SOCKET=\"/run/my cache.sock\"/?2 --NAMESPACE=\"app:\" --HASH=MD5 \
         --CONNECT-TIMEOUT=100 --POLL-TIMEOUT=700 --RETRY-TIMEOUT=9 --POOL-MAX=3 --BINARY-PROTOCOL --NOREPLY",
    );
    assert_eq!(places(&address), ["a:11211 1", "b:11212 5", "/run/my cache.sock 2"]);
    assert_eq!(
        address.to_string(),
        "memcached://a,b:11212/5,%2Frun%2Fmy%20cache.sock/2?hash=md5&timeout=700ms&connect_timeout=100ms&\
         protocol=binary&retry_timeout=9s&pool=3&prefix=app:"
    );
    assert!(parse("--SERVER=aaa --DISTRIBUTION=consistent --REMOVE-FAILED-SERVERS=1").failover);
    assert!(!parse("--SERVER=aaa --REMOVE-FAILED-SERVERS=1").failover);
}

/// What is accepted is valid and displayed as what it is.
fn check(text: &str) {
    let Ok(address) = Address::parse(text) else { return };
    let shown = address.to_string();
    let again =
        Address::parse(&shown).unwrap_or_else(|error| panic!("{text:?} is shown as {shown}: {error}"));
    let mut expected = address;
    expected.password = None;
    assert!(again == expected, "{text:?} is shown as {shown}, and that as {again}");
}

proptest! {
    #[test]
    fn any_text_is_an_address_that_reads_back_or_an_error(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn texts_like_addresses_read_back_or_are_errors(
        scheme in "(memcached://|memcached\\+unix://|--SERVER=|--SOCKET=)",
        place in "([a-z:/,0-9\\[\\]%\" .-]|%2F|%20|/\\?){0,20}",
        settings in prop::collection::vec(
            (prop::sample::select(vec!["hash", "distribution", "prefix", "ttl", "timeout", "user", "tls_ca", "pool",
                "point_hash", "retry_timeout", "replicas", "failover", "--HASH", "--NAMESPACE", "--SORT-HOSTS",
                "--DISTRIBUTION"]),
             "(md5|crc|ketama|consistent|random|true|[0-9]{1,3}(ms|s|m)?|[a-z%:/&+= é]{0,8})"), 0..6),
    ) {
        let separator = if scheme.starts_with("--") { " " } else { "&" };
        let settings: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let question = if scheme.starts_with("--") { " " } else { "?" };
        check(&format!("{scheme}{place}{question}{}", settings.join(separator)));
    }
}
