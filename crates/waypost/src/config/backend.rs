//! The backends of the configuration: one struct a type, and the enum of them all. What a backend does is
//! `waypost-backend`'s and `waypost-table`'s; here stands only what can be said about it in a file.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use toml::de::DeValue;
use waypost_table::Balance;

use super::section::{Key, Section, section};
use super::setting::{Setting, expected, integer, quoted};
use super::target::RedirectTarget;

/// A backend and its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// Its name, by which others point at it.
    pub name: String,
    /// What it is.
    pub spec: BackendSpec,
}

/// Every type of backend that a configuration can name.
#[derive(Debug, Clone, PartialEq)]
pub enum BackendSpec {
    /// One HTTP server.
    Client(Client),
    /// A redirect.
    Redirect(Redirect),
    /// A fixed answer.
    Respond(Respond),
    /// The route table.
    Routes(Routes),
}

impl BackendSpec {
    /// The names of the types, as `type` has them.
    pub const TYPES: &'static [&'static str] = &["client", "redirect", "respond", "routes"];

    /// The name of this one's type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Redirect(_) => "redirect",
            Self::Respond(_) => "respond",
            Self::Routes(_) => "routes",
        }
    }

    /// The backends it passes requests to, with the key that names them.
    pub fn children(&self) -> (&'static str, &[String]) {
        match self {
            Self::Routes(routes) => ("backends", &routes.backends),
            Self::Client(_) | Self::Redirect(_) | Self::Respond(_) => ("", &[]),
        }
    }

    /// The lines about a type and its keys, for the reference.
    pub(super) fn describe(type_name: &str) -> (&'static [&'static str], Vec<Key>) {
        match type_name {
            "client" => (Client::DOC, Client::keys()),
            "redirect" => (Redirect::DOC, Redirect::keys()),
            "respond" => (Respond::DOC, Respond::keys()),
            _ => (Routes::DOC, Routes::keys()),
        }
    }
}

section! {
    /// One HTTP server, over pooled connections.
    Client {
        /// The server, as `http://10.0.0.1:8080` or `http://app.internal`.
        url: Server,
        /// The `Host` to send. Not set: the request's own is kept.
        host_header: Option<HeaderValue> = None,
        /// How long connecting may take.
        connect_timeout: Duration = Duration::from_secs(5),
        /// How long the server may take to begin its response, and be silent within it; longer is answered 504.
        timeout: Duration = Duration::from_secs(45),
        /// How many requests the server may have in hand.
        max_connections: u32 = 1024,
    }
}

section! {
    /// Sends the client elsewhere.
    Redirect {
        /// Where: an absolute target or a path. `$scheme`, `$host` (without the port), `$path` and `$query`
        /// (with its question mark, when there is one) stand for the request's own.
        to: RedirectTarget,
        /// One of 301, 302, 303, 307, 308.
        status: RedirectStatus = RedirectStatus(StatusCode::TEMPORARY_REDIRECT),
    }
}

section! {
    /// A fixed answer.
    Respond {
        /// The status, from 200 to 599.
        status: AnswerStatus = AnswerStatus(StatusCode::OK),
        /// Fields of the answer, as `{ content-type = "text/html" }`; those that frame a message are the
        /// router's own.
        headers: Headers = Headers(Vec::new()),
        /// The body.
        body: String = String::new(),
    }
}

section! {
    /// The route table. One called `routes` exists without being written.
    Routes {
        /// How an instance is chosen. Not set: as `[table]` says.
        balance: Option<Balance> = None,
        /// The backends that an entry of the table may point at with `backend=NAME`.
        backends: Vec<String> = Vec::new(),
        /// A cookie of this name keeps a client with its instance. Not set: no cookie.
        sticky_cookie: Option<CookieName> = None,
    }
}

/// The HTTP server that a `client` backend asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its host name, or its address, an IPv6 one without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl std::fmt::Display for Server {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(out, "http://[{}]:{}", self.host, self.port)
        } else {
            write!(out, "http://{}:{}", self.host, self.port)
        }
    }
}

impl Setting for Server {
    fn kind() -> String {
        "a server as \"http://10.0.0.1:8080\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected {}, found {text:?}", Self::kind());
        if text.starts_with("https://") {
            return Err(format!("{text:?}: https to a backend is not supported in this version: use http"));
        }
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
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
            None => 80,
            Some(digits) if !digits.starts_with('+') => digits.parse().map_err(|_| wrong())?,
            Some(_) => return Err(wrong()),
        };
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || host.len() > 253 || port == 0 || !host.bytes().all(named) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

