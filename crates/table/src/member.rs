//! One instance of a host, as people and stores write it.
//!
//! A [`Member`] is the owned form: what is added, listed, exported, and kept in Redis sets as
//! `<ip>:<port>#<version_type_key>#<node_key>#<instance_key>#name=value&…`. Any part but the first may be
//! missing. The extensions behind the fourth `#` are `weight`, `path`, `scheme` and `backend`; other
//! names are left to whoever wrote them, and [`Member::parse`] reports them so that the caller can warn.
//! A member with a backend is served by that backend of the configuration instead of an address; its
//! address may then be `-`.
//!
//! The packed form that requests are routed by is [`crate::entry::Entry`]; it takes only members that
//! [`Member::checked`] accepts.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

pub use waypost_http1::Scheme;

use crate::pattern::Pattern;

/// The longest version type, node or instance key, and the longest backend name, in bytes.
pub const MAX_KEY: usize = 255;

/// The longest path prefix in bytes.
pub const MAX_PATH: usize = 1024;

/// The weight of a member that says none.
pub const DEFAULT_WEIGHT: u16 = 1;

/// Where a member's requests go: the part of it that, with its path, tells it from its siblings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// To this address.
    Address(SocketAddr),
    /// To the backend of this name in the configuration.
    Backend(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Address(address) => address.fmt(f),
            Target::Backend(name) => write!(f, "backend {name}"),
        }
    }
}

/// One instance of a host. The fields are open; whatever takes a member in has it [checked](Self::checked)
/// first, and deserialising one does so too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// IP address and port. Present unless there is a `backend`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// The version type's key, by which requests are counted. Logged as `null` when missing, like the
    /// next two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_type: Option<String>,
    /// The key of the node the instance runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The instance's own key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The instance's id. Redis keeps it in a set of its own, so the text of a member doesn't hold it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<Uuid>,
    /// The share of requests among its siblings; 0: drained, never chosen.
    #[serde(skip_serializing_if = "is_default_weight")]
    pub weight: u16,
    /// The path prefix this member serves, in whole segments; none: every path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How to speak to the address.
    #[serde(skip_serializing_if = "is_http")]
    pub scheme: Scheme,
    /// The backend of the configuration that serves this member instead of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

fn is_default_weight(weight: &u16) -> bool {
    *weight == DEFAULT_WEIGHT
}

/// Why a member can't be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// The address is not an IP address and a port.
    #[error("'{0}' is not an address: write IP:PORT or [IPv6]:PORT (names are not looked up)")]
    Address(String),
    /// The address has port 0, where nothing can listen.
    #[error("'{0}' has port 0, where nothing can listen")]
    PortZero(SocketAddr),
    /// The address has an IPv6 zone or flow label.
    #[error("'{0}' has an IPv6 zone, which other routers of the same table would not understand")]
    Zone(SocketAddr),
    /// Neither an address nor a backend.
    #[error("there is neither an address nor a backend")]
    NoTarget,
    /// A key is too long or holds a character the format has no place for.
    #[error("the {field} '{}' must have 1 to {MAX_KEY} characters, without '#' and control characters", shorten(.value))]
    Key {
        /// Which key.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// The weight is not a number of 0 to 65535.
    #[error("weight '{0}' is not a number from 0 to 65535")]
    Weight(String),
    /// The path is no absolute path, or holds a character the format has no place for.
    #[error(
        "path '{}' must begin with '/', have at most {MAX_PATH} characters, and hold no '?', '#', '&', space or control character",
        shorten(.0)
    )]
    Path(String),
    /// The scheme is neither `http` nor `https`.
    #[error("scheme '{0}' is neither http nor https")]
    Scheme(String),
    /// The backend's name is empty, too long, or holds a character no name has.
    #[error("backend '{}' is not a name: 1 to {MAX_KEY} letters, digits, '-', '_' or '.'", shorten(.0))]
    Backend(String),
    /// An extension is given twice.
    #[error("'{0}' is given twice")]
    Twice(String),
}

/// A value of any length, cut to what fits in a message.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text[..end].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

impl Member {
    /// A member with this address and nothing else said.
    pub fn at(address: SocketAddr) -> Member {
        Member { address: Some(address), ..Member::empty() }
    }

    /// A member served by a named backend of the configuration.
    pub fn of_backend(name: impl Into<String>) -> Member {
        Member { backend: Some(name.into()), ..Member::empty() }
    }

