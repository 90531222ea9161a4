//! Measures a route table at several sizes and prints one line of JSON for each.
//!
//! ```text
//! cargo run --release -p waypost-table --example scale [HOSTS…]
//! ```
//!
//! Every size runs in a process of its own, so that one size's memory is not counted with the next. Each
//! host has two instances with version type, node and instance keys, and ids. The fields:
//!
//! - `build_seconds`: packing the entries and building the snapshot, in memory.
//! - `bytes_per_host`: growth of the resident set (`/proc/self/statm`) by it, over the hosts, once the
//!   allocator has returned what building had freed; `bytes_per_host_at_once`: before it has.
//! - `hit_ns`, `miss_ns`, `wildcard_ns`: one request's matching on average (`find`, every instance usable)
//!   over a million requests in random order, in the processor's time: for hosts of the table, for others,
//!   and for hosts that a wildcard takes after their own lookup failed. Parsing the host is not included;
//!   `parse_ns` is that.
//! - `get_ns`: the lookup of a host alone.
//! - `change_us`: deriving a snapshot with one entry changed, and letting go of the one before.
//! - `import_seconds`, `open_seconds`: the embedded table, with its flushes: importing everything in one
//!   transaction, and opening it again.
//! - `changes_per_second`: single changes that 64 callers get acknowledged, one after the other each.
//! - `quiet`, `busy`: matching latencies in nanoseconds of another thread, without changes and with 5,000
//!   changes a second being committed; the clock's own time (`clock_ns`) is included.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use serde_json::{Value, json};
use uuid::Uuid;
use waypost_table::{
    Change, Delta, EmbeddedTable, Entry, Host, ImportMode, Match, Member, Pattern, Snapshot, SnapshotBuilder,
    TableReader, TableStore, find,
};

/// What the router uses; memory is measured with the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [usize; 4] = [1, 1_000, 100_000, 1_000_000];
const LOOKUPS: usize = 1_000_000;
const CALLERS: usize = 64;
const CHANGES_PER_SECOND: usize = 5_000;
const LATENCY_TIME: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--one", hosts] => parse(hosts).and_then(measure),
        [] => SIZES.into_iter().try_for_each(run),
        ref sizes => sizes.iter().try_for_each(|hosts| parse(hosts).and_then(run)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[allow(clippy::print_stderr, reason = "a program's error")]
fn complain(error: &dyn std::error::Error) {
    eprintln!("scale: {error}");
}

fn parse(hosts: &str) -> Result<usize> {
    hosts
        .parse()
        .ok()
        .filter(|&hosts| hosts > 0)
        .ok_or_else(|| format!("'{hosts}' is not a number of hosts").into())
}

fn run(hosts: usize) -> Result<()> {
    let status = Command::new(env::current_exe()?).arg("--one").arg(hosts.to_string()).status()?;
    if status.success() { Ok(()) } else { Err(format!("measuring {hosts} hosts failed").into()) }
}

/// A small generator of numbers that are random enough to visit hosts in no order (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.next(), self.next())
    }
}

/// A name of 24 characters.
fn name(number: usize) -> String {
    format!("app-{number:08}.example.com")
}

fn entry(number: usize, random: &mut Random) -> Result<Entry> {
    let mut member = || {
        let ip = Ipv4Addr::from((random.next() as u32) | 1);
        Member {
            version_type: Some(format!("{:04}", random.below(10_000))),
            node: Some(random.uuid().to_string()),
            instance: Some(random.uuid().to_string()),
            instance_id: Some(random.uuid()),
            ..Member::at((ip, 8080).into())
        }
    };
    Ok(Entry::new(&Pattern::parse(&name(number))?, [member(), member()])?)
}

fn resident_bytes() -> Result<usize> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    let resident: usize = pages.split(' ').nth(1).ok_or("statm has no second field")?.parse()?;
    // Pages of 4 KiB, as on every x86-64.
    Ok(resident * 4096)
}

/// Lets the allocator return what building has freed: it does so a second later, when it is next used.
fn settle() {
    for _ in 0..4 {
        thread::sleep(Duration::from_millis(400));
        black_box(vec![1u8; 256 << 10]);
    }
}

