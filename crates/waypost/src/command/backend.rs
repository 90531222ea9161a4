//! `waypost backend`: the backend tree of a running router.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::router_args::RouterArgs;
use crate::failure::Failure;
use crate::output::{Colour, Output};

/// Look at the backend tree of a running router.
#[derive(Debug, Subcommand)]
pub(crate) enum Backend {
    List(List),
    Explain(Explain),
}

/// Show every backend and its health.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    router: RouterArgs,

    /// Show it as JSON
    #[arg(long)]
    json: bool,
}

/// Show the way a request would take through the tree, without sending it.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The URL of the request; http:// may be left out
    url: String,

    /// The request's method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,

    /// A field of the request; may be given more than once
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,

    #[command(flatten)]
    router: RouterArgs,

    /// Show it as JSON
    #[arg(long)]
    json: bool,
}

/// A backend as the API reports it.
#[derive(Debug, Deserialize)]
struct Reported {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    up: bool,
    detail: String,
    health: Option<Health>,
    #[serde(default)]
    children: Vec<Reported>,
}

/// What is held of a backend that is probed.
#[derive(Debug, Deserialize)]
struct Health {
    up: bool,
    /// Seconds since 1970.
    since: u64,
    changes: u64,
    reason: Option<String>,
}

impl Health {
    /// What there is to say of it at that time: nothing as long as it was always up.
    fn says(&self, now: u64) -> String {
        if self.changes == 0 {
            return String::new();
        }
        let ago = ago(now.saturating_sub(self.since));
        let times = if self.changes == 1 { "1 change" } else { &format!("{} changes", self.changes) };
        match &self.reason {
            Some(reason) if !self.up => format!("  for {ago}, {times}: {reason}"),
            _ => format!("  for {ago}, {times}"),
        }
    }
}

/// A time as a person says it.
fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A step of a request's way as the API tells it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Step {
    backend: String,
    #[serde(rename = "type")]
    kind: String,
    says: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    next: Vec<Step>,
}

impl Backend {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(output),
            Self::Explain(explain) => explain.run(output),
        }
    }
}

impl List {
    fn run(self, output: &mut Output) -> Result<(), Failure> {
        let api = self.router.api()?;
        if self.json {
            let tree: serde_json::Value = api.get("/api/v1/backends", &[])?;
            return output.json(&tree);
        }
        show(&api.get("/api/v1/backends", &[])?, 0, output)
    }
}

impl Explain {
    fn run(self, output: &mut Output) -> Result<(), Failure> {
        let mut query = vec![("url", self.url.as_str()), ("method", self.method.as_str())];
        query.extend(self.headers.iter().map(|header| ("header", header.as_str())));
        let way: Step = self.router.api()?.get("/api/v1/backends/explain", &query)?;
        if self.json { output.json(&way) } else { show_way(&way, 0, output) }
    }
}

fn show(backend: &Reported, depth: usize, output: &mut Output) -> Result<(), Failure> {
    let Reported { name, kind, up, detail, health, children } = backend;
    let state = if *up { output.paint(Colour::Good, "up") } else { output.paint(Colour::Bad, "down") };
    let name = output.paint(Colour::Strong, name);
    let detail = if detail.is_empty() { String::new() } else { format!("  {detail}") };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    // One that is up but for what else is known of it (no connection can be had, say) tells that by its detail.
    let health = health.as_ref().filter(|health| health.up == *up);
    let health = health.map(|health| health.says(now)).unwrap_or_default();
    output.line(format_args!(
        "{:indent$}{name} ({kind})  {state}{detail}{health}",
        "",
        indent = 2 * depth
    ))?;
    children.iter().try_for_each(|child| show(child, depth + 1, output))
}

/// Shows a way, each step below the one that leads to it.
pub(super) fn show_way(step: &Step, depth: usize, output: &mut Output) -> Result<(), Failure> {
    let Step { backend, kind, says, next, .. } = step;
    let name = output.paint(Colour::Strong, backend);
    output.line(format_args!("{:indent$}{name} ({kind}): {says}", "", indent = 2 * depth))?;
    next.iter().try_for_each(|step| show_way(step, depth + 1, output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_health_is_what_has_happened() {
        let health = |up, changes| Health { up, since: 1_000, changes, reason: Some("closed".into()) };
        assert_eq!(health(true, 0).says(1_010), "");
        assert_eq!(health(false, 1).says(1_010), "  for 10s, 1 change: closed");
        assert_eq!(health(true, 2).says(1_000 + 300), "  for 5m, 2 changes");
    }
}
