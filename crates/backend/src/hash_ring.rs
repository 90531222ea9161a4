//! `hash_ring`: a request's key decides which member it goes to, so that each member sees the same requests
//! again and again. That is what makes several caches into one large one.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use waypost_http1::Name;

use crate::backend::{Backend, Call, Duties, Explanation, Probe, Report, Sketch};
use crate::cluster::{Algorithm, Cluster, ClusterOptions, Ring, mix, unit};
use crate::exchange::Exchange;
use crate::health::Health;
use crate::upstream::Registry;

/// What of a request decides. One that lacks the field or the cookie goes by path and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingKey {
    /// The path and the query, as the client wrote them.
    PathAndQuery,
    /// The host that is asked for, without its port.
    Host,
    /// The value of the first field of that name.
    Header(String),
    /// The value of the cookie of that name.
    Cookie(String),
}

impl RingKey {
    /// The key of a request.
    fn of<'a>(&self, request: &Sketch<'a>) -> &'a [u8] {
        let found = match self {
            RingKey::PathAndQuery => None,
            RingKey::Host => Some(request.host.as_bytes()),
            RingKey::Header(name) => request.fields.find(name),
            RingKey::Cookie(name) => cookie(request, name.as_bytes()),
        };
        found.unwrap_or(request.target)
    }

    fn says(&self) -> Cow<'static, str> {
        match self {
            RingKey::PathAndQuery => "path and query".into(),
            RingKey::Host => "host".into(),
            RingKey::Header(name) => format!("the field {name}").into(),
            RingKey::Cookie(name) => format!("the cookie {name}").into(),
        }
    }
}

/// The value of a cookie (RFC 6265 §4.2.1), without the quotes that may stand around it.
fn cookie<'a>(request: &Sketch<'a>, name: &[u8]) -> Option<&'a [u8]> {
    let pairs = request.fields.get_all(Name::Cookie).flat_map(|value| value.split(|byte| *byte == b';'));
    let value = |pair: &'a [u8]| pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"=");
    let value = pairs.filter_map(value).next()?;
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
}

/// What a [`HashRing`] is told.
#[derive(Debug, Clone)]
pub struct HashRingOptions {
    /// What of a request decides.
    pub key: RingKey,
    /// How keys and members are placed.
    pub algorithm: Algorithm,
    /// How many points each member has; as many as the algorithm's model if this is `None`.
    pub points: Option<u32>,
    /// No member that is up gets more requests at once than this many times the average, at least 1: what is
    /// above goes to the next one. `None`: however many a key brings.
    pub bound: Option<f64>,
    /// The members' health.
    pub cluster: ClusterOptions,
}

impl Default for HashRingOptions {
    /// By path and query, placed as nginx places.
    fn default() -> HashRingOptions {
        HashRingOptions {
            key: RingKey::PathAndQuery,
            algorithm: Algorithm::Ketama,
            points: None,
            bound: None,
            cluster: ClusterOptions::default(),
        }
    }
}

/// Sends each request to the member that its key belongs to.
pub struct HashRing {
    cluster: Cluster,
    ring: Ring,
    options: HashRingOptions,
    points: u32,
}

impl HashRing {
    /// A ring of members, each with the name by which it is placed; the names differ.
    pub fn new(
        name: impl Into<Box<str>>,
        members: Vec<(String, Rc<dyn Backend>)>,
        options: HashRingOptions,
        registry: &Registry,
    ) -> HashRing {
        let (names, members): (Vec<String>, Vec<_>) = members.into_iter().unzip();
        let points = options.points.unwrap_or(options.algorithm.usual_points());
        HashRing {
            ring: Ring::new(options.algorithm, points, &names),
            cluster: Cluster::new(name, members, options.cluster, registry),
            options,
            points,
        }
    }

    fn place(&self, request: &Sketch<'_>) -> u64 {
        self.ring.place(self.options.key.of(request))
    }

    /// The member for a place: its owner, or whoever comes next of those that are up and were not tried.
    fn choose(&self, place: u64, tried: &[usize]) -> Option<usize> {
        let cluster = &self.cluster;
        let capacity = self.options.bound.map(|bound| cluster.capacity(bound));
        // A key comes to a member that begins anew as soon as the member's share exceeds this, and stays.
        let threshold = unit(mix(place));
        let usable = |member: &usize| cluster.is_member_up(*member) && !tried.contains(member);
        let willing = |member: &usize| {
            usable(member)
                && cluster.share(*member) > threshold
                && capacity.is_none_or(|capacity| cluster.load(*member) < capacity)
        };
        let owner = self.ring.owner(place)?;
        if willing(&owner) {
            return Some(owner);
        }
        self.ring.from(place).find(willing).or_else(|| self.ring.from(place).find(usable))
    }

    fn says(&self) -> String {
        let HashRing { cluster, options, points, .. } = self;
        format!(
            "by {}, {}, {points} points a member, {} of {} up",
            options.key.says(),
            options.algorithm.as_str(),
            cluster.up(),
            cluster.members().len()
        )
    }
}

impl Backend for HashRing {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        let place = self.place(&exchange.sketch());
        let counted = self.options.bound.is_some();
        Box::pin(self.cluster.call(exchange, counted, move |tried| self.choose(place, tried)))
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
        Report {
            name: self.name().to_owned(),
            kind: "hash_ring",
            up: self.is_up(),
            detail: self.says(),
            health: None,
            children: self.cluster.reports(),
        }
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        let place = self.place(request);
        let key = String::from_utf8_lossy(self.options.key.of(request));
        let members = self.cluster.members();
        let name = |member: usize| members[member].name();
        let first = self.choose(place, &[]);
        let says = match (first, self.ring.owner(place)) {
            (None, _) => format!("answers 503: all members of {} are down", self.name()),
            (Some(chosen), Some(owner)) if chosen != owner => {
                format!("{key} belongs to {}, which passes it on to {}", name(owner), name(chosen))
            }
            (Some(chosen), _) => format!("{key} belongs to {}", name(chosen)),
        };
        let others = self.ring.from(place).filter(|member| Some(*member) != first);
        let up = others.filter(|member| self.cluster.is_member_up(*member));
        Explanation {
            backend: self.name().to_owned(),
            kind: "hash_ring",
            says,
            detail: None,
            next: self.cluster.explain(first.into_iter().chain(up), request),
        }
    }
}
