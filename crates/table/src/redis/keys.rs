//! The names of the keys a table is kept under, and which host a key speaks of.
//!
//! `instances:<hostname>` holds a host's members and `instance_ids:<hostname>` their ids; `serial` counts the
//! changes. That is the schema of the original, and all that routing needs. Nothing in it says which id
//! belongs to which member; for ids given by hand our own writer keeps that in a hash beside them,
//! `instance_id_of:<hostname>` (member → id), which others may ignore.

/// What the keys of members begin with.
pub(super) const INSTANCES: &str = "instances:";
/// What the keys of ids begin with.
pub(super) const IDS: &str = "instance_ids:";
/// What the keys of links from members to ids begin with.
pub(super) const LINKS: &str = "instance_id_of:";
/// The key of the serial.
pub(super) const SERIAL: &str = "serial";
/// What a scan of the whole table matches: members and ids.
pub(super) const SCANNED: &str = "instance*";

/// A host as it stands in a key: any bytes.
pub(super) type HostKey = Box<[u8]>;

/// What a key is to a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    /// Members or ids of this host.
    Host(&'a [u8]),
    /// The serial.
    Serial,
    /// Nothing: tracking and scanning by prefix name other keys too.
    Foreign,
}

impl<'a> Key<'a> {
    pub(super) fn of(name: &'a [u8]) -> Key<'a> {
        let host = name.strip_prefix(INSTANCES.as_bytes()).or_else(|| name.strip_prefix(IDS.as_bytes()));
        match host {
            Some(host) => Key::Host(host),
            None if name == SERIAL.as_bytes() => Key::Serial,
            None => Key::Foreign,
        }
    }
}

/// The key of a host's set.
pub(super) fn key(prefix: &str, host: &[u8]) -> Vec<u8> {
    [prefix.as_bytes(), host].concat()
}

/// The three keys of a host.
pub(super) fn keys(host: &[u8]) -> [Vec<u8>; 3] {
    [INSTANCES, IDS, LINKS].map(|prefix| key(prefix, host))
}

/// Bytes of a store for people: readable, on one line, and not too long.
pub(super) fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 100;
    match bytes.get(..SHOWN) {
        Some(start) if bytes.len() > SHOWN => format!("{}…", String::from_utf8_lossy(start).escape_debug()),
        _ => String::from_utf8_lossy(bytes).escape_debug().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_speaks_of_a_host_the_serial_or_nothing() {
        assert_eq!(Key::of(b"instances:a.example"), Key::Host(b"a.example"));
        assert_eq!(Key::of(b"instance_ids:*.a.example"), Key::Host(b"*.a.example"));
        assert_eq!(Key::of(b"instances:"), Key::Host(b""));
        assert_eq!(Key::of(b"serial"), Key::Serial);
        for foreign in [&b"serial2"[..], b"instance_id_of:a", b"instances", b"", b"x"] {
            assert_eq!(Key::of(foreign), Key::Foreign);
        }
    }

    #[test]
    fn odd_bytes_are_shown_on_one_line() {
        assert_eq!(shown(b"a\n\xff"), "a\\n\u{fffd}");
        assert!(shown(&[b'x'; 5000]).len() < 200);
    }
}
