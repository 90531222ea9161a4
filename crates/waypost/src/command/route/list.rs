//! `waypost route list`, also `dump`.

use std::io::BufRead;

use clap::Args;
use serde::Deserialize;
use waypost_admin::{ListingFormat, write_listing};
use waypost_table::listing::{ListedEntry, ListedInstance, Listing, sorted};
use waypost_table::{Following, Health, Pattern, Table, TableStatus};

use super::source::{Routes, Source};
use super::{parse_host, remap};
use crate::api::Api;
use crate::failure::Failure;
use crate::output::{Colour, Output};

/// Show every entry with its instances and their health.
///
/// Subdomains stand behind their domain. At the top are the table's serial and, if its store is another
/// program's, how old the table is; behind a replica, its master's serial as well. Of a memcached table, which
/// can't be listed, it shows what the router knows.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only the entry of this host, as it was added
    #[arg(value_parser = parse_host)]
    host: Option<Pattern>,

    #[command(flatten)]
    source: Source,

    /// Show it as JSON
    #[arg(long)]
    json: bool,
}

/// The first line of a listing in JSON lines.
#[derive(Deserialize)]
struct Head {
    serial: u64,
}

/// How a table stands to its store.
#[derive(Deserialize)]
struct Standing {
    age: Option<f64>,
    error: Option<String>,
    #[serde(default)]
    following: Option<Following>,
}

impl From<TableStatus> for Standing {
    fn from(status: TableStatus) -> Self {
        Self { age: status.age, error: status.error, following: status.following }
    }
}

impl Standing {
    /// What there is to say beside the serial: nothing of a store that is the router's own.
    fn words(&self) -> String {
        let Some(following) = &self.following else { return String::new() };
        let master = following.master.as_ref().map(|master| match master.serial {
            Some(serial) => format!("; its master {} has {serial}", master.address),
            None => format!("; its master {} can't be asked", master.address),
        });
        let age = self.age.map(|age| format!("; {age:.1} s old"));
        let error = self.error.as_ref().map(|error| format!(": {error}"));
        [master, age, error].into_iter().flatten().collect()
    }
}

const STATUS_PATH: &str = "/api/v1/table";
const PATH: &str = "/api/v1/routes";

impl List {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        let routes = self.source.open()?;
        match &routes {
            Routes::Router(api) if remap::is_remap(api)? => {
                if let Some(host) = &self.host {
                    let message = format!(
                        "the routes of a memcached table are by URL: look for {host} in the whole list"
                    );
                    return Err(Failure::Other(message));
                }
                if !self.json {
                    let standing: Standing = api.get(STATUS_PATH, &[])?;
                    let words = standing.words();
                    output.line(output.paint(Colour::Faint, format_args!("memcached table{words}")))?;
                }
                return remap::show_known(api, self.json, output);
            }
            Routes::Router(_) => {}
            Routes::Store(store) => remap::need_entries(store)?,
        }
        match (routes, self.host) {
            (Routes::Router(api), Some(host)) => {
                let listing: Listing = api.get(PATH, &[("host", host.as_str())])?;
                if self.json {
                    return output.json(&listing);
                }
                show_all(&listing, &api.get(STATUS_PATH, &[])?, output)
            }
            (Routes::Router(api), None) if self.json => api.copy(PATH, "application/json", output),
            (Routes::Router(api), None) => show_lines(&api, output),
            (Routes::Store(store), Some(host)) => {
                let listing = Listing::of_host(&store.table().snapshot(), host.as_str(), |_| None);
                let standing = store.table().status().into();
                if self.json { output.json(&listing) } else { show_all(&listing, &standing, output) }
            }
            (Routes::Store(store), None) => show_store(store.table(), self.json, output),
        }
    }
}

fn show_store(table: &Table, json: bool, output: &mut Output) -> Result<(), Failure> {
    let snapshot = table.snapshot();
    if json {
        return output.with(|out| write_listing(out, &snapshot, ListingFormat::Object, |_| None));
    }
    show_serial(snapshot.serial(), &table.status().into(), output)?;
    sorted(&snapshot).into_iter().try_for_each(|entry| show(&ListedEntry::of(entry, |_| None), output))
}

fn show_all(listing: &Listing, standing: &Standing, output: &mut Output) -> Result<(), Failure> {
    show_serial(listing.serial, standing, output)?;
    listing.entries.iter().try_for_each(|entry| show(entry, output))
}

/// Shows the router's listing entry by entry as it comes.
fn show_lines(api: &Api, output: &mut Output) -> Result<(), Failure> {
    let standing: Standing = api.get(STATUS_PATH, &[])?;
    let mut lines = api.read(PATH, "application/x-ndjson")?;
    let mut line = String::new();
    let mut next = |line: &mut String| -> Result<bool, Failure> {
        line.clear();
        Ok(lines.read_line(line).map_err(|error| api.cut_short(&error))? > 0)
    };
    let unreadable = |error: serde_json::Error| Failure::from(api.not_a_router(error.to_string()));
    next(&mut line)?;
    let head: Head = serde_json::from_str(&line).map_err(unreadable)?;
    show_serial(head.serial, &standing, output)?;
    while next(&mut line)? {
        show(&serde_json::from_str(&line).map_err(unreadable)?, output)?;
    }
    Ok(())
}

fn show_serial(serial: u64, standing: &Standing, output: &mut Output) -> Result<(), Failure> {
    output.line(output.paint(Colour::Faint, format_args!("serial {serial}{}", standing.words())))
}

fn show(entry: &ListedEntry, output: &mut Output) -> Result<(), Failure> {
    output.line(output.paint(Colour::Strong, &entry.host))?;
    entry.instances.iter().try_for_each(|instance| {
        let line = describe(instance, output);
        output.line(format_args!("  {line}"))
    })
}

fn describe(instance: &ListedInstance, output: &Output) -> String {
    let member = &instance.member;
    // A member has an address or a backend.
    let mut line = member.target().map(|target| target.to_string()).unwrap_or_default();
    let mut say = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line.push_str(&format!("  {name} {value}"));
        }
    };
    say("path", member.path.clone());
    say("scheme", (member.scheme != waypost_table::Scheme::Http).then(|| member.scheme.to_string()));
    say(
        "weight",
        (member.weight != waypost_table::member::DEFAULT_WEIGHT).then(|| member.weight.to_string()),
    );
    say("version-type", member.version_type.clone());
    say("node", member.node.clone());
    say("instance", member.instance.clone());
    say("id", member.instance_id.map(|id| id.to_string()));
    match &instance.health {
        Some(Health::Up) => line.push_str(&format!("  {}", output.paint(Colour::Good, "up"))),
        Some(Health::Down { reason }) => {
            line.push_str(&format!("  {}", output.paint(Colour::Bad, format_args!("down: {reason}"))));
        }
        Some(Health::Unknown) => {
            line.push_str(&format!("  {}", output.paint(Colour::Faint, "not tried yet")))
        }
        None => {}
    }
    line
}
