//! Changes through the store: both sets and the serial in step, all or nothing.

use std::thread;

use waypost_table::redis::{add_to_sets, set_members};
use waypost_table::{
    Change, ImportMode, Member, Outcome, Pattern, RedisTable, StoreError, TableStore, Target, transfer,
};

use crate::Router;
use crate::server::{Server, eventually};

fn host(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn add(name: &str, text: &str) -> Change {
    Change::AddInstance { host: host(name), member: Member::parse(text).unwrap().0 }
}

fn remove(name: &str, address: &str) -> Change {
    Change::RemoveInstance { host: host(name), target: Target::Address(address.parse().unwrap()) }
}

#[test]
fn a_change_keeps_sets_and_serial_in_step_and_is_in_force_when_it_returns() {
    let server = Server::start();
    let router = Router::follow(&server);
    let applied = router
        .store
        .apply(vec![add("a.example", "10.0.0.1:80#v#n#i"), add("a.example", "10.0.0.2:80")])
        .unwrap();
    assert_eq!((applied.serial, applied.outcomes), (1, vec![Outcome::Added, Outcome::Added]));
    assert_eq!(router.members("a.example"), ["10.0.0.1:80#v#n#i", "10.0.0.2:80"]);
    assert_eq!(router.status().serial, 1);
    assert_eq!(server.set("instances:a.example"), ["10.0.0.1:80#v#n#i", "10.0.0.2:80"]);
    assert_eq!(server.set("instance_ids:a.example").len(), 2);
    assert!(router.store().out_of_step().is_empty());

    let again = router.store.apply(vec![add("a.example", "10.0.0.2:80")]).unwrap();
    assert_eq!((again.serial, again.outcomes), (1, vec![Outcome::AlreadyThere]));
    let applied = router
        .store
        .apply(vec![remove("a.example", "10.0.0.2:80"), remove("a.example", "10.0.0.9:80")])
        .unwrap();
    assert_eq!((applied.serial, applied.outcomes), (2, vec![Outcome::Removed, Outcome::WasNotThere]));
    assert_eq!(server.set("instance_ids:a.example").len(), 1);
    let applied = router.store.apply(vec![Change::RemoveEntry { host: host("a.example") }]).unwrap();
    assert_eq!((applied.serial, router.len()), (3, 0));
    assert_eq!(server.run("DBSIZE"), redis::Value::Int(1), "the serial");
}

#[test]
fn an_id_that_was_given_goes_with_its_member() {
    let server = Server::start();
    let store = RedisTable::open_to_change(&server.address()).unwrap();
    let ids = ["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"];
    for (port, id) in [(1, ids[0]), (2, ids[1])] {
        let member =
            Member { instance_id: Some(id.parse().unwrap()), ..Member::at(([10, 0, 0, 1], port).into()) };
        store.apply(vec![Change::AddInstance { host: host("a.example"), member }]).unwrap();
    }
    assert_eq!(server.set("instances:a.example"), ["10.0.0.1:1", "10.0.0.1:2"]);
    assert_eq!(server.set("instance_ids:a.example"), ids);
    let reader = RedisTable::open(&server.address()).unwrap();
    let snapshot = reader.table().snapshot();
    let listed: Vec<String> =
        snapshot.get("a.example").unwrap().members().map(|m| m.instance_id.unwrap().to_string()).collect();
    assert_eq!(listed, ids);
    store.apply(vec![remove("a.example", "10.0.0.1:1")]).unwrap();
    assert_eq!(server.set("instance_ids:a.example"), [ids[1]]);
}

#[test]
fn members_of_others_stay_as_they_wrote_them() {
    let server = Server::start();
    server.run("SADD instances:a.example 10.0.0.1:80####color=red nonsense");
    let store = RedisTable::open_to_change(&server.address()).unwrap();
    store.apply(vec![add("a.example", "10.0.0.2:80")]).unwrap();
    assert_eq!(server.set("instances:a.example"), ["10.0.0.1:80####color=red", "10.0.0.2:80", "nonsense"]);
    let applied = store.apply(vec![Change::RemoveEntry { host: host("a.example") }]).unwrap();
    assert_eq!(applied.outcomes, [Outcome::Removed]);
    assert!(server.set("instances:a.example").is_empty());
}

#[test]
fn a_key_of_another_type_refuses_changes_until_it_is_removed() {
    let server = Server::start();
    server.run("SET instances:a.example x");
    let store = RedisTable::open_to_change(&server.address()).unwrap();
    let error =
        store.apply(vec![add("b.example", "10.0.0.1:80"), add("a.example", "10.0.0.1:80")]).unwrap_err();
    assert!(error.to_string().contains("not a set"), "{error}");
    assert_eq!(server.run("DBSIZE"), redis::Value::Int(1), "nothing was changed");
    let removal = Change::RemoveEntry { host: host("a.example") };
    assert_eq!(store.apply(vec![removal]).unwrap().outcomes, [Outcome::Removed]);
    store.apply(vec![add("a.example", "10.0.0.1:80")]).unwrap();
    server.run("SET serial nonsense");
    let error = store.apply(vec![add("b.example", "10.0.0.1:80")]).unwrap_err();
    assert!(error.to_string().contains("SET serial 0"), "{error}");
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    let server = Server::start();
    let address = server.address();
    thread::scope(|scope| {
        for writer in 0..4 {
            let store = RedisTable::open_to_change(&address).unwrap();
            scope.spawn(move || {
                for port in 1..=50 {
                    store.apply(vec![add("a.example", &format!("10.0.0.{writer}:{port}"))]).unwrap();
                }
            });
        }
    });
    assert_eq!(server.set("instances:a.example").len(), 200);
    assert_eq!(server.set("instance_ids:a.example").len(), 200);
    assert_eq!(server.run("GET serial"), redis::Value::BulkString(b"200".to_vec()));
}

#[test]
fn an_import_can_be_repeated_and_can_replace() {
    let server = Server::start();
    server.run("SADD instances:old.example 10.0.0.9:80");
    server.run("SADD instances:Odd.example 10.0.0.9:80");
    let router = Router::follow(&server);
    let lines: String = (0..3000)
        .map(|host| {
            format!("{{\"host\":\"h{host}.example\",\"address\":\"10.0.0.1:80\",\"version_type\":\"v\"}}\n")
        })
        .collect();
    let entries = transfer::import(lines.as_bytes()).unwrap();
    let imported = router.store.import(entries.clone(), ImportMode::Merge).unwrap();
    assert_eq!((imported.changed, imported.removed, imported.serial), (3000, 0, 1));
    assert_eq!(router.len(), 3001);
    let again = router.store.import(entries.clone(), ImportMode::Merge).unwrap();
    assert_eq!((again.changed, again.serial), (0, 1));
    let replaced = router.store.import(entries.clone(), ImportMode::Replace).unwrap();
    assert_eq!((replaced.changed, replaced.removed, replaced.serial), (0, 2, 2));
    assert_eq!(router.len(), 3000);

    let mut export = Vec::new();
    transfer::export(&router.store().snapshot(), &mut export).unwrap();
    let other = Server::start();
    let store = RedisTable::open_to_change(&other.address()).unwrap();
    store.import(transfer::import(&export[..]).unwrap(), ImportMode::Merge).unwrap();
    assert_eq!(other.set("instance_ids:h7.example"), server.set("instance_ids:h7.example"));
    assert!(other.set("instance_id_of:h7.example").is_empty(), "a derived id needs no note");
}

#[test]
fn behind_a_replica_its_master_is_written() {
    let master = Server::start();
    let replica = Server::replica_of(&master);
    let router = Router::follow(&replica);
    let applied = router.store.apply(vec![add("a.example", "10.0.0.1:80")]).unwrap();
    assert_eq!(applied.serial, 1);
    assert_eq!(router.members("a.example"), ["10.0.0.1:80"], "it is in force when it returns");
    assert_eq!(master.set("instances:a.example"), ["10.0.0.1:80"]);
}

#[test]
fn a_store_that_is_away_is_said_so() {
    let mut server = Server::start();
    server.kill();
    let error = RedisTable::open(&server.address()).err().unwrap();
    assert!(matches!(&error, StoreError::Remote { .. }), "{error}");
    assert!(error.to_string().contains(&server.url()), "{error}");
    let store = RedisTable::open_to_change(&server.address()).unwrap();
    assert!(store.apply(vec![add("a.example", "10.0.0.1:80")]).is_err());
    server.resume();
    assert!(store.apply(vec![add("a.example", "10.0.0.1:80")]).is_ok(), "the next attempt is another");
}

#[test]
fn a_password_is_asked_for_and_taken() {
    let server = Server::start_with(&["--requirepass", "s p#c"]);
    let error = RedisTable::open(&server.address()).err().unwrap().to_string();
    assert!(error.contains("NOAUTH") || error.contains("uthenticat"), "{error}");
    let url = format!("redis://:s%20p%23c@127.0.0.1:{}", server.port);
    let store = RedisTable::open(&crate::server::address(&url)).unwrap();
    store.apply(vec![add("a.example", "10.0.0.1:80")]).unwrap();
    eventually("it is in the table", || store.table().snapshot().len() == 1);
    assert!(!store.table().status().location.contains("s p"));
}

#[test]
fn sets_of_the_statistics_are_filled_all_or_none() {
    let server = Server::start();
    let members =
        |key: &str| vec![("workspace:1".to_owned(), "vt".to_owned()), (key.to_owned(), "vt".to_owned())];
    assert_eq!(add_to_sets(&server.address(), &members("version:2")).unwrap(), 2);
    assert_eq!(add_to_sets(&server.address(), &members("version:2")).unwrap(), 0);
    assert_eq!(set_members(&server.address(), "version:2").unwrap(), ["vt"]);
    server.run("SET version:3 x");
    assert!(
        add_to_sets(&server.address(), &members("version:3")).unwrap_err().to_string().contains("version:3")
    );
}

#[test]
fn a_user_with_the_rights_that_are_documented_can_route_and_change() {
    let server = Server::start();
    let keys =
        "ACL SETUSER router on >secret resetkeys ~instances:* ~instance_ids:* ~instance_id_of:* ~serial";
    let routing = "+hello +client|tracking +select +info +multi +exec +get +scan +sscan +hscan +pttl";
    server.run(&format!("{keys} {routing}"));
    let router = Router::follow_url(&format!("redis://router:secret@127.0.0.1:{}", server.port));
    assert!(router.status().following.unwrap().tells);
    server.run("SADD instances:b.example 10.0.0.2:80");
    router.has("b.example", &["10.0.0.2:80"]);
    let error = router.store.apply(vec![add("a.example", "10.0.0.1:80")]).unwrap_err().to_string();
    assert!(error.contains("NOPERM"), "{error}");

    server.run("ACL SETUSER router +watch +unwatch +sadd +srem +del +incr +hset +hdel");
    let member =
        Member { instance_id: Some(uuid::Uuid::from_u128(7)), ..Member::at(([10, 0, 0, 1], 80).into()) };
    let added = Change::AddInstance { host: host("a.example"), member };
    router.store.apply(vec![added, add("a.example", "10.0.0.2:80")]).unwrap();
    router.store.apply(vec![remove("a.example", "10.0.0.1:80")]).unwrap();
    router.store.apply(vec![Change::RemoveEntry { host: host("a.example") }]).unwrap();
    assert_eq!(router.members("a.example"), [""; 0]);
}
