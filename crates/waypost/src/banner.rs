//! What `serve` prints when it runs: where it listens, and what to do next.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use waypost_table::{SourceKind, TableStatus};

/// The address of the admin API that commands use when told no other.
const USUAL_ADMIN: &str = "127.0.0.1:8081";

/// A router that runs, as a newcomer wants to see it.
pub(crate) struct Banner<'a> {
    /// The program as it was called, so that the commands shown work as they stand.
    pub(crate) program: &'a str,
    pub(crate) http: &'a [SocketAddr],
    pub(crate) admin: SocketAddr,
    pub(crate) table: &'a TableStatus,
    pub(crate) access_log: &'a Path,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "Waypost {} is running.\n", env!("CARGO_PKG_VERSION"))?;
        for address in self.http {
            writeln!(out, "  HTTP        http://{address}")?;
        }
        writeln!(out, "  admin       http://{}", self.admin)?;
        let entries = match self.table.entries {
            _ if !self.table.loaded => "not read yet".to_owned(),
            _ if self.table.source == SourceKind::Memcached => "asked key by key".to_owned(),
            0 => "empty".to_owned(),
            1 => "1 host".to_owned(),
            count => format!("{count} hosts"),
        };
        writeln!(out, "  table       {} ({entries})", self.table.location)?;
        writeln!(out, "  access log  {}\n", self.access_log.display())?;
        match self.table.source {
            SourceKind::File => writeln!(
                out,
                "Routes are in that file, and are followed as you edit it. Look at them with\n"
            )?,
            SourceKind::Embedded | SourceKind::Redis | SourceKind::Memcached => {
                writeln!(out, "Route a host to a server of yours, and ask for it:\n")?
            }
        }
        let mut admin = String::new();
        if self.admin.to_string() != USUAL_ADMIN {
            write!(admin, " --admin {}", reachable(self.admin))?;
        }
        let Some(http) = self.http.first().copied().map(reachable) else { return Ok(()) };
        match self.table.source {
            SourceKind::File => writeln!(out, "  {} route list{admin}", self.program),
            SourceKind::Embedded | SourceKind::Redis => {
                writeln!(out, "  {} route add example.localhost 127.0.0.1:9000{admin}", self.program)?;
                writeln!(out, "  curl -H 'Host: example.localhost' http://{http}/")
            }
            SourceKind::Memcached => {
                let program = self.program;
                writeln!(out, "  {program} route add http://{http}/ http://127.0.0.1:9000/{admin}")?;
                writeln!(out, "  curl http://{http}/")
            }
        }
    }
}

/// An address to connect to for one to listen on: of all interfaces, loopback is there.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use waypost_table::{Snapshot, Table};

    use super::*;

    fn banner(http: &str, admin: &str) -> String {
        let table = Table::new(SourceKind::Embedded, "embedded:waypost-data");
        table.publish(Snapshot::empty());
        show(http, admin, &table)
    }

    fn show(http: &str, admin: &str, table: &Table) -> String {
        let table = table.status();
        let http = [http.parse().unwrap()];
        let access_log = Path::new("waypost-data/access.json");
        Banner { program: "waypost", http: &http, admin: admin.parse().unwrap(), table: &table, access_log }
            .to_string()
    }

    #[test]
    fn it_says_where_everything_is_and_what_to_do_next() {
        let text = banner("127.0.0.1:8080", "127.0.0.1:8081");
        for part in [
            "http://127.0.0.1:8080\n",
            "http://127.0.0.1:8081\n",
            "embedded:waypost-data (empty)",
            "waypost-data/access.json",
            "waypost route add example.localhost 127.0.0.1:9000\n",
            "curl -H 'Host: example.localhost' http://127.0.0.1:8080/\n",
        ] {
            assert!(text.contains(part), "{part} is missing from\n{text}");
        }
    }

    #[test]
    fn a_table_that_was_not_read_is_not_called_empty() {
        let unread = Table::new(SourceKind::Embedded, "embedded:waypost-data");
        let text = show("127.0.0.1:8080", "127.0.0.1:8081", &unread);
        assert!(text.contains("embedded:waypost-data (not read yet)"), "{text}");
    }

    #[test]
    fn its_commands_work_for_other_addresses_too() {
        let text = banner("0.0.0.0:80", "[::]:9");
        assert!(text.contains("127.0.0.1:9000 --admin [::1]:9\n"), "{text}");
        assert!(text.contains("http://127.0.0.1:80/\n"), "{text}");
    }
}
