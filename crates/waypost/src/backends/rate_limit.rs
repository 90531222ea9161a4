//! `type = "rate_limit"`.

use std::rc::Rc;
use std::time::Duration;

use waypost_backend::{Backend, RateLimit as Node, RateOptions};

use super::rate::{Rate, RateKey};
use super::{BackendType, Child, Findings, Site};
use crate::config::section;

section! {
    /// Passes requests on up to a rate, counted over all workers, and answers 429 with `Retry-After` above it.
    /// The 65,536 keys that asked last are remembered, in memory of a fixed size.
    RateLimit {
        /// The backend they go to.
        backend: String,
        /// How many requests in what time.
        rate: Rate,
        /// How many may come at once when none came for a while. Not set: as many as the rate lets through in
        /// a second, at least one.
        burst: Option<u32> = None,
        /// What requests are counted by: `client` (the address; of an IPv6 address its first 64 bits), `host`,
        /// or the value of a field as `header:X-Api-Key` (without the field, the client).
        key: RateKey = RateKey::default(),
    }
}

impl BackendType for RateLimit {
    const NAME: &'static str = "rate_limit";

    fn children(&self) -> Vec<Child<'_>> {
        vec![Child { key: "backend", name: &self.backend }]
    }

    fn check(&self, found: &mut Findings<'_>) {
        found.more_than_nothing("burst", self.burst == Some(0));
    }

    fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Backend> {
        let Rate { requests, per } = self.rate;
        let a_second = u128::from(requests) * Duration::from_secs(1).as_micros() / per.as_micros();
        let burst = self.burst.unwrap_or(a_second.clamp(1, u32::MAX.into()) as u32);
        let options = RateOptions { requests, per, burst, key: self.key.0.clone() };
        Rc::new(Node::new(name, site.backend(&self.backend), options, site.peers().registry()))
    }
}
