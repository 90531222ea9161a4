//! Export and import as JSON lines, one line an instance:
//!
//! ```text
//! {"host":"www.example.com","address":"10.0.0.1:8080","version_type":"12","weight":3}
//! {"host":"*.example.com","backend":"content"}
//! ```
//!
//! The fields are those of [`Member`], and `host`. Whatever the store, an export is the same, sorted as a
//! [listing](crate::listing) is, and can be imported into any other. An import is read and checked whole
//! before a store sees any of it ([`TableStore::import`](crate::store::TableStore::import) then takes all
//! of it or none); every faulty line is named, not only the first.

use std::io::{self, BufRead, Read, Write};

use serde::Serialize;

use crate::entry::{Entry, EntryRef};
use crate::listing::sorted;
use crate::member::{Member, RouteFields};
use crate::pattern::Pattern;
use crate::snapshot::{Delta, Snapshot};

/// The longest line an import reads, in bytes. The longest that an export writes is far shorter.
pub const MAX_LINE: usize = 64 << 10;

/// How many faulty lines an error names; more are only counted.
pub const MAX_NAMED: usize = 100;

/// Why an import can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Lines that are no routes.
    #[error("{}nothing was imported", faults(.named, *.count))]
    Lines {
        /// The first of them, at most [`MAX_NAMED`].
        named: Vec<LineError>,
        /// How many there are.
        count: usize,
    },
    /// The input could not be read.
    #[error("the import could not be read: {0}")]
    Read(#[from] io::Error),
}

/// What is wrong with one line of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct LineError {
    /// The line's number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

fn faults(named: &[LineError], count: usize) -> String {
    let mut text: String = named.iter().map(|error| format!("{error}; ")).collect();
    if count > named.len() {
        text.push_str(&format!("and {} lines more; ", count - named.len()));
    }
    text
}

#[derive(Serialize)]
struct Line<'a> {
    host: &'a str,
    #[serde(flatten)]
    member: &'a Member,
}

/// Writes every instance of the table as a line of JSON.
///
/// # Errors
/// If the output can't be written.
pub fn export(snapshot: &Snapshot, mut output: impl Write) -> io::Result<()> {
    for entry in sorted(snapshot) {
        export_entry(entry, &mut output)?;
    }
    output.flush()
}

/// Writes every instance of one entry as a line of JSON; for exports that are sent piece by piece.
///
/// # Errors
/// If the output can't be written.
pub fn export_entry(entry: EntryRef<'_>, mut output: impl Write) -> io::Result<()> {
    for member in entry.members() {
        serde_json::to_writer(&mut output, &Line { host: entry.pattern(), member: &member })?;
        output.write_all(b"\n")?;
    }
    Ok(())
}

/// Reads an export. Empty lines are skipped; lines of one host need not stand together.
///
/// # Errors
/// If any line is no route, with the numbers of all such lines, or the input can't be read.
pub fn import(mut input: impl BufRead) -> Result<Snapshot, ImportError> {
    let mut reader = ImportReader::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let longest = MAX_LINE as u64 + 1;
        if input.by_ref().take(longest).read_until(b'\n', &mut line)? == 0 {
            return reader.finish();
        }
        if line.len() > MAX_LINE && !line.ends_with(b"\n") {
            skip_line(&mut input)?;
        }
        reader.line(&line);
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffered = input.fill_buf()?;
        let end = buffered.iter().position(|&b| b == b'\n');
        let used = end.map_or(buffered.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() || used == 0 {
            return Ok(());
        }
    }
}

/// Collects the routes of an import line by line.
#[derive(Default)]
struct ImportReader {
    entries: Option<Snapshot>,
    /// The host of the lines before, and its members: exports keep those together.
    open: Option<(Pattern, Vec<Member>)>,
    line: u64,
    faults: Vec<LineError>,
    fault_count: usize,
}

impl ImportReader {
    fn line(&mut self, line: &[u8]) {
        self.line += 1;
        if line.trim_ascii().is_empty() {
            return;
        }
        match parse(line) {
            Ok((host, member)) => match &mut self.open {
                Some((open, members)) if *open == host => members.push(member),
                _ => {
                    self.close();
                    self.open = Some((host, vec![member]));
                }
            },
            Err(problem) => self.fault(problem),
        }
    }

