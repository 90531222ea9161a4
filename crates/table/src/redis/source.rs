//! Keeping a connection to the store for as long as the process lives, and telling how it stands.
//!
//! One connection after the other: whatever ends one, the next is made after a pause that grows from 50 ms to
//! 2 s, and the table in force stays. The log says once when the store goes away, and why, and once when it
//! is back; the table's status says it at any time.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::connection::{Connection, take_serial};
use super::fault::Fault;
use super::feed::Feed;
use super::keys::SERIAL;
use super::mirror::Mirror;
use super::sentinel::resolve;
use super::server::ServerInfo;
use super::session::{Refresh, Session};
use crate::table::{Table, TableStatus};
use waypost_store::redis::{Endpoint, RedisAddress};

/// The first and the longest pause between two attempts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How often Sentinels are asked whether the master is still the master, and a replica's master for its
/// serial.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How following stands: what was said of it, and how the first attempt went.
pub(super) struct Standing {
    table: Arc<Table>,
    first: watch::Sender<Option<Result<(), Fault>>>,
    /// The fault that was last said, while it lasts.
    said: Option<Fault>,
    /// Whether it was said that the server doesn't tell of changes.
    polling_said: bool,
}

impl Standing {
    /// The standing of a store that has not been asked yet; and where the first attempt's outcome appears.
    pub(super) fn new(table: Arc<Table>) -> (Standing, watch::Receiver<Option<Result<(), Fault>>>) {
        let (first, outcome) = watch::channel(None);
        (Standing { table, first, said: None, polling_said: false }, outcome)
    }

    /// Notes that the table agrees with the store.
    pub(super) fn agreed(&mut self) {
        if self.said.take().is_some() {
            tracing::info!("the table follows its store again");
        }
        self.first.send_if_modified(|outcome| outcome.is_none().then(|| *outcome = Some(Ok(()))).is_some());
    }

    /// Notes why the table does not follow the store; said once; the reason of the moment is in
    /// the table's status.
    pub(super) fn failed(&mut self, fault: Fault) {
        self.table.failed(fault.to_string());
        self.table.set_following(|following| following.connected = false);
        let TableStatus { location, .. } = self.table.status();
        match &self.said {
            None => {
                tracing::error!(store = %location, %fault, "the table's store is away; the last good table stays")
            }
            Some(said) if std::mem::discriminant(said) != std::mem::discriminant(&fault) => {
                tracing::debug!(store = %location, %fault, "still so, for another reason");
            }
            Some(_) => {}
        }
        let outcome = Err(fault.clone());
        self.said = Some(fault);
        self.first.send_if_modified(|first| first.is_none().then(|| *first = Some(outcome)).is_some());
    }

    fn does_not_tell(&mut self, why: &Fault) {
        if !std::mem::replace(&mut self.polling_said, true) {
            tracing::warn!(%why, "the table's store is asked for changes many times a second instead");
        }
    }
}

/// The following of one store.
pub(super) struct Source {
    pub(super) address: RedisAddress,
    pub(super) mirror: Mirror,
    pub(super) requests: mpsc::Receiver<Refresh>,
    pub(super) standing: Standing,
}

/// A connection that is ready to be followed over.
struct Ready {
    endpoint: Endpoint,
    connection: Connection,
    /// None if the server doesn't tell of changes.
    feed: Option<Arc<Feed>>,
    info: ServerInfo,
}

impl Source {
    /// Follows the store forever.
    pub(super) async fn run(mut self) {
        let (shortest, longest) = PAUSE;
        let mut pause = shortest;
        loop {
            let (fault, has_agreed) = self.follow().await;
            if has_agreed {
                pause = shortest;
            }
            self.standing.failed(fault);
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(longest);
            self.mirror.table().sweep();
        }
    }

    /// Connects and follows until that ends; with why, and whether the table has agreed with the store.
    async fn follow(&mut self) -> (Fault, bool) {
        let Ready { endpoint, connection, feed, info } = match self.connect().await {
            Ok(ready) => ready,
            Err(fault) => return (fault, false),
        };
        let table = Arc::clone(self.mirror.table());
        let tells = feed.is_some();
        table.set_following(|following| (following.connected, following.tells) = (true, tells));
        let mut session = Session::new(
            (connection, feed, info),
            self.address.is_sentinel(),
            &mut self.mirror,
            &mut self.requests,
            &mut self.standing,
        );
        let fault = tokio::select! {
            fault = session.run() => fault,
            fault = master_moves(&self.address, &endpoint) => fault,
            never = look_at_master(&self.address, &table) => match never {},
        };
        let has_agreed = session.has_agreed();
        (fault, has_agreed)
    }

    async fn connect(&mut self) -> Result<Ready, Fault> {
        let endpoint = resolve(&self.address).await?;
        let feed = Arc::new(Feed::default());
        let told = match Connection::open(&self.address, &endpoint, Some(&feed)).await {
            Ok(mut connection) => connection.track().await.map(|()| connection),
            Err(fault) => Err(fault),
        };
        let (mut connection, feed) = match told {
            Ok(connection) => (connection, Some(feed)),
            Err(fault @ Fault::NoTracking(_)) => {
                self.standing.does_not_tell(&fault);
                (Connection::open(&self.address, &endpoint, None).await?, None)
            }
            Err(fault) => return Err(fault),
        };
        let info = connection.info().await?;
        if self.address.is_sentinel() && info.replica_of.is_some() {
            return Err(Fault::NotMaster);
        }
        Ok(Ready { endpoint, connection, feed, info })
    }
}

/// Returns when Sentinels name another master than this one: the connection to one that was cut off from
/// everybody else would go on for long. Without Sentinels that never happens.
async fn master_moves(address: &RedisAddress, endpoint: &Endpoint) -> Fault {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if address.is_sentinel() && resolve(address).await.is_ok_and(|now| now != *endpoint) {
            return Fault::NotMaster;
        }
    }
}

/// While the store is a replica, keeps the serial of its master in the table's status. Whether the master can
/// be asked is of no importance to routing.
async fn look_at_master(address: &RedisAddress, table: &Table) -> Infallible {
    loop {
        let master = table.status().following.and_then(|following| following.master);
        if let Some(master) = master {
            let serial = master_serial(address, &master.address).await.ok().flatten();
            table.set_following(|following| {
                if let Some(master) = &mut following.master {
                    master.serial = serial;
                }
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn master_serial(address: &RedisAddress, master: &str) -> Result<Option<u64>, Fault> {
    let endpoint = Endpoint::of_text(master).ok_or(Fault::Protocol("master_host"))?;
    let mut connection = Connection::open(address, &endpoint, None).await?;
    let mut pipeline = redis::pipe();
    pipeline.cmd("GET").arg(SERIAL);
    take_serial(&mut connection.ask(&mut pipeline).await?)
}

/// Half to all of a time, at random, so that routers don't come back all at once.
pub(super) fn jittered(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(Instant::now()) as u32;
    time / 2 + (time / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_half_of_it_to_all_of_it() {
        let pause = Duration::from_millis(100);
        for _ in 0..1000 {
            let jittered = jittered(pause);
            assert!(jittered >= pause / 2 && jittered <= pause, "{jittered:?}");
        }
    }
}
