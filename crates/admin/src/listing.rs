//! A table's listing as JSON, written entry by entry: a table may be too large to hold a second time.

use std::io::{self, Write};

use waypost_table::listing::{ListedEntry, sorted};
use waypost_table::{Health, InstanceRef, Snapshot};

/// How a listing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListingFormat {
    /// One object: `{"serial": N, "entries": [ENTRY, …]}`.
    Object,
    /// JSON lines: `{"serial": N}`, and then an entry a line.
    Lines,
}

/// Writes every entry of the table, subdomains behind their domain. `health` is asked for each instance.
///
/// # Errors
/// If the output can't be written.
pub fn write_listing(
    mut out: impl Write,
    snapshot: &Snapshot,
    format: ListingFormat,
    health: impl Fn(&InstanceRef<'_>) -> Option<Health>,
) -> io::Result<()> {
    let serial = snapshot.serial();
    let (head, between, tail) = match format {
        ListingFormat::Object => (format!("{{\"serial\":{serial},\"entries\":["), ",", "]}\n"),
        ListingFormat::Lines => (format!("{{\"serial\":{serial}}}\n"), "\n", "\n"),
    };
    out.write_all(head.as_bytes())?;
    let entries = sorted(snapshot);
    let any = !entries.is_empty();
    for (index, entry) in entries.into_iter().enumerate() {
        if index > 0 {
            out.write_all(between.as_bytes())?;
        }
        serde_json::to_writer(&mut out, &ListedEntry::of(entry, &health))?;
    }
    // Of lines there is none to end when there is no entry.
    if format == ListingFormat::Object || any {
        out.write_all(tail.as_bytes())?;
    }
    Ok(())
}
