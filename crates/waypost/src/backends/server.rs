//! A server as a configuration names it.

use std::net::IpAddr;

use crate::config::{Setting, quoted};

/// The HTTP server that a `client` backend asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Whether it speaks TLS.
    pub https: bool,
    /// Its host name, or its address, an IPv6 one without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Both as they were written, in lower case: the port only if it was.
    pub authority: String,
}

impl std::fmt::Display for Server {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        if self.host.contains(':') {
            write!(out, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl Setting for Server {
    fn kind() -> String {
        "a server as \"http://10.0.0.1:8080\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected {}, found {text:?}", Self::kind());
        let (https, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://").ok_or_else(wrong)?),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(format!("{text:?}: a server has no path: the request's own is sent"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
                if !matches!(host.parse(), Ok(IpAddr::V6(_))) {
                    return Err(wrong());
                }
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(wrong)?) })
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            None if https => 443,
            None => 80,
            Some(digits) if !digits.starts_with('+') => digits.parse().map_err(|_| wrong())?,
            Some(_) => return Err(wrong()),
        };
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || host.len() > 253 || port == 0 || !host.bytes().all(named) {
            return Err(wrong());
        }
        Ok(Self { https, host: host.to_ascii_lowercase(), port, authority: authority.to_ascii_lowercase() })
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Option<(String, u16)> {
        Server::parse(text).ok().map(|server| (server.host, server.port))
    }

    #[test]
    fn a_server_is_a_host_and_a_port() {
        assert_eq!(server("http://10.0.0.1:8080"), Some(("10.0.0.1".into(), 8080)));
        assert_eq!(server("http://App.internal"), Some(("app.internal".into(), 80)));
        assert_eq!(server("http://app.internal/"), Some(("app.internal".into(), 80)));
        assert_eq!(server("http://[::1]:9000"), Some(("::1".into(), 9000)));
        assert_eq!(server("http://[::1]"), Some(("::1".into(), 80)));
        assert_eq!(server("https://app.internal"), Some(("app.internal".into(), 443)));
        assert_eq!(server("https://app.internal:80"), Some(("app.internal".into(), 80)));
        assert_eq!(Server::parse("http://[::1]").unwrap().to_string(), "http://[::1]:80");
        assert_eq!(Server::parse("https://[::1]").unwrap().to_string(), "https://[::1]:443");
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in [
            "",
            "10.0.0.1:80",
            "ftp://x",
            "https://",
            "https:/x",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:+1",
            "http://a:99999",
            "http://a:",
            "http://a/path",
            "http://a?x",
            "http://u@a",
            "http://[::1",
            "http://[x]:1",
            "http://[::1]80",
            "http://a b",
        ] {
            assert_eq!(server(text), None, "{text} was accepted");
        }
    }
}
