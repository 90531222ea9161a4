//! `waypost route remove`.

use std::net::SocketAddr;

use clap::Args;
use waypost_admin::ChangeRequest;
use waypost_table::member::parse_address;
use waypost_table::{Change, Outcome, Pattern, Target};

use super::parse_host;
use super::source::Source;
use crate::failure::Failure;
use crate::output::Output;

/// Remove instances of a host, or the host with all of them.
///
/// Removing what is not there changes nothing, and says so.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The host, as it was added
    #[arg(value_parser = parse_host)]
    host: Pattern,

    /// Addresses of the instances to remove; none: the whole entry
    #[arg(value_name = "ADDR", value_parser = parse_address)]
    addresses: Vec<SocketAddr>,

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
        let host = self.host;
        let addresses = self.addresses.into_iter().map(Target::Address);
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
