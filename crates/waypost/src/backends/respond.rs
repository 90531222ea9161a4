//! `type = "respond"`.

use std::rc::Rc;

use http::StatusCode;
use waypost_backend::{Backend, Respond as Leaf};
use waypost_http1::InvalidField;

use super::fields::FieldTexts;
use super::status::AnswerStatus;
use super::{BackendType, Findings, Site};
use crate::config::section;

section! {
    /// A fixed answer.
    Respond {
        /// The status, from 200 to 599.
        status: AnswerStatus = AnswerStatus(StatusCode::OK),
        /// Fields of the answer, as `{ content-type = "text/html" }`; those that frame a message are the
        /// router's own.
        headers: FieldTexts = FieldTexts(Vec::new()),
        /// The body.
        body: String = String::new(),
    }
}

impl Respond {
    fn make(&self, name: &str) -> Result<Leaf, InvalidField> {
        Leaf::new(name, self.status.0, &self.headers.iter().collect::<Vec<_>>(), self.body.clone())
    }
}

impl BackendType for Respond {
    const NAME: &'static str = "respond";

    fn check(&self, found: &mut Findings<'_>) {
        if let Err(error) = self.make("") {
            found.add("headers", error.to_string());
        }
    }

    fn build(&self, name: &str, _: &mut Site<'_>) -> Rc<dyn Backend> {
        // `check` has made the same one.
        Rc::new(self.make(name).expect("it was made when the configuration was read"))
    }
}
