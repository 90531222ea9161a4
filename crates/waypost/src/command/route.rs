//! `waypost route`: the route table, through a running router or directly on its store.

mod add;
mod check;
mod explain;
mod export;
mod import;
mod list;
mod remap;
mod remove;
mod source;

use std::net::SocketAddr;

use clap::Subcommand;
use waypost_table::member::parse_address;
use waypost_table::remap::{RouteKey, RouteTarget, RouteTargetError};
use waypost_table::{Pattern, PatternError};

use crate::failure::Failure;
use crate::output::Output;

/// Read and change the route table.
///
/// Without --table the table is that of a running router, asked at its admin address.
#[derive(Debug, Subcommand)]
pub(crate) enum Route {
    Add(Box<add::Add>),
    Remove(remove::Remove),
    #[command(visible_alias = "dump")]
    List(list::List),
    Explain(explain::Explain),
    Check(check::Check),
    Import(import::Import),
    Export(export::Export),
}

impl Route {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(output),
            Self::Remove(remove) => remove.run(output),
            Self::List(list) => list.run(output),
            Self::Explain(explain) => explain.run(output),
            Self::Check(check) => check.run(output),
            Self::Import(import) => import.run(output),
            Self::Export(export) => export.run(output),
        }
    }
}

/// What a route is for: a host or, in a memcached table, an URL without a path.
#[derive(Debug, Clone)]
enum Name {
    Host(Pattern),
    Key(RouteKey),
}

/// Reads the host of a route, as an argument.
fn parse_host(text: &str) -> Result<Pattern, String> {
    if text.contains("://") {
        return Err("a route is for a host: write example.com, *.example.com or *, without a scheme".into());
    }
    Pattern::parse(text).map_err(|error: PatternError| error.to_string())
}

/// Reads what a route is for, as an argument.
fn parse_name(text: &str) -> Result<Name, String> {
    if text.contains("://") {
        return RouteKey::parse(text).map(Name::Key).map_err(|error| error.to_string());
    }
    parse_host(text).map(Name::Host)
}

/// Where a route leads: an address or, in a memcached table, an URL without a path.
#[derive(Debug, Clone)]
enum Place {
    Address(SocketAddr),
    Target(RouteTarget),
}

/// Reads where a route leads, as an argument.
fn parse_place(text: &str) -> Result<Place, String> {
    if text.contains("://") {
        return text.parse().map(Place::Target).map_err(|error: RouteTargetError| error.to_string());
    }
    parse_address(text).map(Place::Address).map_err(|error| error.to_string())
}

/// The addresses of a host's instances.
fn addresses(host: &Pattern, places: Vec<Place>) -> Result<Vec<SocketAddr>, Failure> {
    let address = |place| match place {
        Place::Address(address) => Ok(address),
        Place::Target(target) => Err(Failure::Usage(format!(
            "{host} is a host, and {target} an URL: write {}:{} or, for a memcached table, http://{host}:80/",
            target.server(),
            target.port()
        ))),
    };
    places.into_iter().map(address).collect()
}

/// The one target of a key, if there is any.
fn target(key: &RouteKey, places: Vec<Place>) -> Result<Option<RouteTarget>, Failure> {
    let mut places = places.into_iter();
    match (places.next(), places.next()) {
        (None, _) => Ok(None),
        (Some(Place::Target(target)), None) => Ok(Some(target)),
        (Some(Place::Address(address)), None) => Err(Failure::Usage(format!(
            "{key} is an URL, and {address} is not: write the host without a scheme or, for a memcached table, \
                 http://{address}/"
        ))),
        (Some(_), Some(_)) => Err(Failure::Usage(format!("{key} leads to one server: give one"))),
    }
}
