//! Outcomes of asking a backend, as a configuration lists them: statuses, and the word `connect_failure`.

use http::StatusCode;
use toml::de::DeValue;
use waypost_backend::Outcomes;

use super::status::AnswerStatus;
use crate::config::{Setting, quoted};

/// The word for a backend that could not be reached.
const CONNECT_FAILURE: &str = "connect_failure";

/// One outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer of that status.
    Status(StatusCode),
    /// Nobody could be reached.
    ConnectFailure,
}

impl Outcome {
    /// The statuses and the word of a list, put together.
    pub fn of(list: &[Outcome]) -> Outcomes {
        let status = |outcome: &Outcome| match outcome {
            Outcome::Status(status) => Some(*status),
            Outcome::ConnectFailure => None,
        };
        Outcomes {
            statuses: list.iter().filter_map(status).collect(),
            connect_failure: list.contains(&Outcome::ConnectFailure),
        }
    }
}

impl Setting for Outcome {
    fn kind() -> String {
        format!("a status from 200 to 599, or {CONNECT_FAILURE:?}")
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text == CONNECT_FAILURE {
            return Ok(Self::ConnectFailure);
        }
        let wrong = |_| format!("expected {}, found {text:?}", Self::kind());
        AnswerStatus::parse(text).map(|status| Self::Status(status.0)).map_err(wrong)
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::parse(text),
            other => AnswerStatus::read(other)
                .map(|status| Self::Status(status.0))
                .map_err(|message| format!("{message} (or write {CONNECT_FAILURE:?})")),
        }
    }

    fn show(&self) -> Option<String> {
        match self {
            Self::Status(status) => Some(status.as_str().to_owned()),
            Self::ConnectFailure => quoted(CONNECT_FAILURE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_the_word_are_read_and_shown() {
        for text in ["501", "connect_failure"] {
            let outcome = Outcome::parse(text).unwrap();
            assert_eq!(outcome.show().unwrap().trim_matches('"'), text);
        }
        for text in ["", "100", "600", "connect", "5xx"] {
            assert!(Outcome::parse(text).is_err(), "{text}");
        }
        let outcomes = Outcome::of(&[Outcome::Status(StatusCode::NOT_FOUND), Outcome::ConnectFailure]);
        assert_eq!(outcomes.to_string(), "404, connect_failure");
    }
}
