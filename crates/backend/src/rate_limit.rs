//! `rate_limit`: no more than so many requests in a time, for each client, host or value of a field.
//!
//! The limit is the generic cell rate algorithm: for each key one number is kept, the time at which its
//! bucket would be full again. A request moves it on by the time that one request is worth, and is refused
//! where that would lie further ahead than the burst allows. A number that lies in the past says nothing
//! that a missing one would not say, so forgetting it loses nothing.
//!
//! That is what bounds the memory: the numbers stand in a table of fixed size, in sets of eight as in a
//! processor's cache, each a single atomic that all workers share. Nothing locks, nothing grows whatever
//! keys are made up; a set whose eight keys are all being limited lets go of the one that is nearest to full.
//! Two keys are taken for one when 16 bits of their hash and their set agree, which for a given pair is one
//! chance in 500 million with the smallest table; the hash is seeded, so nobody can look for such a pair.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::StatusCode;
use waypost_http1::Name;

use crate::backend::{Backend, Call, Explanation, Report, Sketch};
use crate::exchange::Exchange;
use crate::response::Response;
use crate::upstream::Registry;

/// How many keys are remembered at once.
const SLOTS: usize = 1 << 16;
const WAYS: usize = 8;

/// What requests are counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateKey {
    /// The client's address; of an IPv6 address the first 64 bits, since a client has all of the rest.
    Client,
    /// The host that is asked for.
    Host,
    /// The value of the field of that name; without one the client's address.
    Header(String),
}

/// What a [`RateLimit`] is told.
#[derive(Debug, Clone)]
pub struct RateOptions {
    /// So many requests, at least one,
    pub requests: u32,
    /// in this time.
    pub per: Duration,
    /// How many may come at once when none came for a while, at least one.
    pub burst: u32,
    /// What they are counted by.
    pub key: RateKey,
}

/// Passes requests on up to a rate, and answers 429 above it.
pub struct RateLimit {
    name: String,
    backend: Rc<dyn Backend>,
    options: RateOptions,
    /// What one request is worth, and how far ahead the burst reaches, in microseconds.
    interval: u64,
    reach: u64,
    buckets: Arc<Buckets>,
}

/// The state of all keys.
#[derive(Debug)]
struct Buckets {
    began: Instant,
    seed: foldhash::fast::RandomState,
    /// 16 bits of the key's hash above 48 bits of microseconds since `began`. Of no key: 0.
    slots: Box<[AtomicU64]>,
}

const TIME: u64 = (1 << 48) - 1;

