//! Real servers that are shared with libmemcached and pylibmc: what one side writes, the other finds on the
//! server that placement names, and on no other.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use waypost_memcached::{Address, Client, Hash, StoreOptions};
use waypost_tests::{Memcached, MemcachedClient, Process};

const KEYS: usize = 40;

/// The weights of the servers, in the tests where weights are given.
const WEIGHTS: [u32; 4] = [1, 3, 2, 7];

/// The distributions that every hash goes with.
const DISTRIBUTIONS: [&str; 4] = ["modula", "consistent", "ketama", "consistent_weighted"];

/// Debian builds libmemcached without it; its golden vectors come from libmemcached's source.
const NOT_IN_DEBIAN: Hash = Hash::Hsieh;

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// Runs a program to its end, and returns what it wrote.
fn run(command: &mut Command, hint: &str) -> String {
    let finished = Process::run(command);
    assert_eq!(finished.code, Some(0), "{command:?}: {}\n{hint}", finished.stderr);
    finished.stdout
}

/// Compiles a C program that uses libmemcached.
fn compile(name: &str, directory: &TempDir) -> PathBuf {
    let program = directory.path().join("program");
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-o"]).arg(&program).arg(source(name)).args(["-lmemcached", "-lhashkit"]);
    run(&mut cc, "these tests need a C compiler and libmemcached-dev (./dev setup)");
    program
}

/// A client of another make.
enum Peer {
    Libmemcached(PathBuf),
    Pylibmc,
}

impl Peer {
    fn command(&self) -> Command {
        match self {
            Peer::Libmemcached(program) => Command::new(program),
            Peer::Pylibmc => {
                // Debian's Python, which has Debian's modules.
                let mut python = Command::new("/usr/bin/python3");
                python.arg(source("live/peer.py"));
                python
            }
        }
    }
}

/// One way to place keys, in the words of an address.
struct Setup {
    hash: Hash,
    distribution: &'static str,
    prefix: &'static str,
}

/// Four servers and a list of keys.
struct Shared {
    servers: Vec<Memcached>,
    connections: Vec<MemcachedClient>,
    directory: TempDir,
}

impl Shared {
    fn start() -> Shared {
        let servers: Vec<Memcached> = WEIGHTS.iter().map(|_| Memcached::start()).collect();
        let connections = servers.iter().map(Memcached::connect).collect();
        Shared { servers, connections, directory: TempDir::new().unwrap() }
    }

    fn address(&self, setup: &Setup) -> Address {
        let servers: Vec<String> = self
            .servers
            .iter()
            .zip(WEIGHTS)
            .map(|(it, weight)| format!("{}/{weight}", it.address()))
            .collect();
        let mut text = format!("memcached://{}?hash={}", servers.join(","), setup.hash);
        write!(text, "&distribution={}", setup.distribution).unwrap();
        if !setup.prefix.is_empty() {
            write!(text, "&prefix={}&hash_with_namespace=true", setup.prefix).unwrap();
        }
        Address::parse(&text).unwrap()
    }

    fn ask(&self, peer: &Peer, what: &str, setup: &Setup, keys: &[String]) {
        let file = self.directory.path().join("keys");
        fs::write(&file, keys.join("\n") + "\n").unwrap();
        let mut command = peer.command();
        command.arg(&file).args([what, setup.hash.name(), setup.distribution, setup.prefix]);
        for (server, weight) in self.servers.iter().zip(WEIGHTS) {
            command.arg(format!("127.0.0.1:{}:{weight}", server.address().port()));
        }
        run(&mut command, "these tests need libmemcached-dev and python3-pylibmc (./dev setup)");
    }

    /// Lets the peer write some keys and read others; the client does the opposite.
    async fn check(&mut self, peer: &Peer, setup: &Setup) {
        let Setup { hash, distribution, prefix } = setup;
        let client = Client::new(&self.address(setup)).unwrap();
        let placement = client.placement();
        let keys = |writer: &str| -> Vec<String> {
            let key = |number| format!("{writer}-{hash}-{distribution}-{prefix}{number}-clé");
            (0..KEYS).map(key).collect()
        };
        let theirs = keys("theirs");
        self.ask(peer, "write", setup, &theirs);
        for key in &theirs {
            let found: Vec<usize> = (0..WEIGHTS.len())
                .filter(|server| self.connections[*server].get(&format!("{prefix}{key}")).is_some())
                .collect();
            assert_eq!(
                found,
                [placement.server(key.as_bytes())],
                "{key}: {}",
                placement.explain(key.as_bytes())
            );
        }
        for (key, found) in theirs.iter().zip(client.get_multi(&theirs).await) {
            let value = found.unwrap().unwrap_or_else(|| panic!("{key} is missing")).value;
            assert_eq!(value, format!("of {key}"));
        }
        let ours = keys("ours");
        for key in &ours {
            client.set(key, format!("of {key}"), StoreOptions::default()).await.unwrap();
        }
        self.ask(peer, "read", setup, &ours);
    }
}

/// Every hash with every distribution that finds again what it wrote.
fn setups() -> Vec<Setup> {
    let mut setups = Vec::new();
    for hash in Hash::ALL.into_iter().filter(|hash| *hash != NOT_IN_DEBIAN) {
        for distribution in DISTRIBUTIONS {
            setups.push(Setup { hash, distribution, prefix: "" });
        }
    }
    // libmemcached's `ketama_weighted` means MD5.
    setups.push(Setup { hash: Hash::Md5, distribution: "ketama_weighted", prefix: "" });
    setups
}

#[tokio::test]
async fn libmemcached_and_we_find_what_the_other_wrote() {
    let directory = TempDir::new().unwrap();
    let peer = Peer::Libmemcached(compile("live/peer.c", &directory));
    let mut shared = Shared::start();
    for setup in setups() {
        shared.check(&peer, &setup).await;
    }
    for distribution in ["modula", "consistent"] {
        shared.check(&peer, &Setup { hash: Hash::OneAtATime, distribution, prefix: "app:" }).await;
    }
}

#[tokio::test]
async fn pylibmc_and_we_find_what_the_other_wrote() {
    let mut shared = Shared::start();
    // pylibmc has a name for each hash but murmur3.
    let named = |setup: &Setup| setup.hash != Hash::Murmur3;
    for setup in setups().into_iter().filter(named) {
        shared.check(&Peer::Pylibmc, &setup).await;
    }
}

/// The vectors checked in are those of the library here, so that one that differs doesn't pass unnoticed.
#[test]
fn the_golden_files_are_what_libmemcached_says_here() {
    let directory = TempDir::new().unwrap();
    let make = compile("golden/make.c", &directory);
    for what in ["hashes", "servers", "strings"] {
        let fresh = run(Command::new(&make).arg(what), "");
        let stored = fs::read_to_string(source(&format!("golden/{what}.txt"))).unwrap();
        let with_hsieh = |line: &&str| line.contains("hash=hsieh");
        let mut stored_lines = stored.lines().filter(|line| !with_hsieh(line));
        for line in fresh.lines() {
            let mut expected = stored_lines.next().unwrap_or_default();
            if what == "hashes" {
                // Its column is the last.
                expected = expected.rsplit_once(' ').map_or("", |(others, _)| others);
            }
            assert_eq!(line, expected, "a line of {what}.txt");
        }
        assert_eq!(stored_lines.next(), None, "{what}.txt has more lines");
    }
}
