//! One server: its connections, its time limits, and whether it is worth asking.
//!
//! A server that can't be connected to, or that let three time limits in a row pass, is left alone for the
//! retry time; requests to it fail at once until then, as they do with libmemcached
//! (`MEMCACHED_SERVER_TEMPORARILY_DISABLED`). The first request after that tries again.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::connection::{Connection, Target};
use crate::error::{Error, Phase};
use crate::key::KeyError;
use crate::pool::{Pool, Slot};
use crate::protocol::{Refusal, RefusalKind, Replies, Reply, Request, StoreMode};

/// How many time limits in a row may pass before a server is left alone.
const TIMEOUTS: u32 = 3;

/// A server and the connections to it.
#[derive(Debug)]
pub(crate) struct Server {
    target: Target,
    pool: Pool,
    connect_timeout: Duration,
    /// How long it is left alone.
    retry_timeout: Duration,
    /// Whether `trouble` says anything: looked at without the lock.
    troubled: AtomicBool,
    trouble: Mutex<Trouble>,
}

/// What went wrong of late.
#[derive(Debug, Default)]
struct Trouble {
    timeouts: u32,
    away: Option<(Instant, Arc<str>)>,
}

/// When an operation must have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// `limit` from now.
    pub(crate) fn after(limit: Duration) -> Deadline {
        Deadline { at: Instant::now() + limit, limit }
    }

    /// When it is.
    pub(crate) fn at(self) -> Instant {
        self.at
    }
}

impl Server {
    /// A server nobody is connected to.
    pub(crate) fn new(
        target: Target,
        pool: usize,
        connect_timeout: Duration,
        retry_timeout: Duration,
    ) -> Server {
        Server {
            target,
            pool: Pool::new(pool),
            connect_timeout,
            retry_timeout,
            troubled: AtomicBool::new(false),
            trouble: Mutex::default(),
        }
    }

