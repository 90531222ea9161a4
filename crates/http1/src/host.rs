//! The host of a request, normalised and known to be valid.
//!
//! A [`Host`] is made once, where the request arrives, from the authority of its target or from its
//! `Host` field (RFC 9110, sections 4.2.3 and 7.2). From then on nothing checks or lower-cases it again:
//! it is lower-case, has no port and no trailing dot, and every label and the whole are within DNS's
//! limits. It lives in a small inline buffer, so making one allocates nothing.
//!
//! The strict choice is taken where the RFCs leave one: of `reg-name` (RFC 3986, section 3.2.2) only
//! letters, digits, `-`, `_` and `.` are accepted, without percent-encoding, and of IP literals only
//! IPv6 addresses without a zone. User information is refused. Internationalised names arrive in their
//! ASCII (`xn--`) form.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::Ipv6Addr;

use serde::{Serialize, Serializer};

/// The longest host name in bytes, as DNS limits it (without the trailing dot).
pub const MAX_HOST: usize = 253;

/// The longest label of a host name in bytes.
pub const MAX_LABEL: usize = 63;

/// A valid host in its normal form: a lower-case name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Clone, Copy)]
pub struct Host {
    len: u8,
    bytes: [u8; MAX_HOST],
}

/// Why an authority names no valid host. Requests that carry such an authority are answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is nothing before the port.
    #[error("the host is empty")]
    Empty,
    /// The name has more than [`MAX_HOST`] bytes.
    #[error("the host has more than {MAX_HOST} characters")]
    TooLong,
    /// A label is empty: two dots in a row, or one in front.
    #[error("the host has an empty label (two dots in a row, or one at its start)")]
    EmptyLabel,
    /// A label has more than [`MAX_LABEL`] bytes.
    #[error("the host has a label of more than {MAX_LABEL} characters")]
    LabelTooLong,
    /// A byte that no host name holds.
    #[error("the host has the character '{}', which no host name holds", .0.escape_ascii())]
    Character(u8),
    /// A byte outside ASCII.
    #[error("the host has characters outside ASCII; write it in its xn-- form")]
    NotAscii,
    /// The brackets hold no IPv6 address, or are not closed.
    #[error("what stands in brackets is not an IPv6 address without a zone")]
    Ipv6,
    /// What follows the host is not `:` and a port of 0 to 65535.
    #[error("what follows the host is not a port")]
    Port,
}

/// Each byte of a name in its normal form; 0 where the byte is not allowed. The dot is handled apart.
const NORMAL: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.' {
            table[byte] = b.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

impl Default for Host {
    /// `localhost`, for where a host is needed before one is known.
    fn default() -> Host {
        let mut bytes = [0; MAX_HOST];
        bytes[..9].copy_from_slice(b"localhost");
        Host { len: 9, bytes }
    }
}

impl Host {
    /// Reads an authority without user information: `host`, `host:port`, `[::1]`, `[::1]:port`.
    ///
    /// Returns the host and the port where one is written. An empty port (`example.com:`) is legal by
    /// RFC 3986, section 3.2.3, and counts as none.
    ///
    /// # Errors
    /// A [`HostError`] that says what is wrong; the request it came with must be refused.
    pub fn parse(authority: &[u8]) -> Result<(Host, Option<u16>), HostError> {
        if authority.first() == Some(&b'[') {
            return parse_ipv6(authority);
        }
        let (name, port) = match authority.iter().position(|&b| b == b':') {
            Some(colon) => (&authority[..colon], parse_port(&authority[colon + 1..])?),
            None => (authority, None),
        };
        let name = name.strip_suffix(b".").unwrap_or(name);
        if name.is_empty() {
            // "." and ".:80" have an empty label and nothing else.
            return Err(HostError::Empty);
        }
        if name.len() > MAX_HOST {
            return Err(HostError::TooLong);
        }

        let mut host = Host { len: name.len() as u8, bytes: [0; MAX_HOST] };
        let mut label = 0;
        for (into, &byte) in host.bytes.iter_mut().zip(name) {
            let normal = NORMAL[usize::from(byte)];
            if normal == b'.' {
                if label == 0 {
                    return Err(HostError::EmptyLabel);
                }
                label = 0;
            } else if normal == 0 {
                return Err(if byte.is_ascii() { HostError::Character(byte) } else { HostError::NotAscii });
            } else {
                label += 1;
                if label > MAX_LABEL {
                    return Err(HostError::LabelTooLong);
                }
            }
            *into = normal;
        }
        if label == 0 {
            return Err(HostError::EmptyLabel);
        }
        Ok((host, port))
    }

