//! Why a request goes where it goes by a memcached table: the keys that are tried, and what they hold now.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::known::KnownRoute;
use super::lookup::Read;
use super::target::{RouteTarget, excerpt};

/// How a memcached table routes one request, by asking it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemapExplanation {
    /// The keys that are tried, in order.
    pub steps: Vec<RemapStep>,
    /// What comes of it.
    pub outcome: RemapOutcome,
    /// What the router goes by until it asks again, if it knows the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<KnownRoute>,
}

/// One key that is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemapStep {
    /// The key.
    pub key: String,
    /// What was found.
    #[serde(flatten)]
    pub result: RemapStepResult,
}

/// What was found under one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum RemapStepResult {
    /// Nothing.
    NoEntry,
    /// A target, which is taken.
    Taken,
    /// A value that does not parse.
    Malformed {
        /// The value and what is wrong with it.
        problem: String,
    },
    /// The server of the key can't be asked.
    Away {
        /// Why.
        error: String,
    },
    /// It holds something that is not needed, since an earlier key is taken.
    NotNeeded,
}

/// What comes of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RemapOutcome {
    /// It is sent there.
    Routed {
        /// The key.
        key: String,
        /// Where to.
        target: RouteTarget,
    },
    /// A value does not parse: 404.
    Malformed {
        /// Its key.
        key: String,
    },
    /// No key is there: 404.
    NoRoute,
    /// Memcached can't be asked: what is cached, else 503.
    Away,
}

impl RemapExplanation {
    /// What the values of these keys, in the order they are tried, come to.
    pub(super) fn new(
        values: impl Iterator<Item = (String, Read)>,
        cached: Option<KnownRoute>,
    ) -> RemapExplanation {
        let mut outcome = None;
        let steps = values.map(|(key, value)| {
            let (result, come_to) = step(&key, value);
            let result = match (&outcome, &result) {
                (Some(_), RemapStepResult::NoEntry) | (None, _) => result,
                (Some(_), _) => RemapStepResult::NotNeeded,
            };
            outcome = outcome.take().or(come_to);
            RemapStep { key, result }
        });
        let steps = steps.collect();
        RemapExplanation { steps, outcome: outcome.unwrap_or(RemapOutcome::NoRoute), cached }
    }
}

/// What a key's value is, and what that comes to if no earlier key decides.
fn step(key: &str, value: Result<Option<Bytes>, String>) -> (RemapStepResult, Option<RemapOutcome>) {
    let key = key.to_owned();
    match value {
        Ok(None) => (RemapStepResult::NoEntry, None),
        Err(error) => (RemapStepResult::Away { error }, Some(RemapOutcome::Away)),
        Ok(Some(value)) => match RouteTarget::parse(&value) {
            Ok(target) => (RemapStepResult::Taken, Some(RemapOutcome::Routed { key, target })),
            Err(error) => {
                let problem = format!("'{}' is no target: {error}", excerpt(&value));
                (RemapStepResult::Malformed { problem }, Some(RemapOutcome::Malformed { key }))
            }
        },
    }
}

impl fmt::Display for RemapOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemapOutcome::Routed { key, target } => write!(f, "sends it to {target}, by {key}"),
            RemapOutcome::Malformed { key } => write!(f, "answers 404: the value of {key} does not parse"),
            RemapOutcome::NoRoute => write!(f, "answers 404: there is no such key"),
            RemapOutcome::Away => write!(f, "goes by what is cached, or answers 503: memcached is away"),
        }
    }
}

/// The explanation as a person reads it, over several lines.
impl fmt::Display for RemapExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, RemapStep { key, result }) in self.steps.iter().enumerate() {
            write!(f, "{}. {key}: ", number + 1)?;
            match result {
                RemapStepResult::NoEntry => writeln!(f, "no entry")?,
                RemapStepResult::Taken => writeln!(f, "taken")?,
                RemapStepResult::Malformed { problem } => writeln!(f, "{problem}")?,
                RemapStepResult::Away { error } => writeln!(f, "{error}")?,
                RemapStepResult::NotNeeded => writeln!(f, "there is an entry, not needed")?,
            }
        }
        if let Some(cached) = &self.cached {
            writeln!(f, "cached: {cached}")?;
        }
        writeln!(f, "so the router {}", self.outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(values: &[(&str, Result<Option<&str>, &str>)]) -> RemapExplanation {
        let values = values.iter().map(|(key, value)| {
            let value = value.map(|value| value.map(|value| Bytes::copy_from_slice(value.as_bytes())));
            ((*key).to_owned(), value.map_err(str::to_owned))
        });
        RemapExplanation::new(values, None)
    }

    #[test]
    fn the_first_key_that_is_there_decides() {
        let explained =
            explain(&[("a", Ok(None)), ("b", Ok(Some("http://t:1"))), ("c", Ok(Some("x"))), ("d", Ok(None))]);
        let results: Vec<_> = explained.steps.iter().map(|step| &step.result).collect();
        use RemapStepResult::{NoEntry, NotNeeded, Taken};
        assert_eq!(results, [&NoEntry, &Taken, &NotNeeded, &NoEntry]);
        assert!(matches!(&explained.outcome, RemapOutcome::Routed { key, .. } if key == "b"));
        let text = explained.to_string();
        assert!(text.ends_with("so the router sends it to http://t:1/, by b\n"), "{text}");
    }

    #[test]
    fn what_does_not_parse_and_what_can_t_be_asked_decide_too() {
        let malformed = explain(&[("a", Ok(Some("x"))), ("b", Ok(Some("http://t:1")))]);
        assert!(matches!(malformed.outcome, RemapOutcome::Malformed { .. }));
        let away = explain(&[("a", Err("refused")), ("b", Ok(Some("http://t:1")))]);
        assert_eq!(away.outcome, RemapOutcome::Away);
        assert_eq!(explain(&[("a", Ok(None))]).outcome, RemapOutcome::NoRoute);
    }

    #[test]
    fn an_explanation_survives_json() {
        let explained = explain(&[("a", Err("refused")), ("b", Ok(Some("x")))]);
        let json = serde_json::to_string(&explained).unwrap();
        assert_eq!(serde_json::from_str::<RemapExplanation>(&json).unwrap(), explained);
    }
}
