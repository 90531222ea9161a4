//! Following a store over one connection, from the first page to the fault that ends it.
//!
//! The order is what makes the join gapless: tracking is on before anything is read, so whatever changes
//! from then on is told, and read again. A [`Session`] first goes through the whole store while what the feed
//! tells is read in between; then the table agrees with the store, and each change costs one round trip for
//! all hosts that changed since the last. A push that names no key (a flush, a replica filled anew) and a
//! new replication id start a walk through the whole store again; the table stays, and changes entry by
//! entry.
//!
//! Everything happens in turns, and what was asked for first is taken in first: what was told, then once a second a question
//! whether the server is still there and what it is, then a page of a walk, of a large set, of the
//! comparison. No turn is longer than a page, so no part of the work keeps another waiting.
//!
//! A page of a walk is no transaction, which would cost the server twice as much: what changes while it is read
//! is told, and read in one.
//!
//! A server that can't tell of changes is asked for its serial many times a second, and gone through when
//! that moves, and now and then even if it doesn't.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::connection::{Connection, PATIENCE, Replies, queue_info, take_info, take_serial};
use super::digest::Digest;
use super::fault::Fault;
use super::feed::Feed;
use super::keys::{HostKey, SERIAL};
use super::large::Large;
use super::mirror::Mirror;
use super::server::ServerInfo;
use super::source::Standing;
use super::stored::{self, Ask, Set, Stored};
use super::walk::{Leg, Walk};

/// The most hosts that are read in one round trip because they have changed.
const BATCH: usize = 256;

/// How many hosts a round trip of a walk reads: few to begin with, and as many as have not too many members.
const PAGE: (usize, usize) = (16, 1024);
const FIRST_PAGE: usize = 128;
const PAGE_MEMBERS: usize = 8192;

/// How often the server is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(1);

/// The least time between two readings of what was told: under a storm of changes they share a round trip.
const COALESCE: Duration = Duration::from_millis(1);

/// How often a server that doesn't tell of changes is asked for its serial.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// How long after a walk the next begins for such a server, at least; and in times of how long it took.
const POLL_WALK: (Duration, u32) = (Duration::from_secs(1), 10);

/// Changes that someone has made and waits for to be in force.
pub(super) struct Refresh {
    /// The hosts concerned; none for all of them.
    pub(super) hosts: Option<Vec<HostKey>>,
    /// The serial of the change: a replica may have to get there first.
    pub(super) serial: u64,
    /// Told when the table has them.
    pub(super) done: oneshot::Sender<()>,
}

/// A page of a walk that was asked for: the server works on it while the page before is taken in. Dropping it
/// gives up the answer.
struct Underway {
    leg: Leg,
    asking: JoinSet<Result<Replies, Fault>>,
}

/// One connection's following; see the module's description.
pub(super) struct Session<'a> {
    connection: Connection,
    /// What the server tells; none if it can't.
    feed: Option<Arc<Feed>>,
    mirror: &'a mut Mirror,
    standing: &'a mut Standing,
    requests: &'a mut mpsc::Receiver<Refresh>,
    refreshes: Vec<Refresh>,
    /// The server as it was last seen.
    info: ServerInfo,
    /// Whether it has to be a master: Sentinel said so.
    must_be_master: bool,
    walk: Option<Walk>,
    /// The page of the walk that was asked for.
    leg: Option<Underway>,
    /// How many hosts its next page has.
    page: usize,
    walk_began: Instant,
    next_walk: Instant,
    large: Large,
    digest: Digest,
    next_ping: Instant,
    next_poll: Instant,
    last_read: Instant,
    /// The store's serial when it was not the table's, though nothing was told.
    odd_serial: Option<u64>,
    /// Whether the table has agreed with the store in this session.
    has_agreed: bool,
    /// Whether it was said that the server is a replica without its master.
    orphan_said: bool,
}

