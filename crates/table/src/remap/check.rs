//! What can't work in a memcached table, as far as it is known: memcached does not list its keys.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, ToSocketAddrs};

use super::RemapTable;
use super::known::KnownState;
use super::target::RouteTarget;
use crate::check::{Connect, Problem, Unreachable, ask};
use crate::store::TableStore;

impl RemapTable {
    /// Looks for known keys whose value does not parse and, if it may connect, for known targets that can't be
    /// looked up or accept no connection.
    pub fn check(&self, connect: Option<&Connect>) -> Vec<Problem> {
        let malformed = self.table().skipped().into_iter();
        let mut problems: Vec<Problem> = malformed
            .map(|skipped| Problem::Malformed { key: skipped.key, detail: skipped.problem })
            .collect();
        let Some(connect) = connect else { return problems };
        let mut targets: BTreeMap<String, RouteTarget> = BTreeMap::new();
        for route in self.known() {
            if let KnownState::Routed { found, target } = route.state {
                targets.insert(found, target);
            }
        }
        let looked_up: Vec<(String, Result<Vec<SocketAddr>, String>)> =
            targets.into_iter().map(|(key, target)| (key, look_up(&target))).collect();
        let addresses: BTreeSet<SocketAddr> =
            looked_up.iter().filter_map(|(_, found)| found.as_ref().ok()).flatten().copied().collect();
        let failures = ask(addresses, connect);
        for (key, found) in looked_up {
            match found {
                Err(detail) => problems.push(Problem::Malformed { key, detail }),
                Ok(addresses) => {
                    let failed: Option<Vec<Unreachable>> = addresses
                        .into_iter()
                        .map(|address| Some(Unreachable { address, error: failures.get(&address)?.clone() }))
                        .collect();
                    problems.extend(failed.map(|instances| Problem::Unreachable { host: key, instances }));
                }
            }
        }
        problems
    }
}

fn look_up(target: &RouteTarget) -> Result<Vec<SocketAddr>, String> {
    let found = (target.host(), target.port()).to_socket_addrs();
    match found.map(Iterator::collect::<Vec<_>>) {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(format!("{target}: its server has no addresses")),
        Err(error) => Err(format!("{target}: its server can't be looked up: {error}")),
    }
}