    fn empty() -> Member {
        Member {
            address: None,
            version_type: None,
            node: None,
            instance: None,
            instance_id: None,
            weight: DEFAULT_WEIGHT,
            path: None,
            scheme: Scheme::Http,
            backend: None,
        }
    }

    /// Reads the text of a member, as Redis sets hold it, and returns with it the names of extensions
    /// that are not known here (they are ignored; the caller warns once).
    ///
    /// # Errors
    /// A [`MemberError`] naming the part that is malformed.
    pub fn parse(text: &str) -> Result<(Member, Vec<String>), MemberError> {
        let mut parts = text.splitn(5, '#');
        let mut member = Member::empty();
        let key = |parts: &mut std::str::SplitN<'_, char>| {
            parts.next().filter(|part| !part.is_empty()).map(str::to_owned)
        };
        match parts.next().unwrap_or_default() {
            "-" => {}
            address => member.address = Some(parse_address(address)?),
        }
        member.version_type = key(&mut parts);
        member.node = key(&mut parts);
        member.instance = key(&mut parts);
        let unknown = member.parse_extensions(parts.next().unwrap_or_default())?;
        Ok((member.checked()?, unknown))
    }

    fn parse_extensions(&mut self, text: &str) -> Result<Vec<String>, MemberError> {
        let mut unknown = Vec::new();
        let mut seen = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "weight" => {
                    let digits = value.bytes().all(|b| b.is_ascii_digit());
                    let weight = value.parse().ok().filter(|_| digits);
                    self.weight = weight.ok_or_else(|| MemberError::Weight(shorten(value)))?;
                }
                "path" => self.path = Some(value.to_owned()),
                "scheme" => self.scheme = parse_scheme(value)?,
                "backend" => self.backend = Some(value.to_owned()),
                _ => {
                    unknown.push(name.to_owned());
                    continue;
                }
            }
            if seen.contains(&name) {
                return Err(MemberError::Twice(name.to_owned()));
            }
            seen.push(name);
        }
        Ok(unknown)
    }

    /// The member in its normal form, if it is valid: empty keys become none, and a path loses the
    /// slashes at its end (`/api/` serves what `/api` serves).
    ///
    /// # Errors
    /// A [`MemberError`] naming the part that is not valid.
    pub fn checked(mut self) -> Result<Member, MemberError> {
        for (field, key) in [
            ("version type", &mut self.version_type),
            ("node", &mut self.node),
            ("instance", &mut self.instance),
        ] {
            if let Some(value) = key.take_if(|value| !is_key(value)) {
                if value.is_empty() {
                    continue;
                }
                return Err(MemberError::Key { field, value });
            }
        }
        if let Some(address) = self.address {
            check_address(address)?;
        }
        if let Some(path) = &mut self.path {
            if !is_path(path) {
                return Err(MemberError::Path(std::mem::take(path)));
            }
            let kept = path.trim_end_matches('/').len().max(1);
            path.truncate(kept);
        }
        match &self.backend {
            Some(name) if !is_backend_name(name) => Err(MemberError::Backend(name.clone())),
            None if self.address.is_none() => Err(MemberError::NoTarget),
            _ => Ok(self),
        }
    }

    /// Where requests for this member go: to its backend if it has one, else to its address; none only
    /// for a member that [`checked`](Self::checked) refuses.
    pub fn target(&self) -> Option<Target> {
        match (&self.backend, self.address) {
            (Some(name), _) => Some(Target::Backend(name.clone())),
            (None, Some(address)) => Some(Target::Address(address)),
            (None, None) => None,
        }
    }

    /// Whether requests for this member go there.
    pub fn goes_to(&self, target: &Target) -> bool {
        match (target, &self.backend) {
            (Target::Backend(wanted), Some(name)) => wanted == name,
            (Target::Address(wanted), None) => self.address == Some(*wanted),
            _ => false,
        }
    }

    /// Whether the two are one route of a host: the same target and the same path. Adding such a member
    /// again updates the first.
    pub fn same_route(&self, other: &Member) -> bool {
        let same_target = match (&self.backend, &other.backend) {
            (None, None) => self.address == other.address,
            (one, another) => one == another,
        };
        same_target && self.path == other.path
    }
}

pub(crate) fn is_key(value: &str) -> bool {
    !value.is_empty() && value.len() <= MAX_KEY && !value.chars().any(|c| c == '#' || c.is_control())
}

pub(crate) fn is_path(value: &str) -> bool {
    value.starts_with('/')
        && value.len() <= MAX_PATH
        && !value.chars().any(|c| matches!(c, '?' | '#' | '&' | ' ') || c.is_control())
}

