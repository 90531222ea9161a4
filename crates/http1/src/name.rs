//! The field names a proxy has to know, recognised once when a head is read.

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// A field name that has a meaning to a proxy, or [`Name::Other`]. Told from the bytes once,
        /// so that later questions compare a byte instead of a string.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Name {
            $($(#[$doc])* #[doc = concat!("`", $text, "`")] $variant,)*
            /// A name that begins with `X-Forwarded-` and is none of the above: some program somewhere
            /// believes it.
            XForwardedOther,
            /// A name such as `X_Forwarded_For`, which some servers read as `X-Forwarded-For`: it can
            /// only be there to be taken for the real one.
            Lookalike,
            /// Any other name.
            Other,
        }

        impl Name {
            /// The name as it is written when this program adds the field; empty for those that stand
            /// for many.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Name::$variant => $text,)*
                    Name::XForwardedOther | Name::Lookalike | Name::Other => "",
                }
            }

            const ALL: &[Name] = &[$(Name::$variant,)*];
        }
    };
}

names! {
    Connection = "Connection",
    ContentLength = "Content-Length",
    ContentType = "Content-Type",
    Cookie = "Cookie",
    Date = "Date",
    Expect = "Expect",
    Forwarded = "Forwarded",
    Host = "Host",
    KeepAlive = "Keep-Alive",
    Location = "Location",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyConnection = "Proxy-Connection",
    Referer = "Referer",
    RetryAfter = "Retry-After",
    Te = "TE",
    Trailer = "Trailer",
    TransferEncoding = "Transfer-Encoding",
    Upgrade = "Upgrade",
    UserAgent = "User-Agent",
    Via = "Via",
    XForwardedFor = "X-Forwarded-For",
    XForwardedHost = "X-Forwarded-Host",
    XForwardedPort = "X-Forwarded-Port",
    XForwardedProto = "X-Forwarded-Proto",
    XRealIp = "X-Real-IP",
    XRequestId = "X-Request-Id",
}

/// The known names of a length and a first letter (in lower case): hardly ever more than one, so that
/// a name is compared with one other at the most, and most names with none.
fn candidates(length: usize, first: u8) -> &'static [Name] {
    use Name::*;
    match (length, first) {
        (2, b't') => &[Te],
        (3, b'v') => &[Via],
        (4, b'd') => &[Date],
        (4, b'h') => &[Host],
        (6, b'c') => &[Cookie],
        (6, b'e') => &[Expect],
        (7, b'r') => &[Referer],
        (7, b't') => &[Trailer],
        (7, b'u') => &[Upgrade],
        (8, b'l') => &[Location],
        (9, b'f') => &[Forwarded],
        (9, b'x') => &[XRealIp],
        (10, b'c') => &[Connection],
        (10, b'k') => &[KeepAlive],
        (10, b'u') => &[UserAgent],
        (11, b'r') => &[RetryAfter],
        (12, b'c') => &[ContentType],
        (12, b'x') => &[XRequestId],
        (14, b'c') => &[ContentLength],
        (15, b'x') => &[XForwardedFor],
        (16, b'p') => &[ProxyConnection],
        (16, b'x') => &[XForwardedHost, XForwardedPort],
        (17, b't') => &[TransferEncoding],
        (17, b'x') => &[XForwardedProto],
        (18, b'p') => &[ProxyAuthenticate],
        (19, b'p') => &[ProxyAuthorization],
        _ => &[],
    }
}

/// How the names begin by which proxies tell of their clients.
const FAMILY: &[u8] = b"X-Forwarded-";

/// Whether a name equals a known one, in any case, with underscores for hyphens.
fn equals_underscored(known: &[u8], name: &[u8]) -> bool {
    known.len() == name.len()
        && known.iter().zip(name).all(|(a, b)| a.eq_ignore_ascii_case(if *b == b'_' { &b'-' } else { b }))
}

impl Name {
    /// Recognises a field name, in any case.
    pub fn of(name: &[u8]) -> Name {
        let Some(first) = name.first().map(u8::to_ascii_lowercase) else { return Name::Other };
        let candidates = candidates(name.len(), first);
        for &known in candidates {
            if known.as_str().as_bytes().eq_ignore_ascii_case(name) {
                return known;
            }
        }
        if !candidates.is_empty() || first == b'x' { Name::nearly(name, candidates) } else { Name::Other }
    }