impl Buckets {
    fn new() -> Buckets {
        Buckets {
            began: Instant::now(),
            seed: foldhash::fast::RandomState::default(),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Takes one request from the bucket of a key; if that can't be, says for how many microseconds.
    fn take(&self, hash: u64, now: u64, interval: u64, reach: u64) -> Result<(), u64> {
        let set = (hash as usize & (SLOTS / WAYS - 1)) * WAYS;
        let set = &self.slots[set..set + WAYS];
        let tag = hash & !TIME;
        loop {
            let (slot, seen) = Self::slot_of(set, tag, now);
            let full_at = if seen & !TIME == tag { (seen & TIME).max(now) } else { now };
            if full_at - now > reach {
                return Err(full_at - now - reach);
            }
            let next = tag | (full_at + interval).min(TIME);
            if slot.compare_exchange_weak(seen, next, Relaxed, Relaxed).is_ok() {
                return Ok(());
            }
        }
    }

    /// The slot of a key, or the one it may have, and what stands there.
    fn slot_of(set: &[AtomicU64], tag: u64, now: u64) -> (&AtomicU64, u64) {
        let mut best = (&set[0], set[0].load(Relaxed));
        for slot in set {
            let seen = slot.load(Relaxed);
            // A tag of 0 can't be told from none, and need not be: an empty slot's time is in the past.
            if seen & !TIME == tag && seen & TIME > now {
                return (slot, seen);
            }
            if seen & TIME < best.1 & TIME {
                best = (slot, seen);
            }
        }
        best
    }
}

impl RateLimit {
    /// Limits what goes to `backend`, over all trees that share the registry.
    pub fn new(
        name: impl Into<String>,
        backend: Rc<dyn Backend>,
        options: RateOptions,
        registry: &Registry,
    ) -> RateLimit {
        let name = name.into();
        let interval = options.per.as_micros() as u64 / u64::from(options.requests.max(1));
        let reach = interval.saturating_mul(u64::from(options.burst.max(1)) - 1);
        let buckets = registry.shared(&name, Buckets::new);
        RateLimit { name, backend, options, interval, reach, buckets }
    }

    fn hash(&self, exchange: &Exchange) -> u64 {
        let seed = &self.buckets.seed;
        let client = || match exchange.downstream.client.ip().to_canonical() {
            IpAddr::V4(ip) => seed.hash_one(ip.octets()),
            IpAddr::V6(ip) => seed.hash_one(&ip.octets()[..8]),
        };
        match &self.options.key {
            RateKey::Client => client(),
            RateKey::Host => seed.hash_one(exchange.host.as_bytes()),
            RateKey::Header(name) => {
                exchange.request.fields.find(name).map_or_else(client, |value| seed.hash_one(value))
            }
        }
    }

    fn says(&self) -> String {
        let RateOptions { requests, per, burst, key } = &self.options;
        let key = match key {
            RateKey::Client => "client",
            RateKey::Host => "host",
            RateKey::Header(name) => name,
        };
        format!("{requests} requests in {per:?} by {key}, {burst} at once")
    }
}

fn refusal(name: &str, wait: u64) -> Response {
    let mut response = Response::text(
        StatusCode::TOO_MANY_REQUESTS,
        format!("waypost: more requests than {name} takes, try again later"),
    );
    let seconds = wait.div_ceil(1_000_000).max(1);
    response.add(Name::RetryAfter, seconds.to_string().as_bytes());
    response
}

impl Backend for RateLimit {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        // One more, so that no time is 0.
        let now = self.buckets.began.elapsed().as_micros() as u64 + 1;
        match self.buckets.take(self.hash(exchange), now, self.interval, self.reach) {
            Ok(()) => self.backend.call(exchange),
            Err(wait) => Box::pin(std::future::ready(Ok(refusal(&self.name, wait)))),
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn children(&self) -> &[Rc<dyn Backend>] {
        std::slice::from_ref(&self.backend)
    }

    fn report(&self) -> Report {
        Report::of(self, "rate_limit", self.says())
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        Explanation {
            backend: self.name.clone(),
            kind: "rate_limit",
            says: format!("passes it on up to {}, and answers 429 above", self.says()),
            detail: None,
            next: vec![self.backend.explain(request)],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_burst_is_let_through_and_then_one_at_a_time() {
        let buckets = Buckets::new();
        // Ten a second, three at once.
        let take = |now| buckets.take(7 << 48, now, SECOND / 10, 2 * SECOND / 10);
        assert_eq!((take(SECOND), take(SECOND), take(SECOND)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(take(SECOND), Err(SECOND / 10), "the fourth waits for as long as one request is worth");
        assert_eq!(take(SECOND + SECOND / 10), Ok(()));
        assert!(take(SECOND + SECOND / 10).is_err());
        assert_eq!(take(9 * SECOND), Ok(()), "after a pause");
    }

    #[test]
    fn a_key_that_is_refused_does_not_lengthen_its_wait() {
        let buckets = Buckets::new();
        let take = |now| buckets.take(1 << 48, now, SECOND, 0);
        assert_eq!(take(SECOND), Ok(()));
        for _ in 0..100 {
            assert!(take(SECOND + 1).is_err());
        }
        assert_eq!(take(2 * SECOND), Ok(()));
    }

    #[test]
    fn made_up_keys_take_no_memory_and_limited_keys_outlive_them() {
        let buckets = Buckets::new();
        let seed = foldhash::fast::FixedState::with_seed(1);
        let limited = seed.hash_one("limited");
        while buckets.take(limited, SECOND, SECOND, 100 * SECOND).is_ok() {}
        for key in 0..10 * SLOTS {
            assert!(buckets.take(seed.hash_one(key), SECOND, SECOND, 100 * SECOND).is_ok());
        }
        assert!(buckets.take(limited, SECOND, SECOND, 100 * SECOND).is_err(), "it was forgotten");
    }

    proptest! {
        /// Whatever comes when, no more are let through in a time than its rate and one burst allow.
        #[test]
        fn no_span_of_time_has_more_than_the_rate_and_the_burst(
            pauses in proptest::collection::vec(0..3 * SECOND, 1..200),
            rate in 1u64..50,
            burst in 1u64..20,
        ) {
            let (interval, buckets) = (SECOND / rate, Buckets::new());
            let mut now = SECOND;
            let mut taken = Vec::new();
            for pause in pauses {
                now += pause / 20;
                if buckets.take(3 << 48, now, interval, interval * (burst - 1)).is_ok() {
                    taken.push(now);
                }
            }
            for (first, start) in taken.iter().enumerate() {
                for (last, end) in taken.iter().enumerate().skip(first) {
                    let allowed = (end - start) / interval + burst;
                    prop_assert!((last - first + 1) as u64 <= allowed);
                }
            }
        }
    }
}
