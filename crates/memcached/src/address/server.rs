//! One server: where it listens, and how much of the keys it takes.

use std::fmt;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::error::AddressError;

/// A server and its weight.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Its share of the keys beside the others' on a weighted ring; 1 or more.
    pub weight: u32,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A TCP port.
    Tcp {
        /// A name or an address exactly as written (IPv6 without brackets), since its text is what a ring
        /// hashes: `Cache1` and `cache1` are one machine, but two places on a ring.
        host: String,
        /// The port, not 0.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// memcached's port.
    pub const DEFAULT_PORT: u16 = 11211;
}

impl fmt::Display for Endpoint {
    /// `host:port`, `[::1]:port` or the path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Endpoint::Tcp { host, port } => write!(f, "{host}:{port}"),
            Endpoint::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl ServerAddress {
    /// Reads `host[:port][/weight]`, percent-encoded; a host that begins with `%2F` is a socket's path.
    pub(super) fn parse(text: &str) -> Result<ServerAddress, AddressError> {
        let wrong = |problem: &str| AddressError::Server { server: text.into(), problem: problem.into() };
        let (place, weight) = match text.split_once('/') {
            Some((place, weight)) => (place, weight.parse().ok().filter(|weight| *weight > 0)),
            None => (text, Some(1)),
        };
        let weight = weight.ok_or_else(|| wrong("a weight is a whole number from 1, as host:11211/5"))?;
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(|| wrong("the bracket is not closed"))?;
                if !host.contains(':') {
                    return Err(wrong("only IPv6 addresses stand in brackets"));
                }
                match after.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if after.is_empty() => (host, None),
                    None => return Err(wrong("after the bracket only :PORT may follow")),
                }
            }
            None => match place.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err(wrong("an IPv6 address stands in brackets, as [::1]:11211"));
                }
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let host = percent_decode_str(host)
            .decode_utf8()
            .map_err(|_| wrong("the name is not UTF-8 once it is decoded"))?;
        if host.starts_with('/') {
            if port.is_some() {
                return Err(wrong("a unix socket has no port"));
            }
            return ServerAddress::unix(&host, weight);
        }
        let port = port.map_or(Ok(Endpoint::DEFAULT_PORT), |port| {
            // `parse` would take a sign.
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            port.parse()
                .ok()
                .filter(|port| digits && *port > 0)
                .ok_or_else(|| wrong(&format!("{port:?} is no port; ports are from 1 to 65535")))
        })?;
        ServerAddress::tcp(&host, port, weight)
    }

    /// A server on TCP, its host checked.
    pub(super) fn tcp(host: &str, port: u16, weight: u32) -> Result<ServerAddress, AddressError> {
        let problem = if host.is_empty() {
            "the host is missing"
        } else if host.len() > 255 {
            "a host has at most 255 bytes"
        } else if host.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            "a host has no spaces or control characters"
        } else if host.contains(['/', '@', ',', '[', ']']) {
            "a host has none of / @ , [ ]"
        } else {
            let endpoint = Endpoint::Tcp { host: host.into(), port };
            return Ok(ServerAddress { endpoint, weight });
        };
        Err(AddressError::Server { server: host.into(), problem: problem.into() })
    }

    /// A server on a unix socket, its path checked.
    pub(super) fn unix(path: &str, weight: u32) -> Result<ServerAddress, AddressError> {
        // A socket's address has room for 108 bytes, the last of which is zero.
        let problem = if !path.starts_with('/') {
            "a socket's path begins with /"
        } else if path.len() > 107 {
            "a socket's path has at most 107 bytes"
        } else if path.contains('\0') {
            "a socket's path has no zero byte"
        } else {
            return Ok(ServerAddress { endpoint: Endpoint::Unix(Path::new(path).into()), weight });
        };
        Err(AddressError::Server { server: path.into(), problem: problem.into() })
    }
}
