//! Why a request goes where it goes: the steps of [matching](crate::matching), told.
//!
//! An [`Explanation`] follows one URL through the table without sending anything: its host in normal
//! form, each pattern that is tried and in which order, every instance with the reason why it can't be
//! chosen if it can't, and what comes of it all.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::entry::{EntryRef, InstanceRef};
use crate::health::Health;
use crate::host::{Host, HostError};
use crate::matching::{Match, find, prefix_covers};
use crate::member::{Member, Scheme};
use crate::snapshot::Snapshot;

/// How a table routes one URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The host, lower-case and without port and trailing dot.
    pub host: String,
    /// The port written in the URL. Routes don't depend on it.
    pub port: Option<u16>,
    /// The path that prefixes are compared with.
    pub path: String,
    /// The table's serial.
    pub serial: u64,
    /// The patterns that match the host, in the order they are tried.
    pub steps: Vec<Step>,
    /// What comes of it.
    pub outcome: Outcome,
}

/// One pattern that matches the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The pattern.
    pub pattern: String,
    /// What was found there.
    pub result: StepResult,
    /// The entry's instances, if it was looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Considered>,
}

/// What was found under one pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// The table has no entry of this pattern.
    NoEntry,
    /// It has one, but no instance in it serves the path.
    NoPath,
    /// Instances serve the path, but none of them is usable.
    AllDown,
    /// This entry is taken.
    Taken,
    /// It has one that is not looked at, since an earlier one is taken.
    NotNeeded,
}

/// One instance of an entry that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    /// The instance.
    #[serde(flatten)]
    pub member: Member,
    /// What is known of its health.
    pub health: Health,
    /// Why it can't be chosen; none: it can.
    pub passed_over: Option<String>,
}

/// What comes of a request for the URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It goes to one of the instances of this entry that can be chosen.
    Routed {
        /// The entry's pattern.
        pattern: String,
        /// The path prefix that won, if one did.
        prefix: Option<String>,
    },
    /// An entry matches, but nothing is usable: 503.
    AllDown {
        /// The pattern of the first such entry.
        pattern: String,
    },
    /// Nothing matches: 404.
    NoRoute,
    /// The table has not been read yet: 503.
    NotLoaded,
}

/// Why an URL can't be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// Its scheme is not one that is routed.
    #[error("'{0}' is not an http or https URL: write http://HOST/PATH, or HOST/PATH")]
    Scheme(String),
    /// Its host is not valid; a request for it is answered with 400.
    #[error("'{url}': {source} (a request for it is answered with 400)")]
    Host {
        /// The URL.
        url: String,
        /// What is wrong with its host.
        source: HostError,
    },
}

/// Explains how a table routes an URL; `http://` may be left out, and a query is of no account.
///
/// # Errors
/// If it is no `http` or `https` URL, or its host is not valid.
pub fn explain(
    snapshot: &Snapshot,
    url: &str,
    health: impl Fn(&InstanceRef<'_>) -> Health,
) -> Result<Explanation, ExplainError> {
    let Url { host, port, target, .. } = Url::parse(url)?;
    let path = target.split('?').next().unwrap_or_default();
    let found = find(snapshot, &host, path, |instance| health(instance).is_usable());
    let taken = match &found {
        Match::Found(found) => Some(found.entry.pattern()),
        Match::AllDown(_) | Match::NoRoute | Match::NotLoaded => None,
    };
    let mut is_taken = false;
    let steps = patterns(host.as_str())
        .map(|pattern| {
            let entry = snapshot.get(&pattern);
            let not_needed = is_taken;
            is_taken |= taken == Some(pattern.as_str());
            match entry {
                None => Step { pattern, result: StepResult::NoEntry, instances: Vec::new() },
                Some(_) if not_needed => {
                    Step { pattern, result: StepResult::NotNeeded, instances: Vec::new() }
                }
                Some(entry) => step(entry, path, &health),
            }
        })
        .collect();
    let outcome = match found {
        Match::Found(found) => {
            let first = found.entry.instance(usize::from(found.usable[0]));
            Outcome::Routed {
                pattern: found.entry.pattern().to_owned(),
                prefix: first.path().map(str::to_owned),
            }
        }
        Match::AllDown(entry) => Outcome::AllDown { pattern: entry.pattern().to_owned() },
        Match::NoRoute => Outcome::NoRoute,
        Match::NotLoaded => Outcome::NotLoaded,
    };
    let (host, path) = (host.to_string(), path.to_owned());
    Ok(Explanation { host, port, path, serial: snapshot.serial(), steps, outcome })
}

/// An URL as a request would ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `http` unless written.
    pub scheme: Scheme,
    /// The normalised host.
    pub host: Host,
    /// The port, if it is written.
    pub port: Option<u16>,
    /// Path and query, without a fragment.
    pub target: String,
}

