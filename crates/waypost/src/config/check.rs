//! Rules that span keys, or that a type alone can't hold: values that would serve nobody, addresses that
//! collide, an admin API that anyone could use.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use waypost_http1::HeadLimits;
use waypost_table::TableAddress;

use super::section::Source;
use super::{Config, Limit, Place, ServerTls, Size};
use crate::backends::BackendSpec;

/// The shortest token that is taken: what can be guessed protects nothing.
const SHORTEST_TOKEN: usize = 16;

/// Whether a value is nothing at all, where nothing would make the key useless.
trait Nothing {
    fn is_nothing(&self) -> bool;
}

impl Nothing for u32 {
    fn is_nothing(&self) -> bool {
        *self == 0
    }
}

impl Nothing for Duration {
    fn is_nothing(&self) -> bool {
        self.is_zero()
    }
}

impl Nothing for Size {
    fn is_nothing(&self) -> bool {
        self.0 == 0
    }
}

impl Nothing for Limit<u32> {
    fn is_nothing(&self) -> bool {
        *self == Limit::At(0)
    }
}

/// Adds what is wrong with `config` to the problems of `source`.
pub(super) fn check(config: &Config, source: &mut Source<'_>) {
    more_than_nothing(config, source);
    addresses(config, source);
    admin(config, source);
    without_effect(config, source);
    if config.table.tls != ServerTls::default()
        && let Err(error) = config.table.tls.tls.check()
    {
        problem(source, "table.tls", error);
    }
}

fn problem(source: &mut Source<'_>, key: &str, message: impl std::fmt::Display) {
    let place = source.places.get(key).cloned().unwrap_or(Place::Default);
    source.problems.add(place, format!("`{key}`: {message}"));
}

fn more_than_nothing(config: &Config, source: &mut Source<'_>) {
    let (table, limits) = (&config.table, &config.limits);
    let mut keys: Vec<(String, &dyn Nothing)> = vec![
        ("table.tries".into(), &table.tries),
        ("limits.header_size".into(), &limits.header_size),
        ("limits.header_count".into(), &limits.header_count),
        ("limits.request_line".into(), &limits.request_line),
        ("limits.header_timeout".into(), &limits.header_timeout),
        ("limits.idle_timeout".into(), &limits.idle_timeout),
        ("limits.tunnel_timeout".into(), &limits.tunnel_timeout),
        ("limits.connect_timeout".into(), &limits.connect_timeout),
        ("limits.response_timeout".into(), &limits.response_timeout),
        ("limits.connections_per_client".into(), &limits.connections_per_client),
        ("limits.max_connections".into(), &limits.max_connections),
    ];
    if let Some(workers) = &config.general.workers {
        keys.push(("workers".into(), workers));
    }
    let most = HeadLimits::MOST_FIELDS;
    if limits.header_count as usize > most {
        problem(source, "limits.header_count", format_args!("must be at most {most}"));
    }
    for (key, value) in keys {
        if value.is_nothing() {
            problem(source, &key, "must be more than 0");
        }
    }
}

fn addresses(config: &Config, source: &mut Source<'_>) {
    if config.listen.http.is_empty() {
        problem(source, "listen.http", "names no address: write one, or leave the key out");
    }
    // Each port 0 is another port.
    let fixed = |address: &&SocketAddr| address.port() != 0;
    let mut taken = BTreeSet::new();
    for address in config.listen.http.iter().filter(fixed) {
        if !taken.insert(*address) {
            problem(source, "listen.http", format_args!("{address} stands there twice"));
        }
    }
    if taken.contains(&config.listen.admin) {
        let message = format_args!("{} serves requests already: give it another port", config.listen.admin);
        problem(source, "listen.admin", message);
    }
}

fn admin(config: &Config, source: &mut Source<'_>) {
    let admin = &config.admin;
    if admin.token.is_some() && admin.token_file.is_some() {
        problem(source, "admin.token", "stands beside `token_file`: keep one of them");
    }
    if let Some(Err(message)) = admin.token.as_deref().map(check_token) {
        problem(source, "admin.token", message);
    }
    let address = config.listen.admin;
    let guarded = admin.token.is_some() || admin.token_file.is_some();
    if !address.ip().is_loopback() && !guarded {
        let message = format_args!(
            "on {address} anyone who reaches it could change the table: set `token_file` in [admin], or use \
             127.0.0.1:{}",
            address.port()
        );
        problem(source, "listen.admin", message);
    }
}

/// Whether a text can be a token: long enough, and of characters that a field can carry.
pub(crate) fn check_token(token: &str) -> Result<(), String> {
    if token.len() < SHORTEST_TOKEN {
        return Err(format!("the token has {} characters: use at least {SHORTEST_TOKEN}", token.len()));
    }
    if token.len() > 4096 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token must be one word of ASCII characters".into());
    }
    Ok(())
}

/// Reports what a file says of a table that it names and that has no such thing. When a flag names the table,
/// the file was written for another one and is not wrong.
fn without_effect(config: &Config, source: &mut Source<'_>) {
    if !matches!(source.places.get("table.url"), Some(Place::Line(_))) {
        return;
    }
    if !matches!(config.table.url, Some(TableAddress::Memcached(_))) {
        for key in ["ttl", "negative_ttl", "wildcards", "preserve_host"] {
            useless(source, &format!("table.{key}"), "only a memcached table has it");
        }
        return;
    }
    let why = "a memcached table has one server a route, and none to choose from";
    useless(source, "table.balance", why);
    for backend in config.backends.iter().filter(|one| matches!(one.spec, BackendSpec::Routes(_))) {
        for key in ["balance", "sticky_cookie"] {
            useless(source, &format!("backend.{}.{key}", backend.name), why);
        }
        let why = "the routes of a memcached table point at servers, not at backends";
        useless(source, &format!("backend.{}.backends", backend.name), why);
    }
}

/// Reports a key if it is written.
fn useless(source: &mut Source<'_>, key: &str, why: &str) {
    if source.places.contains_key(key) {
        problem(source, key, format_args!("{why}: take it out"));
    }
}
