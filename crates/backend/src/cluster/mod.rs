//! What clusters have in common: members, of which some may be down.
//!
//! A cluster asks its members in the background how they are ([`crate::Backend::probe`]), each in a task of
//! its own so that a slow one delays nobody, and takes note of calls that fail. A member that is down is
//! passed over; one that could not be reached before anything was sent is noted, and the request goes to the
//! next. Which member that is, is all that differs between kinds of clusters.
//!
//! Only a tree that was started with the duty to probe finds out that a member is back.

mod load;
mod ring;
mod turns;

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::task::AbortHandle;

pub use ring::{Algorithm, Ring};
pub(crate) use turns::Turns;

use crate::backend::{Backend, Duties, Explanation, Probe, Report, Sketch};
use crate::exchange::Exchange;
use crate::failure::{Failure, FailureKind};
use crate::health::{Attendance, Finding, Health, Pace};
use crate::response::Response;
use crate::upstream::Registry;
use load::Loads;

/// What a cluster is told of its members' health.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClusterOptions {
    /// How often members are asked, and when they count as down and up.
    pub pace: Pace,
    /// For so long a member that has come up again gets less than its share, and ever more of it.
    pub slow_start: Duration,
}

/// The members of a cluster.
pub(crate) struct Cluster {
    core: Rc<Core>,
    /// The background tasks, a task a member, while the cluster is started.
    probing: RefCell<Vec<Task>>,
}

struct Core {
    name: Box<str>,
    members: Vec<Rc<dyn Backend>>,
    healths: Vec<Arc<Health>>,
    options: ClusterOptions,
    shared: Arc<Shared>,
}

/// What the trees of all workers share of a cluster.
#[derive(Debug)]
struct Shared {
    /// No member was up when somebody last looked: said once.
    down: AtomicBool,
    /// How many trees have been built.
    trees: AtomicUsize,
    loads: Arc<Loads>,
}

/// A task on this thread that ends with this.
pub(crate) struct Task(AbortHandle);

