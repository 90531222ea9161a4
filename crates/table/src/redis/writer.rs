//! Changing the table in its store, all at once or not at all.
//!
//! A change is worked out against what the store holds at that moment, and made in one `MULTI`/`EXEC` with
//! the serial's increment; should anyone have changed the hosts concerned in between, `WATCH` makes the
//! transaction give way and it is worked out anew. The connection is the writer's own. A replica takes no
//! changes, so behind one its master is written.
//!
//! Who asked is answered when the change is in force in the table too, if the table follows the store; and
//! after [`IN_FORCE`] at the latest, since the change itself is made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::change::{Change, ImportMode, Outcome, plan};
use crate::entry::{Entry, EntryError};
use crate::member::Member;
use crate::pattern::Pattern;
use crate::snapshot::Snapshot;
use crate::store::{Applied, Imported, StoreError};

use super::connection::{Connection, LONG_PATIENCE, take_serial};
use super::decoded::{Told, decode, pattern_of, tell};
use super::fault::{Fault, text};
use super::keys::{HostKey, SERIAL, keys, shown};
use super::large::Large;
use super::rewrite::{Wanted, rewrite};
use super::sentinel::resolve;
use super::session::Refresh;
use super::source::jittered;
use super::stored::{self, Ask, Set, Stored};
use super::walk::Walk;
use waypost_store::redis::RedisAddress;

/// How often a transaction gives way to others before the change is given up.
const TRIES: u64 = 100;

/// The longest pause before the next try.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// How long a change that is made may take to be in force; of an import, how long a walk may take.
const IN_FORCE: Duration = Duration::from_secs(5);
const ALL_IN_FORCE: Duration = Duration::from_secs(60);

/// The most hosts of a change that are refreshed by name.
const MAX_NAMED: usize = 10_000;

/// The most hosts that a transaction watches. An import of more doesn't give way to others: then of two that
/// change one host at the same time the later one's members stand.
const MAX_WATCHED: usize = 100_000;

/// How many hosts are read in one round trip.
const PAGE: usize = 512;

/// What is asked of the writer.
pub(super) enum Job {
    Apply(Vec<Change>, SyncSender<Result<Applied, StoreError>>),
    Import(Snapshot, ImportMode, SyncSender<Result<Imported, StoreError>>),
}

/// Makes changes, one job after the other.
pub(super) struct Writer {
    address: RedisAddress,
    jobs: mpsc::Receiver<Job>,
    /// Where to say what has changed, if the table follows the store.
    refreshes: Option<mpsc::Sender<Refresh>>,
    connection: Option<Connection>,
}

/// Why a change was not made.
enum Refusal {
    Fault(Fault),
    Invalid(EntryError),
    /// Something in the store is in the way.
    InTheWay(String),
    /// Others kept changing the same hosts.
    GivenWay,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Refusal::Fault(fault)
    }
}

impl From<EntryError> for Refusal {
    fn from(error: EntryError) -> Self {
        Refusal::Invalid(error)
    }
}

/// A transaction that was carried out.
struct Committed {
    serial: u64,
    hosts: Vec<HostKey>,
}

impl Writer {
    pub(super) fn new(
        address: RedisAddress,
        jobs: mpsc::Receiver<Job>,
        refreshes: Option<mpsc::Sender<Refresh>>,
    ) -> Writer {
        Writer { address, jobs, refreshes, connection: None }
    }

    /// Makes changes until nobody is left who could ask for any.
    pub(super) async fn run(mut self) {
        let mut answering = tokio::task::JoinSet::new();
        while let Some(job) = self.jobs.recv().await {
            // Who gave up waiting is not told; the change stands.
            match job {
                Job::Apply(changes, answer) => match self.apply(&changes).await {
                    Ok((applied, committed)) => {
                        let in_force = self.in_force(committed);
                        answering.spawn(async move {
                            in_force.await;
                            let _ = answer.send(Ok(applied));
                        });
                    }
                    Err(refusal) => drop(answer.send(Err(self.error(refusal)))),
                },
                Job::Import(entries, mode, answer) => match self.import(&entries, mode).await {
                    Ok((imported, committed)) => {
                        let in_force = self.in_force(committed);
                        answering.spawn(async move {
                            in_force.await;
                            let _ = answer.send(Ok(imported));
                        });
                    }
                    Err(refusal) => drop(answer.send(Err(self.error(refusal)))),
                },
            }
            while answering.try_join_next().is_some() {}
        }
        while answering.join_next().await.is_some() {}
    }

