//! `waypost route add`.

use std::net::SocketAddr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use uuid::Uuid;
use waypost_admin::{ChangeRequest, Membership, SetKind};
use waypost_table::member::DEFAULT_WEIGHT;
use waypost_table::{Change, Member, Outcome, Scheme, TableAddress};

use super::source::{Routes, Source};
use super::{Name, Place, addresses, parse_name, parse_place, remap, target};
use crate::config::{Setting, StatsAddress};
use crate::failure::Failure;
use crate::output::Output;
use crate::version_sets::VersionSets;

/// Add instances to a host.
///
/// Adding one that is there changes nothing, and says so; one that is there with other attributes gets these.
/// In a memcached table a route is for an URL and leads to one: http://HOST:PORT/ http://TARGET:PORT/.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The host: example.com, *.example.com (any depth below it) or * (every host)
    #[arg(value_name = "HOST", value_parser = parse_name)]
    name: Name,

    /// Addresses of instances, as 10.0.0.1:8080 or [::1]:8080
    #[arg(value_name = "ADDR", required_unless_present = "backend", value_parser = parse_place)]
    places: Vec<Place>,

    /// The key of the version type, by which requests are counted
    #[arg(long, value_name = "K")]
    version_type: Option<String>,

    /// The key of the node that the instances run on
    #[arg(long, value_name = "K")]
    node: Option<String>,

    /// The key of the instance
    #[arg(long, value_name = "K")]
    instance: Option<String>,

    /// The id of the instance
    #[arg(long, value_name = "UUID")]
    instance_id: Option<Uuid>,

    /// The share of requests among the host's instances; 0 sends none
    #[arg(long, value_name = "N", default_value_t = DEFAULT_WEIGHT)]
    weight: u16,

    /// Serve only paths that begin with these whole segments, as /api
    #[arg(long, value_name = "P")]
    path: Option<String>,

    /// How the instances are spoken to
    #[arg(long, default_value = "http", value_parser = scheme())]
    scheme: Scheme,

    /// A backend of the configuration that serves this host in place of addresses
    #[arg(long, value_name = "NAME", conflicts_with = "places")]
    backend: Option<String>,

    /// Count the version type to this workspace
    #[arg(long, value_name = "ID", requires = "version_type")]
    workspace: Option<String>,

    /// Count the version type to this application
    #[arg(long, value_name = "ID", requires = "version_type")]
    application: Option<String>,

    /// Count the version type to this version
    #[arg(long = "version", id = "version_id", value_name = "ID", requires = "version_type")]
    version_id: Option<String>,

    #[command(flatten)]
    source: Source,

    /// With --table: where workspaces, applications and versions are kept; beside the table if not given
    #[arg(long, value_name = "URL", value_parser = <StatsAddress as Setting>::parse, requires = "table")]
    stats: Option<StatsAddress>,

    /// Show the result as JSON
    #[arg(long)]
    json: bool,
}

fn scheme() -> impl TypedValueParser<Value = Scheme> {
    PossibleValuesParser::new(["http", "https"])
        .map(|word| if word == "https" { Scheme::Https } else { Scheme::Http })
}

impl Add {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        let host = match &self.name {
            Name::Key(key) => {
                let key = key.clone();
                self.only_a_target()?;
                let target = target(&key, self.places)?;
                let lacking = || Failure::Usage(format!("{key} leads to a server: add http://TARGET:PORT/"));
                let target = target.ok_or_else(lacking)?;
                return remap::add(self.source, key, target, self.json, output);
            }
            Name::Host(host) => host.clone(),
        };
        let addresses = addresses(&host, self.places.clone())?;
        let members = self.members(&addresses)?;
        let memberships = self.memberships()?;
        let sets = self.sets_address();
        let change = |member: &Member| Change::AddInstance { host: host.clone(), member: member.clone() };
        let mut request = ChangeRequest { changes: members.iter().map(change).collect(), memberships };
        let routes = self.source.open_to_change()?;
        if let (Routes::Store(_), Some(sets)) = (&routes, sets) {
            let memberships = std::mem::take(&mut request.memberships);
            if !memberships.is_empty() {
                VersionSets::open(&sets)?.add(&memberships)?;
            }
        }
        let applied = routes.apply(request)?;
        if self.json {
            return output.json(&applied);
        }
        for (member, outcome) in members.iter().zip(&applied.outcomes) {
            let Some(target) = member.target() else { continue };
            output.line(match outcome {
                Outcome::Added => format!("added {target} to {host}"),
                Outcome::Updated => format!("updated {target} of {host}"),
                _ => format!("{target} is in {host} already: nothing changed"),
            })?;
        }
        Ok(())
    }

    /// Refuses what only instances of a host have.
    fn only_a_target(&self) -> Result<(), Failure> {
        let flags = [
            (self.version_type.is_some(), "--version-type"),
            (self.node.is_some(), "--node"),
            (self.instance.is_some(), "--instance"),
            (self.instance_id.is_some(), "--instance-id"),
            (self.weight != DEFAULT_WEIGHT, "--weight"),
            (self.path.is_some(), "--path"),
            (self.scheme != Scheme::Http, "--scheme"),
            (self.backend.is_some(), "--backend"),
        ];
        match flags.into_iter().find(|(given, _)| *given) {
            None => Ok(()),
            Some((_, flag)) => Err(Failure::Usage(format!(
                "{flag} does not fit a route by URL, which leads to one server: leave it out"
            ))),
        }
    }

    fn members(&self, addresses: &[SocketAddr]) -> Result<Vec<Member>, Failure> {
        if addresses.len() > 1 && (self.instance.is_some() || self.instance_id.is_some()) {
            let message = "--instance and --instance-id name one instance: add the addresses one by one";
            return Err(Failure::Other(message.into()));
        }
        let member = |bare: Member| {
            let member = Member {
                version_type: self.version_type.clone(),
                node: self.node.clone(),
                instance: self.instance.clone(),
                instance_id: self.instance_id,
                weight: self.weight,
                path: self.path.clone(),
                scheme: self.scheme,
                ..bare
            };
            member.checked().map_err(|error| Failure::Other(error.to_string()))
        };
        match &self.backend {
            Some(name) => Ok(vec![member(Member::of_backend(name))?]),
            None => addresses.iter().map(|address| member(Member::at(*address))).collect(),
        }
    }

    fn memberships(&self) -> Result<Vec<Membership>, Failure> {
        let Some(version_type) = &self.version_type else { return Ok(Vec::new()) };
        let asked = [
            (SetKind::Workspace, &self.workspace),
            (SetKind::Application, &self.application),
            (SetKind::Version, &self.version_id),
        ];
        let memberships = asked.into_iter().filter_map(|(set, id)| {
            Some(Membership { set, id: id.clone()?, version_type: version_type.clone() })
        });
        memberships
            .map(|membership| membership.check().map(|()| membership).map_err(Failure::Other))
            .collect()
    }

    /// Where the sets are, when the store is worked on directly.
    fn sets_address(&self) -> Option<StatsAddress> {
        match (&self.stats, self.source.store_address()?) {
            (Some(address), _) => Some(address.clone()),
            (None, TableAddress::Embedded(directory)) => Some(StatsAddress::Embedded(directory.clone())),
            (None, TableAddress::Redis(address)) => Some(StatsAddress::Redis(address.clone())),
            // Kept by hand, or by URL: the change itself is refused.
            (None, TableAddress::File(_) | TableAddress::Memcached(_)) => None,
        }
    }
}
