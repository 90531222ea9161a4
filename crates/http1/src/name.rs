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

/// No known name is longer.
const LONGEST: usize = 19;

/// For each length, the known names of that length: a name is compared with two or three others at most.
const BY_LENGTH: [&[Name]; LONGEST + 1] = {
    use Name::*;
    [
        &[],
        &[],
        &[Te],
        &[Via],
        &[Date, Host],
        &[],
        &[Cookie, Expect],
        &[Referer, Trailer, Upgrade],
        &[Location],
        &[Forwarded, XRealIp],
        &[Connection, KeepAlive, UserAgent],
        &[RetryAfter],
        &[ContentType, XRequestId],
        &[],
        &[ContentLength],
        &[XForwardedFor],
        &[ProxyConnection, XForwardedHost, XForwardedPort],
        &[TransferEncoding, XForwardedProto],
        &[ProxyAuthenticate],
        &[ProxyAuthorization],
    ]
};

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
        for &known in BY_LENGTH.get(name.len()).copied().unwrap_or_default() {
            if known.as_str().as_bytes().eq_ignore_ascii_case(name) {
                return known;
            }
        }
        match name {
            [b'x' | b'X', b'-' | b'_', b'f' | b'F', ..] if name.len() > FAMILY.len() => Name::of_family(name),
            _ if name.contains(&b'_') => Name::of_underscored(name),
            _ => Name::Other,
        }
    }

    #[cold]
    fn of_family(name: &[u8]) -> Name {
        let (prefix, rest) = name.split_at(FAMILY.len());
        match equals_underscored(FAMILY, prefix) {
            true if prefix.contains(&b'_') || rest.contains(&b'_') => Name::Lookalike,
            true => Name::XForwardedOther,
            false => Name::Other,
        }
    }

    #[cold]
    fn of_underscored(name: &[u8]) -> Name {
        let matches = |known: &Name| equals_underscored(known.as_str().as_bytes(), name);
        if Name::ALL.iter().any(matches) { Name::Lookalike } else { Name::Other }
    }

    /// Whether the field speaks of this connection only (RFC 9110 §7.6.1) and is never passed on.
    pub fn is_hop_by_hop(self) -> bool {
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