impl Url {
    /// Reads an URL; `http://` may be left out.
    ///
    /// # Errors
    /// If it is no `http` or `https` URL, or its host is not valid.
    pub fn parse(url: &str) -> Result<Url, ExplainError> {
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            // What stands before a later "://" is a host and path, not a scheme.
            Some((scheme, _)) if !scheme.contains(['/', '?', '#']) => {
                return Err(ExplainError::Scheme(url.to_owned()));
            }
            _ => (Scheme::Http, url),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = Host::parse(authority.as_bytes())
            .map_err(|source| ExplainError::Host { url: url.to_owned(), source })?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Url { scheme, host, port, target: format!("{slash}{target}") })
    }
}

/// Every pattern that matches a host, from the most to the least specific.
pub(crate) fn patterns(name: &str) -> impl Iterator<Item = String> {
    let labels = if name.starts_with('[') { "" } else { name };
    let wildcards = labels.match_indices('.').map(|(dot, _)| format!("*{}", &labels[dot..]));
    std::iter::once(name.to_owned()).chain(wildcards).chain(["*".to_owned()])
}

fn step(entry: EntryRef<'_>, path: &str, health: &impl Fn(&InstanceRef<'_>) -> Health) -> Step {
    let covers =
        |instance: &InstanceRef<'_>| instance.path().is_none_or(|prefix| prefix_covers(prefix, path));
    let usable = |instance: &InstanceRef<'_>| {
        covers(instance) && instance.weight() > 0 && health(instance).is_usable()
    };
    // Instances stand with the longest prefix first.
    let winner = entry.instances().find(|instance| usable(instance)).map(|instance| instance.path());
    let result = match winner {
        Some(_) => StepResult::Taken,
        None if entry.instances().any(|instance| covers(&instance)) => StepResult::AllDown,
        None => StepResult::NoPath,
    };
    let instances = entry
        .instances()
        .map(|instance| {
            let health = health(&instance);
            let passed_over = if !covers(&instance) {
                Some(format!("it serves only {}", instance.path().unwrap_or_default()))
            } else if instance.weight() == 0 {
                Some("it is drained (weight 0)".to_owned())
            } else if let Health::Down { reason } = &health {
                Some(format!("it is down: {reason}"))
            } else {
                winner
                    .filter(|&winner| winner != instance.path())
                    .map(|winner| format!("{} is more specific", winner.unwrap_or_default()))
            };
            Considered { member: instance.to_member(), health, passed_over }
        })
        .collect();
    Step { pattern: entry.pattern().to_owned(), result, instances }
}