pub(crate) fn is_backend_name(value: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !value.is_empty() && value.len() <= MAX_KEY && value.bytes().all(allowed)
}

fn check_address(address: SocketAddr) -> Result<(), MemberError> {
    if address.port() == 0 {
        return Err(MemberError::PortZero(address));
    }
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 || v6.flowinfo() != 0 => Err(MemberError::Zone(address)),
        _ => Ok(()),
    }
}

/// Reads an instance's address, `IP:PORT` or `[IPv6]:PORT`.
///
/// # Errors
/// [`MemberError::Address`] if it is no IP address with a port, or one that no instance can have.
pub fn parse_address(text: &str) -> Result<SocketAddr, MemberError> {
    let address = text.parse().map_err(|_| MemberError::Address(shorten(text)))?;
    check_address(address)?;
    Ok(address)
}

fn is_http(scheme: &Scheme) -> bool {
    *scheme == Scheme::Http
}

fn parse_scheme(text: &str) -> Result<Scheme, MemberError> {
    match text {
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        _ => Err(MemberError::Scheme(shorten(text))),
    }
}

/// The text [`Member::parse`] reads, as short as it can be. It doesn't hold the instance's id.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}")?,
            None => f.write_str("-")?,
        }
        let weight = (self.weight != DEFAULT_WEIGHT).then(|| format!("weight={}", self.weight));
        let path = self.path.as_ref().map(|path| format!("path={path}"));
        let scheme = (self.scheme != Scheme::Http).then(|| format!("scheme={}", self.scheme));
        let backend = self.backend.as_ref().map(|backend| format!("backend={backend}"));
        let extensions: Vec<String> = [weight, path, scheme, backend].into_iter().flatten().collect();

        let keys = [&self.version_type, &self.node, &self.instance].map(|k| k.as_deref().unwrap_or_default());
        let written = match extensions.is_empty() {
            true => keys.iter().rposition(|key| !key.is_empty()).map_or(0, |last| last + 1),
            false => keys.len(),
        };
        for key in &keys[..written] {
            write!(f, "#{key}")?;
        }
        if !extensions.is_empty() {
            write!(f, "#{}", extensions.join("&"))?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let fields = RouteFields::deserialize(deserializer)?;
        if fields.host.is_some() {
            return Err(D::Error::custom("a member has no field `host`"));
        }
        fields.into_member().map_err(D::Error::custom)
    }
}

/// The fields of a member as they stand in JSON, not yet checked; and the host, where a line of JSON
/// holds both.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteFields {
    pub(crate) host: Option<Pattern>,
    address: Option<String>,
    version_type: Option<String>,
    node: Option<String>,
    instance: Option<String>,
    instance_id: Option<Uuid>,
    weight: Option<u16>,
    path: Option<String>,
    scheme: Option<Scheme>,
    backend: Option<String>,
}

impl RouteFields {
    pub(crate) fn into_member(self) -> Result<Member, MemberError> {
        let address = self.address.as_deref().map(parse_address).transpose()?;
        let member = Member {
            address,
            version_type: self.version_type,
            node: self.node,
            instance: self.instance,
            instance_id: self.instance_id,
            weight: self.weight.unwrap_or(DEFAULT_WEIGHT),
            path: self.path,
            scheme: self.scheme.unwrap_or_default(),
            backend: self.backend,
        };
        member.checked()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Member {
        Member::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).0
    }

    #[test]
    fn a_member_may_stop_after_any_part() {
        let at = |address: &str| Member::at(address.parse().unwrap());
        let key = |text: &str| Some(text.to_owned());
        assert_eq!(parsed("127.0.0.1:8080"), at("127.0.0.1:8080"));
        assert_eq!(parsed("[::1]:8080#v"), Member { version_type: key("v"), ..at("[::1]:8080") });
        assert_eq!(
            parsed("127.0.0.1:80#v#n"),
            Member { version_type: key("v"), node: key("n"), ..at("127.0.0.1:80") }
        );
        assert_eq!(
            parsed("127.0.0.1:80#v##i"),
            Member { version_type: key("v"), instance: key("i"), ..at("127.0.0.1:80") }
        );
        assert_eq!(
            parsed("127.0.0.1:80####weight=3&path=/api/&scheme=https"),
            Member { weight: 3, path: key("/api"), scheme: Scheme::Https, ..at("127.0.0.1:80") }
        );
        assert_eq!(parsed("-####backend=content"), Member::of_backend("content"));
        assert_eq!(
            parsed("10.0.0.1:1####backend=content").target(),
            Some(Target::Backend("content".to_owned()))
        );
    }

