//! The memcached client at work, for `bench/memcached.py`: what `bench/src/libmemcached.c` does, with the same
//! arguments, keys and values, and the same line of JSON in the end.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use waypost_bench::run;
use waypost_memcached::{Address, Batch, Client, StoreOptions};

/// As the router has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: usize = 10_000;
const VALUE: [u8; 100] = [b'x'; 100];
/// Operations between two looks at the clock.
const TURN: usize = 1000;

#[derive(Parser)]
struct Arguments {
    /// What is done
    mode: Mode,
    /// How many operations at a time
    depth: usize,
    /// For how long
    seconds: f64,
    /// The servers, as HOST:PORT
    #[arg(required = true)]
    servers: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Mode {
    Get,
    Set,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    run(async move {
        let address = format!("memcached://{}?distribution=consistent", arguments.servers.join(","));
        let client = Client::new(&Address::parse(&address)?)?;
        let keys: Vec<String> = (0..KEYS).map(|number| format!("bench:{number:05}")).collect();
        for key in &keys {
            client.set(key, &VALUE[..], StoreOptions::default()).await?;
        }

        let (mut done, began, used) = (0, Instant::now(), cpu()?);
        let span = Duration::from_secs_f64(arguments.seconds);
        while began.elapsed() < span {
            let until = done + TURN;
            while done < until {
                done += turn(&client, &keys, done, &arguments).await?;
            }
        }
        let (seconds, cpu) = (began.elapsed().as_secs_f64(), (cpu()? - used).as_secs_f64());
        println(&format!("{{\"operations\": {done}, \"seconds\": {seconds}, \"cpu\": {cpu}}}"))
    })
}

/// One operation, or as many as are done at a time; says how many.
async fn turn(client: &Client, keys: &[String], done: usize, arguments: &Arguments) -> anyhow::Result<usize> {
    let key = &keys[done % KEYS];
    match (arguments.mode, arguments.depth) {
        (Mode::Get, 1) => {
            let item = client.get(key).await?.context("a key is not there")?;
            ensure!(item.value.len() == VALUE.len(), "a value was cut");
        }
        (Mode::Set, 1) => {
            client.set(key, &VALUE[..], StoreOptions::default()).await?;
        }
        (Mode::Get, depth) => {
            let wanted: Vec<&String> = (done..done + depth).map(|number| &keys[number % KEYS]).collect();
            for item in client.get_multi(&wanted).await {
                item?.context("a key is not there")?;
            }
        }
        (Mode::Set, depth) => {
            let mut batch = Batch::new();
            for number in done..done + depth {
                batch.set(&keys[number % KEYS], &VALUE[..], StoreOptions::default());
            }
            for outcome in client.run(batch).await {
                outcome?;
            }
        }
    }
    Ok(arguments.depth)
}

/// The CPU time this process has used.
fn cpu() -> anyhow::Result<Duration> {
    // The first number is nanoseconds on a core, of the one thread there is.
    let text = std::fs::read_to_string("/proc/self/schedstat").context("/proc/self/schedstat")?;
    let nanos = text.split(' ').next().context("/proc/self/schedstat is empty")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}

fn println(line: &str) -> anyhow::Result<()> {
    use std::io::Write;
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
