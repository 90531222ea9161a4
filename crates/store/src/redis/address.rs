//! The address of a Redis or Valkey server, or of the Sentinels that know one.
//!
//! ```text
//! redis://[USER:PASSWORD@]HOST[:PORT][/DB]            also valkey://
//! rediss://…[?ca=FILE&cert=FILE&key=FILE]             over TLS; also valkeys://
//! redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/MASTER[/DB][?sentinel_user=U&sentinel_password=P]
//! ```
//!
//! User, password, master and the values behind `?` are percent-encoded; `:PASSWORD@` alone is the password
//! of the default user. Without `ca` the system's certificates are trusted. What is shown of an address,
//! by `Display` and `Debug`, never holds a password.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The port of a server that is given without one.
pub const REDIS_PORT: u16 = 6379;

/// The port of a Sentinel that is given without one.
pub const SENTINEL_PORT: u16 = 26379;

/// The kinds of address that are read here.
pub const KINDS: [&str; 5] = ["redis", "rediss", "redis+sentinel", "valkey", "valkeys"];

/// What is left as it is in the parts that are percent-encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where a Redis or Valkey server is; see the module's description.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    kind: &'static str,
    /// Which server it is.
    pub place: Place,
    /// Who one is towards the server.
    pub credentials: Credentials,
    /// The number of the database on it.
    pub database: u32,
    /// Files for a connection over TLS; none for one without.
    pub tls: Option<TlsFiles>,
}

/// Which server it is, or who knows.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// This server.
    Server(Endpoint),
    /// The server that Sentinels say is the master.
    Sentinel {
        /// The Sentinels, in the order they are asked.
        sentinels: Vec<Endpoint>,
        /// The master's name among them.
        master: String,
        /// Who one is towards the Sentinels.
        credentials: Credentials,
    },
}

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A name or an IP address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A user and a password, either of which may be missing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user; none is the default one.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
}

/// Files in PEM format for a connection over TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates that are trusted in place of the system's.
    pub ca: Option<PathBuf>,
    /// Our own certificate and key, for servers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Why a text is no address of a Redis server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisAddressError {
    /// No host, or one that can't be.
    #[error("'{0}' is not HOST or HOST:PORT")]
    Host(String),
    /// The database is no number.
    #[error("'/{0}' is not the number of a database: write /0, or leave it out")]
    Database(String),
    /// A user without a password.
    #[error("the user '{0}' has no password: write USER:PASSWORD@")]
    NoPassword(String),
    /// A part is not percent-encoded UTF-8.
    #[error("the {0} is not percent-encoded UTF-8")]
    Encoding(&'static str),
    /// Sentinels without the name of a master.
    #[error("the name of the master is missing: write redis+sentinel://HOST:PORT,HOST:PORT/MASTER")]
    NoMaster,
    /// Several servers where there can be one.
    #[error("several hosts are for redis+sentinel:// only")]
    Several,
    /// A parameter that is not known, or not for this kind of address.
    #[error("'{name}' is no parameter of {kind}://: there {known}")]
    Parameter {
        /// The parameter.
        name: String,
        /// The kind of address.
        kind: &'static str,
        /// Which there are.
        known: &'static str,
    },
    /// One of `cert` and `key` without the other.
    #[error("'cert' and 'key' go together: give both, or neither")]
    HalfIdentity,
    /// Something behind a `#`.
    #[error("'#' has no meaning here; in a password write it as %23")]
    Fragment,
}

impl RedisAddress {
    /// Reads an address that begins with one of the kinds and `://`; none if it doesn't.
    ///
    /// # Errors
    /// What is wrong with the rest.
    pub fn parse(text: &str) -> Option<Result<RedisAddress, RedisAddressError>> {
        let (kind, rest) = text.split_once("://")?;
        let kind = KINDS.into_iter().find(|known| *known == kind)?;
        Some(Self::parse_rest(kind, rest))
    }

