//! The keys of a memcached table: `[PROTOCOL]://[SERVER]:[PORT]/`, as the requests ask for them and as people
//! write them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use waypost_http1::{Host, Scheme};

use crate::explain::patterns;
use crate::pattern::{Pattern, PatternError};

/// The key of a route: `http://www.example.com:80/`, or `http://*.example.com:80/` for a wildcard. Its host is
/// lower-case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey(String);

/// Why a text is no key of a route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteKeyError {
    /// It does not begin with `http://` or `https://`.
    #[error("'{0}' does not begin with http:// or https://: a key is http://HOST:PORT/")]
    Scheme(String),
    /// More follows the port than a slash.
    #[error("'{0}' has more than a host and a port: a key is http://HOST:PORT/, without a path")]
    Path(String),
    /// The host is none.
    #[error("'{text}': {source}")]
    Host {
        /// The text.
        text: String,
        /// What is wrong with its host.
        source: PatternError,
    },
    /// The port is none.
    #[error("'{0}': what follows the host is not a port of 1 to 65535")]
    Port(String),
}

impl RouteKey {
    /// Reads a key as a person writes it: the host in any case, the scheme's port if none is written, the
    /// final slash or none.
    ///
    /// # Errors
    /// With what is wrong, and how a key looks.
    pub fn parse(text: &str) -> Result<RouteKey, RouteKeyError> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            _ => return Err(RouteKeyError::Scheme(text.to_owned())),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(RouteKeyError::Path(text.to_owned()));
        }
        let host_end = rest.find(']').map_or(0, |bracket| bracket + 1);
        let (host, port) = match rest[host_end..].find(':') {
            Some(colon) => (&rest[..host_end + colon], port(&rest[host_end + colon + 1..])),
            None => (rest, Some(scheme.default_port())),
        };
        let port = port.ok_or_else(|| RouteKeyError::Port(text.to_owned()))?;
        let host =
            Pattern::parse(host).map_err(|source| RouteKeyError::Host { text: text.to_owned(), source })?;
        Ok(RouteKey(format!("{scheme}://{host}:{port}/")))
    }

    /// The key as it stands in memcached.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn port(digits: &str) -> Option<u16> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten().filter(|port| *port != 0)
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RouteKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RouteKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        RouteKey::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Puts the key of a request into `key`, in place of what was there. Without a port in the authority it is
/// the scheme's.
pub(super) fn write_key(key: &mut String, scheme: Scheme, host: &Host, port: Option<u16>) {
    key.clear();
    let port = port.unwrap_or(scheme.default_port());
    key.push_str(scheme.as_str());
    key.push_str("://");
    key.push_str(host.as_str());
    key.push(':');
    key.push_str(itoa::Buffer::new().format(port));
    key.push('/');
}

/// The keys that a request's key stands for, in the order they are tried: itself and, with wildcards, the same
/// with `*` in place of the host's left labels, from the most to the least specific.
pub(super) fn candidates(key: &str, wildcards: bool) -> Vec<String> {
    let mut keys = vec![key.to_owned()];
    if wildcards && let Some((scheme, host, port)) = parts(key) {
        let wild = patterns(host).skip(1);
        keys.extend(wild.map(|pattern| format!("{scheme}://{pattern}:{port}/")));
    }
    keys
}

/// Scheme, host and port of a request's key.
fn parts(key: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = key.strip_suffix('/')?.split_once("://")?;
    let (host, port) = rest.rsplit_once(':')?;
    Some((scheme, host, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_request(scheme: Scheme, authority: &str) -> String {
        let (host, port) = Host::parse(authority.as_bytes()).unwrap();
        let mut key = "what was there".to_owned();
        write_key(&mut key, scheme, &host, port);
        key
    }

    #[test]
    fn a_request_asks_for_scheme_lower_cased_host_and_the_port_it_addressed() {
        for (scheme, authority, key) in [
            (Scheme::Http, "127.0.0.1", "http://127.0.0.1:80/"),
            (Scheme::Http, "LocalHost.:8080", "http://localhost:8080/"),
            (Scheme::Https, "www.Example.com", "https://www.example.com:443/"),
            (Scheme::Https, "www.example.com:80", "https://www.example.com:80/"),
            (Scheme::Http, "[0:0::1]:81", "http://[::1]:81/"),
        ] {
            assert_eq!(of_request(scheme, authority), key);
        }
    }

    #[test]
    fn wildcards_follow_from_the_most_to_the_least_specific() {
        assert_eq!(
            candidates("http://www.a.example.com:80/", true),
            [
                "http://www.a.example.com:80/",
                "http://*.a.example.com:80/",
                "http://*.example.com:80/",
                "http://*.com:80/",
                "http://*:80/"
            ]
        );
        assert_eq!(candidates("http://[::1]:80/", true), ["http://[::1]:80/", "http://*:80/"]);
        assert_eq!(candidates("http://a.example:80/", false), ["http://a.example:80/"]);
    }

    #[test]
    fn people_may_leave_out_what_goes_without_saying() {
        for (text, key) in [
            ("http://127.0.0.1:80/", "http://127.0.0.1:80/"),
            ("HTTP://Example.com", "http://example.com:80/"),
            ("https://*.example.com/", "https://*.example.com:443/"),
            ("http://*:8080/", "http://*:8080/"),
            ("http://[::1]:80/", "http://[::1]:80/"),
            ("http://[::1]/", "http://[::1]:80/"),
        ] {
            assert_eq!(RouteKey::parse(text).unwrap().as_str(), key, "{text}");
        }
        for text in
            ["", "example.com", "ftp://a:1/", "http://a:80/x", "http://a b:80/", "http://a:x/", "http://a:0/"]
        {
            let error = RouteKey::parse(text).unwrap_err().to_string();
            assert!(error.contains(text) && !error.contains('\n'), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_key_of_any_request_is_a_key_that_a_person_can_write(
            host in "[a-z0-9]{1,20}(\\.[a-z0-9]{1,20}){0,5}",
            port in prop::option::of(1u16..),
            over_tls in any::<bool>(),
        ) {
            let scheme = if over_tls { Scheme::Https } else { Scheme::Http };
            let authority = port.map_or(host.clone(), |port| format!("{host}:{port}"));
            let key = of_request(scheme, &authority);
            for key in candidates(&key, true) {
                let read = RouteKey::parse(&key).unwrap();
                prop_assert_eq!(read.as_str(), key);
            }
        }

        #[test]
        fn no_text_makes_reading_a_key_panic(text in ".{0,80}") {
            if let Ok(key) = RouteKey::parse(&text) {
                prop_assert_eq!(RouteKey::parse(key.as_str()), Ok(key));
            }
        }
    }
}