    fn close(&mut self) {
        let Some((host, mut members)) = self.open.take() else { return };
        let entries = self.entries.get_or_insert_with(Snapshot::empty);
        if let Some(before) = entries.get(host.as_str()) {
            members.extend(before.members());
        }
        match Entry::new(&host, members) {
            Ok(entry) => entries.change(&Delta::Put(entry)),
            Err(error) => self.fault(error.to_string()),
        }
    }

    fn fault(&mut self, problem: String) {
        self.fault_count += 1;
        if self.faults.len() < MAX_NAMED {
            self.faults.push(LineError { line: self.line, problem });
        }
    }

    fn finish(mut self) -> Result<Snapshot, ImportError> {
        self.close();
        if self.fault_count > 0 {
            return Err(ImportError::Lines { named: self.faults, count: self.fault_count });
        }
        Ok(self.entries.unwrap_or_else(Snapshot::empty))
    }
}

fn parse(line: &[u8]) -> Result<(Pattern, Member), String> {
    if line.len() > MAX_LINE {
        return Err(format!("it is longer than {MAX_LINE} bytes"));
    }
    let mut fields: RouteFields = serde_json::from_slice(line).map_err(|error| {
        // The position is within this line; its own line number, always 1, would only mislead.
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        format!("{what} (column {})", error.column())
    })?;
    let host = fields.host.take().ok_or("it has no host")?;
    let member = fields.into_member().map_err(|error| error.to_string())?;
    Ok((host, member))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::any_member;
    use proptest::prelude::*;

    fn exported(snapshot: &Snapshot) -> String {
        let mut output = Vec::new();
        export(snapshot, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    fn faulty(input: &str) -> (Vec<LineError>, usize) {
        match import(input.as_bytes()) {
            Err(ImportError::Lines { named, count }) => (named, count),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_export_is_one_line_an_instance() {
        let text = concat!(
            r#"{"host":"*.example.com","backend":"content"}"#,
            "\n",
            r#"{"host":"www.example.com","address":"10.0.0.2:80","path":"/api"}"#,
            "\n",
            r#"{"host":"www.example.com","address":"10.0.0.1:80","version_type":"12","weight":3}"#,
            "\n",
        );
        assert_eq!(exported(&import(text.as_bytes()).unwrap()), text);
    }

    #[test]
    fn every_faulty_line_is_named() {
        let (named, count) = faulty(concat!(
            "{\"host\":\"a.example\",\"address\":\"10.0.0.1:80\"}\n",
            "\n",
            "{\"host\":\"a b\",\"address\":\"10.0.0.1:80\"}\n",
            "{\"host\":\"a.example\",\"address\":\"localhost:80\"}\n",
            "{\"host\":\"a.example\",\"wieght\":3}\n",
            "{\"address\":\"10.0.0.1:80\"}\n",
            "not json\n",
            "{\"host\":\"a.example\"",
        ));
        assert_eq!(count, 6);
        let lines: Vec<u64> = named.iter().map(|error| error.line).collect();
        assert_eq!(lines, [3, 4, 5, 6, 7, 8]);
        assert!(named[1].problem.contains("names are not looked up"), "{}", named[1]);
        assert!(named[2].problem.contains("wieght"), "{}", named[2]);
        assert!(named.iter().all(|error| !error.problem.contains("line 1")), "{named:?}");
    }

    #[test]
    fn a_line_that_is_too_long_is_a_fault_and_does_not_hide_the_next() {
        let (named, _) = faulty(&format!("{}\nwrong\n", "x".repeat(3 * MAX_LINE)));
        let lines: Vec<u64> = named.iter().map(|error| error.line).collect();
        assert_eq!(lines, [1, 2]);
    }

    #[test]
    fn more_faults_than_can_be_named_are_counted() {
        let (named, count) = faulty(&"x\n".repeat(MAX_NAMED + 5));
        assert_eq!((named.len(), count), (MAX_NAMED, MAX_NAMED + 5));
    }

    proptest! {
        #[test]
        fn an_export_imports_as_the_same_table(
            lines in prop::collection::vec(("[a-c]\\.example", any_member()), 0..20)
        ) {
            let text: String = lines
                .iter()
                .map(|(host, member)| serde_json::to_string(&Line { host, member }).unwrap() + "\n")
                .collect();
            let table = import(text.as_bytes()).unwrap();
            let text = exported(&table);
            let again = import(text.as_bytes()).unwrap();
            prop_assert_eq!(exported(&again), text);
            prop_assert_eq!(again.instances(), table.instances());
        }
    }
}
