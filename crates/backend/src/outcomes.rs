//! Which outcomes of a call make a node ask again: somebody else (`try_pass`) or once more (`retry`).

use http::StatusCode;

use crate::failure::{Failure, FailureKind};

/// Statuses of responses, and whether failing to reach a backend counts with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Responses with these statuses.
    pub statuses: Vec<StatusCode>,
    /// A backend that could not be reached: no connection came about, or nobody is there to ask.
    pub connect_failure: bool,
}

impl Outcomes {
    /// Whether a response of that status is among them.
    pub fn has_status(&self, status: StatusCode) -> bool {
        self.statuses.contains(&status)
    }

    /// Whether a failure to reach the backend is among them, and this is one.
    pub fn has_unreached(&self, failure: &Failure) -> bool {
        self.connect_failure && is_unreached(failure)
    }
}

/// Whether a failure means that nothing of the request has reached anybody, for want of a connection.
pub(crate) fn is_unreached(failure: &Failure) -> bool {
    let elsewhere = matches!(
        failure.kind,
        FailureKind::RequestBody(_) | FailureKind::Late { .. } | FailureKind::Handler { .. }
    );
    !failure.sent && !elsewhere
}

/// As a configuration writes them: `501, 404, connect_failure`.
impl std::fmt::Display for Outcomes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut words: Vec<&str> = self.statuses.iter().map(StatusCode::as_str).collect();
        words.extend(self.connect_failure.then_some("connect_failure"));
        f.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BodyError;

    #[test]
    fn what_was_sent_or_came_from_the_client_is_no_failure_to_reach() {
        let outcomes = Outcomes { connect_failure: true, ..Outcomes::default() };
        let address = ([127, 0, 0, 1], 1).into();
        let error = || std::io::ErrorKind::ConnectionRefused.into();
        let what = String::new;
        for (failure, counts) in [
            (Failure::unsent(FailureKind::Connect { address, error: error() }), true),
            (Failure::unsent(FailureKind::Unavailable { what: what() }), true),
            (Failure::unsent(FailureKind::Closed { address, error: error() }), true),
            (Failure::sent(FailureKind::Closed { address, error: error() }), false),
            (Failure::sent(FailureKind::Timeout { address }), false),
            (Failure::unsent(FailureKind::RequestBody(BodyError::TooLarge)), false),
            (Failure::unsent(FailureKind::Late { what: what() }), false),
        ] {
            assert_eq!(outcomes.has_unreached(&failure), counts, "{failure:?}");
            assert!(!Outcomes::default().has_unreached(&failure));
        }
    }

    #[test]
    fn they_are_shown_as_they_are_written() {
        let outcomes = Outcomes {
            statuses: vec![StatusCode::NOT_IMPLEMENTED, StatusCode::NOT_FOUND],
            connect_failure: true,
        };
        assert_eq!(outcomes.to_string(), "501, 404, connect_failure");
    }
}
