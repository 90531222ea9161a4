//! `type = "client"`.

use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, Method};
use waypost_backend::upstream::Options;
use waypost_backend::{Backend, Client as Leaf, ClientOptions, ProbeOptions};
use waypost_http1::RequestHead;

use super::server::Server;
use super::{BackendType, Findings, Site, upstream};
use crate::config::{ServerTls, Setting, quoted, section};

section! {
    /// One HTTP server, over pooled connections.
    Client {
        /// The server, as `http://10.0.0.1:8080` or `https://app.internal`.
        url: Server,
        /// How a server with `https://` is spoken to: the keys of [TLS to servers](#tls-to-servers).
        tls: ServerTls = ServerTls::default(),
        /// The `Host` to send. Not set: the request's own is kept.
        host_header: Option<HeaderValue> = None,
        /// How long connecting may take.
        connect_timeout: Duration = Duration::from_secs(5),
        /// How long the server may take to begin its response, and be silent within it; longer is answered 504.
        timeout: Duration = Duration::from_secs(45),
        /// A path, and a query if need be, that the server must answer with 200 to be up, as `/health`. It is
        /// asked for over a connection of its own, by the cluster that the client is in, else every second.
        /// Not set: the server is up as long as it can be connected to.
        probe: Option<ProbePath> = None,
        /// How long that answer may take.
        probe_timeout: Duration = Duration::from_millis(500),
        /// How many requests the server may have in hand.
        max_connections: u32 = 1024,
    }
}

impl BackendType for Client {
    const NAME: &'static str = "client";

    fn check(&self, found: &mut Findings<'_>) {
        found.more_than_nothing("connect_timeout", self.connect_timeout.is_zero());
        found.more_than_nothing("probe_timeout", self.probe_timeout.is_zero());
        found.more_than_nothing("timeout", self.timeout.is_zero());
        found.more_than_nothing("max_connections", self.max_connections == 0);
        if self.url.https {
            if let Err(error) = self.tls.check(&self.url.host) {
                found.add("tls", error);
            }
        } else if self.tls != ServerTls::default() {
            found.add("tls", "is of no use with an http:// server: write https:// as its `url`, or take it out");
        }
    }

    fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Backend> {
        let limits = Options {
            max_connections: Some(self.max_connections),
            tls: self.url.https.then(|| self.tls.tls.clone()),
            server_name: self.tls.server_name.clone(),
            ..upstream(self.connect_timeout, self.timeout)
        };
        let host_header =
            self.host_header.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let probe = self
            .probe
            .as_ref()
            .map(|path| ProbeOptions { path: path.0.clone(), timeout: self.probe_timeout });
        let options =
            ClientOptions { host: self.url.host.clone(), port: self.url.port, host_header, limits, probe };
        Rc::new(Leaf::new(name, options, Rc::clone(site.peers())))
    }
}

/// A path that a probe asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbePath(pub String);

impl Setting for ProbePath {
    fn kind() -> String {
        "a path as \"/health\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') || RequestHead::new(Method::GET, text).is_err() {
            return Err(format!("expected {}, found {text:?}", Self::kind()));
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> Option<String> {
        quoted(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_a_path_that_can_be_asked_for() {
        for text in ["/", "/health", "/health?deep=1"] {
            assert!(ProbePath::parse(text).is_ok(), "{text} was refused");
        }
        for text in ["", "health", "http://a/health", "/a b", "/a\r\nX: y"] {
            assert!(ProbePath::parse(text).is_err(), "{text} was accepted");
        }
    }
}