    fn parse_rest(kind: &'static str, rest: &str) -> Result<RedisAddress, RedisAddressError> {
        if rest.contains('#') {
            return Err(RedisAddressError::Fragment);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        let credentials = user_info.map(credentials).transpose()?.unwrap_or_default();
        let mut parameters = Parameters::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            parameters.take(kind, pair)?;
        }

        let (place, database) = if kind == "redis+sentinel" {
            let (master, database) = path.split_once('/').unwrap_or((path, ""));
            let master = decoded("master", master)?;
            if master.is_empty() {
                return Err(RedisAddressError::NoMaster);
            }
            let endpoint = |text| Endpoint::parse(text, SENTINEL_PORT);
            let sentinels = hosts.split(',').map(endpoint).collect::<Result<_, _>>()?;
            (Place::Sentinel { sentinels, master, credentials: parameters.sentinel }, database)
        } else if hosts.contains(',') {
            return Err(RedisAddressError::Several);
        } else {
            (Place::Server(Endpoint::parse(hosts, REDIS_PORT)?), path)
        };
        let tls = match (parameters.cert, parameters.key) {
            _ if !matches!(kind, "rediss" | "valkeys") => None,
            (None, None) => Some(TlsFiles { ca: parameters.ca, identity: None }),
            (Some(cert), Some(key)) => Some(TlsFiles { ca: parameters.ca, identity: Some((cert, key)) }),
            _ => return Err(RedisAddressError::HalfIdentity),
        };
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?;
        let database = match database.trim_end_matches('/') {
            "" => 0,
            text => number(text).ok_or_else(|| RedisAddressError::Database(text.to_owned()))?,
        };
        Ok(RedisAddress { kind, place, credentials, database, tls })
    }

    /// The same server under another address: a replica's master, as the replica knows it.
    pub fn at(&self, endpoint: Endpoint) -> RedisAddress {
        RedisAddress { place: Place::Server(endpoint), ..self.clone() }
    }

    /// Whether Sentinels say which server it is.
    pub fn is_sentinel(&self) -> bool {
        matches!(self.place, Place::Sentinel { .. })
    }
}

#[derive(Default)]
struct Parameters {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    sentinel: Credentials,
}

impl Parameters {
    fn take(&mut self, kind: &'static str, pair: &str) -> Result<(), RedisAddressError> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded("value of a parameter", value)?;
        match (kind, name) {
            ("rediss" | "valkeys", "ca") => self.ca = Some(value.into()),
            ("rediss" | "valkeys", "cert") => self.cert = Some(value.into()),
            ("rediss" | "valkeys", "key") => self.key = Some(value.into()),
            ("redis+sentinel", "sentinel_user") => self.sentinel.user = Some(value),
            ("redis+sentinel", "sentinel_password") => self.sentinel.password = Some(value),
            _ => {
                let known = match kind {
                    "rediss" | "valkeys" => "are ca, cert and key",
                    "redis+sentinel" => "are sentinel_user and sentinel_password",
                    _ => "is none",
                };
                return Err(RedisAddressError::Parameter { name: name.to_owned(), kind, known });
            }
        }
        Ok(())
    }
}

fn credentials(text: &str) -> Result<Credentials, RedisAddressError> {
    let Some((user, password)) = text.split_once(':') else {
        return Err(RedisAddressError::NoPassword(text.to_owned()));
    };
    let user = Some(decoded("user", user)?).filter(|user| !user.is_empty());
    let password = Some(decoded("password", password)?).filter(|password| !password.is_empty());
    match (user, password) {
        (Some(user), None) => Err(RedisAddressError::NoPassword(user)),
        (user, password) => Ok(Credentials { user, password }),
    }
}

fn decoded(what: &'static str, text: &str) -> Result<String, RedisAddressError> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| RedisAddressError::Encoding(what))?;
    Ok(decoded.into_owned())
}

impl Endpoint {
    /// The endpoint that `Display` has written.
    pub fn of_text(text: &str) -> Option<Endpoint> {
        Endpoint::parse(text, REDIS_PORT).ok()
    }