impl Task {
    pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) -> Task {
        Task(tokio::task::spawn_local(future).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Cluster {
    /// A cluster of these members. What is held of a member is its own health if it keeps one.
    pub(crate) fn new(
        name: impl Into<Box<str>>,
        members: Vec<Rc<dyn Backend>>,
        options: ClusterOptions,
        registry: &Registry,
    ) -> Cluster {
        let name = name.into();
        let health = |member: &Rc<dyn Backend>| {
            member.health().unwrap_or_else(|| registry.shared(member.name(), Health::default))
        };
        let healths = members.iter().map(health).collect();
        // With the members' names, since loads go by their numbers.
        let names: Vec<&str> = members.iter().map(|member| member.name()).collect();
        let shared = registry.shared(&format!("{name}: {}", names.join(" ")), || Shared {
            down: AtomicBool::new(false),
            trees: AtomicUsize::new(0),
            loads: Arc::new(Loads::new(members.len())),
        });
        let core = Core { name, members, healths, options, shared };
        Cluster { core: Rc::new(core), probing: RefCell::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.core.name
    }

    pub(crate) fn members(&self) -> &[Rc<dyn Backend>] {
        &self.core.members
    }

    /// Counts the trees of workers as they are built, from 0.
    pub(crate) fn count_tree(&self) -> usize {
        self.core.shared.trees.fetch_add(1, Relaxed)
    }

    /// Whether a member takes requests.
    pub(crate) fn is_member_up(&self, member: usize) -> bool {
        self.core.is_up(member)
    }

    /// Which part of its usual share a member gets, more than 0 and at most 1.
    pub(crate) fn share(&self, member: usize) -> f32 {
        self.core.healths[member].share(self.core.options.slow_start)
    }

    /// How many members are up.
    pub(crate) fn up(&self) -> usize {
        (0..self.members().len()).filter(|member| self.core.is_up(*member)).count()
    }

    /// Whether at least one member is up.
    pub(crate) fn is_up(&self) -> bool {
        self.core.any_up()
    }

    /// What the cluster knows: at least one member must be up.
    pub(crate) fn probe(&self) -> Probe<'_> {
        let known =
            if self.is_up() { Ok(()) } else { Err(format!("all members of {} are down", self.name())) };
        Box::pin(std::future::ready(known))
    }

    /// How many requests a member may have in hand: `bound` times, rounded up, what each member that is up
    /// would have if all had the same, one that is about to be sent included.
    pub(crate) fn capacity(&self, bound: f64) -> u32 {
        let up = (0..self.members().len()).filter(|member| self.core.is_up(*member));
        let (members, requests) = up.fold((0u32, 1u64), |(members, requests), member| {
            (members + 1, requests + u64::from(self.load(member)))
        });
        (bound * requests as f64 / f64::from(members.max(1))).ceil() as u32
    }

    /// How many requests a member has in hand, if they are counted.
    pub(crate) fn load(&self, member: usize) -> u32 {
        self.core.shared.loads.of(member)
    }

    /// Sends the request to the member that `choose` names, and to another one as long as nothing was sent.
    /// `choose` is told which have been tried; requests in hand are counted if `counted`.
    pub(crate) async fn call(
        &self,
        exchange: &mut Exchange,
        counted: bool,
        mut choose: impl FnMut(&[usize]) -> Option<usize>,
    ) -> Result<Response, Failure> {
        let core = &*self.core;
        let (mut tried, mut last) = (Vec::new(), None);
        while let Some(member) = choose(&tried) {
            let in_hand = counted.then(|| core.shared.loads.take(member));
            let failure = match core.members[member].call(exchange).await {
                Ok(mut response) => {
                    core.healths[member].call_answered();
                    if core.shared.down.load(Relaxed) {
                        core.note(core.any_up());
                    }
                    if let Some(in_hand) = in_hand {
                        in_hand.stay_with(&mut response);
                    }
                    return Ok(response);
                }
                Err(failure) => failure,
            };
            if is_by_fault_of_member(&failure) {
                let finding = core.finding(member);
                core.healths[member].call_failed(&core.options.pace, &failure, finding);
            }
            if failure.sent || exchange.body.is_touched() || !leaves_others(&failure) {
                return Err(failure);
            }
            tried.push(member);
            last = Some(failure);
        }
        if core.any_up()
            && let Some(last) = last
        {
            return Err(last);
        }
        core.note(core.any_up());
        Err(Failure::unsent(FailureKind::Down {
            cluster: core.name.to_string(),
            retry_after: core.options.pace.interval * core.options.pace.rise,
        }))
    }

    /// Begins to probe, if that is its duty and it has not begun, and has its members begin.
    pub(crate) fn start(&self, duties: Duties) {
        let mut probing = self.probing.borrow_mut();
        if duties.probes && probing.is_empty() {
            for member in 0..self.members().len() {
                let attendance = self.core.healths[member].attend(self.core.options.pace.interval);
                let core = Rc::clone(&self.core);
                probing.push(Task::spawn(async move { core.watch(member, attendance).await }));
            }
        }
        drop(probing);
        self.members().iter().for_each(|member| member.start(duties));
    }

    /// Ends what [`Cluster::start`] began.
    pub(crate) fn stop(&self) {
        self.probing.borrow_mut().clear();
        self.members().iter().for_each(|member| member.stop());
    }

    /// What the members report, with what the cluster holds of them.
    pub(crate) fn reports(&self) -> Vec<Report> {
        let reports = self.members().iter().zip(&self.core.healths).map(|(member, health)| {
            let mut report = member.report();
            report.up &= health.is_up();
            report.health = Some(health.report());
            report
        });
        reports.collect()
    }

    /// The ways through these members.
    pub(crate) fn explain(
        &self,
        members: impl Iterator<Item = usize>,
        request: &Sketch<'_>,
    ) -> Vec<Explanation> {
        members.map(|member| self.members()[member].explain(request)).collect()
    }
}

impl Core {
    fn is_up(&self, member: usize) -> bool {
        self.healths[member].is_up() && self.members[member].is_up()
    }

    fn any_up(&self) -> bool {
        (0..self.members.len()).any(|member| self.is_up(member))
    }

    fn finding(&self, member: usize) -> Finding<'_> {
        Finding { backend: self.members[member].name(), cluster: Some(&self.name) }
    }

    /// Asks a member again and again how it is, as long as no other cluster does.
    async fn watch(&self, member: usize, attendance: Attendance) {
        let Pace { interval, .. } = self.options.pace;
        let mut jitter = Jitter::default();
        loop {
            if attendance.is_prober() {
                let outcome = self.members[member].probe().await;
                self.healths[member].probed(&self.options.pace, outcome, self.finding(member));
            }
            self.note(self.any_up());
            tokio::time::sleep(jitter.around(interval)).await;
        }
    }

    /// Says once that no member is left, and once that there is one again.
    fn note(&self, up: bool) {
        // The load keeps the usual case from writing to a line that all workers read.
        let down = &self.shared.down;
        if down.load(Relaxed) != up || down.swap(!up, Relaxed) != up {
            return;
        }
        if up {
            tracing::info!(cluster = &*self.name, "the cluster has members again");
        } else {
            tracing::error!(cluster = &*self.name, "all members of the cluster are down: it answers 503");
        }
    }
}

/// Whether a failure tells on the member's health.
fn is_by_fault_of_member(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        FailureKind::Connect { .. }
            | FailureKind::Unresolved { .. }
            | FailureKind::Closed { .. }
            | FailureKind::Timeout { .. }
            | FailureKind::Late { .. }
    )
}

/// Whether another member might do better with a request of which nothing was sent.
fn leaves_others(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        FailureKind::Connect { .. }
            | FailureKind::Unresolved { .. }
            | FailureKind::Closed { .. }
            | FailureKind::Down { .. }
            | FailureKind::Unavailable { .. }
    )
}

/// Waits that differ, so that tasks that began together don't go on together.
pub(crate) struct Jitter(u64);

impl Default for Jitter {
    fn default() -> Jitter {
        Jitter(RandomState::new().hash_one(0))
    }
}

impl Jitter {
    /// A wait up to a tenth shorter or longer than this one.
    pub(crate) fn around(&mut self, wait: Duration) -> Duration {
        self.0 = mix(self.0);
        wait.mul_f32(0.9 + 0.2 * unit(self.0))
    }
}

/// A number that looks drawn at random but follows from this one (SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The number's upper bits as one from 0 to less than 1.
pub(crate) fn unit(number: u64) -> f32 {
    (number >> 40) as f32 / (1u64 << 24) as f32
}
