//! The sections of the configuration, all but the backends: each key's name, type, default and meaning, in
//! the one place they are defined. `docs/configuration.md` is made from this.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use uuid::Uuid;
use waypost_table::{Balance, TableAddress};

use super::address::StatsAddress;
use super::section::section;
use super::server_tls::ServerTls;
use super::setting::words;
use super::units::{Limit, Size};

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

words! {
    Balance {
        P2c = "p2c",
        Random = "random",
        RoundRobin = "round_robin",
        LeastRequests = "least_requests",
        Hash = "hash",
    }
}

/// How much the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what failed.
    Error,
    /// And what is not as it should be.
    Warn,
    /// And what happens now and then.
    Info,
    /// And what explains a decision.
    Debug,
    /// Everything.
    Trace,
}

words! {
    LogLevel {
        Error = "error",
        Warn = "warn",
        Info = "info",
        Debug = "debug",
        Trace = "trace",
    }
}

section! {
    /// Keys of the whole program, written before the first `[section]`.
    General {
        /// The backend that every request enters.
        entry: String = "routes".into(),
        /// The directory for what the router keeps on this machine. One process owns it.
        data: PathBuf = "waypost-data".into() => flag "data" "DIR" "WAYPOST_DATA",
        /// How many threads serve requests. Not set: one a core.
        workers: Option<u32> = None => flag "workers" "N" "WAYPOST_WORKERS",
        /// How much the log on standard error says.
        log_level: LogLevel = LogLevel::Info => flag "log-level" "LEVEL" "WAYPOST_LOG_LEVEL",
        /// The name of this router among others. Not set: made at the first start and kept in `data`.
        node_id: Option<Uuid> = None => flag "node-id" "UUID" "WAYPOST_NODE_ID",
        /// How long requests in flight may take to finish after SIGTERM.
        drain_timeout: Duration = seconds(30),
    }
}

section! {
    /// Where the router listens.
    Listen {
        /// Addresses for HTTP.
        http: Vec<SocketAddr> = vec![loopback(8080)] => flags "listen" "ADDR" "WAYPOST_LISTEN",
        /// The address of the admin API. Other than loopback only with a token: see `[admin]`.
        admin: SocketAddr = loopback(8081) => flag "admin" "ADDR" "WAYPOST_ADMIN",
    }
}

section! {
    /// Who may use the admin API. With a token set, each request but `/healthz` and `/readyz` must carry it
    /// as `Authorization: Bearer TOKEN`. At most one of the two keys.
    Admin {
        /// The token itself, at least 16 characters.
        token: Option<String> = None,
        /// A file whose first line is the token; better, as a configuration is read by more people.
        token_file: Option<PathBuf> = None,
    }
}

section! {
    /// The route table, and how its instances are used.
    Table {
        /// Where the table is: `embedded:DIR`; `file:ROUTES.toml` (kept by hand, followed as it changes); or a
        /// Redis or Valkey server, `redis://`, `rediss://` (TLS), `valkey://` or `redis+sentinel://`, see
        /// [the Redis table](redis-table.md); or memcached servers, `memcached://`, see
        /// [the memcached table](memcached-table.md). Not set: embedded in `data`.
        url: Option<TableAddress> = None => flag "table" "URL" "WAYPOST_TABLE",
        /// How an instance is chosen among those that can be: `p2c` takes the less busy of two drawn at random,
        /// `hash` goes by the client's address.
        balance: Balance = Balance::P2c,
        /// How many instances a request may be tried on when connections fail, the first included. One that
        /// can't be connected to is passed over until it can.
        tries: u32 = 3,
        /// How instances whose `scheme` is `https` are spoken to: the keys of [TLS to servers](#tls-to-servers).
        /// The name that a certificate must have is the host that the request asks for, unless `server_name`
        /// says which. An instance that can't prove it gets no request: another one is tried, and without one the
        /// answer is 503.
        /// In a memcached table it is the server of a route whose certificate must have its name.
        tls: ServerTls = ServerTls::default(),
        /// Memcached tables: how long a route is used before it is asked for again, in the background. 0: it is
        /// asked for with every request.
        ttl: Duration = seconds(1),
        /// Memcached tables: how long it is remembered that there is no route.
        negative_ttl: Duration = seconds(1),
        /// Memcached tables: whether keys with `*` in place of a host's left labels are tried as well.
        wildcards: bool = false,
        /// Memcached tables: whether the client's `Host` is kept. Otherwise it becomes the server of the route.
        preserve_host: bool = false,
    }
}

section! {
    /// The access log and the statistics made from it.
    Stats {
        /// Where statistics are kept: `embedded:DIR`, or a server as for the table. Not set: embedded in `data`.
        url: Option<StatsAddress> = None => flag "stats" "URL" "WAYPOST_STATS",
        /// The access log, a JSON object a line. Not set: `access.json` in `data`.
        access_log: Option<PathBuf> = None => flag "access-log" "FILE" "WAYPOST_ACCESS_LOG",
    }
}

section! {
    /// What a client may ask of the router, and for how long it may take.
    Limits {
        /// The head of a request, all its fields together; more is answered 431.
        header_size: Size = Size::kib(32),
        /// How many fields a request may have; more is answered 431.
        header_count: u32 = 100,
        /// The request line; more is answered 414.
        request_line: Size = Size::kib(8),
        /// The body of a request; more is answered 413.
        max_body: Limit<Size> = Limit::Off,
        /// How long a client may take to send the head of a request.
        header_timeout: Duration = seconds(10),
        /// How long a connection may stand idle between requests, a body without a byte, and a client
        /// without taking more of a response.
        idle_timeout: Duration = seconds(60),
        /// How long an upgraded connection (a WebSocket, say) may be silent in both directions.
        tunnel_timeout: Duration = seconds(3600),
        /// How long connecting to an instance may take.
        connect_timeout: Duration = seconds(5),
        /// How long an instance may take to begin its response; longer is answered 504.
        response_timeout: Duration = seconds(60),
        /// How many connections one client address may hold.
        connections_per_client: Limit<u32> = Limit::At(4096),
        /// How many connections the router holds in all.
        max_connections: Limit<u32> = Limit::At(65536),
    }
}

section! {
    /// What an instance is told of the client.
    Forwarded {
        /// Peers whose own `X-Forwarded-*` and `Forwarded` fields are believed and appended to: ranges or
        /// single addresses. Of all others they are replaced.
        trusted: Vec<IpNet> = Vec::new(),
        /// Whether to send `Forwarded` (RFC 7239) as well.
        forwarded: bool = false,
        /// Whether to send `Via` (RFC 9110, 7.6.3).
        via: bool = false,
    }
}
