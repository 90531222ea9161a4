//! Which servers an operation goes to: the one placement names; with replicas, the next ones as well; with
//! failover, the first that are not out of use.
//!
//! With replicas an operation is first done where placement says. What it stored is then written to the
//! others, and a read that finds nothing, or nobody, asks them. Copies are as good as that: a server that
//! missed a write while it was away has an old value.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::Shared;
use crate::error::{Error, Phase};
use crate::key::Key;
use crate::protocol::{Reply, Request, StoreMode};
use crate::server::{Deadline, Server};

impl Shared {
    /// Sends one request to the servers of its key.
    pub(super) fn ask(&self, request: Request) -> impl Future<Output = Result<Reply, Error>> {
        self.ask_within(request, self.deadline())
    }

    /// As [`Shared::ask`], as a part of something that must end in time.
    pub(super) async fn ask_within(&self, request: Request, deadline: Deadline) -> Result<Reply, Error> {
        let Some(key) = request.key() else { return Err(Error::NoServers) };
        if !self.failover && self.copies == 1 {
            let server = &self.servers[self.placement.server(key.name())];
            return server.ask(&request, deadline).await;
        }
        // Apart, so that those who need no choice of servers don't carry it along.
        Box::pin(self.ask_holders(key, &request, deadline)).await
    }

    /// Sends a request to those that hold its key, and with failover to others until one can be reached.
    async fn ask_holders(&self, key: &Key, request: &Request, deadline: Deadline) -> Result<Reply, Error> {
        let mut outcome = Err(Error::NoServers);
        // Each turn puts at least one server out of use, or is the last.
        for _ in 0..self.servers.len() {
            let holders = self.holders(key);
            if holders.is_empty() {
                return Err(self.all_dead(key));
            }
            outcome = match request {
                Request::Get { .. } => self.read_any(&holders, request, deadline).await,
                _ => self.write_all(&holders, request, deadline).await,
            };
            let unreachable = outcome.as_ref().is_err_and(Error::is_unreachable);
            if !(self.failover && unreachable && Instant::now() < deadline.at()) {
                break;
            }
        }
        outcome
    }

    /// Sends a request to the server of another key, so that what belongs together lies together.
    pub(super) async fn ask_beside(&self, key: &Key, request: Request) -> Result<Reply, Error> {
        let holders = self.holders(key);
        let Some(first) = holders.first() else { return Err(self.all_dead(key)) };
        self.servers[*first].ask(&request, self.deadline()).await
    }

    /// The servers that have, or should have, an item: the first of the candidates, with failover the first
    /// that are not out of use.
    pub(super) fn holders(&self, key: &Key) -> Vec<usize> {
        let usable = |index: &usize| !self.failover || self.servers[*index].away().is_none();
        self.placement.candidates(key.name()).filter(usable).take(self.copies).collect()
    }

    /// The first server an item may be on.
    pub(super) fn first_holder(&self, key: &Key) -> usize {
        let own = self.placement.server(key.name());
        match self.failover && self.servers[own].away().is_some() {
            true => self.holders(key).first().copied().unwrap_or(own),
            false => own,
        }
    }

    pub(super) fn all_dead(&self, key: &Key) -> Error {
        let server = &self.servers[self.placement.server(key.name())];
        match server.away() {
            Some(Error::Disabled { server, cause, .. }) => Error::AllDead { server, cause },
            _ => Error::AllDead { server: server.name().clone(), cause: "it failed a moment ago".into() },
        }
    }

    /// The first item that one of the servers has.
    async fn read_any(
        &self,
        holders: &[usize],
        request: &Request,
        deadline: Deadline,
    ) -> Result<Reply, Error> {
        let mut worst = None;
        let mut missed = false;
        for index in holders {
            match self.servers[*index].ask(request, deadline).await {
                Ok(Reply::NotFound) => missed = true,
                Ok(reply) => return Ok(reply),
                Err(error) => worst = worst.or(Some(error)),
            }
        }
        match worst {
            Some(error) if !missed => Err(error),
            _ => Ok(Reply::NotFound),
        }
    }

    /// The answer of the first server that gives one; the others are then told what came of it.
    async fn write_all(
        &self,
        holders: &[usize],
        request: &Request,
        deadline: Deadline,
    ) -> Result<Reply, Error> {
        let mut outcome = Err(Error::NoServers);
        let mut rest = holders.iter();
        for index in rest.by_ref() {
            outcome = self.servers[*index].ask(request, deadline).await;
            if outcome.is_ok() {
                break;
            }
        }
        let Ok(reply) = &outcome else { return outcome };
        if let Some(copy) = copy_of(request, reply) {
            // A copy that can't be written is missing, which reads can live with.
            join_all(rest.map(|index| self.servers[*index].ask(&copy, deadline))).await;
        }
        outcome
    }
}

/// What makes another server's item like that of the first, after it gave this reply.
fn copy_of(request: &Request, reply: &Reply) -> Option<Request> {
    match (request, reply) {
        (
            Request::Store { mode: StoreMode::Append | StoreMode::AppendOrSet | StoreMode::Prepend, .. },
            Reply::Done,
        ) => Some(request.clone()),
        (Request::Store { key, value, flags, ttl, .. }, Reply::Done) => Some(Request::Store {
            mode: StoreMode::Set,
            key: key.clone(),
            value: value.clone(),
            flags: *flags,
            ttl: *ttl,
            cas: None,
        }),
        (Request::Delete { key, .. }, Reply::Done | Reply::NotFound) => {
            Some(Request::Delete { key: key.clone(), cas: None })
        }
        (Request::Touch { .. } | Request::Arithmetic { .. }, Reply::Done | Reply::Number(_)) => {
            Some(request.clone())
        }
        _ => None,
    }
}

impl Server {
    /// Sends one request, unless the server is left alone.
    pub(super) async fn ask(&self, request: &Request, deadline: Deadline) -> Result<Reply, Error> {
        if let Some(away) = self.away() {
            return Err(away);
        }
        let mut reply = [None];
        let outcome = self.execute(std::slice::from_ref(request), &mut reply, deadline).await;
        let [reply] = reply;
        self.outcome(request, reply, outcome.err().as_ref())
    }
}

impl Error {
    /// Whether nothing was sent because there was nobody to send it to.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Error::Lookup { .. }
                | Error::Connect { .. }
                | Error::Disabled { .. }
                | Error::Timeout { phase: Phase::Connect, .. }
        )
    }
}