    fn error(&mut self, refusal: Refusal) -> StoreError {
        // What state a connection is in after a fault is not known.
        self.connection = None;
        let detail = match refusal {
            Refusal::Invalid(error) => return StoreError::Invalid(error),
            Refusal::Fault(fault) => fault.to_string(),
            Refusal::InTheWay(detail) => detail,
            Refusal::GivenWay => {
                "others keep changing the same hosts: nothing was changed, try again".to_owned()
            }
        };
        StoreError::Remote { store: self.address.to_string(), detail }
    }

    /// Waits until what was committed is in the table.
    fn in_force(&self, committed: Option<Committed>) -> impl Future<Output = ()> + use<> {
        let asked = committed.zip(self.refreshes.clone());
        async move {
            let Some((Committed { serial, hosts }, refreshes)) = asked else { return };
            let (hosts, limit) = match hosts.len() > MAX_NAMED {
                true => (None, ALL_IN_FORCE),
                false => (Some(hosts), IN_FORCE),
            };
            let (done, is_done) = oneshot::channel();
            let waiting = async {
                if refreshes.send(Refresh { hosts, serial, done }).await.is_ok() {
                    // An end without a word is the end of the store.
                    let _ = is_done.await;
                }
            };
            let _ = timeout(limit, waiting).await;
        }
    }

    /// The connection to whoever takes changes.
    async fn connection(&mut self) -> Result<&mut Connection, Fault> {
        let connection = match self.connection.take() {
            Some(mut connection) => match connection.info().await {
                Ok(info) if info.replica_of.is_none() => Some(connection),
                _ => None,
            },
            None => None,
        };
        let connection = match connection {
            Some(connection) => connection,
            None => connect_to_master(&self.address).await?,
        };
        Ok(self.connection.insert(connection))
    }

    async fn apply(&mut self, changes: &[Change]) -> Result<(Applied, Option<Committed>), Refusal> {
        let hosts: BTreeSet<HostKey> = changes.iter().map(|change| host_key(change.host())).collect();
        let hosts: Vec<HostKey> = hosts.into_iter().collect();
        let connection = self.connection().await?;
        for attempt in 0..TRIES {
            watch(connection, &hosts).await?;
            let (stored, serial) = read(connection, &hosts).await?;
            let (commands, outcomes) = work_out(changes, &stored)?;
            if commands.is_empty() {
                unwatch(connection).await?;
                return Ok((Applied { serial, outcomes }, None));
            }
            if let Some(serial) = commit(connection, commands).await? {
                return Ok((Applied { serial, outcomes }, Some(Committed { serial, hosts })));
            }
            give_way(attempt).await;
        }
        Err(Refusal::GivenWay)
    }

    async fn import(
        &mut self,
        entries: &Snapshot,
        mode: ImportMode,
    ) -> Result<(Imported, Option<Committed>), Refusal> {
        let connection = self.connection().await?;
        let hosts = differing(connection, entries, mode).await?;
        let watched = if hosts.len() <= MAX_WATCHED { hosts.as_slice() } else { &[] };
        for attempt in 0..TRIES {
            for page in watched.chunks(PAGE) {
                watch(connection, page).await?;
            }
            let mut work = ImportWork::default();
            let mut serial = 0;
            // At least one page, for the serial.
            for page in hosts.chunks(PAGE).chain(hosts.is_empty().then_some(&[][..])) {
                let (stored, now) = read(connection, page).await?;
                serial = now;
                for stored in stored {
                    work.take(&stored, entries, mode)?;
                }
            }
            let mut imported = Imported {
                serial,
                entries: entries.len(),
                instances: entries.instances(),
                changed: work.changed,
                removed: work.removed,
            };
            if work.commands.is_empty() {
                unwatch(connection).await?;
                return Ok((imported, None));
            }
            if let Some(serial) = commit(connection, work.commands).await? {
                imported.serial = serial;
                return Ok((imported, Some(Committed { serial, hosts })));
            }
            give_way(attempt).await;
        }
        Err(Refusal::GivenWay)
    }
}

/// Connects to the server, or to its master if it is a replica.
pub(super) async fn connect_to_master(address: &RedisAddress) -> Result<Connection, Fault> {
    let mut connection = Connection::open(address, &resolve(address).await?, None).await?;
    let Some(master) = connection.info().await?.replica_of else { return Ok(connection) };
    let address = address.at(master.endpoint.clone());
    let mut connection = Connection::open(&address, &master.endpoint, None).await?;
    match connection.info().await?.replica_of {
        None => Ok(connection),
        Some(_) => Err(Fault::NotMaster),
    }
}

fn host_key(pattern: &Pattern) -> HostKey {
    pattern.as_str().as_bytes().into()
}

