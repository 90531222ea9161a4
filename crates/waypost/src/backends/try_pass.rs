//! `type = "try_pass"`.

use std::rc::Rc;

use http::StatusCode;
use waypost_backend::{Backend, TryPass as Node, TryPassOptions};

use super::outcomes::Outcome;
use super::status::AnswerStatus;
use super::{BackendType, Child, Findings, Site};
use crate::config::{Size, section};

section! {
    /// Backends in order, until one of them handles the request; the last one's answer stands whatever it is.
    TryPass {
        /// The backends, in the order they are asked.
        members: Vec<String>,
        /// What means "not mine, pass": statuses, and `"connect_failure"` for a backend that could not be reached.
        pass_on: Vec<Outcome> = vec![Outcome::Status(StatusCode::NOT_IMPLEMENTED)],
        /// An answer of this status with a `Location` on the same host starts the request again at the first
        /// member with that path, at most 5 times. Not set: none does.
        restart_on: Option<AnswerStatus> = None,
        /// How much of a request's body is kept for the next member. When more has been read of it, the answer
        /// in hand stands.
        replay_limit: Size = Size::kib(1024),
    }
}

impl BackendType for TryPass {
    const NAME: &'static str = "try_pass";

    fn children(&self) -> Vec<Child<'_>> {
        Child::each("members", &self.members)
    }

    fn check(&self, found: &mut Findings<'_>) {
        if self.members.is_empty() {
            found.add("members", "nobody is there to ask: name at least one backend");
        }
        if self.restart_on.is_some_and(|status| self.pass_on.contains(&Outcome::Status(status.0))) {
            found.add("restart_on", "that status is in `pass_on` too: it can only mean one of the two");
        }
    }

    fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Backend> {
        let options = TryPassOptions {
            pass_on: Outcome::of(&self.pass_on),
            restart_on: self.restart_on.map(|status| status.0),
            replay_limit: self.replay_limit.0,
        };
        let members = site.backends(&self.members);
        Rc::new(Node::new(name, members, options, Rc::clone(site.peers().timers())))
    }
}
