//! Where the servers are and how keys are placed on them, as people write it.
//!
//! `memcached://10.0.0.1,10.0.0.2:11212/3?hash=md5&distribution=consistent` and
//! `memcached+unix:///run/memcached.sock` are ours; a configuration string of libmemcached
//! (`--SERVER=10.0.0.1 --SERVER=10.0.0.2:11212/?3`) is understood as libmemcached understands it, the
//! order of its options included. An [`Address`] that was parsed is valid: it has servers, its prefix can
//! stand in a key, its numbers are in range. [`Display`](std::fmt::Display) writes the first form, without
//! the password, and what it writes parses to the same address.

mod configuration;
mod display;
mod duration;
mod error;
mod server;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::hash::Hash;
use crate::placement::Distribution;

pub use error::AddressError;
pub use server::{Endpoint, ServerAddress};

/// A set of servers that share the keys, and how to talk to them.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Address {
    /// The servers, in the order that decides about `modula`; one at least when parsed.
    pub servers: Vec<ServerAddress>,
    /// The hash of keys, and of the points of an unweighted ring. `hash=`, default one-at-a-time.
    pub hash: Hash,
    /// Another hash for the points of an unweighted ring. `point_hash=`.
    ///
    /// libmemcached lays out its ring when a server is added or the distribution is set, with the hash it
    /// has then; a hash that is set later counts for keys alone. Programs that set the hash last (in a
    /// configuration string: `--HASH=` after the last `--SERVER=`) are matched with `point_hash=default`.
    pub point_hash: Option<Hash>,
    /// `distribution=`, default modula.
    pub distribution: Distribution,
    /// What is put in front of every key; at most [`Address::MAX_PREFIX`] bytes, each fit for a key.
    /// `prefix=`.
    pub prefix: Vec<u8>,
    /// Whether the prefix is hashed as well. `hash_with_namespace=`, default false.
    pub hash_with_namespace: bool,
    /// How many seconds items live unless it is said when they are written; 0 is for ever. `ttl=`.
    pub ttl: Option<u32>,
    /// The limit of a whole operation. `timeout=`, default 500 ms.
    pub timeout: Duration,
    /// The limit of opening a connection. `connect_timeout=`, default 250 ms.
    pub connect_timeout: Duration,
    /// `protocol=`.
    pub protocol: Protocol,
    /// Whether connections are encrypted. `tls=`, default false.
    pub tls: bool,
    /// The certificates to trust, in PEM, instead of the system's. `tls_ca=`.
    pub tls_ca: Option<PathBuf>,
    /// Who to log in as. `user=`.
    pub user: Option<String>,
    /// The user's password. `password=`. Neither shown nor in any message.
    pub password: Option<String>,
    /// Whether the keys of a server that is away go to the next one. `failover=`, default false, since it
    /// changes where keys live.
    pub failover: bool,
    /// For how long a server that was found away is not asked again. `retry_timeout=`, default 2 s.
    pub retry_timeout: Duration,
    /// On how many servers each item is written; 1 is no replication. `replicas=`, default 1.
    pub replicas: u32,
    /// The most connections to one server. `pool=`, default 8.
    pub pool: usize,
}

/// How to talk to the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// Meta commands, or the classic text where a server has none: the default.
    #[default]
    Auto,
    /// Meta commands (`mg`, `ms`, …), which memcached has since 1.6.
    Meta,
    /// The classic text protocol (`get`, `set`, …).
    Text,
    /// The binary protocol, which memcached has deprecated.
    Binary,
}

impl Protocol {
    /// Every protocol there is.
    pub const ALL: [Protocol; 4] = [Protocol::Auto, Protocol::Meta, Protocol::Text, Protocol::Binary];

    /// The name in an address.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Auto => "auto",
            Protocol::Meta => "meta",
            Protocol::Text => "text",
            Protocol::Binary => "binary",
        }
    }
}

impl Address {
    /// The longest prefix in bytes, as in libmemcached.
    pub const MAX_PREFIX: usize = 128;
    /// The most servers. Far more than anyone has; it bounds what a ring takes.
    pub const MAX_SERVERS: usize = 1000;
    /// The longest of each of the three timeouts: no deadline can overflow.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
    /// The most connections to one server that may be asked for.
    pub const MAX_POOL: usize = 1024;

    /// Reads either form.
    ///
    /// # Errors
    /// With what is wrong, where, and what could be written instead.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let text = text.trim();
        let address = if text.starts_with("--") { configuration::parse(text)? } else { url::parse(text)? };
        address.check()?;
        Ok(address)
    }

    /// What no single part can say of itself.
    fn check(&self) -> Result<(), AddressError> {
        let count = self.servers.len();
        if count == 0 {
            return Err(AddressError::NoServer);
        }
        if count > Address::MAX_SERVERS {
            return Err(AddressError::TooManyServers { count });
        }
        if self.replicas == 0 || self.replicas as usize > count {
            return Err(AddressError::Replicas { replicas: self.replicas, count });
        }
        if let Some(byte) = self.prefix.iter().find(|byte| **byte <= b' ' || **byte == 0x7f) {
            return Err(AddressError::PrefixByte { byte: *byte });
        }
        if self.prefix.len() > Address::MAX_PREFIX {
            return Err(AddressError::PrefixTooLong { length: self.prefix.len() });
        }
        if self.password.is_some() && self.user.is_none() {
            return Err(AddressError::PasswordWithoutUser);
        }
        if self.tls_ca.is_some() && !self.tls {
            return Err(AddressError::CertificatesWithoutTls);
        }
        let limits = [
            ("timeout", self.timeout),
            ("connect_timeout", self.connect_timeout),
            ("retry_timeout", self.retry_timeout),
        ];
        if let Some((name, limit)) = limits.into_iter().find(|(_, limit)| *limit > Address::MAX_TIMEOUT) {
            let (value, expected) = (duration::show(limit), "at most 1d".into());
            return Err(AddressError::Value { name: name.into(), value, expected });
        }
        Ok(())
    }

    /// Whether a server is heavier than others may be by default.
    fn has_weights(&self) -> bool {
        self.servers.iter().any(|server| server.weight > 1)
    }
}

impl Default for Address {
    /// One server, memcached's default port on this machine.
    fn default() -> Self {
        let endpoint = Endpoint::Tcp { host: "localhost".into(), port: Endpoint::DEFAULT_PORT };
        Address {
            servers: vec![ServerAddress { endpoint, weight: 1 }],
            hash: Hash::default(),
            point_hash: None,
            distribution: Distribution::default(),
            prefix: Vec::new(),
            hash_with_namespace: false,
            ttl: None,
            timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_millis(250),
            protocol: Protocol::default(),
            tls: false,
            tls_ca: None,
            user: None,
            password: None,
            failover: false,
            retry_timeout: Duration::from_secs(2),
            replicas: 1,
            pool: 8,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Address::parse(text)
    }
}

impl fmt::Debug for Address {
    /// As it is displayed: without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests;