async fn watch(connection: &mut Connection, hosts: &[HostKey]) -> Result<(), Refusal> {
    if hosts.is_empty() {
        return Ok(());
    }
    let mut pipeline = redis::pipe();
    pipeline.cmd("WATCH");
    for host in hosts {
        pipeline.arg(&keys(host));
    }
    all_done(connection.ask(&mut pipeline).await?)
}

async fn unwatch(connection: &mut Connection) -> Result<(), Refusal> {
    let mut pipeline = redis::pipe();
    pipeline.cmd("UNWATCH");
    all_done(connection.ask(&mut pipeline).await?)
}

fn all_done(replies: impl Iterator<Item = Value>) -> Result<(), Refusal> {
    for reply in replies {
        if let Value::ServerError(error) = reply {
            return Err(Fault::of_server(&error).into());
        }
    }
    Ok(())
}

/// Waits a little, and longer the more often it was in vain, before what gave way is tried again.
async fn give_way(attempt: u64) {
    sleep(jittered(Duration::from_millis(attempt).min(LONGEST_PAUSE))).await;
}

/// Carries out the commands and increments the serial; none if someone else changed what was watched.
async fn commit(connection: &mut Connection, commands: Vec<Cmd>) -> Result<Option<u64>, Refusal> {
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline.cmd("INCR").arg(SERIAL);
    let Some(replies) = connection.ask_within(LONG_PATIENCE, &mut pipeline).await? else { return Ok(None) };
    let mut serial = 0;
    for reply in replies {
        match reply {
            Value::Int(number) => serial = u64::try_from(number).unwrap_or_default(),
            Value::ServerError(error) => {
                let detail =
                    format!("a part of the change was refused ({}): look at the table", text(&error));
                return Err(Refusal::InTheWay(detail));
            }
            _ => {}
        }
    }
    Ok(Some(serial))
}

/// Reads hosts whole, large sets too, and the serial.
async fn read(connection: &mut Connection, hosts: &[HostKey]) -> Result<(Vec<Stored>, u64), Refusal> {
    let ask = Ask { expiry: false };
    let mut pipeline = redis::pipe();
    pipeline.cmd("GET").arg(SERIAL);
    hosts.iter().for_each(|host| stored::queue(&mut pipeline, host, ask));
    let mut replies = connection.ask(&mut pipeline).await?;
    let serial = take_serial(&mut replies)?
        .ok_or_else(|| Refusal::InTheWay("its key 'serial' is no number: SET serial 0".to_owned()))?;
    let read = hosts.iter().map(|host| stored::take(&mut replies, host.clone(), ask));
    let read = read.collect::<Result<Vec<Stored>, Fault>>()?;
    let is_part = |set: &Set| matches!(set, Set::Part(_));
    let (part, mut whole): (Vec<Stored>, Vec<Stored>) =
        read.into_iter().partition(|stored| is_part(&stored.members) || is_part(&stored.ids));
    let mut large = Large::default();
    part.into_iter().for_each(|stored| large.start(stored));
    while !large.is_empty() {
        let mut pipeline = redis::pipe();
        large.queue(&mut pipeline);
        whole.extend(large.take(&mut connection.ask(&mut pipeline).await?)?);
    }
    Ok((whole, serial))
}

/// The host's members; an error if its keys are of another type and are not about to be removed.
fn told_of(pattern: &Pattern, stored: &Stored, clean: bool) -> Result<Vec<Told>, Refusal> {
    if !clean && (stored.members == Set::WrongType || stored.ids == Set::WrongType) {
        let host = shown(&stored.host);
        let detail = format!("a key of {host} is not a set: remove the host, and add its instances again");
        return Err(Refusal::InTheWay(detail));
    }
    Ok(tell(pattern, stored, &mut BTreeSet::new()))
}

/// The commands that make these changes to hosts as they are stored, and what becomes of each change.
fn work_out(changes: &[Change], stored: &[Stored]) -> Result<(Vec<Cmd>, Vec<Outcome>), Refusal> {
    let mut hosts = BTreeMap::new();
    for stored in stored {
        let Ok(pattern) = pattern_of(&stored.host) else { continue };
        let is_removal = |change: &Change| matches!(change, Change::RemoveEntry { host } if *host == pattern);
        let clean = changes.iter().any(is_removal);
        let told = told_of(&pattern, stored, clean)?;
        hosts.insert(pattern, (stored, told, clean));
    }
    let before: Snapshot = stored.iter().filter_map(|stored| decode(stored).entry).collect();
    let changes: Vec<Change> = changes.iter().map(|change| with_id(change, &before)).collect();
    let plan = plan(&before, changes.clone())?;
    let after = before.with(plan.deltas);

    let mut outcomes = plan.outcomes;
    let mut commands = Vec::new();
    for (pattern, (stored, told, clean)) in hosts {
        let members: Vec<Member> =
            after.get(pattern.as_str()).map(|entry| entry.members().collect()).unwrap_or_default();
        commands.extend(rewrite(&pattern, stored, &told, &Wanted { members: &members, clean }));
        // A host of which only rubbish is there is there, for who wants it gone.
        let removal = changes
            .iter()
            .position(|change| matches!(change, Change::RemoveEntry { host } if *host == pattern));
        if let Some(removal) = removal.filter(|_| !stored.is_nothing())
            && outcomes[removal] == Outcome::WasNotThere
            && before.get(pattern.as_str()).is_none()
        {
            outcomes[removal] = Outcome::Removed;
        }
    }
    Ok((commands, outcomes))
}

