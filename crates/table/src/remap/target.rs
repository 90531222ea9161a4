//! The values of a memcached table: `[PROTOCOL]://[SERVER]:[PORT]/`, where requests are sent.
//!
//! The grammar is that of Traffic Server's memcached_remap: letters, `://`, anything without a colon, `:` and
//! a number; the final slash may be missing. An IPv6 address in brackets is taken as well. What can't be sent
//! to (another protocol than http and https, a server that is no host, a port out of range) does not parse
//! either. Anything behind the slash is an error: it would be lost.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use waypost_http1::{Host, HostError, Scheme};

/// Where the requests of a key are sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteTarget {
    scheme: Scheme,
    server: Box<str>,
    port: u16,
}

/// Why a value is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteTargetError {
    /// It does not begin with letters and `://`.
    #[error("it does not begin with http:// or https://")]
    NoScheme,
    /// Its protocol can't be spoken.
    #[error("requests can't be sent by '{0}': only by http and https")]
    Scheme(String),
    /// Its server is none.
    #[error("its server is no host: {0}")]
    Server(HostError),
    /// There is no port.
    #[error("it lacks the port: it must be http://HOST:PORT/")]
    NoPort,
    /// The port is none.
    #[error("its port is not a number of 1 to 65535")]
    Port,
    /// Something follows the port that is not one slash.
    #[error("something follows its port: it must be http://HOST:PORT/")]
    Rest,
}

impl RouteTarget {
    /// Reads a value as it stands in memcached.
    ///
    /// # Errors
    /// With what keeps it from being a target.
    pub fn parse(value: &[u8]) -> Result<RouteTarget, RouteTargetError> {
        let letters = value.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (scheme, rest) = value.split_at(letters);
        let rest = rest.strip_prefix(b"://").filter(|_| letters > 0).ok_or(RouteTargetError::NoScheme)?;
        let scheme = match scheme {
            http if http.eq_ignore_ascii_case(b"http") => Scheme::Http,
            https if https.eq_ignore_ascii_case(b"https") => Scheme::Https,
            other => return Err(RouteTargetError::Scheme(excerpt(other))),
        };
        // The colons of an IPv6 address stand within its brackets.
        let bracketed = match rest.first() {
            Some(b'[') => rest.iter().position(|byte| *byte == b']').unwrap_or(0),
            _ => 0,
        };
        let colon = rest[bracketed..].iter().position(|byte| *byte == b':');
        let (server, rest) = rest.split_at(bracketed + colon.ok_or(RouteTargetError::NoPort)?);
        Host::parse(server).map_err(RouteTargetError::Server)?;
        // A host is ASCII.
        let server =
            std::str::from_utf8(server).map_err(|_| RouteTargetError::Server(HostError::NotAscii))?;
        let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (port, rest) = rest[1..].split_at(digits);
        if !matches!(rest, b"" | b"/") {
            return Err(if digits == 0 { RouteTargetError::Port } else { RouteTargetError::Rest });
        }
        let port = std::str::from_utf8(port).ok().and_then(|digits| digits.parse().ok());
        let port = port.filter(|port| *port != 0).ok_or(RouteTargetError::Port)?;
        Ok(RouteTarget { scheme, server: server.into(), port })
    }

    /// How the server is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The server as it is written, an IPv6 address in brackets: what `Host` is set to.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The server as it is looked up and as a certificate names it: without brackets.
    pub fn host(&self) -> &str {
        self.server.strip_prefix('[').and_then(|server| server.strip_suffix(']')).unwrap_or(&self.server)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// The beginning of bytes that may be anything, for a message.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 100;
    let dots = if bytes.len() > SHOWN { "…" } else { "" };
    format!("{}{dots}", bytes[..bytes.len().min(SHOWN)].escape_ascii())
}

impl std::str::FromStr for RouteTarget {
    type Err = RouteTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        RouteTarget::parse(text.as_bytes())
    }
}

impl fmt::Display for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}/", self.scheme, self.server, self.port)
    }
}

impl Serialize for RouteTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RouteTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("'{text}': {error}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_is_a_protocol_a_server_and_a_port() {
        for (value, scheme, server, host, port) in [
            ("http://127.0.0.1:8080/", Scheme::Http, "127.0.0.1", "127.0.0.1", 8080),
            ("http://127.0.0.1:8080", Scheme::Http, "127.0.0.1", "127.0.0.1", 8080),
            ("HTTPS://App_1.Internal:0443/", Scheme::Https, "App_1.Internal", "App_1.Internal", 443),
            ("http://[::1]:80/", Scheme::Http, "[::1]", "::1", 80),
        ] {
            let target = RouteTarget::parse(value.as_bytes()).unwrap();
            assert_eq!(
                (target.scheme(), target.server(), target.host(), target.port()),
                (scheme, server, host, port),
                "{value}"
            );
        }
    }

    #[test]
    fn what_does_not_parse_is_told_apart() {
        use RouteTargetError::{NoPort, NoScheme, Port, Rest};
        for (value, error) in [
            (&b""[..], NoScheme),
            (b"127.0.0.1:80", NoScheme),
            (b"://a:80/", NoScheme),
            (b" http://a:80/", NoScheme),
            (b"http2://a:80/", NoScheme),
            (b"ftp://a:21/", RouteTargetError::Scheme("ftp".to_owned())),
            (b"http://a", NoPort),
            (b"http://a/", NoPort),
            (b"http://[::1", RouteTargetError::Server(HostError::Ipv6)),
            (b"http://:80/", RouteTargetError::Server(HostError::Empty)),
            (b"http://a b:80/", RouteTargetError::Server(HostError::Character(b' '))),
            (b"http://a\r\nX:80/", RouteTargetError::Server(HostError::Character(b'\r'))),
            (b"http://user@a:80/", RouteTargetError::Server(HostError::Character(b'@'))),
            (b"http://[::1]x:80/", RouteTargetError::Server(HostError::Port)),
            (b"http://a:", Port),
            (b"http://a:/", Port),
            (b"http://a:-1/", Port),
            (b"http://a:0/", Port),
            (b"http://a:65536/", Port),
            (b"http://a:99999999999999999999999/", Port),
            (b"http://a:80//", Rest),
            (b"http://a:80/path", Rest),
            (b"http://a:80\r\n", Rest),
        ] {
            assert_eq!(RouteTarget::parse(value), Err(error), "{}", value.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_value_panics_and_what_parses_is_written_back_so_that_it_parses(
            value in prop::collection::vec(any::<u8>(), 0..60),
            close in "(http|https|ftp)://[a-z\\[\\]:. ]{0,12}:[0-9]{0,6}/{0,2}",
        ) {
            for value in [&value[..], close.as_bytes()] {
                if let Ok(target) = RouteTarget::parse(value) {
                    let text = target.to_string();
                    prop_assert_eq!(RouteTarget::parse(text.as_bytes()), Ok(target.clone()));
                    prop_assert!(target.server().bytes().all(|byte| byte.is_ascii_graphic()));
                }
            }
        }
    }
}