    /// Its name for messages.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.target.name
    }

    /// Why it is left alone, if it is.
    pub(crate) fn away(&self) -> Option<Error> {
        if !self.troubled.load(Ordering::Relaxed) {
            return None;
        }
        let mut trouble = self.lock();
        let (until, cause) = trouble.away.clone()?;
        let remaining = until.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            trouble.away = None;
            return None;
        }
        Some(Error::Disabled { server: self.target.name.clone(), cause, remaining })
    }

    /// Sends requests on one connection, and puts the answers into their places.
    ///
    /// # Errors
    /// When it failed; requests without an answer then share the error.
    pub(crate) async fn execute(
        &self,
        requests: &[Request],
        replies: &mut Replies,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let mut slot = match self.pool.try_enter() {
            Some(slot) => slot,
            // What takes long has its future apart, so that it isn't carried along by those that don't wait.
            None => Box::pin(timeout_at(deadline.at, self.pool.enter()))
                .await
                .map_err(|_| self.timeout(Phase::Pool, deadline.limit))?,
        };
        let repeatable = requests.iter().all(is_repeatable);
        if slot.reuse(!repeatable) {
            match self.exchange(&mut slot, requests, replies, deadline).await {
                // The server closed the connection while it was idle, and nothing was done yet, or nothing
                // that could not be done twice.
                Err(Error::Read { .. } | Error::Write { .. })
                    if repeatable && replies.iter().all(Option::is_none) => {}
                outcome => return outcome,
            }
        }
        Box::pin(async {
            let connection = self.open(deadline).await?;
            slot.insert(connection);
            self.exchange(&mut slot, requests, replies, deadline).await
        })
        .await
    }

    async fn exchange(
        &self,
        slot: &mut Slot<'_>,
        requests: &[Request],
        replies: &mut Replies,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let Some(connection) = slot.connection() else { return Ok(()) };
        // Where the future is dropped, so is the connection, and its timer is not missed.
        let mut timer = mem::take(connection.timer());
        let outcome = timer.limit(deadline.at, connection.execute(requests, replies)).await;
        *connection.timer() = timer;
        match outcome {
            Some(outcome) => {
                if outcome.is_ok() {
                    self.works();
                }
                outcome
            }
            None => {
                let error = self.timeout(Phase::Answer, deadline.limit);
                self.failed(&error, false);
                Err(error)
            }
        }
    }

    async fn open(&self, deadline: Deadline) -> Result<Connection, Error> {
        let own = Instant::now() + self.connect_timeout;
        let patient = own <= deadline.at;
        match timeout_at(own.min(deadline.at), Connection::open(&self.target)).await {
            Ok(Err(error @ (Error::Lookup { .. } | Error::Connect { .. } | Error::Read { .. }))) => {
                self.failed(&error, true);
                Err(error)
            }
            Ok(outcome) => outcome,
            Err(_) => {
                let limit = if patient { self.connect_timeout } else { deadline.limit };
                let error = self.timeout(Phase::Connect, limit);
                self.failed(&error, patient);
                Err(error)
            }
        }
    }

    fn timeout(&self, phase: Phase, limit: Duration) -> Error {
        Error::Timeout { server: self.target.name.clone(), phase, limit }
    }

    fn works(&self) {
        if self.troubled.load(Ordering::Relaxed) {
            self.troubled.store(false, Ordering::Relaxed);
            *self.lock() = Trouble::default();
        }
    }

    /// Notes a failure: `surely` the server's, or one that may pass.
    fn failed(&self, error: &Error, surely: bool) {
        let mut trouble = self.lock();
        self.troubled.store(true, Ordering::Relaxed);
        trouble.timeouts += 1;
        if (surely || trouble.timeouts >= TIMEOUTS) && !self.retry_timeout.is_zero() {
            let cause = error.to_string().into();
            *trouble = Trouble { timeouts: 0, away: Some((Instant::now() + self.retry_timeout, cause)) };
            drop(trouble);
            self.pool.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Trouble> {
        // Two plain fields: whatever panicked, they mean what they say.
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of one request: its reply, or why there is none.
    pub(crate) fn outcome(
        &self,
        request: &Request,
        reply: Option<Result<Reply, KeyError>>,
        failure: Option<&Error>,
    ) -> Result<Reply, Error> {
        match (reply, failure) {
            (Some(Ok(Reply::Refused(refusal))), _) => Err(self.refused(request, refusal)),
            (Some(reply), _) => reply.map_err(Error::Key),
            (None, Some(failure)) => Err(failure.clone()),
            // Every request has a reply or there was a failure; if that ever ceases to hold, it is told.
            (None, None) => {
                Err(Error::Server { server: self.name().clone(), message: "no reply".to_owned() })
            }
        }
    }

    fn refused(&self, request: &Request, refusal: Refusal) -> Error {
        let Refusal { kind, message } = refusal;
        let server = self.target.name.clone();
        match kind {
            RefusalKind::UnknownCommand | RefusalKind::Client => Error::Refused { server, message },
            RefusalKind::Server => Error::Server { server, message },
            RefusalKind::Auth => Error::Auth { server, message },
            RefusalKind::NotANumber => Error::NotANumber { server, message },
            RefusalKind::TooLarge { limit } => {
                let size = if let Request::Store { value, .. } = request { value.len() } else { 0 };
                Error::TooLarge { server, size, limit }
            }
        }
    }
}

/// Whether a request that may have been carried out can be sent again, and still give the same answer.
fn is_repeatable(request: &Request) -> bool {
    match request {
        Request::Get { .. }
        | Request::GetIfChanged { .. }
        | Request::Touch { .. }
        | Request::Version
        | Request::Flush { .. } => true,
        Request::Stats { .. } => true,
        Request::Store { mode, cas, .. } => *mode == StoreMode::Set && cas.is_none(),
        Request::Delete { .. } | Request::Arithmetic { .. } => false,
    }
}
