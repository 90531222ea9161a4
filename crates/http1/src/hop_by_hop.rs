//! What speaks of one connection only, and stays on it (RFC 9110 §7.6.1).

use crate::fields::{Fields, list};
use crate::name::{Name, NameSet};
use crate::request::Version;

impl Fields {
    /// Removes the hop-by-hop fields: the known ones, and those that `Connection` names.
    ///
    /// `Connection` can't name away what routing and framing rest on (`Host`, `Content-Length` and
    /// whatever else is no sender's to take off: see [`Name`]); only names that mean nothing to a
    /// proxy are removed for its asking.
    pub fn remove_hop_by_hop(&mut self) {
        if let Some(options) = self.connection_options() {
            self.retain(|field| {
                field.name != Name::Other
                    || !list(&options).any(|option| option.eq_ignore_ascii_case(field.spelled))
            });
        }
        self.remove_all(NameSet::HOP_BY_HOP);
    }

    /// Whether a message of this version leaves its connection open (RFC 9112 §9.3).
    pub(crate) fn keep_alive(&self, version: Version) -> bool {
        let mut keep = version == Version::Http11;
        for option in self.get_all(Name::Connection).flat_map(list) {
            if option.eq_ignore_ascii_case(b"close") {
                return false;
            }
            keep |= option.eq_ignore_ascii_case(b"keep-alive");
        }
        keep
    }

    /// All that the `Connection` fields name beside the usual words, joined; nothing in the usual case.
    fn connection_options(&self) -> Option<Vec<u8>> {
        let mut options = Vec::new();
        for value in self.get_all(Name::Connection) {
            for option in list(value).filter(|option| !is_usual(option)) {
                options.extend_from_slice(option);
                options.push(b',');
            }
        }
        (!options.is_empty()).then_some(options)
    }
}

/// Words that name no field, or one that is removed anyway.
fn is_usual(option: &[u8]) -> bool {
    [&b"close"[..], b"keep-alive", b"upgrade", b"te"].iter().any(|word| word.eq_ignore_ascii_case(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_named_fields_go_and_the_rest_stays() {
        let mut fields = Fields::new();
        for (name, value) in [
            ("Host", "h"),
            ("Connection", "close, X-Mine, Host"),
            ("connection", "content-length,x-yours"),
            ("X-Mine", "1"),
            ("x-YOURS", "2"),
            ("X-Other", "3"),
            ("Content-Length", "4"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
            ("Transfer-Encoding", "chunked"),
        ] {
            fields.push(name, value.as_bytes()).unwrap();
        }
        fields.remove_hop_by_hop();
        let mut out = Vec::new();
        fields.write_to(&mut out);
        assert_eq!(out, b"Host: h\r\nX-Other: 3\r\nContent-Length: 4\r\n");
    }
}