fn measure(hosts: usize) -> Result<()> {
    let mut random = Random(hosts as u64);
    let before = resident_bytes()?;
    let started = Instant::now();
    let mut builder = SnapshotBuilder::new();
    for number in 0..hosts {
        builder.push(entry(number, &mut random)?.view());
    }
    let snapshot = builder.finish();
    let build_seconds = started.elapsed().as_secs_f64();
    let at_once = resident_bytes()?.saturating_sub(before) / hosts;
    settle();
    let bytes_per_host = resident_bytes()?.saturating_sub(before) / hosts;

    let mut line = json!({
        "hosts": hosts,
        "instances": snapshot.instances(),
        "build_seconds": build_seconds,
        "bytes_per_host": bytes_per_host,
        "bytes_per_host_at_once": at_once,
    });
    lookups(&snapshot, hosts, &mut line)?;
    line["change_us"] = json!(change_time(&snapshot, hosts)?);

    let directory = env::temp_dir().join(format!("waypost-scale-{}", std::process::id()));
    let measured = embedded(&directory, snapshot, hosts, &mut line);
    fs::remove_dir_all(&directory).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    measured?;
    say(&line);
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the program's result")]
fn say(line: &Value) {
    println!("{line}");
}

/// Names of one length in one block, so that reading them costs the measured code no cache miss.
struct Names {
    block: String,
    len: usize,
}

impl Names {
    fn new(names: impl Iterator<Item = String>) -> Names {
        let mut names = names.peekable();
        let len = names.peek().map_or(0, String::len);
        Names { block: names.collect(), len }
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.block.len() / self.len).map(|index| &self.block[index * self.len..][..self.len])
    }
}

/// Nanoseconds of each call on average: of the processor's time, so that what else the machine does
/// meanwhile counts only through its caches.
fn average(names: &Names, mut call: impl FnMut(&str)) -> Result<f64> {
    // Once to warm up what a running router has warm: code and the upper levels.
    names.iter().take(LOOKUPS / 10).for_each(&mut call);
    let before = thread_time()?;
    names.iter().for_each(&mut call);
    Ok((thread_time()? - before) as f64 / LOOKUPS as f64)
}

/// Nanoseconds that this thread has run.
fn thread_time() -> Result<u64> {
    // The kernel brings the number up to date when the thread stops running.
    thread::sleep(Duration::from_millis(1));
    let times = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(times.split(' ').next().ok_or("schedstat is empty")?.parse()?)
}

fn is_found(snapshot: &Snapshot, host: &Host) -> bool {
    matches!(find(snapshot, host, "/", |_| true), Match::Found(_))
}

fn lookups(snapshot: &Snapshot, hosts: usize, line: &mut Value) -> Result<()> {
    let mut random = Random(1);
    let hits = Names::new((0..LOOKUPS).map(|_| name(random.below(hosts))));
    let misses = Names::new((0..LOOKUPS).map(|_| name(hosts + random.below(90_000_000))));
    let below = Names::new((0..LOOKUPS).map(|_| name(random.below(hosts)).replace("com", "net")));
    let wildcard = Entry::new(&Pattern::parse("*.example.net")?, [Member::at(([10, 0, 0, 1], 80).into())])?;
    let with_wildcard = snapshot.with([Delta::Put(wildcard)]);

    let parsing = |text: &str| Host::parse(text.as_bytes()).map(|(host, _)| black_box(host));
    let parse_ns = average(&hits, |text| {
        black_box(parsing(text)).ok();
    })?;
    let mut found = 0usize;
    let mut matching = |names: &Names, snapshot: &Snapshot| -> Result<f64> {
        let both = average(names, |text| {
            if let Ok(host) = parsing(text) {
                found += usize::from(is_found(snapshot, &host));
            }
        })?;
        Ok(both - parse_ns)
    };
    line["hit_ns"] = json!(matching(&hits, snapshot)?);
    line["miss_ns"] = json!(matching(&misses, snapshot)?);
    line["wildcard_ns"] = json!(matching(&below, &with_wildcard)?);
    let expected = 2 * (LOOKUPS + LOOKUPS / 10);
    if found != expected {
        return Err(format!("{found} of {expected} lookups found their host").into());
    }
    line["get_ns"] = json!(average(&hits, |text| {
        black_box(snapshot.get(text));
    })?);
    line["parse_ns"] = json!(parse_ns);
    Ok(())
}

fn change_time(snapshot: &Snapshot, hosts: usize) -> Result<f64> {
    let mut random = Random(2);
    let changes = (0..10_000).map(|_| entry(random.below(hosts), &mut random)).collect::<Result<Vec<_>>>()?;
    let count = changes.len();
    let mut current = snapshot.clone();
    let started = Instant::now();
    for change in changes {
        current = current.with([Delta::Put(change)]);
    }
    Ok(started.elapsed().as_secs_f64() * 1e6 / count as f64)
}

