//! An address as text again: what differs from the defaults, without the password.

use std::fmt::{self, Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};

use super::duration::show;
use super::{Address, Endpoint, Protocol, ServerAddress};
use crate::placement::Distribution;

/// Bytes that stand for themselves in a value.
const VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'/');

/// Bytes that stand for themselves in a socket's path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Bytes that stand for themselves in a host; in brackets the colon as well.
const HOST: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const BRACKETED: &AsciiSet = &HOST.remove(b':');

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.servers.as_slice() {
            [ServerAddress { endpoint: Endpoint::Unix(path), weight: 1 }] => {
                let path = path.to_string_lossy();
                write!(f, "memcached+unix://{}", utf8_percent_encode(&path, PATH))?;
            }
            servers => {
                f.write_str("memcached://")?;
                for (at, server) in servers.iter().enumerate() {
                    if at > 0 {
                        f.write_char(',')?;
                    }
                    write_server(f, server)?;
                }
            }
        }
        for (at, (name, value)) in self.settings().into_iter().enumerate() {
            let value = percent_encode(&value, VALUE);
            write!(f, "{}{name}={value}", if at == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

fn write_server(f: &mut fmt::Formatter<'_>, server: &ServerAddress) -> fmt::Result {
    match &server.endpoint {
        Endpoint::Tcp { host, .. } if host.contains(':') => {
            write!(f, "[{}]", utf8_percent_encode(host, BRACKETED))?;
        }
        Endpoint::Tcp { host, .. } => write!(f, "{}", utf8_percent_encode(host, HOST))?,
        Endpoint::Unix(path) => write!(f, "{}", utf8_percent_encode(&path.to_string_lossy(), HOST))?,
    }
    match server.endpoint {
        Endpoint::Tcp { port, .. } if port != Endpoint::DEFAULT_PORT => write!(f, ":{port}")?,
        _ => {}
    }
    if server.weight != 1 {
        write!(f, "/{}", server.weight)?;
    }
    Ok(())
}

impl Address {
    /// The settings that aren't their defaults, in the order they are written.
    fn settings(&self) -> Vec<(&'static str, Vec<u8>)> {
        let default = Address::default();
        let mut settings = Vec::new();
        let mut set = |name, value: Option<String>| {
            settings.extend(value.map(|value| (name, value.into_bytes())));
        };
        let flag = |flag: bool| flag.then(|| "true".to_owned());
        let duration = |value, usual| (value != usual).then(|| show(value));
        set("hash", (self.hash != default.hash).then(|| self.hash.to_string()));
        set("point_hash", self.point_hash.map(|hash| hash.to_string()));
        set("distribution", self.distribution_name().map(str::to_owned));
        set("hash_with_namespace", flag(self.hash_with_namespace));
        set("ttl", self.ttl.map(|ttl| ttl.to_string()));
        set("timeout", duration(self.timeout, default.timeout));
        set("connect_timeout", duration(self.connect_timeout, default.connect_timeout));
        set("protocol", (self.protocol != Protocol::Auto).then(|| self.protocol.name().to_owned()));
        set("tls", flag(self.tls));
        set("tls_ca", self.tls_ca.as_ref().map(|path| path.to_string_lossy().into_owned()));
        set("user", self.user.clone());
        set("failover", flag(self.failover));
        set("retry_timeout", duration(self.retry_timeout, default.retry_timeout));
        set("replicas", (self.replicas != default.replicas).then(|| self.replicas.to_string()));
        set("pool", (self.pool != default.pool).then(|| self.pool.to_string()));
        // Last, since it need not be text.
        if !self.prefix.is_empty() {
            settings.push(("prefix", self.prefix.clone()));
        }
        settings
    }

    /// `consistent` takes weights into account where there are any; the other cases have names of their own.
    fn distribution_name(&self) -> Option<&'static str> {
        match (self.distribution, self.has_weights()) {
            (Distribution::Modula, _) => None,
            (Distribution::Consistent, true) => Some("ketama"),
            (Distribution::ConsistentWeighted, true) => Some("consistent"),
            (distribution, _) => Some(distribution.name()),
        }
    }
}
