//! `waypost route remove`.

use clap::Args;
use waypost_admin::ChangeRequest;
use waypost_table::{Change, Outcome, Target};

use super::source::Source;
use super::{Name, Place, addresses, parse_name, parse_place, remap, target};
use crate::failure::Failure;
use crate::output::Output;

/// Remove instances of a host, or the host with all of them.
///
/// Removing what is not there changes nothing, and says so. In a memcached table a route is for an URL:
/// http://HOST:PORT/.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The host, as it was added
    #[arg(value_name = "HOST", value_parser = parse_name)]
    name: Name,

    /// Addresses of the instances to remove; none: the whole entry
    #[arg(value_name = "ADDR", value_parser = parse_place)]
    places: Vec<Place>,

    /// Remove the route to this backend
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,

    #[command(flatten)]
    source: Source,

    /// Show the result as JSON
    #[arg(long)]
    json: bool,
}

impl Remove {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        let host = match self.name {
            Name::Key(key) => {
                if self.backend.is_some() {
                    return Err(Failure::Usage(format!("{key} leads to a server: leave --backend out")));
                }
                let target = target(&key, self.places)?;
                return remap::remove(self.source, key, target, self.json, output);
            }
            Name::Host(host) => host,
        };
        let addresses = addresses(&host, self.places)?.into_iter().map(Target::Address);
        let targets: Vec<Target> = addresses.chain(self.backend.map(Target::Backend)).collect();
        let changes = match targets.is_empty() {
            true => vec![Change::RemoveEntry { host: host.clone() }],
            false => {
                let change =
                    |target: &Target| Change::RemoveInstance { host: host.clone(), target: target.clone() };
                targets.iter().map(change).collect()
            }
        };
        let applied =
            self.source.open_to_remove()?.apply(ChangeRequest { changes, ..ChangeRequest::default() })?;
        if self.json {
            return output.json(&applied);
        }
        let whats = targets.iter().map(|target| format!("{target} of {host}")).chain([host.to_string()]);
        for (what, outcome) in whats.zip(&applied.outcomes) {
            output.line(match outcome {
                Outcome::Removed => format!("removed {what}"),
                _ => format!("{what} is not there: nothing changed"),
            })?;
        }
        Ok(())
    }
}
