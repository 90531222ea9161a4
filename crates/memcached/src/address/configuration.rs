//! Configuration strings of libmemcached: `--SERVER=a.example --SERVER=b.example:11212/?5 --HASH=MD5`.
//!
//! The same string gives the same placement as in libmemcached 1.1, where the order of options counts: a
//! ring is laid out whenever a server is added or the distribution is chosen, with the hash of that moment;
//! and choosing the distribution forgets that a server before it had a weight. Options about sockets and
//! buffers are taken and have no effect. Those that would place keys or protect them in another way than
//! libmemcached does are errors. Beyond libmemcached's grammar, short host names, all its hashes, quotes
//! around anything and any white space are taken.

use std::time::Duration;

use super::error::{did_you_mean, options};
use super::{Address, AddressError, Endpoint, Protocol, ServerAddress};
use crate::hash::Hash;
use crate::placement::Distribution;

/// What an option is about, and whether it has a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Server,
    Socket,
    Namespace,
    Distribution,
    Hash,
    HashWithNamespace,
    SortHosts,
    BinaryProtocol,
    ConnectTimeout,
    PollTimeout,
    RetryTimeout,
    PoolMax,
    RemoveFailedServers,
    Replicas,
    /// Has no meaning here and does no harm: a flag.
    IdleFlag,
    /// The same with a number.
    IdleNumber,
    /// Can't be followed.
    Refused(&'static str),
}

const FILES: &str = "files of options are not read: write the options here";
const UDP: &str = "UDP has no replies to trust; leave it out for TCP";

/// Every option libmemcached knows, and one that its manual has but not its grammar.
const OPTIONS: [(&str, Kind); 36] = [
    ("--SERVER", Kind::Server),
    ("--SOCKET", Kind::Socket),
    ("--NAMESPACE", Kind::Namespace),
    ("--DISTRIBUTION", Kind::Distribution),
    ("--HASH", Kind::Hash),
    ("--HASH-WITH-NAMESPACE", Kind::HashWithNamespace),
    ("--SORT-HOSTS", Kind::SortHosts),
    ("--BINARY-PROTOCOL", Kind::BinaryProtocol),
    ("--CONNECT-TIMEOUT", Kind::ConnectTimeout),
    ("--POLL-TIMEOUT", Kind::PollTimeout),
    ("--RETRY-TIMEOUT", Kind::RetryTimeout),
    ("--POOL-MAX", Kind::PoolMax),
    ("--REMOVE-FAILED-SERVERS", Kind::RemoveFailedServers),
    ("--NUMBER-OF-REPLICAS", Kind::Replicas),
    ("--BUFFER-REQUESTS", Kind::IdleFlag),
    ("--FETCH-VERSION", Kind::IdleFlag),
    ("--NOREPLY", Kind::IdleFlag),
    ("--RANDOMIZE-REPLICA-READ", Kind::IdleFlag),
    ("--SUPPORT-CAS", Kind::IdleFlag),
    ("--TCP-KEEPALIVE", Kind::IdleFlag),
    ("--TCP-KEEPIDLE", Kind::IdleFlag),
    ("--TCP-NODELAY", Kind::IdleFlag),
    ("--USER-DATA", Kind::IdleFlag),
    ("--VERIFY-KEY", Kind::IdleFlag),
    ("--IO-BYTES-WATERMARK", Kind::IdleNumber),
    ("--IO-KEY-PREFETCH", Kind::IdleNumber),
    ("--IO-MSG-WATERMARK", Kind::IdleNumber),
    ("--POOL-MIN", Kind::IdleNumber),
    ("--RCV-TIMEOUT", Kind::IdleNumber),
    ("--SERVER-FAILURE-LIMIT", Kind::IdleNumber),
    ("--SND-TIMEOUT", Kind::IdleNumber),
    ("--SOCKET-RECV-SIZE", Kind::IdleNumber),
    ("--SOCKET-SEND-SIZE", Kind::IdleNumber),
    ("--CONFIGURE-FILE", Kind::Refused(FILES)),
    ("--LOAD-FROM-FILE", Kind::Refused(FILES)),
    ("--USE-UDP", Kind::Refused(UDP)),
];

pub(super) fn parse(text: &str) -> Result<Address, AddressError> {
    let mut reading = Reading::new();
    for word in words(text) {
        reading.option(word)?;
    }
    reading.finish()
}

/// Parts a text at white space that is not in quotes.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |letter: char| {
        quoted ^= letter == '"';
        !quoted && letter.is_ascii_whitespace()
    })
    .filter(|word| !word.is_empty())
}

/// What the options up to here have set.
struct Reading {
    address: Address,
    /// Whether a server with a weight was added to a ring since the distribution was chosen.
    weighted: bool,
    /// The hash when the ring was last laid out.
    ring_hash: Hash,
    hash_given: bool,
    namespace_given: bool,
    sort: bool,
    remove_failed: bool,
}

