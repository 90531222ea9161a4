//! `waypost route explain`.

use clap::Args;
use serde::{Deserialize, Serialize};
use waypost_table::Health;
use waypost_table::explain::{self, Explanation, Url};
use waypost_table::remap::RemapExplanation;

use super::source::{Routes, Source};
use crate::command::backend::{Step, show_way};
use crate::failure::Failure;
use crate::output::Output;

/// Show how a URL would be routed, without sending anything.
///
/// What is tried in which order, what matches, which instances could be chosen and why others could not, and
/// the way through the backend tree.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The URL; http:// may be left out
    url: String,

    #[command(flatten)]
    source: Source,

    /// Show it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize, Deserialize)]
struct Explained {
    /// None where the table is in memcached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<Explanation>,
    /// In place of the above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remap: Option<RemapExplanation>,
    /// Known to a running router only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backends: Option<Step>,
}

impl Explain {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        let explained = match self.source.open()? {
            Routes::Router(api) => api.get("/api/v1/explain", &[("url", &self.url)])?,
            Routes::Store(store) => {
                let snapshot = store.table().snapshot();
                match store.remap() {
                    Some(table) => {
                        // What a router is configured to try is not known here: everything there is.
                        table.set_wildcards(true);
                        let Url { scheme, host, port, .. } = Url::parse(&self.url)?;
                        let remap = Some(table.explain(scheme, &host, port)?);
                        Explained { table: None, remap, backends: None }
                    }
                    None => {
                        let table = explain::explain(&snapshot, &self.url, |_| Health::Unknown)?;
                        Explained { table: Some(table), remap: None, backends: None }
                    }
                }
            }
        };
        if self.json {
            return output.json(&explained);
        }
        if let Some(table) = &explained.table {
            output.text(table)?;
        }
        if let Some(remap) = &explained.remap {
            output.text(remap)?;
        }
        match &explained.backends {
            Some(way) => {
                output.line("through the backends:")?;
                show_way(way, 1, output)
            }
            None => {
                output.line("the way through the backends is known to a running router: ask it with --admin")
            }
        }
    }
}
