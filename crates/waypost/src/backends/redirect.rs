//! `type = "redirect"`.

use std::rc::Rc;

use http::StatusCode;
use waypost_backend::{Backend, Redirect as Leaf};

use super::redirect_target::RedirectTarget;
use super::status::RedirectStatus;
use super::{BackendType, Site};
use crate::config::section;

section! {
    /// Sends the client elsewhere.
    Redirect {
        /// Where: an absolute target or a path. `$scheme`, `$host` (without the port), `$path` and `$query`
        /// (with its question mark, when there is one) stand for the request's own.
        to: RedirectTarget,
        /// One of 301, 302, 303, 307, 308.
        status: RedirectStatus = RedirectStatus(StatusCode::TEMPORARY_REDIRECT),
    }
}

impl BackendType for Redirect {
    const NAME: &'static str = "redirect";

    fn build(&self, name: &str, _: &mut Site<'_>) -> Rc<dyn Backend> {
        Rc::new(Leaf::new(name, self.status.0, self.to.as_str()))
    }
}
