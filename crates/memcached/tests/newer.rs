//! What newer servers do in one step, and what is made of it with older ones: to the caller both are the same.

use waypost_memcached::{Address, Change, Client, StoreOptions};
use waypost_tests::Memcached;

const FOREVER: StoreOptions = StoreOptions { ttl: None, flags: 0 };

fn client(server: &Memcached, options: &str) -> Client {
    let url = format!("{}?timeout=10s&connect_timeout=10s&{options}", server.url());
    Client::new(&Address::parse(&url).unwrap()).unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// A number out of a server's statistics.
fn stat(server: &Memcached, name: &str) -> u64 {
    server.connect().stats("")[name].parse().unwrap()
}

#[test]
fn a_read_says_whether_the_item_changed_since() {
    for server in [Memcached::start(), Memcached::with().newer().start()] {
        for protocol in ["meta", "text", "binary"] {
            run(async {
                let client = client(&server, &format!("protocol={protocol}"));
                client.set("key", "old", FOREVER).await.unwrap();
                let token = client.gets("key").await.unwrap().unwrap().cas.unwrap();
                assert_eq!(client.get_if_changed("key", token).await.unwrap(), Change::Unchanged);
                client.set("key", "new", StoreOptions { ttl: None, flags: 7 }).await.unwrap();
                let found = client.get_if_changed("key", token).await.unwrap();
                let Change::Changed(item) = found else { panic!("{protocol}: {found:?}") };
                assert_eq!((&item.value[..], item.flags), (&b"new"[..], 7));
                let token = item.cas.unwrap();
                assert_eq!(client.get_if_changed("key", token).await.unwrap(), Change::Unchanged);
                client.delete("key").await.unwrap();
                assert_eq!(client.get_if_changed("key", token).await.unwrap(), Change::Gone);
            });
        }
    }
}

#[test]
fn a_newer_server_does_not_send_what_did_not_change() {
    let server = Memcached::with().newer().start();
    run(async {
        let client = client(&server, "");
        client.set("key", "x".repeat(500_000), FOREVER).await.unwrap();
        let token = client.gets("key").await.unwrap().unwrap().cas.unwrap();
        let before = stat(&server, "bytes_written");
        assert_eq!(client.get_if_changed("key", token).await.unwrap(), Change::Unchanged);
        let sent = stat(&server, "bytes_written") - before;
        assert!(sent < 100_000, "{sent} bytes were sent");
    });
}

#[test]
fn without_use_of_tokens_an_item_is_read_each_time() {
    for server in
        [Memcached::with().option(&["-C"]).start(), Memcached::with().option(&["-C"]).newer().start()]
    {
        run(async {
            let client = client(&server, "");
            client.set("key", "old", FOREVER).await.unwrap();
            let token = client.gets("key").await.unwrap().unwrap().cas.unwrap_or(0);
            client.set("key", "new", FOREVER).await.unwrap();
            let found = client.get_if_changed("key", token).await.unwrap();
            assert!(matches!(&found, Change::Changed(item) if item.value == "new"), "{found:?}");
        });
    }
}

#[test]
fn tokens_are_not_compared_where_they_may_be_another_servers() {
    let servers = [Memcached::start(), Memcached::start()];
    let list = servers.iter().map(|server| server.address().to_string()).collect::<Vec<_>>().join(",");
    for options in ["failover=true", "replicas=2"] {
        run(async {
            let url = format!("memcached://{list}?timeout=10s&connect_timeout=10s&{options}");
            let client = Client::new(&Address::parse(&url).unwrap()).unwrap();
            client.set("key", "v", FOREVER).await.unwrap();
            let token = client.gets("key").await.unwrap().unwrap().cas.unwrap();
            let found = client.get_if_changed("key", token).await.unwrap();
            assert!(matches!(&found, Change::Changed(item) if item.value == "v"), "{found:?}");
        });
    }
}

#[test]
fn a_newer_server_appends_or_sets_in_one_step() {
    for (server, steps) in [(Memcached::start(), 2), (Memcached::with().newer().start(), 1)] {
        run(async {
            let client = client(&server, "");
            let before = stat(&server, "cmd_set");
            let options = StoreOptions { ttl: Some(60), flags: 3 };
            client.append_or_set("key", "a", options).await.unwrap();
            assert_eq!(stat(&server, "cmd_set") - before, steps, "stores");
            client.append_or_set("key", "b", options).await.unwrap();
            assert_eq!(server.connect().get("key"), Some((b"ab".to_vec(), 3)));
            let ttl = server.connect().run("mg key t");
            assert_ne!(ttl, "HD t-1", "it has the time to live it was made with");
        });
    }
}
