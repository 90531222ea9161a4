//! `round_robin`: each member in turn, by weight.
//!
//! Each worker takes turns by itself, so that none waits for another; workers begin at different members.
//! Since each worker is even, all of them together are.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::backend::{Backend, Call, Duties, Explanation, Probe, Report, Sketch};
use crate::cluster::{Cluster, ClusterOptions, Turns};
use crate::exchange::Exchange;
use crate::health::Health;
use crate::upstream::Registry;

/// A weight of one, so that a share of it is still a whole number.
const ONE: u32 = 1000;

/// Sends requests to its members in turn.
pub struct RoundRobin {
    cluster: Cluster,
    weights: Vec<u32>,
    turns: RefCell<Turns>,
}

impl RoundRobin {
    /// The heaviest that a member can be.
    pub const MOST_WEIGHT: u32 = 1_000_000;

    /// Members, each with its weight, from 1 to [`RoundRobin::MOST_WEIGHT`].
    pub fn new(
        name: impl Into<Box<str>>,
        members: Vec<(Rc<dyn Backend>, u32)>,
        options: ClusterOptions,
        registry: &Registry,
    ) -> RoundRobin {
        let (members, weights): (Vec<_>, Vec<u32>) = members.into_iter().unzip();
        let cluster = Cluster::new(name, members, options, registry);
        let turns = RefCell::new(Turns::new(weights.len(), cluster.count_tree()));
        RoundRobin { cluster, weights, turns }
    }

    fn choose(&self, tried: &[usize]) -> Option<usize> {
        self.turns.borrow_mut().next(|member| {
            let usable = self.cluster.is_member_up(member) && !tried.contains(&member);
            usable.then(|| {
                let weight = self.weights[member].clamp(1, RoundRobin::MOST_WEIGHT) * ONE;
                match self.cluster.share(member) {
                    1.0 => weight,
                    share => (weight as f32 * share) as u32,
                }
            })
        })
    }
}

impl Backend for RoundRobin {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        Box::pin(self.cluster.call(exchange, false, |tried| self.choose(tried)))
    }

    fn name(&self) -> &str {
        self.cluster.name()
    }

    fn children(&self) -> &[Rc<dyn Backend>] {
        self.cluster.members()
    }

    fn is_up(&self) -> bool {
        self.cluster.is_up()
    }

    fn probe(&self) -> Probe<'_> {
        self.cluster.probe()
    }

    fn health(&self) -> Option<Arc<Health>> {
        None
    }

    fn start(&self, duties: Duties) {
        self.cluster.start(duties);
    }

    fn stop(&self) {
        self.cluster.stop();
    }

    fn report(&self) -> Report {
        let weights = match self.weights.iter().all(|weight| *weight == self.weights[0]) {
            true => String::new(),
            false => {
                format!(", weights {}", self.weights.iter().map(u32::to_string).collect::<Vec<_>>().join(" "))
            }
        };
        Report {
            name: self.name().to_owned(),
            kind: "round_robin",
            up: self.is_up(),
            detail: format!("{} of {} up{weights}", self.cluster.up(), self.weights.len()),
            health: None,
            children: self.cluster.reports(),
        }
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        let up = (0..self.weights.len()).filter(|member| self.cluster.is_member_up(*member));
        let says = match self.cluster.up() {
            0 => format!("answers 503: all members of {} are down", self.name()),
            up => format!("takes the next in turn of {up} that are up"),
        };
        Explanation {
            backend: self.name().to_owned(),
            kind: "round_robin",
            says,
            detail: None,
            next: self.cluster.explain(up, request),
        }
    }
}