    /// The host as bytes, all of them ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The host as text, without port or trailing dot.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever written to the buffer, so the fallback is never taken.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

fn parse_ipv6(authority: &[u8]) -> Result<(Host, Option<u16>), HostError> {
    let close = authority.iter().position(|&b| b == b']').ok_or(HostError::Ipv6)?;
    let inside = std::str::from_utf8(&authority[1..close]).map_err(|_| HostError::Ipv6)?;
    let address: Ipv6Addr = inside.parse().map_err(|_| HostError::Ipv6)?;
    let port = match &authority[close + 1..] {
        [] => None,
        [b':', port @ ..] => parse_port(port)?,
        _ => return Err(HostError::Port),
    };
    // One address has one form (RFC 5952), however the client wrote it.
    let text = format!("[{address}]");
    let mut host = Host { len: text.len() as u8, bytes: [0; MAX_HOST] };
    host.bytes[..text.len()].copy_from_slice(text.as_bytes());
    Ok((host, port))
}

fn parse_port(digits: &[u8]) -> Result<Option<u16>, HostError> {
    if digits.is_empty() {
        return Ok(None);
    }
    if digits.len() > 5 {
        return Err(HostError::Port);
    }
    let mut port = 0u32;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return Err(HostError::Port);
        }
        port = port * 10 + u32::from(digit - b'0');
    }
    u16::try_from(port).map(Some).map_err(|_| HostError::Port)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({:?})", self.as_str())
    }
}

impl AsRef<str> for Host {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Host {}

impl Hash for Host {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(authority: &str) -> Result<(String, Option<u16>), HostError> {
        Host::parse(authority.as_bytes()).map(|(host, port)| (host.to_string(), port))
    }

    #[test]
    fn a_host_is_lower_cased_and_loses_port_and_one_trailing_dot() {
        for (authority, host, port) in [
            ("example.com", "example.com", None),
            ("WWW.Example.COM", "www.example.com", None),
            ("example.com:8080", "example.com", Some(8080)),
            ("example.com.", "example.com", None),
            ("example.com.:80", "example.com", Some(80)),
            ("example.com:", "example.com", None),
            ("example.com:65535", "example.com", Some(65535)),
            ("example.com:00080", "example.com", Some(80)),
            ("a_b-c.example", "a_b-c.example", None),
            ("localhost", "localhost", None),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[::1]:443", "[::1]", Some(443)),
            ("[0:0:0:0:0:0:0:1]", "[::1]", None),
            ("[2001:DB8::A]:", "[2001:db8::a]", None),
        ] {
            assert_eq!(parsed(authority), Ok((host.to_owned(), port)), "{authority}");
        }
    }

    #[test]
    fn an_invalid_authority_is_refused_with_its_reason() {
        let long_label = "a".repeat(64);
        let long_name = format!("{}.com", vec!["a".repeat(62); 4].join("."));
        for (authority, error) in [
            ("", HostError::Empty),
            (".", HostError::Empty),
            (":80", HostError::Empty),
            (".example.com", HostError::EmptyLabel),
            ("example..com", HostError::EmptyLabel),
            ("example.com..", HostError::EmptyLabel),
            ("exa mple.com", HostError::Character(b' ')),
            ("example.com/x", HostError::Character(b'/')),
            ("user@example.com", HostError::Character(b'@')),
            ("a,b", HostError::Character(b',')),
            ("%61.com", HostError::Character(b'%')),
            ("*.example.com", HostError::Character(b'*')),
            ("a\0b", HostError::Character(0)),
            ("bücher.example", HostError::NotAscii),
            ("example.com:http", HostError::Port),
            ("example.com:65536", HostError::Port),
            ("example.com:-1", HostError::Port),
            ("example.com:+80", HostError::Port),
            ("example.com:000080", HostError::Port),
            ("example.com:80:80", HostError::Port),
            ("::1", HostError::Port),
            ("[::1", HostError::Ipv6),
            ("[]", HostError::Ipv6),
            ("[::1%eth0]", HostError::Ipv6),
            ("[v1.x]", HostError::Ipv6),
            ("[::1]80", HostError::Port),
            ("[::1].", HostError::Port),
            (long_label.as_str(), HostError::LabelTooLong),
            (long_name.as_str(), HostError::TooLong),
        ] {
            assert_eq!(parsed(authority), Err(error), "{authority:?}");
        }
    }

    #[test]
    fn a_name_of_the_greatest_length_is_accepted_with_its_trailing_dot() {
        let name = format!("{}.{}", vec!["a".repeat(63); 3].join("."), "b".repeat(61));
        assert_eq!(name.len(), MAX_HOST);
        assert_eq!(parsed(&format!("{name}.:1")), Ok((name, Some(1))));
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics_and_what_it_accepts_is_stable(bytes: Vec<u8>) {
            if let Ok((host, _)) = Host::parse(&bytes) {
                proptest::prop_assert_eq!(Host::parse(host.as_str().as_bytes()), Ok((host, None)));
            }
        }
    }
}