    /// Reads `HOST` or `HOST:PORT`, where an IPv6 address stands in brackets.
    fn parse(text: &str, default_port: u16) -> Result<Endpoint, RedisAddressError> {
        let wrong = || RedisAddressError::Host(text.to_owned());
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
                host.parse::<Ipv6Addr>().map_err(|_| wrong())?;
                (host, rest.strip_prefix(':').or(rest.is_empty().then_some("")).ok_or_else(wrong)?)
            }
            None => text.split_once(':').unwrap_or((text, "")),
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        let is_bracketed = text.starts_with('[');
        if host.is_empty() || !host.chars().all(|c| allowed(c) && (c != ':' || is_bracketed)) {
            return Err(wrong());
        }
        let port = match port {
            "" => default_port,
            port if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        };
        if port == 0 { Err(wrong()) } else { Ok(Endpoint { host: host.to_owned(), port }) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The address in its normal form, with `***` for a password and without the parameters.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.kind)?;
        let user = self.credentials.user.as_deref().unwrap_or_default();
        if self.credentials.password.is_some() {
            write!(f, "{}:***@", utf8_percent_encode(user, ENCODED))?;
        }
        match &self.place {
            Place::Server(endpoint) => write!(f, "{endpoint}")?,
            Place::Sentinel { sentinels, master, .. } => {
                for (index, sentinel) in sentinels.iter().enumerate() {
                    write!(f, "{}{sentinel}", if index == 0 { "" } else { "," })?;
                }
                write!(f, "/{}", utf8_percent_encode(master, ENCODED))?;
            }
        }
        if self.database != 0 { write!(f, "/{}", self.database) } else { Ok(()) }
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> RedisAddress {
        RedisAddress::parse(text).unwrap().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn refused(text: &str) -> RedisAddressError {
        RedisAddress::parse(text).unwrap().expect_err(text)
    }

    #[test]
    fn an_address_has_a_normal_form() {
        for (text, normal) in [
            ("redis://10.0.0.1", "redis://10.0.0.1:6379"),
            ("redis://10.0.0.1:6380/", "redis://10.0.0.1:6380"),
            ("valkey://cache.internal/2", "valkey://cache.internal:6379/2"),
            ("rediss://[::1]:7000/0", "rediss://[::1]:7000"),
            ("redis+sentinel://a:1,b/mymaster", "redis+sentinel://a:1,b:26379/mymaster"),
            ("redis+sentinel://a/my%20master/3", "redis+sentinel://a:26379/my%20master/3"),
        ] {
            assert_eq!(parsed(text).to_string(), normal);
        }
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let address = parsed("redis://us%40er:pa%3Ass%2F@h:1/1");
        assert_eq!(address.credentials.user.as_deref(), Some("us@er"));
        assert_eq!(address.credentials.password.as_deref(), Some("pa:ss/"));
        assert_eq!(address.to_string(), "redis://us%40er:***@h:1/1");
        assert!(!format!("{address:?}").contains("pa:ss"));
        let address = parsed("redis://:secret@h");
        assert_eq!((address.credentials.user, address.credentials.password), (None, Some("secret".into())));
        assert!(parsed("redis://:@h").credentials == Credentials::default());
    }

    #[test]
    fn tls_brings_its_files() {
        let tls = parsed("rediss://h?ca=/etc/ca.pem&cert=c%20.pem&key=k.pem").tls.unwrap();
        assert_eq!(tls.ca, Some("/etc/ca.pem".into()));
        assert_eq!(tls.identity, Some(("c .pem".into(), "k.pem".into())));
        assert_eq!(parsed("rediss://h").tls, Some(TlsFiles::default()));
        assert_eq!(parsed("redis://h").tls, None);
        assert_eq!(refused("rediss://h?cert=c"), RedisAddressError::HalfIdentity);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("redis://", "HOST"),
            ("redis://h:0", "h:0"),
            ("redis://h:+1", "h:+1"),
            ("redis://h:70000", "h:70000"),
            ("redis://[::g]", "[::g]"),
            ("redis://a b", "a b"),
            ("redis://::1", "::1"),
            ("redis://h/x", "database"),
            ("redis://h/-1", "database"),
            ("redis://a,b", "redis+sentinel"),
            ("redis+sentinel://a,b", "master"),
            ("redis+sentinel://a,,b/m", "HOST"),
            ("redis://user@h", "USER:PASSWORD@"),
            ("redis://user:@h", "USER:PASSWORD@"),
            ("redis://:%ff@h", "password"),
            ("redis://h?ca=x", "'ca'"),
            ("rediss://h?x=y", "ca, cert and key"),
            ("redis://:a#b@h", "%23"),
        ] {
            let error = refused(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        for text in ["redis:h", "http://h", "h:1", ""] {
            assert!(RedisAddress::parse(text).is_none(), "{text}");
        }
    }
}
