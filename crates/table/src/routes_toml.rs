//! The file of a table kept by hand, in TOML:
//!
//! ```toml
//! [[route]]
//! host = "www.example.com"
//! instances = ["10.0.0.1:8080", "10.0.0.2:8080"]
//!
//! [[route]]
//! host = "www.example.com"
//! path = "/api"
//! instances = [
//!     { address = "10.0.0.3:8080", weight = 3, version_type = "12" },
//!     { address = "10.0.0.4:8443", scheme = "https" },
//! ]
//!
//! [[route]]
//! host = "*"
//! backend = "content"
//! ```
//!
//! A route has a `host` and either `instances` or a `backend`. An instance is an address, or a table of
//! what a [`Member`] holds. A route's `path`, `scheme` and `version_type` stand for those of its instances
//! that say none. Routes of one host add up.
//!
//! [`parse`] reads the whole file and reports everything that is wrong with it, each with its line.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use uuid::Uuid;

use crate::entry::Entry;
use crate::member::{Member, Scheme, parse_address};
use crate::pattern::Pattern;
use crate::snapshot::Snapshot;

/// Something wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line it stands in, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// Reads the text of a routes file.
///
/// # Errors
/// Every problem it has, in the order of their lines; there is at least one.
pub fn parse(text: &str) -> Result<Snapshot, Vec<Problem>> {
    let mut reader = Reader { text, problems: Vec::new(), hosts: BTreeMap::new() };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.problem(error.span().unwrap_or_default(), error.message());
    }
    // What a broken file seems to mean is not worth a report of its own.
    if errors.is_empty() {
        reader.document(document.get_ref());
    }
    reader.finish()
}

type Value<'t> = Spanned<DeValue<'t>>;

const ROUTE_KEYS: &[&str] = &["host", "instances", "backend", "path", "scheme", "version_type"];
const INSTANCE_KEYS: &[&str] =
    &["address", "version_type", "node", "instance", "instance_id", "weight", "path", "scheme", "backend"];

struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
    /// The members of each host, and the lines they stand in.
    hosts: BTreeMap<Pattern, Vec<(Member, usize)>>,
}