impl<'a> Session<'a> {
    /// A session on a connection that tracks already, if it can.
    pub(super) fn new(
        (connection, feed, info): (Connection, Option<Arc<Feed>>, ServerInfo),
        must_be_master: bool,
        mirror: &'a mut Mirror,
        requests: &'a mut mpsc::Receiver<Refresh>,
        standing: &'a mut Standing,
    ) -> Session<'a> {
        let now = Instant::now();
        let session = Session {
            connection,
            feed,
            mirror,
            standing,
            requests,
            refreshes: Vec::new(),
            info,
            must_be_master,
            walk: Some(Walk::new()),
            leg: None,
            page: FIRST_PAGE,
            walk_began: now,
            next_walk: now,
            large: Large::default(),
            digest: Digest::new(),
            next_ping: now + PING_EVERY,
            next_poll: now,
            last_read: now,
            odd_serial: None,
            has_agreed: false,
            orphan_said: false,
        };
        session.note_master();
        session
    }

    /// Whether the table has agreed with the store at any time.
    pub(super) fn has_agreed(&self) -> bool {
        self.has_agreed
    }

    /// Follows the store until it can't, and says why.
    pub(super) async fn run(&mut self) -> Fault {
        loop {
            if let Err(fault) = self.turn().await {
                return fault;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), Fault> {
        let mut busy = self.read_changed().await?;
        let now = Instant::now();
        if now >= self.next_ping {
            self.next_ping = now + PING_EVERY;
            self.ping().await?;
        }
        if self.feed.is_none() && now >= self.next_poll {
            self.next_poll = now + POLL_EVERY;
            self.poll().await?;
        }
        if self.walk.is_some() {
            busy |= self.walk_on().await?;
        }
        if self.large.next(now).is_some_and(|at| at <= now) {
            self.read_large().await?;
            busy = true;
        }
        if self.walk.is_none() && self.feed.is_some() && self.digest.next() <= now {
            self.compare().await?;
        }
        if !busy {
            self.wait().await;
        }
        Ok(())
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) {
        let now = Instant::now();
        let digest = self.feed.is_some().then(|| self.digest.next());
        let poll = self.feed.is_none().then_some(self.next_poll);
        let retry = (!self.refreshes.is_empty()).then(|| now + COALESCE);
        let times =
            [Some(self.next_ping), self.mirror.expiring.next(), self.large.next(now), digest, poll, retry];
        let next = times.into_iter().flatten().min().unwrap_or(self.next_ping);
        let news = async {
            match &self.feed {
                Some(feed) => feed.news().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = news => {}
            () = tokio::time::sleep_until(next.into()) => {}
            request = self.requests.recv() => match request {
                Some(request) => self.note_request(request),
                // Whoever made changes is gone: the store is being closed.
                None => tokio::time::sleep_until(next.into()).await,
            },
        }
    }

    /// Reads what was told, what has run out, and what someone waits for; false if there is nothing.
    async fn read_changed(&mut self) -> Result<bool, Fault> {
        while let Ok(request) = self.requests.try_recv() {
            self.note_request(request);
        }
        let is_quiet = self.feed.as_ref().is_none_or(|feed| feed.is_quiet());
        let now = Instant::now();
        let nothing_due = self.mirror.expiring.next().is_none_or(|at| at > now);
        let asked: Vec<HostKey> =
            self.refreshes.iter().filter_map(|refresh| refresh.hosts.clone()).flatten().collect();
        if is_quiet && nothing_due && asked.is_empty() {
            return Ok(false);
        }
        if let Some(left) = COALESCE.checked_sub(self.last_read.elapsed()) {
            tokio::time::sleep(left).await;
        }

        let news = self.feed.as_ref().map(|feed| feed.take(BATCH)).unwrap_or_default();
        if news.ended {
            return Err(Fault::Lost("the server closed it".to_owned()));
        }
        if news.everything {
            self.start_walk();
        }
        news.hosts.iter().for_each(|host| self.digest.told(host));
        let mut hosts = news.hosts;
        hosts.extend(self.mirror.expiring.take_due(now, BATCH));
        hosts.extend(asked);
        hosts.sort_unstable();
        hosts.dedup();
        let serial = self.read(hosts).await?;
        self.last_read = Instant::now();
        self.answer(serial);
        Ok(true)
    }

    /// Reads hosts and the serial in one transaction, or in several if they are very many, and takes them in.
    async fn read(&mut self, hosts: Vec<HostKey>) -> Result<Option<u64>, Fault> {
        // What was asked for before is older than what is asked for now, and must not be taken in after it.
        if let Some(before) = self.arrived().await? {
            self.take_in(before, None);
        }
        let ask = Ask { expiry: true };
        let mut serial = None;
        let mut rest = hosts.into_iter().peekable();
        loop {
            let batch: Vec<HostKey> = rest.by_ref().take(BATCH).collect();
            let mut pipeline = redis::pipe();
            pipeline.atomic().cmd("GET").arg(SERIAL);
            batch.iter().for_each(|host| stored::queue(&mut pipeline, host, ask));
            let mut replies = self.connection.ask(&mut pipeline).await?;
            serial = take_serial(&mut replies)?.or(serial);
            let read = batch.into_iter().map(|host| stored::take(&mut replies, host, ask));
            let read = read.collect::<Result<Vec<Stored>, Fault>>()?;
            self.take_in(read, serial);
            if rest.peek().is_none() {
                return Ok(serial);
            }
        }
    }

    fn take_in(&mut self, read: Vec<Stored>, serial: Option<u64>) {
        let is_part = |set: &Set| matches!(set, Set::Part(_));
        let (part, whole): (Vec<Stored>, Vec<Stored>) =
            read.into_iter().partition(|stored| is_part(&stored.members) || is_part(&stored.ids));
        for stored in &whole {
            self.large.forget(&stored.host);
            if let (false, Some(walk)) = (stored.is_nothing(), &mut self.walk) {
                walk.meet(&stored.host);
            }
        }
        for stored in part {
            if let Some(walk) = &mut self.walk {
                walk.meet(&stored.host);
            }
            self.large.start(stored);
        }
        for host in self.mirror.take_in(whole, serial) {
            self.digest.changed(host);
        }
    }

    fn note_request(&mut self, request: Refresh) {
        if request.hosts.is_none() {
            // In force when a walk that begins now is done.
            self.start_walk();
        }
        self.refreshes.push(request);
    }

    /// Tells those whose hosts were just read, if the store was at their change then.
    fn answer(&mut self, serial: Option<u64>) {
        self.answer_if(|refresh| refresh.hosts.is_some() && serial.is_none_or(|now| now >= refresh.serial));
    }

    fn answer_if(&mut self, is_in_force: impl Fn(&Refresh) -> bool) {
        for refresh in std::mem::take(&mut self.refreshes) {
            if is_in_force(&refresh) {
                // Who gave up waiting is not told.
                let _ = refresh.done.send(());
            } else if !refresh.done.is_closed() {
                self.refreshes.push(refresh);
            }
        }
    }

    fn start_walk(&mut self) {
        self.walk = Some(Walk::new());
        self.leg = None;
        self.walk_began = Instant::now();
        self.large.clear();
        self.digest.restart();
    }

    /// Reads a page of the whole store; true while there is more to read at once.
    async fn walk_on(&mut self) -> Result<bool, Fault> {
        let arrived = self.arrived().await?;
        let Some(walk) = &mut self.walk else { return Ok(false) };
        if walk.is_done() && arrived.is_none() {
            // Large sets that are still being read are part of the whole.
            if self.mirror.is_loaded() || self.large.is_empty() {
                self.finish_walk().await?;
            }
            return Ok(false);
        }
        if !walk.is_done() {
            let ask = Ask { expiry: self.info.has_expiring_keys };
            let mut pipeline = redis::pipe();
            let leg = walk.queue(&mut pipeline, self.page, ask);
            let mut connection = self.connection.clone();
            let mut asking = JoinSet::new();
            asking.spawn(async move { connection.ask(&mut pipeline).await });
            self.leg = Some(Underway { leg, asking });
            // Once for the request to be handed over, once for it to be sent.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        if let Some(read) = arrived {
            self.take_in(read, None);
        }
        Ok(true)
    }

    /// The page that was asked for last, as soon as it is there.
    async fn arrived(&mut self) -> Result<Option<Vec<Stored>>, Fault> {
        let Some(Underway { leg, mut asking }) = self.leg.take() else { return Ok(None) };
        let Some(Ok(replies)) = asking.join_next().await else {
            return Err(Fault::Protocol("a request ended without an answer"));
        };
        let Some(walk) = &mut self.walk else { return Ok(None) };
        let read = walk.take(leg, &mut replies?)?;
        let members: usize = read.iter().map(|stored| stored.members.read().len()).sum();
        let (least, most) = PAGE;
        self.page = if members > PAGE_MEMBERS { self.page / 2 } else { self.page * 2 }.clamp(least, most);
        Ok(Some(read))
    }

    async fn finish_walk(&mut self) -> Result<(), Fault> {
        let (serial, info) = self.serial_and_info().await?;
        let Some(walk) = self.walk.take() else { return Ok(()) };
        let met = |host: &[u8]| walk.has_met(host);
        let missing = self.mirror.missing(met);
        if !missing.is_empty() && is_being_filled(&info, self.mirror.len() == missing.len()) {
            return Err(Fault::Filling);
        }
        self.info = info;
        let removed = missing.len();
        self.mirror.complete(missing, met, serial);
        let took = self.walk_began.elapsed();
        let (least, times) = POLL_WALK;
        self.next_walk = Instant::now() + least.max(took * times);
        let entries = self.mirror.len();
        match std::mem::replace(&mut self.has_agreed, true) {
            false => tracing::info!(entries, removed, ?took, "the table was read and agrees with its store"),
            true => tracing::debug!(entries, removed, ?took, "the table was read again"),
        }
        self.standing.agreed();
        self.note_master();
        self.note_orphan();
        self.answer_if(|refresh| refresh.hosts.is_none() && serial.is_none_or(|now| now >= refresh.serial));
        if self.refreshes.iter().any(|refresh| refresh.hosts.is_none()) {
            // A replica that has not got there yet.
            self.start_walk();
        }
        Ok(())
    }

    async fn read_large(&mut self) -> Result<(), Fault> {
        let mut pipeline = redis::pipe();
        self.large.queue(&mut pipeline);
        let mut replies = self.connection.ask(&mut pipeline).await?;
        if let Some(stored) = self.large.take(&mut replies)? {
            self.mirror.take_in(vec![stored], None);
        }
        Ok(())
    }

    /// Compares a page of the store with the table.
    async fn compare(&mut self) -> Result<(), Fault> {
        let mut pipeline = redis::pipe();
        let leg = self.digest.queue(&mut pipeline, self.mirror.len());
        let suspects = match leg {
            None => self.digest.end_of_round(self.mirror),
            Some(leg) => {
                let mut replies = self.connection.ask(&mut pipeline).await?;
                self.digest.take(leg, &mut replies, self.mirror)?
            }
        };
        // What waits to be read anyway is no surprise.
        let is_told = |host: &HostKey| self.feed.as_ref().is_some_and(|feed| feed.has(host));
        let suspects: Vec<HostKey> = suspects.into_iter().filter(|host| !is_told(host)).collect();
        if !suspects.is_empty() {
            self.digest.suspect(&suspects);
            self.read(suspects).await?;
        }
        let missed = self.digest.missed();
        if missed > 0 {
            self.repaired(missed);
        }
        Ok(())
    }

    fn repaired(&self, count: u64) {
        tracing::warn!(count, "changes the server did not tell of were found by comparing, and made good");
        self.mirror.table().set_following(|following| following.repaired += count);
    }

    /// Asks whether the server is there, and what it is by now.
    async fn ping(&mut self) -> Result<(), Fault> {
        let (serial, info) = self.serial_and_info().await?;
        let is_other_data = info.replication_id != self.info.replication_id;
        self.info = info;
        if self.must_be_master && self.info.replica_of.is_some() {
            return Err(Fault::NotMaster);
        }
        self.note_master();
        if is_other_data {
            tracing::info!("the server's data has another origin now; the table is read again");
            self.start_walk();
        }
        if self.walk.is_some() {
            return Ok(());
        }
        self.watch_serial(serial);
        if !self.note_orphan() && self.feed.is_some() {
            self.mirror.table().synced();
        }
        Ok(())
    }

    /// A replica without its master serves what it last heard: the table grows old with it.
    fn note_orphan(&mut self) -> bool {
        let Some(master) = self.info.replica_of.as_ref().filter(|master| !master.is_linked) else {
            if std::mem::take(&mut self.orphan_said) {
                tracing::info!("the replica is connected to its master again");
            }
            return false;
        };
        let error = format!("the replica has lost its master {}", master.endpoint);
        if !std::mem::replace(&mut self.orphan_said, true) {
            tracing::error!("{error}; the last good table stays");
        }
        self.mirror.table().failed(error);
        true
    }

    /// A serial that moved without a word means that the server has stopped telling.
    fn watch_serial(&mut self, serial: Option<u64>) {
        let Some(feed) = &self.feed else { return };
        let in_table = self.mirror.table().snapshot().serial();
        let odd = serial.filter(|serial| *serial != in_table && feed.is_quiet());
        if odd.is_some() && self.odd_serial.is_some() {
            self.repaired(1);
            self.odd_serial = None;
            self.start_walk();
        } else {
            self.odd_serial = odd;
        }
    }

    /// Asks a server that tells nothing whether anything has changed.
    async fn poll(&mut self) -> Result<(), Fault> {
        if self.walk.is_some() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(SERIAL);
        let serial = take_serial(&mut self.connection.ask(&mut pipeline).await?)?;
        let has_moved = serial.is_some_and(|serial| serial != self.mirror.table().snapshot().serial());
        if has_moved || Instant::now() >= self.next_walk {
            self.start_walk();
        }
        Ok(())
    }

    async fn serial_and_info(&mut self) -> Result<(Option<u64>, ServerInfo), Fault> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(SERIAL);
        queue_info(&mut pipeline);
        let mut replies: Replies =
            self.connection.ask_within(PATIENCE, &mut pipeline).await?.ok_or(Fault::Protocol("GET"))?;
        Ok((take_serial(&mut replies)?, take_info(&mut replies)?))
    }

    fn note_master(&self) {
        let master = self.info.replica_of.as_ref();
        self.mirror.table().set_following(|following| {
            let serial = following.master.take().and_then(|before| before.serial);
            following.master = master.map(|master| crate::table::MasterStatus {
                address: master.endpoint.to_string(),
                linked: master.is_linked,
                serial,
            });
        });
    }
}

/// Whether what a server lacks may be lacking because it has not got it yet: a replica that has lost its
/// master while it was being filled, or that has nothing at all.
fn is_being_filled(info: &ServerInfo, is_empty: bool) -> bool {
    info.replica_of.as_ref().is_some_and(|master| !master.is_linked && (master.is_filling || is_empty))
}