/// The explanation as a person reads it, over several lines.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "host {}, path {}, table serial {}", self.host, self.path, self.serial)?;
        for (number, step) in self.steps.iter().enumerate() {
            let result = match step.result {
                StepResult::NoEntry => "no entry",
                StepResult::NoPath => "no instance serves this path",
                StepResult::AllDown => "no instance is usable",
                StepResult::Taken => "taken",
                StepResult::NotNeeded => "there is an entry, not needed",
            };
            writeln!(f, "{}. {}: {result}", number + 1, step.pattern)?;
            for Considered { member, passed_over, .. } in &step.instances {
                match passed_over {
                    None => writeln!(f, "   + {member}")?,
                    Some(reason) => writeln!(f, "   - {member}: {reason}")?,
                }
            }
        }
        match &self.outcome {
            Outcome::Routed { pattern, prefix: None } => writeln!(f, "routed by {pattern}"),
            Outcome::Routed { pattern, prefix: Some(prefix) } => {
                writeln!(f, "routed by {pattern}, path {prefix}")
            }
            Outcome::AllDown { pattern } => writeln!(f, "503: nothing that {pattern} names is usable"),
            Outcome::NoRoute => writeln!(f, "404: nothing matches"),
            Outcome::NotLoaded => writeln!(f, "503: the table has not been read yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::pattern::Pattern;

    #[test]
    fn the_target_of_an_url_is_its_path_and_query() {
        for (url, expected) in [
            ("http://example.com", "/"),
            ("example.com", "/"),
            ("http://example.com/a/b?c=d#e", "/a/b?c=d"),
            ("example.com?x", "/?x"),
            ("example.com/?to=http://other/", "/?to=http://other/"),
            ("HTTPS://example.com#/a", "/"),
        ] {
            assert_eq!(Url::parse(url).unwrap().target, expected, "{url}");
        }
        let url = Url::parse("https://A.example:8443/x").unwrap();
        assert_eq!((url.scheme, url.host.as_str(), url.port), (Scheme::Https, "a.example", Some(8443)));
    }

    fn table() -> Snapshot {
        let routes: [(&str, &[&str]); 4] = [
            ("www.a.example", &["10.0.0.1:80", "10.0.0.2:80####path=/api", "10.0.0.3:80####weight=0"]),
            ("*.a.example", &["10.0.0.4:80####path=/only"]),
            ("*.example", &["10.0.0.5:80"]),
            ("*", &["10.0.0.6:80"]),
        ];
        routes
            .iter()
            .map(|(host, members)| {
                let members = members.iter().map(|member| Member::parse(member).unwrap().0);
                Entry::new(&Pattern::parse(host).unwrap(), members).unwrap()
            })
            .collect()
    }

    fn down(addresses: &'static [&'static str]) -> impl Fn(&InstanceRef<'_>) -> Health {
        move |instance| {
            let address = instance.address().map(|address| address.ip().to_string()).unwrap_or_default();
            if addresses.contains(&address.as_str()) {
                Health::Down { reason: "connection refused".to_owned() }
            } else {
                Health::Up
            }
        }
    }

    #[test]
    fn the_steps_are_told_in_order_with_the_reasons() {
        let explained =
            explain(&table(), "https://WWW.a.Example.:444/api/x?q#f", down(&["10.0.0.2"])).unwrap();
        assert_eq!(
            explained.to_string(),
            "host www.a.example, path /api/x, table serial 0\n\
             1. www.a.example: taken\n   \
                - 10.0.0.2:80####path=/api: it is down: connection refused\n   \
                + 10.0.0.1:80\n   \
                - 10.0.0.3:80####weight=0: it is drained (weight 0)\n\
             2. *.a.example: there is an entry, not needed\n\
             3. *.example: there is an entry, not needed\n\
             4. *: there is an entry, not needed\n\
             routed by www.a.example\n"
        );
        assert_eq!(explained.port, Some(444));
    }

    #[test]
    fn entries_without_a_usable_instance_are_passed_to_the_next() {
        let explained = explain(&table(), "www.a.example/x", down(&["10.0.0.1", "10.0.0.5"])).unwrap();
        let results: Vec<StepResult> = explained.steps.iter().map(|step| step.result).collect();
        use StepResult::{AllDown, NoPath, Taken};
        assert_eq!(results, [AllDown, NoPath, AllDown, Taken]);
        assert_eq!(explained.outcome, Outcome::Routed { pattern: "*".to_owned(), prefix: None });
    }

    #[test]
    fn a_more_specific_path_is_given_as_the_reason() {
        let explained = explain(&table(), "www.a.example/api", down(&[])).unwrap();
        assert_eq!(explained.steps[0].instances[0].passed_over, None);
        let reason = explained.steps[0].instances[1].passed_over.as_deref();
        assert_eq!(reason, Some("/api is more specific"));
    }

    #[test]
    fn an_url_without_route_and_a_table_never_read_are_told_apart() {
        let outcome = |table| explain(&table, "a.test", down(&[])).unwrap().outcome;
        assert_eq!(outcome(Snapshot::empty()), Outcome::NoRoute);
        assert_eq!(outcome(Snapshot::unread()), Outcome::NotLoaded);
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for url in ["", "ftp://a/", "http://", "http:///x", "http://a b/", "http://u@a/"] {
            assert!(explain(&table(), url, down(&[])).is_err(), "{url}");
        }
    }

    #[test]
    fn an_explanation_survives_json() {
        let explained = explain(&table(), "www.a.example/x", down(&["10.0.0.1"])).unwrap();
        let json = serde_json::to_string(&explained).unwrap();
        assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), explained);
    }
}