    #[test]
    fn an_unknown_extension_is_reported_and_ignored() {
        let (member, unknown) = Member::parse("127.0.0.1:80#1#2#3#color=red&weight=2&flag").unwrap();
        assert_eq!(unknown, ["color", "flag"]);
        assert_eq!(member.weight, 2);
    }

    #[test]
    fn a_malformed_member_is_refused_with_its_reason() {
        for (text, part) in [
            ("", "is not an address"),
            ("example.com:80", "is not an address"),
            ("127.0.0.1", "is not an address"),
            ("127.0.0.1:http", "is not an address"),
            ("127.0.0.1:70000", "is not an address"),
            ("::1:80", "is not an address"),
            ("127.0.0.1:0", "port 0"),
            ("[fe80::1%3]:80", "zone"),
            ("-", "neither an address nor a backend"),
            ("-#v", "neither an address nor a backend"),
            ("1.1.1.1:1#a\nb", "version type"),
            ("1.1.1.1:1####weight=-1", "weight"),
            ("1.1.1.1:1####weight=+1", "weight"),
            ("1.1.1.1:1####weight=70000", "weight"),
            ("1.1.1.1:1####weight", "weight"),
            ("1.1.1.1:1####path=api", "path"),
            ("1.1.1.1:1####path=/a?b", "path"),
            ("1.1.1.1:1####scheme=ftp", "scheme"),
            ("1.1.1.1:1####backend=", "backend"),
            ("1.1.1.1:1####backend=a b", "backend"),
            ("1.1.1.1:1####weight=1&weight=2", "twice"),
        ] {
            let error = Member::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_message_shows_only_the_start_of_a_long_value() {
        let error = Member::parse(&"x".repeat(100_000)).unwrap_err().to_string();
        assert!(error.len() < 250, "{error}");
    }

    #[test]
    fn json_holds_what_differs_from_the_defaults_and_refuses_unknown_fields() {
        let member = Member { weight: 0, ..parsed("10.0.0.1:80#v####") };
        let json = serde_json::to_string(&member).unwrap();
        assert_eq!(json, r#"{"address":"10.0.0.1:80","version_type":"v","weight":0}"#);
        assert_eq!(serde_json::from_str::<Member>(&json).unwrap(), member);
        for wrong in [
            r#"{"address":"10.0.0.1:80","wieght":3}"#,
            r#"{"address":"10.0.0.1:80","host":"a"}"#,
            r#"{"address":"nowhere:80"}"#,
            r#"{}"#,
        ] {
            assert!(serde_json::from_str::<Member>(wrong).is_err(), "{wrong}");
        }
    }

    /// Any valid member, in its normal form.
    pub(crate) fn any_member() -> impl Strategy<Value = Member> {
        let key = || prop::option::of("[a-zA-Z0-9 é=&-]{1,12}");
        let path = prop::option::of(prop::sample::select(vec!["/", "/api", "/api/v1", "/apix", "/b/ü"]));
        let address = prop_oneof![
            any::<([u8; 4], u16)>().prop_map(|(ip, port)| SocketAddr::from((ip, port.max(1)))),
            any::<([u8; 16], u16)>().prop_map(|(ip, port)| SocketAddr::from((ip, port.max(1)))),
        ];
        let id = prop::option::of(any::<u128>().prop_map(Uuid::from_u128));
        let target = (prop::option::of(address), prop::option::of("[a-z]{1,8}"))
            .prop_filter("a target", |(address, backend)| address.is_some() || backend.is_some());
        (target, key(), key(), key(), id, 0..4u16, path, any::<bool>()).prop_map(
            |((address, backend), version_type, node, instance, instance_id, weight, path, https)| Member {
                address,
                version_type,
                node,
                instance,
                instance_id,
                weight,
                path: path.map(str::to_owned),
                scheme: if https { Scheme::Https } else { Scheme::Http },
                backend,
            },
        )
    }

    proptest! {
        #[test]
        fn the_text_of_a_member_parses_to_the_same_member(member in any_member()) {
            let (again, unknown) = Member::parse(&member.to_string()).unwrap();
            prop_assert!(unknown.is_empty());
            prop_assert_eq!(Member { instance_id: member.instance_id, ..again }, member);
        }

        #[test]
        fn json_of_a_member_parses_to_the_same_member(member in any_member()) {
            let json = serde_json::to_string(&member).unwrap();
            prop_assert_eq!(serde_json::from_str::<Member>(&json).unwrap(), member);
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = Member::parse(&text);
        }
    }
}