/// Reads a status that is one of those allowed.
fn status(value: u16, kind: &str, allowed: impl Fn(u16) -> bool) -> Result<StatusCode, String> {
    StatusCode::from_u16(value)
        .ok()
        .filter(|status| allowed(status.as_u16()))
        .ok_or_else(|| format!("expected {kind}, found {value}"))
}

macro_rules! status_setting {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $type(pub StatusCode);

        impl Setting for $type {
            fn kind() -> String {
                $kind.into()
            }

            fn parse(text: &str) -> Result<Self, String> {
                let number = text.parse().map_err(|_| format!("expected {}, found {text:?}", $kind))?;
                status(number, $kind, $allowed).map(Self)
            }

            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                status(integer(value, $kind)?, $kind, $allowed).map(Self)
            }

            fn show(&self) -> Option<String> {
                Some(self.0.as_str().to_owned())
            }
        }
    };
}

status_setting!(
    /// The status of a redirect.
    RedirectStatus,
    "301, 302, 303, 307 or 308",
    |code| matches!(code, 301 | 302 | 303 | 307 | 308)
);
status_setting!(
    /// The status of a final answer.
    AnswerStatus,
    "a status from 200 to 599",
    |code| (200..600).contains(&code)
);

/// Fields of a fixed answer, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers(pub Vec<(HeaderName, HeaderValue)>);

/// Fields that say where a message ends, or belong to the connection: never from a file.
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Setting for Headers {
    fn kind() -> String {
        "a table as { name = \"value\" }".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Err(format!("expected {}, found {text:?}", Self::kind()))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let table = value.as_table().ok_or_else(|| expected(&Self::kind(), value))?;
        let mut fields = Vec::with_capacity(table.len());
        for (name, value) in table {
            let name = HeaderName::from_bytes(name.get_ref().as_bytes())
                .map_err(|_| format!("{:?} is not the name of a field", name.get_ref()))?;
            if FRAMING.contains(&name.as_str()) {
                return Err(format!("the field {name} is the router's own: take it out"));
            }
            let text = value
                .get_ref()
                .as_str()
                .ok_or_else(|| format!("the field {name}: {}", expected("a string", value.get_ref())))?;
            let text = HeaderValue::from_str(text)
                .map_err(|_| format!("the field {name} has a value with a control character"))?;
            fields.push((name, text));
        }
        Ok(Self(fields))
    }

    fn show(&self) -> Option<String> {
        let field = |(name, value): &(HeaderName, HeaderValue)| {
            Some(format!("{name} = {}", quoted(value.to_str().ok()?)?))
        };
        let fields: Vec<String> = self.0.iter().filter_map(field).collect();
        Some(if fields.is_empty() { "{}".into() } else { format!("{{ {} }}", fields.join(", ")) })
    }
}

impl Setting for HeaderValue {
    fn kind() -> String {
        "the value of a field".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::from_str(text)
            .ok()
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("expected {}, found {text:?}", <Self as Setting>::kind()))
    }

    fn show(&self) -> Option<String> {
        self.to_str().ok().and_then(quoted)
    }
}

/// The name of a cookie (RFC 6265, 4.1.1: a token).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieName(pub String);

impl Setting for CookieName {
    fn kind() -> String {
        "the name of a cookie".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || !text.bytes().all(token) {
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
        assert_eq!(Server::parse("http://[::1]").unwrap().to_string(), "http://[::1]:80");
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in [
            "",
            "10.0.0.1:80",
            "ftp://x",
            "https://x",
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

    fn headers(toml: &str) -> Result<Headers, String> {
        let text = format!("key = {toml}");
        let table = toml::de::DeTable::parse(&text).unwrap();
        Headers::read(table.get_ref().get("key").unwrap().get_ref())
    }

    #[test]
    fn fields_that_frame_a_message_are_refused() {
        assert_eq!(headers("{ Content-Type = \"text/plain\" }").unwrap().0.len(), 1);
        for toml in [
            "{ Content-Length = \"1\" }",
            "{ transfer-encoding = \"chunked\" }",
            "{ \"a b\" = \"1\" }",
            "{ x = \"a\\nb\" }",
            "{ x = 1 }",
            "[]",
        ] {
            assert!(headers(toml).is_err(), "{toml} was accepted");
        }
    }

    #[test]
    fn statuses_are_held_to_what_they_are_for() {
        assert!(RedirectStatus::parse("308").is_ok());
        assert!(RedirectStatus::parse("304").is_err());
        assert!(AnswerStatus::parse("503").is_ok());
        assert!(AnswerStatus::parse("101").is_err());
        assert!(AnswerStatus::parse("600").is_err());
    }
}