impl Reading {
    fn new() -> Reading {
        Reading {
            address: Address { servers: Vec::new(), ..Address::default() },
            weighted: false,
            ring_hash: Hash::default(),
            hash_given: false,
            namespace_given: false,
            sort: false,
            remove_failed: false,
        }
    }

    fn option(&mut self, word: &str) -> Result<(), AddressError> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let known = OPTIONS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some((name, kind)) = known else {
            return Err(unknown(name));
        };
        let option = Opt { name, value };
        match kind {
            Kind::Server => self.add(option.server()?),
            Kind::Socket => self.add(option.socket()?),
            Kind::Namespace => {
                if std::mem::replace(&mut self.namespace_given, true) {
                    return Err(AddressError::Twice { name: name.into() });
                }
                self.address.prefix = option.text()?.as_bytes().to_vec();
            }
            Kind::Distribution => self.distribute(option.distribution()?),
            Kind::Hash => {
                if std::mem::replace(&mut self.hash_given, true) {
                    return Err(AddressError::Twice { name: name.into() });
                }
                self.address.hash = option.hash(option.text()?)?;
            }
            Kind::HashWithNamespace => self.address.hash_with_namespace = option.flag()?,
            Kind::SortHosts => {
                self.sort = option.flag()?;
                self.lay_out();
            }
            Kind::BinaryProtocol => {
                option.flag()?;
                self.address.protocol = Protocol::Binary;
            }
            Kind::ConnectTimeout => self.address.connect_timeout = option.millis()?,
            Kind::PollTimeout => self.address.timeout = option.millis()?,
            Kind::RetryTimeout => {
                self.address.retry_timeout = Duration::from_secs(option.number()?.into());
            }
            Kind::PoolMax => self.address.pool = option.pool()?,
            Kind::RemoveFailedServers => self.remove_failed = option.number()? > 0,
            Kind::Replicas => option.no_replicas()?,
            Kind::IdleFlag => {
                option.flag()?;
            }
            Kind::IdleNumber => {
                option.number()?;
            }
            Kind::Refused(problem) => return Err(option.wrong(problem)),
        }
        Ok(())
    }

    fn add(&mut self, server: ServerAddress) {
        self.weighted |= server.weight > 1 && self.address.distribution == Distribution::Consistent;
        self.address.servers.push(server);
        self.lay_out();
    }

    fn distribute(&mut self, distribution: Distribution) {
        if distribution == Distribution::Consistent {
            self.weighted = false;
        }
        self.address.distribution = distribution;
        self.lay_out();
    }

    fn lay_out(&mut self) {
        self.ring_hash = self.address.hash;
    }

    fn finish(self) -> Result<Address, AddressError> {
        let Reading { mut address, weighted, ring_hash, sort, remove_failed, .. } = self;
        if sort {
            // By name as bytes, then by port; a socket's is 0.
            address.servers.sort_by_key(name_and_port);
        }
        if address.distribution == Distribution::Consistent {
            if weighted {
                address.distribution = Distribution::ConsistentWeighted;
            } else if ring_hash != address.hash {
                address.point_hash = Some(ring_hash);
            }
        }
        match address.distribution {
            // Without its server's points a ring gives a key to the next point, as failover does.
            Distribution::Consistent => address.failover = remove_failed,
            Distribution::ConsistentWeighted if remove_failed => {
                return Err(AddressError::Option {
                    option: "--REMOVE-FAILED-SERVERS".into(),
                    problem:
                        "with weights, libmemcached moves other servers' keys as well when one is away; \
                              leave it out, or write failover=true in an address memcached://"
                            .into(),
                });
            }
            // There libmemcached removes nothing either.
            _ => {}
        }
        Ok(address)
    }
}

/// What `--SORT-HOSTS` sorts by.
fn name_and_port(server: &ServerAddress) -> (Vec<u8>, u16) {
    match &server.endpoint {
        Endpoint::Tcp { host, port } => (host.as_bytes().to_vec(), *port),
        Endpoint::Unix(path) => (path.to_string_lossy().as_bytes().to_vec(), 0),
    }
}

fn unknown(name: &str) -> AddressError {
    let hint = did_you_mean(name, OPTIONS.map(|(known, _)| known)).unwrap_or_else(|| {
        let known = OPTIONS.iter().filter(|(_, kind)| !matches!(kind, Kind::Refused(_)));
        options(known.map(|(known, _)| *known))
    });
    AddressError::Unknown { name: name.into(), hint }
}

/// An option as written.
struct Opt<'a> {
    name: &'static str,
    value: Option<&'a str>,
}

impl<'a> Opt<'a> {
    fn wrong(&self, problem: impl Into<String>) -> AddressError {
        AddressError::Option { option: self.name.into(), problem: problem.into() }
    }

