//! What signals do to a running router.

use std::thread;
use std::time::{Duration, Instant};

use crate::program::Place;
use crate::router::Router;

#[test]
fn sigusr1_opens_the_access_log_anew() {
    let place = Place::new();
    let router = Router::start(&place, &[]);
    let log = place.path().join("waypost-data/access.json");
    std::fs::rename(&log, log.with_extension("1")).unwrap();
    router.signal("USR1");
    let end = Instant::now() + Duration::from_secs(30);
    while !log.exists() {
        assert!(Instant::now() < end, "the log was not opened again");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn sighup_does_not_end_the_router() {
    let place = Place::new();
    let router = Router::start(&place, &[]);
    router.signal("HUP");
    // It may take a moment to be delivered.
    for _ in 0..10 {
        assert!(router.is_alive());
        thread::sleep(Duration::from_millis(20));
    }
}
