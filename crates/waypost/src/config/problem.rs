//! What is wrong with a configuration, and where. A configuration is read to its end whatever is found in
//! it, so problems are collected rather than returned one at a time.

use std::fmt;

/// Where a value came from: what a person has to edit to change it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of the configuration file, counted from 1.
    Line(usize),
    /// A flag of the command line, with its dashes.
    Flag(&'static str),
    /// A variable of the environment.
    Environment(&'static str),
    /// Nowhere: the default stands.
    Default,
}

/// One thing that is wrong, in words that say what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where the value stands.
    pub place: Place,
    /// What is wrong with it.
    pub message: String,
}

/// Every problem of one configuration, in the order of its lines; never empty as an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: Option<String>,
    list: Vec<Problem>,
}

impl Problems {
    /// None yet, for a configuration read from `file`, or from flags and environment alone.
    pub(crate) fn new(file: Option<String>) -> Self {
        Self { file, list: Vec::new() }
    }

    pub(crate) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.list.push(Problem { place, message: message.into() });
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn sort(&mut self) {
        self.list.sort();
        self.list.dedup();
    }

    /// Each problem with its place.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Each problem as a line to show: `FILE:LINE: what`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|problem| match (&problem.place, &self.file) {
            (Place::Line(line), Some(file)) => format!("{file}:{line}: {}", problem.message),
            (Place::Line(line), None) => format!("line {line}: {}", problem.message),
            (Place::Flag(name) | Place::Environment(name), _) => format!("{name}: {}", problem.message),
            (Place::Default, Some(file)) => format!("{file}: {}", problem.message),
            (Place::Default, None) => problem.message.clone(),
        })
    }
}

/// One line: the first problem, and how to see the others.
impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.lines().next() else { return out.write_str("nothing is wrong") };
        out.write_str(&first)?;
        match (self.list.len() - 1, &self.file) {
            (0, _) => Ok(()),
            (more, Some(file)) => write!(out, " (and {more} more: `waypost check {file}` shows them all)"),
            (more, None) => write!(out, " (and {more} more)"),
        }
    }
}

impl std::error::Error for Problems {}