/// A member that is added without an id has the one that its route has already.
fn with_id(change: &Change, before: &Snapshot) -> Change {
    let mut change = change.clone();
    if let Change::AddInstance { host, member } = &mut change {
        inherit_id(
            member,
            before.get(host.as_str()).map(|entry| entry.members().collect()).unwrap_or_default(),
        );
    }
    change
}

fn inherit_id(member: &mut Member, before: Vec<Member>) {
    if member.instance_id.is_none() {
        member.instance_id =
            before.iter().find(|there| there.same_route(member)).and_then(|there| there.instance_id);
    }
}

/// What an import comes to, host by host.
#[derive(Default)]
struct ImportWork {
    commands: Vec<Cmd>,
    changed: usize,
    removed: usize,
}

impl ImportWork {
    /// Works out what becomes of one host.
    fn take(&mut self, stored: &Stored, entries: &Snapshot, mode: ImportMode) -> Result<(), Refusal> {
        let clean = mode == ImportMode::Replace;
        let Ok(pattern) = pattern_of(&stored.host) else {
            // A key that is no host's: in the way of nothing but a table that is to hold nothing else.
            if clean && !stored.is_nothing() {
                let mut command = redis::cmd("DEL");
                command.arg(&keys(&stored.host));
                self.commands.push(command);
                self.removed += 1;
            }
            return Ok(());
        };
        let told = told_of(&pattern, stored, clean)?;
        let before: Vec<Member> = told.iter().filter_map(|told| told.member.clone().ok()).collect();
        let mut new: Vec<Member> =
            entries.get(pattern.as_str()).map(|entry| entry.members().collect()).unwrap_or_default();
        new.iter_mut().for_each(|member| inherit_id(member, before.clone()));
        let members: Vec<Member> = match mode {
            ImportMode::Replace => new,
            ImportMode::Merge => {
                let kept = before.iter().filter(|old| !new.iter().any(|new| new.same_route(old)));
                kept.cloned().collect::<Vec<_>>().into_iter().chain(new.iter().cloned()).collect()
            }
        };
        if !members.is_empty() {
            Entry::new(&pattern, members.iter().cloned())?;
        }
        let commands = rewrite(&pattern, stored, &told, &Wanted { members: &members, clean });
        if !commands.is_empty() {
            *(if members.is_empty() { &mut self.removed } else { &mut self.changed }) += 1;
        }
        self.commands.extend(commands);
        Ok(())
    }
}

/// The hosts that an import changes.
async fn differing(
    connection: &mut Connection,
    entries: &Snapshot,
    mode: ImportMode,
) -> Result<Vec<HostKey>, Refusal> {
    let mut hosts = Vec::new();
    let mut differs = |stored: Vec<Stored>| -> Result<(), Refusal> {
        for stored in stored {
            let mut work = ImportWork::default();
            let is_part = |set: &Set| matches!(set, Set::Part(_));
            // A set that was not read whole is read when it is changed.
            let differs = is_part(&stored.members) || is_part(&stored.ids) || {
                work.take(&stored, entries, mode)?;
                !work.commands.is_empty()
            };
            if differs {
                hosts.push(stored.host);
            }
        }
        Ok(())
    };
    let mut walk = Walk::new();
    let ask = Ask { expiry: false };
    while mode == ImportMode::Replace && !walk.is_done() {
        let mut pipeline = redis::pipe();
        let leg = walk.queue(&mut pipeline, PAGE, ask);
        differs(walk.take(leg, &mut connection.ask(&mut pipeline).await?)?)?;
    }
    let unmet = |host: &HostKey| !walk.has_met(host);
    let imported: Vec<HostKey> =
        entries.iter().map(|entry| entry.pattern().as_bytes().into()).filter(unmet).collect();
    for page in imported.chunks(PAGE) {
        differs(read(connection, page).await?.0)?;
    }
    Ok(hosts)
}