    /// What a name is that looks like one of the candidates, or like one of the family.
    #[cold]
    fn nearly(name: &[u8], candidates: &[Name]) -> Name {
        if candidates.iter().any(|known| equals_underscored(known.as_str().as_bytes(), name)) {
            return Name::Lookalike;
        }
        match name.split_at_checked(FAMILY.len()) {
            Some((prefix, rest)) if !rest.is_empty() && equals_underscored(FAMILY, prefix) => {
                if name.contains(&b'_') { Name::Lookalike } else { Name::XForwardedOther }
            }
            _ => Name::Other,
        }
    }

    /// Whether the field speaks of this connection only (RFC 9110 §7.6.1) and is never passed on.
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Name::Connection
                | Name::KeepAlive
                | Name::ProxyAuthenticate
                | Name::ProxyAuthorization
                | Name::ProxyConnection
                | Name::Te
                | Name::TransferEncoding
                | Name::Upgrade
        )
    }

    /// Whether the field may not come as a trailer: it frames the message, routes it, or says who
    /// sent it (RFC 9110 §6.5.1).
    pub fn is_forbidden_in_trailers(self, name: &[u8]) -> bool {
        const NAMES: [&str; 11] = [
            "authorization",
            "cache-control",
            "content-encoding",
            "content-range",
            "host",
            "max-forwards",
            "pragma",
            "range",
            "set-cookie",
            "www-authenticate",
            "if-match",
        ];
        !matches!(self, Name::Other) || NAMES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// A set of names, so that many can be asked for at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NameSet(u64);

impl NameSet {
    /// The hop-by-hop fields.
    pub const HOP_BY_HOP: NameSet = {
        let (mut set, mut place) = (NameSet(0), 0);
        while place < Name::ALL.len() {
            if Name::ALL[place].is_hop_by_hop() {
                set = set.with(Name::ALL[place]);
            }
            place += 1;
        }
        set
    };

    /// The set of these names.
    pub const fn of(names: &[Name]) -> NameSet {
        let (mut set, mut place) = (NameSet(0), 0);
        while place < names.len() {
            set = set.with(names[place]);
            place += 1;
        }
        set
    }

    /// The same set and one more.
    #[must_use]
    pub const fn with(self, name: Name) -> NameSet {
        NameSet(self.0 | 1 << name as u8)
    }

    /// Whether the name is in it.
    pub const fn has(self, name: Name) -> bool {
        self.0 & 1 << name as u8 != 0
    }

    /// Whether a name is in both.
    pub const fn meets(self, other: NameSet) -> bool {
        self.0 & other.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_forwarded_family_are_told() {
        assert_eq!(Name::of(b"X-Forwarded-Server"), Name::XForwardedOther);
        assert_eq!(Name::of(b"x-forwarded-prefix-and-more-than-any-known-name"), Name::XForwardedOther);
        assert_eq!(Name::of(b"X_Forwarded_Server"), Name::Lookalike);
        assert_eq!(Name::of(b"X-Forwarded_Server"), Name::Lookalike);
        assert_eq!(Name::of(b"X-Forwarded-Client_Cert"), Name::Lookalike);
        assert_eq!(Name::of(b"X-Forwarded-"), Name::Other);
        assert_eq!(Name::of(b"X-Frame-Options"), Name::Other);
    }

    #[test]
    fn every_known_name_is_recognised_in_any_case() {
        for &name in Name::ALL {
            assert_eq!(Name::of(name.as_str().as_bytes()), name);
            assert_eq!(Name::of(name.as_str().to_ascii_lowercase().as_bytes()), name);
            assert_eq!(Name::of(name.as_str().to_ascii_uppercase().as_bytes()), name);
        }
        assert_eq!(Name::of(b"Accept"), Name::Other);
        assert_eq!(Name::of(b""), Name::Other);
    }

    #[test]
    fn underscored_names_are_lookalikes() {
        for name in
            ["X_Forwarded_For", "x-forwarded_proto", "X_REAL_IP", "content_length", "transfer_encoding"]
        {
            assert_eq!(Name::of(name.as_bytes()), Name::Lookalike, "{name}");
        }
        assert_eq!(Name::of(b"my_header"), Name::Other);
    }
}