/// What a route says for those of its instances that don't.
#[derive(Default)]
struct Defaults {
    path: Option<String>,
    scheme: Scheme,
    version_type: Option<String>,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|&b| b == b'\n').count()
    }

    fn problem(&mut self, span: Range<usize>, what: impl Into<String>) {
        let line = self.line(span.start);
        self.problems.push(Problem { line, what: what.into() });
    }

    fn document(&mut self, document: &DeTable<'_>) {
        for (key, value) in document {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("route", DeValue::Array(routes)) => {
                    for route in routes.iter() {
                        self.route(route);
                    }
                }
                ("route", _) => self.problem(key.span(), "a route begins with [[route]], in two brackets"),
                (other, _) => {
                    let what = unknown_key(other, &["route"]);
                    self.problem(key.span(), what);
                }
            }
        }
    }

    fn route(&mut self, value: &Value<'_>) {
        let DeValue::Table(route) = value.get_ref() else {
            return self.problem(value.span(), "a route is a table, begun with [[route]]");
        };
        self.known_keys(route, ROUTE_KEYS);
        let defaults = Defaults {
            path: self.text_of(route, "path"),
            scheme: self.scheme(route).unwrap_or_default(),
            version_type: self.text_of(route, "version_type"),
        };
        let host = match route.get("host") {
            Some(value) => self.string(value, "host").and_then(|host| {
                let parsed = Pattern::parse(&host);
                parsed.map_err(|error| self.problem(value.span(), error.to_string())).ok()
            }),
            None => {
                self.problem(value.span(), "the route has no host");
                None
            }
        };
        // Without a host the instances are still checked, so that all problems are told at once.
        match (route.get("instances"), route.get("backend")) {
            (Some(_), Some(backend)) => {
                self.problem(backend.span(), "a route has either instances or a backend; make it two routes");
            }
            (None, None) => self.problem(value.span(), "the route has neither instances nor a backend"),
            (None, Some(backend)) => {
                if let Some(name) = self.string(backend, "backend") {
                    self.member(host.as_ref(), Member::of_backend(name), &defaults, backend.span());
                }
            }
            (Some(instances), None) => self.instances(host.as_ref(), instances, &defaults),
        }
    }

    fn instances(&mut self, host: Option<&Pattern>, value: &Value<'_>, defaults: &Defaults) {
        let DeValue::Array(instances) = value.get_ref() else {
            return self.problem(value.span(), "instances is a list: [\"10.0.0.1:8080\", …]");
        };
        if instances.is_empty() {
            self.problem(value.span(), "the route has no instances");
        }
        for instance in instances.iter() {
            let member = match instance.get_ref() {
                DeValue::String(address) => parse_address(address)
                    .map(Member::at)
                    .map_err(|error| self.problem(instance.span(), error.to_string()))
                    .ok(),
                DeValue::Table(table) => self.instance(table, instance.span()),
                _ => {
                    self.problem(instance.span(), "an instance is an address or a table");
                    None
                }
            };
            if let Some(member) = member {
                self.member(host, member, defaults, instance.span());
            }
        }
    }

    fn instance(&mut self, table: &DeTable<'_>, span: Range<usize>) -> Option<Member> {
        let before = self.problems.len();
        self.known_keys(table, INSTANCE_KEYS);
        let address = table.get("address").and_then(|value| {
            let text = self.string(value, "address")?;
            parse_address(&text).map_err(|error| self.problem(value.span(), error.to_string())).ok()
        });
        let instance_id = table.get("instance_id").and_then(|value| {
            let text = self.string(value, "instance_id")?;
            let parsed = text.parse::<Uuid>();
            parsed.map_err(|_| self.problem(value.span(), format!("'{text}' is not an UUID"))).ok()
        });
        let weight = table.get("weight").and_then(|value| match value.get_ref() {
            DeValue::Integer(number) => u16::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        });
        if let (Some(value), None) = (table.get("weight"), weight) {
            self.problem(value.span(), "weight is a number from 0 to 65535");
        }
        let mut member = match (address, self.text_of(table, "backend")) {
            (address, Some(name)) => Member { address, ..Member::of_backend(name) },
            (Some(address), None) => Member::at(address),
            (None, None) => {
                if self.problems.len() == before {
                    self.problem(span, "the instance has neither an address nor a backend");
                }
                return None;
            }
        };
        member.version_type = self.text_of(table, "version_type");
        member.node = self.text_of(table, "node");
        member.instance = self.text_of(table, "instance");
        member.instance_id = instance_id;
        member.weight = weight.unwrap_or(member.weight);
        member.path = self.text_of(table, "path");
        member.scheme = self.scheme(table).unwrap_or_default();
        (self.problems.len() == before).then_some(member)
    }

    fn member(
        &mut self,
        host: Option<&Pattern>,
        mut member: Member,
        defaults: &Defaults,
        span: Range<usize>,
    ) {
        member.path = member.path.or_else(|| defaults.path.clone());
        member.version_type = member.version_type.or_else(|| defaults.version_type.clone());
        if member.scheme == Scheme::Http {
            member.scheme = defaults.scheme;
        }
        let member = match member.checked() {
            Ok(member) => member,
            Err(error) => return self.problem(span, error.to_string()),
        };
        let Some(host) = host else { return };
        let line = self.line(span.start);
        let members = self.hosts.entry(host.clone()).or_default();
        match members.iter().find(|(there, _)| there.same_route(&member)) {
            Some((_, first)) => {
                let what = format!("{host} has this instance already, in line {first}");
                self.problem(span, what);
            }
            None => members.push((member, line)),
        }
    }

    fn known_keys(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for (key, _) in table {
            if !known.contains(&key.get_ref().as_ref()) {
                self.problem(key.span(), unknown_key(key.get_ref(), known));
            }
        }
    }

    fn string(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            other => {
                self.problem(value.span(), format!("{key} is a string, not {}", other.type_str()));
                None
            }
        }
    }

    fn text_of(&mut self, table: &DeTable<'_>, key: &str) -> Option<String> {
        self.string(table.get(key)?, key)
    }

    fn scheme(&mut self, table: &DeTable<'_>) -> Option<Scheme> {
        let value = table.get("scheme")?;
        match self.string(value, "scheme")?.as_str() {
            "http" => Some(Scheme::Http),
            "https" => Some(Scheme::Https),
            other => {
                self.problem(value.span(), format!("scheme '{other}' is neither http nor https"));
                None
            }
        }
    }

    fn finish(mut self) -> Result<Snapshot, Vec<Problem>> {
        let mut entries = Vec::with_capacity(self.hosts.len());
        for (host, members) in std::mem::take(&mut self.hosts) {
            let line = members.first().map_or(1, |&(_, line)| line);
            match Entry::new(&host, members.into_iter().map(|(member, _)| member)) {
                Ok(entry) => entries.push(entry),
                Err(error) => self.problems.push(Problem { line, what: error.to_string() }),
            }
        }
        if self.problems.is_empty() {
            return Ok(Snapshot::from_entries(entries));
        }
        self.problems.sort();
        Err(self.problems)
    }
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    let close = known.iter().min_by_key(|name| strsim::damerau_levenshtein(name, key));
    match close.filter(|name| strsim::damerau_levenshtein(name, key) <= 2) {
        Some(name) => format!("unknown key '{key}': did you mean '{name}'?"),
        None => format!("unknown key '{key}': known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(usize, String)> {
        let problems = parse(text).expect_err(text);
        problems.into_iter().map(|problem| (problem.line, problem.what)).collect()
    }

    #[test]
    fn a_file_gives_its_routes() {
        let table = parse(
            r#"
            [[route]]
            host = "WWW.example.com"
            instances = ["10.0.0.1:8080", "[::1]:8080"]

            [[route]]
            host = "www.example.com"
            path = "/api"
            version_type = "7"
            instances = [
                { address = "10.0.0.3:8080", weight = 3, version_type = "12" },
                { address = "10.0.0.4:8443", scheme = "https", path = "/other/" },
            ]

            [[route]]
            host = "*"
            backend = "content"
            "#,
        )
        .unwrap();
        assert_eq!(table.len(), 2);
        let texts = |pattern: &str| -> Vec<String> {
            table.get(pattern).unwrap().members().map(|member| member.to_string()).collect()
        };
        assert_eq!(texts("*"), ["-####backend=content"]);
        assert_eq!(
            texts("www.example.com"),
            [
                "10.0.0.4:8443#7###path=/other&scheme=https",
                "10.0.0.3:8080#12###weight=3&path=/api",
                "10.0.0.1:8080",
                "[::1]:8080",
            ]
        );
    }

    #[test]
    fn an_empty_file_is_an_empty_table() {
        let table = parse("# nothing yet\n").unwrap();
        assert!(table.is_empty() && table.is_loaded());
    }

    #[test]
    fn every_problem_is_reported_with_its_line() {
        let found = problems(concat!(
            "[[route]]\n",                                      // 1
            "host = \"a b\"\n",                                 // 2
            "instances = [\"localhost:80\",\n",                 // 3
            "  { adress = \"10.0.0.1:80\" },\n",                // 4
            "  { address = \"10.0.0.1:80\", weight = -1 },\n",  // 5
            "  7]\n",                                           // 6
            "[[route]]\n",                                      // 7
            "instances = [\"10.0.0.1:80\"]\n",                  // 8
            "[[route]]\n",                                      // 9
            "host = \"b\"\n",                                   // 10
            "[[route]]\n",                                      // 11
            "host = \"c\"\n",                                   // 12
            "instances = [\"10.0.0.1:80\", \"10.0.0.1:80\"]\n", // 13
            "scheme = \"ftp\"\n",                               // 14
            "[rout]\n",                                         // 15
        ));
        let expected = [
            (2, "'a b' is not a host"),
            (3, "is not an address"),
            (4, "unknown key 'adress': did you mean 'address'?"),
            (5, "weight is a number"),
            (6, "an instance is an address or a table"),
            (7, "the route has no host"),
            (9, "neither instances nor a backend"),
            (13, "already, in line 13"),
            (14, "scheme 'ftp'"),
            (15, "unknown key 'rout': did you mean 'route'?"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for ((line, what), (expected_line, part)) in found.iter().zip(expected) {
            assert_eq!(*line, expected_line, "{what}");
            assert!(what.contains(part), "{what:?} lacks {part:?}");
        }
    }

    #[test]
    fn broken_toml_is_reported_with_its_line() {
        let found = problems("[[route]]\nhost = \"a\nbackend = \"b\"\n");
        assert_eq!(found[0].0, 2, "{found:?}");
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text: String) {
            let _ = parse(&text);
        }
    }
}