fn embedded(directory: &Path, snapshot: Snapshot, hosts: usize, line: &mut Value) -> Result<()> {
    let store = EmbeddedTable::open(directory)?;
    let started = Instant::now();
    store.import(snapshot, ImportMode::Replace)?;
    line["import_seconds"] = json!(started.elapsed().as_secs_f64());
    drop(store);

    let started = Instant::now();
    let store = EmbeddedTable::open(directory)?;
    line["open_seconds"] = json!(started.elapsed().as_secs_f64());
    line["changes_per_second"] = json!(throughput(&store, hosts)?);

    line["clock_ns"] = json!(clock_ns());
    line["quiet"] = latencies(store.table().reader(), hosts);
    let stop = AtomicBool::new(false);
    let (busy, made) = thread::scope(|scope| {
        let changing = scope.spawn(|| keep_changing(&store, hosts, &stop));
        let busy = latencies(store.table().reader(), hosts);
        stop.store(true, Ordering::Relaxed);
        (busy, changing.join())
    });
    line["busy"] = busy;
    line["busy"]["changes_per_second"] = json!(made.map_err(|_| "the changing thread panicked")??);
    Ok(())
}

fn a_change(hosts: usize, random: &mut Random) -> Result<Change> {
    let host = Pattern::parse(&name(random.below(hosts)))?;
    let address = (Ipv4Addr::new(10, 0, 0, 1), 8080).into();
    // Another weight than before, nearly always: a change that changes nothing is not written.
    let weight = (random.next() % 60_000) as u16;
    Ok(Change::AddInstance { host, member: Member { weight, ..Member::at(address) } })
}

fn throughput(store: &EmbeddedTable, hosts: usize) -> Result<f64> {
    const EACH: usize = 200;
    let started = Instant::now();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                scope.spawn(move || {
                    let mut random = Random(caller as u64);
                    for _ in 0..EACH {
                        let change = a_change(hosts, &mut random).map_err(|error| error.to_string())?;
                        store.apply(vec![change]).map_err(|error| error.to_string())?;
                    }
                    Ok::<_, String>(())
                })
            })
            .collect();
        callers.into_iter().try_for_each(|caller| caller.join().map_err(|_| "a caller panicked")?)
    })?;
    Ok((CALLERS * EACH) as f64 / started.elapsed().as_secs_f64())
}

/// Commits changes at a steady rate; returns the rate that was reached.
fn keep_changing(store: &EmbeddedTable, hosts: usize, stop: &AtomicBool) -> std::result::Result<f64, String> {
    const STEP: Duration = Duration::from_millis(10);
    let at_once = CHANGES_PER_SECOND * STEP.as_millis() as usize / 1000;
    let mut random = Random(3);
    let started = Instant::now();
    let mut made = 0;
    while !stop.load(Ordering::Relaxed) {
        let changes = (0..at_once)
            .map(|_| a_change(hosts, &mut random))
            .collect::<Result<Vec<_>>>()
            .map_err(|error| error.to_string())?;
        store.apply(changes).map_err(|error| error.to_string())?;
        made += at_once;
        let due = Duration::from_secs_f64(made as f64 / CHANGES_PER_SECOND as f64);
        thread::sleep(due.saturating_sub(started.elapsed()));
    }
    Ok(made as f64 / started.elapsed().as_secs_f64())
}

fn latencies(mut reader: TableReader, hosts: usize) -> Value {
    let mut random = Random(4);
    let mut samples: Vec<u32> = Vec::with_capacity(20_000_000);
    let started = Instant::now();
    while started.elapsed() < LATENCY_TIME && samples.len() < samples.capacity() {
        let name = name(random.below(hosts));
        let Ok((host, _)) = Host::parse(name.as_bytes()) else { continue };
        let began = Instant::now();
        black_box(is_found(reader.load(), &host));
        samples.push(u32::try_from(began.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
    samples.sort_unstable();
    let at = |part: f64| samples[((samples.len() - 1) as f64 * part) as usize];
    json!({
        "lookups": samples.len(),
        "p50": at(0.5),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": at(1.0),
    })
}

/// The least that can be measured: two readings of the clock, on average.
fn clock_ns() -> f64 {
    let rounds = 1_000_000;
    let started = Instant::now();
    for _ in 0..rounds {
        black_box(Instant::now().elapsed());
    }
    started.elapsed().as_nanos() as f64 / f64::from(rounds)
}
