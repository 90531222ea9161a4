//! `type = "round_robin"`.

use std::rc::Rc;
use std::time::Duration;

use waypost_backend::{Backend, RoundRobin as Node};

use super::cluster::HealthKeys;
use super::{BackendType, Child, Findings, Site};
use crate::config::section;

section! {
    /// Each member in turn, those that are down passed over; 503 when all are. Members are asked in the
    /// background how they are (`probe` of a `client`), and calls that fail count as well. See
    /// [clusters](clusters.md).
    RoundRobin {
        /// The backends that take turns.
        members: Vec<String>,
        /// How many turns each takes in a round, in the order of `members`. Not set: one each.
        weights: Option<Vec<u32>> = None,
        /// How often each member is asked how it is.
        probe_interval: Duration = Duration::from_secs(1),
        /// After so many failures in a row a member is down.
        fall: u32 = 3,
        /// After so many good probes in a row a member is up again.
        rise: u32 = 2,
        /// For so long a member that has come up again gets less than its share, and ever more of it.
        slow_start: Duration = Duration::ZERO,
    }
}

impl RoundRobin {
    fn health(&self) -> HealthKeys {
        let RoundRobin { probe_interval, fall, rise, slow_start, .. } = *self;
        HealthKeys { probe_interval, fall, rise, slow_start }
    }
}

impl BackendType for RoundRobin {
    const NAME: &'static str = "round_robin";

    fn children(&self) -> Vec<Child<'_>> {
        Child::each("members", &self.members)
    }

    fn check(&self, found: &mut Findings<'_>) {
        self.health().check(&self.members, found);
        let Some(weights) = &self.weights else { return };
        if weights.len() != self.members.len() {
            let (weights, members) = (weights.len(), self.members.len());
            found.add("weights", format_args!("has {weights} weights for {members} members: write one for each"));
        }
        if weights.iter().any(|weight| !(1..=Node::MOST_WEIGHT).contains(weight)) {
            found.add("weights", format_args!("each must be from 1 to {}", Node::MOST_WEIGHT));
        }
    }

    fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Backend> {
        let members = site.backends(&self.members).into_iter();
        // The check has seen that there is a weight for each, or none at all.
        let weights = self.weights.iter().flatten().copied().chain(std::iter::repeat(1));
        Rc::new(Node::new(name, members.zip(weights).collect(), self.health().options(), site.peers().registry()))
    }
}
