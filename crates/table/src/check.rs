//! Finding what in a table can't work, and instances that are gone.
//!
//! [`check`] reports entries that are malformed in the store, name a backend the configuration doesn't
//! have, have only drained instances, or, when it may connect, no instance that accepts a connection.
//! [`unreachable`] finds the instances that can be pruned: those that accept no TCP connection when asked
//! twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::entry::EntryRef;
use crate::listing::sorted;
use crate::member::Target;
use crate::pattern::Pattern;
use crate::snapshot::Snapshot;
use crate::table::{OutOfStep, Skipped, Table};

/// How instances are asked whether they are there.
#[derive(Debug, Clone, Copy)]
pub struct Connect {
    /// How long one may take to accept a connection.
    pub timeout: Duration,
    /// How many are asked at the same time.
    pub at_once: usize,
    /// How long to wait before asking those again that did not answer, where that is done.
    pub pause: Duration,
}

impl Default for Connect {
    /// Two seconds each, 64 at once, a second before asking again.
    fn default() -> Self {
        Connect { timeout: Duration::from_secs(2), at_once: 64, pause: Duration::from_secs(1) }
    }
}

/// An entry, or what should be one, that can't work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Problem {
    /// What the store holds is no entry.
    Malformed {
        /// Where it stands in the store.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
    /// An instance names a backend that the configuration doesn't have.
    UnknownBackend {
        /// The entry.
        host: String,
        /// The backend.
        backend: String,
    },
    /// Members and ids, which the store keeps apart, differ in number.
    OutOfStep {
        /// The entry.
        host: String,
        /// How many members it has.
        members: usize,
        /// How many ids it has.
        ids: usize,
    },
    /// Every instance has weight 0.
    AllDrained {
        /// The entry.
        host: String,
    },
    /// No instance accepts a connection.
    Unreachable {
        /// The entry.
        host: String,
        /// What became of asking each.
        instances: Vec<Unreachable>,
    },
}