    /// No value.
    fn flag(&self) -> Result<bool, AddressError> {
        match self.value {
            None => Ok(true),
            Some(_) => Err(self.wrong("it has no value; it is there or not")),
        }
    }

    /// The value, out of its quotes.
    fn text(&self) -> Result<&'a str, AddressError> {
        let value = self.value.unwrap_or_default();
        let text = match value.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').ok_or_else(|| self.wrong("the quote is not closed"))?,
            None => value,
        };
        if text.is_empty() || text.contains('"') {
            return Err(self.wrong(format!("expected {}=VALUE, with quotes around it or none", self.name)));
        }
        Ok(text)
    }

    fn number(&self) -> Result<u32, AddressError> {
        let text = self.value.unwrap_or_default();
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| self.wrong(format!("expected {}=NUMBER, found {text:?}", self.name)))
    }

    /// Milliseconds, some at least.
    fn millis(&self) -> Result<Duration, AddressError> {
        match self.number()? {
            0 => Err(self.wrong("nothing can be done in no time")),
            millis => Ok(Duration::from_millis(millis.into())),
        }
    }

    fn pool(&self) -> Result<usize, AddressError> {
        let number = self.number()? as usize;
        if (1..=Address::MAX_POOL).contains(&number) {
            return Ok(number);
        }
        Err(self.wrong(format!("expected a number from 1 to {}", Address::MAX_POOL)))
    }

    fn no_replicas(&self) -> Result<(), AddressError> {
        match self.number()? {
            0 => Ok(()),
            copies => Err(self.wrong(format!(
                "libmemcached keeps copies in places of its own; write replicas={} in an address \
                 memcached:// for copies that only this client finds",
                u64::from(copies) + 1
            ))),
        }
    }

    fn distribution(&self) -> Result<Distribution, AddressError> {
        let text = self.text()?;
        // The second hash is set, but libmemcached never uses it.
        let (word, second) = text.split_once(',').map_or((text, None), |(word, hash)| (word, Some(hash)));
        if let Some(hash) = second {
            self.hash(hash)?;
        }
        match word.to_ascii_lowercase().as_str() {
            "modula" => Ok(Distribution::Modula),
            "consistent" => Ok(Distribution::Consistent),
            "random" => Ok(Distribution::Random),
            _ => Err(self.wrong(format!("{word:?} is none of CONSISTENT, MODULA, RANDOM"))),
        }
    }

    fn hash(&self, name: &str) -> Result<Hash, AddressError> {
        Hash::from_name(name).ok_or_else(|| {
            let known = Hash::ALL.map(Hash::name);
            let hint = did_you_mean(name, known).unwrap_or_else(|| options(known));
            self.wrong(format!("there is no hash {name:?}{hint}"))
        })
    }

    /// `HOST[:PORT][/?WEIGHT]`.
    fn server(&self) -> Result<ServerAddress, AddressError> {
        let (place, weight) = self.weight(self.text()?)?;
        let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
        if port.is_some_and(|port| port.contains(':')) || host.starts_with('[') {
            return Err(self.wrong(
                "libmemcached's strings have no IPv6 addresses; write memcached://[::1]:11211 instead",
            ));
        }
        if host.starts_with('/') {
            return Err(self.wrong("a unix socket is written --SOCKET=\"/path\""));
        }
        let port = match port {
            None => Endpoint::DEFAULT_PORT,
            Some(port) => match port.parse() {
                Ok(0) => Endpoint::DEFAULT_PORT,
                Ok(number) if port.bytes().all(|byte| byte.is_ascii_digit()) => number,
                _ => return Err(self.wrong(format!("{port:?} is no port; ports are from 1 to 65535"))),
            },
        };
        ServerAddress::tcp(host, port, weight)
    }

    /// `"PATH"[/?WEIGHT]`; the weight may stand after the quotes.
    fn socket(&self) -> Result<ServerAddress, AddressError> {
        let (place, weight) = self.weight(self.value.unwrap_or_default())?;
        let path = Opt { name: self.name, value: Some(place) }.text()?;
        ServerAddress::unix(path, weight)
    }

    /// Takes `/?WEIGHT` off the end. As in libmemcached, 0 is 1.
    fn weight(&self, text: &'a str) -> Result<(&'a str, u32), AddressError> {
        let Some((place, weight)) = text.rsplit_once("/?") else { return Ok((text, 1)) };
        let digits = (1..=5).contains(&weight.len()) && weight.bytes().all(|byte| byte.is_ascii_digit());
        match weight.parse::<u32>() {
            Ok(weight) if digits => Ok((place, weight.max(1))),
            _ => Err(self.wrong(format!("{weight:?} is no weight; write HOST:PORT/?5, at most 99999"))),
        }
    }
}
