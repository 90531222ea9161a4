//! The harness's memcached against itself: what the suites of the stores conclude rests on it.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use waypost_tests::Memcached;

#[test]
fn what_is_written_is_read_with_its_flags_over_tcp_and_a_unix_socket() {
    for memcached in [Memcached::start(), Memcached::with().unix().start()] {
        let mut client = memcached.connect();
        assert_eq!(client.get("a"), None);
        client.set("a", b"b\r\nEND\r\n\0", 7, 0);
        assert_eq!(client.get("a"), Some((b"b\r\nEND\r\n\0".to_vec(), 7)));
        assert_eq!(client.run("delete a"), "DELETED");
        assert_eq!(memcached.get("a"), None);
        assert_eq!(client.stats("")["cmd_set"], "1");
    }
}

#[test]
fn options_reach_the_server() {
    let memcached = Memcached::with().option(&["-I", "2m"]).start();
    assert_eq!(memcached.connect().stats("settings")["item_size_max"], "2097152");
}

#[test]
fn a_server_that_was_killed_comes_back_empty_on_its_port() {
    let mut memcached = Memcached::start();
    let address = memcached.address();
    memcached.set("a", "b");
    memcached.kill();
    assert!(memcached.try_connect().is_err());
    memcached.resume();
    assert_eq!((memcached.get("a"), memcached.address()), (None, address));
    memcached.stop();
    assert!(memcached.try_connect().is_err());
}

#[test]
fn a_hung_server_takes_connections_and_says_nothing() {
    let mut memcached = Memcached::start();
    memcached.hang();
    let mut stream = TcpStream::connect(memcached.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    std::io::Write::write_all(&mut stream, b"version\r\n").unwrap();
    assert!(stream.read(&mut [0; 64]).is_err());
    memcached.unhang();
    assert!(memcached.connect().run("version").starts_with("VERSION "));
}
