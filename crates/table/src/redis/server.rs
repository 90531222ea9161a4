//! What a server says of itself in `INFO`: which run of which server it is, whether it is a replica, and of
//! whom.

use waypost_store::redis::Endpoint;

/// The sections of `INFO` that [`ServerInfo::parse`] reads.
pub(super) const SECTIONS: [&str; 3] = ["server", "replication", "keyspace"];

/// A server as it is at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ServerInfo {
    /// Another one after each start.
    pub(super) run_id: String,
    /// Another one when its data may have another origin.
    pub(super) replication_id: String,
    /// Whom it follows, if it is a replica.
    pub(super) replica_of: Option<Master>,
    /// Whether keys of any database may run out. A server that doesn't say is taken to have some.
    pub(super) has_expiring_keys: bool,
}

/// A replica's master, as the replica sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Master {
    /// Where it is.
    pub(super) endpoint: Endpoint,
    /// Whether the replica is connected to it.
    pub(super) is_linked: bool,
    /// Whether the replica is being filled from it.
    pub(super) is_filling: bool,
}

impl ServerInfo {
    /// Reads the text of those sections. What is missing has its default.
    pub(super) fn parse(text: &str) -> ServerInfo {
        let mut info =
            ServerInfo { has_expiring_keys: !text.contains("# Keyspace"), ..ServerInfo::default() };
        let mut is_replica = false;
        let mut master = Master {
            endpoint: Endpoint { host: String::new(), port: 0 },
            is_linked: false,
            is_filling: false,
        };
        for (name, value) in text.lines().filter_map(|line| line.trim_end().split_once(':')) {
            match name {
                "run_id" => info.run_id = value.to_owned(),
                "master_replid" => info.replication_id = value.to_owned(),
                "role" => is_replica = value == "slave" || value == "replica",
                "master_host" => master.endpoint.host = value.to_owned(),
                "master_port" => master.endpoint.port = value.parse().unwrap_or_default(),
                "master_link_status" => master.is_linked = value == "up",
                "master_sync_in_progress" => master.is_filling = value == "1",
                _ if name.starts_with("db") => info.has_expiring_keys |= !value.contains("expires=0"),
                _ => {}
            }
        }
        info.replica_of = is_replica.then_some(master);
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_and_a_replica_are_told_apart() {
        let master = ServerInfo::parse(
            "# Server\r\nrun_id:abc\r\n# Replication\r\nrole:master\r\nmaster_replid:def\r\n# Keyspace\r\n",
        );
        assert_eq!((master.run_id.as_str(), master.replication_id.as_str()), ("abc", "def"));
        assert_eq!((master.replica_of, master.has_expiring_keys), (None, false));

        let replica = ServerInfo::parse(
            "role:slave\r\nmaster_host:::1\r\nmaster_port:6379\r\nmaster_link_status:down\r\nmaster_sync_in_progress:1\r\n",
        );
        let endpoint = Endpoint { host: "::1".to_owned(), port: 6379 };
        assert_eq!(replica.replica_of, Some(Master { endpoint, is_linked: false, is_filling: true }));
    }

    #[test]
    fn keys_that_may_run_out_are_noticed_in_any_database() {
        let with = |line: &str| ServerInfo::parse(&format!("# Keyspace\r\n{line}\r\n")).has_expiring_keys;
        assert!(!with("db0:keys=3,expires=0,avg_ttl=0"));
        assert!(with("db0:keys=3,expires=0,avg_ttl=0\r\ndb1:keys=3,expires=2,avg_ttl=7"));
        assert!(ServerInfo::parse("role:master").has_expiring_keys, "unknown is not none");
    }
}