/// An instance that does not accept connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreachable {
    /// Its address.
    pub address: SocketAddr,
    /// The system's error.
    pub error: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Malformed { key, detail } => write!(f, "{key}: malformed: {detail}"),
            Problem::UnknownBackend { host, backend } => {
                write!(f, "{host}: there is no backend '{backend}' in the configuration")
            }
            Problem::OutOfStep { host, members, ids } => {
                write!(
                    f,
                    "{host}: its instances and their ids are out of step: instances:{host} has {members}, "
                )?;
                write!(f, "instance_ids:{host} has {ids}")
            }
            Problem::AllDrained { host } => {
                write!(f, "{host}: every instance has weight 0, so none is ever chosen")
            }
            Problem::Unreachable { host, instances } => {
                write!(f, "{host}: no instance accepts a connection")?;
                for (index, Unreachable { address, error }) in instances.iter().enumerate() {
                    write!(f, "{} {address}: {error}", if index == 0 { ":" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

/// Looks for entries that can't work, and reports them in the order of a listing.
///
/// `skipped` is what the store held malformed ([`Table::skipped`](crate::table::Table::skipped)). Named
/// backends are checked if `backends` tells which there are, and instances are asked for a connection if
/// `connect` is given; both take part of the time of a table's size, the latter much of it.
pub fn check(
    snapshot: &Snapshot,
    skipped: &[Skipped],
    backends: Option<&BTreeSet<String>>,
    connect: Option<&Connect>,
) -> Vec<Problem> {
    let malformed =
        |skipped: &Skipped| Problem::Malformed { key: skipped.key.clone(), detail: skipped.problem.clone() };
    let mut problems: Vec<Problem> = skipped.iter().map(malformed).collect();
    let answers = connect.map(|connect| ask(addresses(snapshot), connect)).unwrap_or_default();
    for entry in sorted(snapshot) {
        check_entry(entry, backends, &answers, &mut problems);
    }
    problems
}

/// The hosts whose members and ids the store keeps out of step.
pub fn out_of_step(table: &Table) -> Vec<Problem> {
    let problem = |OutOfStep { host, members, ids }| Problem::OutOfStep { host, members, ids };
    table.out_of_step().into_iter().map(problem).collect()
}

/// The errors of those addresses that did not accept a connection.
pub(crate) type Failures = BTreeMap<SocketAddr, String>;

fn check_entry(
    entry: EntryRef<'_>,
    backends: Option<&BTreeSet<String>>,
    failures: &Failures,
    problems: &mut Vec<Problem>,
) {
    let host = || entry.pattern().to_owned();
    if let Some(known) = backends {
        let named: BTreeSet<&str> = entry.instances().filter_map(|instance| instance.backend()).collect();
        for backend in named.into_iter().filter(|&name| !known.contains(name)) {
            problems.push(Problem::UnknownBackend { host: host(), backend: backend.to_owned() });
        }
    }
    if entry.instances().all(|instance| instance.weight() == 0) {
        problems.push(Problem::AllDrained { host: host() });
    }
    let failed: Option<Vec<Unreachable>> = entry
        .instances()
        .map(|instance| {
            let address = instance.address().filter(|_| instance.backend().is_none())?;
            Some(Unreachable { address, error: failures.get(&address)?.clone() })
        })
        .collect();
    if let Some(instances) = failed {
        problems.push(Problem::Unreachable { host: host(), instances });
    }
}

/// The instances that accept no connection when asked twice, under their hosts.
pub fn unreachable(snapshot: &Snapshot, connect: &Connect) -> Vec<(Pattern, Unreachable)> {
    let once = ask(addresses(snapshot), connect);
    if once.is_empty() {
        return Vec::new();
    }
    thread::sleep(connect.pause);
    let twice = ask(once.into_keys().collect(), connect);

    let mut found = Vec::new();
    for entry in sorted(snapshot) {
        let addresses: BTreeSet<SocketAddr> = routed_addresses(entry).collect();
        for address in addresses {
            if let Some(error) = twice.get(&address) {
                found.push((entry.to_pattern(), Unreachable { address, error: error.clone() }));
            }
        }
    }
    found
}

/// The changes that remove these instances.
pub fn prune(unreachable: &[(Pattern, Unreachable)]) -> Vec<Change> {
    unreachable
        .iter()
        .map(|(host, instance)| Change::RemoveInstance {
            host: host.clone(),
            target: Target::Address(instance.address),
        })
        .collect()
}

/// The addresses of an entry that requests are sent to; where a backend serves instead, an address is
/// only a note.
fn routed_addresses(entry: EntryRef<'_>) -> impl Iterator<Item = SocketAddr> {
    entry
        .instances()
        .filter(|instance| instance.backend().is_none())
        .filter_map(|instance| instance.address())
}

fn addresses(snapshot: &Snapshot) -> BTreeSet<SocketAddr> {
    snapshot.iter().flat_map(routed_addresses).collect()
}

/// Asks each address for a connection, and returns the failures.
pub(crate) fn ask(addresses: BTreeSet<SocketAddr>, connect: &Connect) -> Failures {
    let addresses: Vec<SocketAddr> = addresses.into_iter().collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Failures::new());
    thread::scope(|scope| {
        for _ in 0..connect.at_once.clamp(1, addresses.len().max(1)) {
            scope.spawn(|| {
                while let Some(address) = addresses.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = TcpStream::connect_timeout(address, connect.timeout) {
                        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.insert(*address, error.to_string());
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::member::Member;
    use std::net::TcpListener;

    fn table(routes: &[(&str, &str)]) -> Snapshot {
        let mut members: BTreeMap<&str, Vec<Member>> = BTreeMap::new();
        for (host, member) in routes {
            members.entry(host).or_default().push(Member::parse(member).unwrap().0);
        }
        members
            .into_iter()
            .map(|(host, members)| Entry::new(&Pattern::parse(host).unwrap(), members).unwrap())
            .collect()
    }

    /// A listener, on a port below those the system hands out, and the same port of a loopback address
    /// where nothing listens. Tests run side by side, so each has an address of its own for that.
    fn up_and_down(nobody: &str) -> (TcpListener, String, String) {
        let mut free = (20_000..30_000).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        let listening = free.next().unwrap();
        let up = listening.local_addr().unwrap();
        (listening, up.to_string(), format!("{nobody}:{}", up.port()))
    }

    #[test]
    fn what_cannot_work_is_reported_and_the_rest_is_not() {
        let (_listening, up, down) = up_and_down("127.0.0.71");
        let table = table(&[
            ("good.example", &up),
            ("good.example", &down),
            ("gone.example", &down),
            ("named.example", "-####backend=content"),
            ("wrong.example", "-####backend=contnet"),
            ("drained.example", &format!("{up}####weight=0")),
        ]);
        let skipped = [Skipped { key: "x".to_owned(), problem: "cut short".to_owned() }];
        let backends = BTreeSet::from(["content".to_owned()]);
        let problems = check(&table, &skipped, Some(&backends), Some(&Connect::default()));
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 4, "{texts:#?}");
        assert_eq!(texts[0], "x: malformed: cut short");
        assert!(texts[1].starts_with("drained.example: every instance has weight 0"), "{}", texts[1]);
        assert!(texts[2].starts_with(&format!("gone.example: no instance accepts a connection: {down}")));
        assert_eq!(texts[3], "wrong.example: there is no backend 'contnet' in the configuration");
    }

    #[test]
    fn without_being_told_to_neither_backends_nor_connections_are_checked() {
        let table = table(&[("a.example", "-####backend=x"), ("b.example", "127.0.0.1:1")]);
        assert_eq!(check(&table, &[], None, None), []);
    }

    #[test]
    fn instances_that_do_not_answer_twice_are_pruned() {
        let (_listening, up, down) = up_and_down("127.0.0.72");
        let table = table(&[
            ("a.example", &up),
            ("a.example", &down),
            ("a.example", &format!("{down}####path=/api")),
            ("b.example", &format!("{down}####backend=content")),
        ]);
        let connect = Connect { pause: Duration::ZERO, ..Connect::default() };
        let expected = Change::RemoveInstance {
            host: Pattern::parse("a.example").unwrap(),
            target: Target::Address(down.parse().unwrap()),
        };
        assert_eq!(prune(&unreachable(&table, &connect)), [expected]);
    }
}
