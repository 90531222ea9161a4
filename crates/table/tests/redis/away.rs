//! The store goes away in every way it can, and the last good table stays.

use crate::Router;
use crate::server::{Server, eventually, run};

fn with_one_host() -> (Server, Router) {
    let server = Server::start();
    server.run("SADD instances:a.example 10.0.0.1:80");
    let router = Router::follow(&server);
    router.has("a.example", &["10.0.0.1:80"]);
    (server, router)
}

fn is_away(router: &Router) {
    eventually("the store is noticed to be away", || router.status().error.is_some());
    router.has("a.example", &["10.0.0.1:80"]);
}

#[test]
fn a_store_that_ends_leaves_the_table() {
    let (mut server, router) = with_one_host();
    server.kill();
    is_away(&router);
    let status = router.status();
    assert!(!status.following.unwrap().connected && status.loaded);
    let age = status.age.unwrap();
    eventually("the table grows old", || router.status().age.unwrap() > age);

    server.resume();
    eventually("a store that comes back empty is an empty table", || router.len() == 0);
    assert!(router.status().error.is_none());
    server.run("SADD instances:b.example 10.0.0.2:80");
    router.has("b.example", &["10.0.0.2:80"]);
}

#[test]
fn a_store_that_comes_back_with_other_data_is_followed() {
    let server = Server::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    server.run("SADD instances:a.example 10.0.0.1:80");
    server.run("SADD instances:b.example 10.0.0.1:80");
    let router = Router::follow(&server);
    let mut server = server;
    server.kill();
    is_away(&router);
    let before = router.store().snapshot();
    server.resume();
    eventually("the store is followed again", || router.status().error.is_none());
    assert!(std::sync::Arc::ptr_eq(&before, &router.store().snapshot()), "what is equal stays");
    server.run("SREM instances:b.example 10.0.0.1:80");
    router.has("b.example", &[]);
}

#[test]
fn a_store_that_hangs_is_noticed() {
    let (server, router) = with_one_host();
    server.signal("-STOP");
    is_away(&router);
    server.signal("-CONT");
    eventually("it is followed again", || router.status().error.is_none());
    server.run("SADD instances:b.example 10.0.0.2:80");
    router.has("b.example", &["10.0.0.2:80"]);
}

#[test]
fn a_connection_that_is_killed_loses_no_change() {
    let (server, router) = with_one_host();
    for round in 0..5 {
        server.run("CLIENT KILL TYPE normal SKIPME yes");
        server.run(&format!("SADD instances:r{round}.example 10.0.0.1:80"));
    }
    for round in 0..5 {
        router.has(&format!("r{round}.example"), &["10.0.0.1:80"]);
    }
}

#[test]
fn a_router_that_starts_while_its_store_is_away_routes_by_what_it_had() {
    let (mut server, router) = with_one_host();
    server.run("SET serial 5");
    eventually("the serial is there", || router.status().serial == 5);
    server.kill();
    let router = router.restarted(&server.url());
    let status = router.status();
    assert!(status.loaded && status.entries == 1 && status.serial == 5);
    router.has("a.example", &["10.0.0.1:80"]);
    eventually("its state is told", || router.status().error.is_some());
    assert!(router.data().join(waypost_table::redis::COPY_FILE).exists());

    server.resume();
    server.run("SADD instances:b.example 10.0.0.2:80");
    router.has("b.example", &["10.0.0.2:80"]);
    router.has("a.example", &[]);
}

#[test]
fn a_table_that_was_never_read_is_not_loaded() {
    let mut server = Server::start();
    server.kill();
    let router = Router::follow(&server);
    let status = router.status();
    assert!(!status.loaded && status.error.is_some() && status.age.is_none());
    server.resume();
    eventually("it is read when the store is there", || router.status().loaded);
}

#[test]
fn a_server_that_is_loading_is_away_and_not_empty() {
    let mut server = Server::start();
    let mut client = server.connect();
    for host in 0..2000 {
        run(&mut client, &format!("SADD instances:h{host}.example 10.0.0.1:80"));
    }
    run(&mut client, "SADD instances:a.example 10.0.0.1:80");
    run(&mut client, "SAVE");
    let router = Router::follow(&server);
    assert_eq!(router.len(), 2001);
    server.kill();
    is_away(&router);
    // Half a millisecond a host, and a look at clients in between.
    server.option(&["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"]);
    server.resume();
    let began = std::time::Instant::now();
    let mut loading = false;
    while router.status().error.is_some() {
        assert_eq!(router.len(), 2001);
        loading |= router.status().error.is_some_and(|error| error.contains("loading"));
        assert!(began.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(loading, "the server was never seen loading");
    assert_eq!(router.len(), 2001);
}

#[test]
fn a_replica_is_followed_and_says_who_its_master_is() {
    let mut master = Server::start();
    master.run("SADD instances:a.example 10.0.0.1:80");
    master.run("SET serial 7");
    let replica = Server::replica_of(&master);
    let router = Router::follow(&replica);
    router.has("a.example", &["10.0.0.1:80"]);
    let master_serial = || router.status().following?.master?.serial;
    eventually("the master's serial is known", || master_serial() == Some(7));
    master.run("SADD instances:b.example 10.0.0.2:80");
    router.has("b.example", &["10.0.0.2:80"]);

    master.kill();
    eventually("the replica's loss is told", || {
        router.status().error.is_some_and(|error| error.contains("lost its master"))
    });
    router.has("b.example", &["10.0.0.2:80"]);
    // It comes back empty, and the replica becomes what it is.
    master.resume();
    eventually("the table follows", || router.len() == 0 && router.status().error.is_none());
}

#[test]
fn a_failover_by_sentinel_is_followed() {
    let mut master = Server::start();
    master.run("SADD instances:a.example 10.0.0.1:80");
    let replica = Server::replica_of(&master);
    let sentinels: Vec<Server> = (0..3).map(|_| Server::sentinel(&[("table", master.port)], 2)).collect();
    let ports: Vec<String> =
        sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
    let url = format!("redis+sentinel://{}/table", ports.join(","));
    eventually("the sentinels know each other and the replica", || {
        sentinels.iter().all(|sentinel| sentinel.info("sentinel").contains("slaves=1,sentinels=3"))
    });
    let router = Router::follow_url(&url);
    router.has("a.example", &["10.0.0.1:80"]);
    master.kill();
    is_away(&router);
    eventually("the replica is promoted", || replica.info("replication").contains("role:master"));
    replica.run("SADD instances:b.example 10.0.0.2:80");
    router.has("b.example", &["10.0.0.2:80"]);
    router.has("a.example", &["10.0.0.1:80"]);
}

#[test]
fn a_server_without_tracking_is_polled() {
    let server = Server::start();
    server.run("ACL SETUSER default -client|tracking");
    server.run("SADD instances:a.example 10.0.0.1:80");
    let router = Router::follow(&server);
    router.has("a.example", &["10.0.0.1:80"]);
    assert!(!router.status().following.unwrap().tells);
    server.run("SADD instances:b.example 10.0.0.2:80");
    server.run("INCR serial");
    router.has("b.example", &["10.0.0.2:80"]);
    server.run("DEL instances:b.example");
    router.has("b.example", &[]);
}
