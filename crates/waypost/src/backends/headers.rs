//! `type = "headers"`.

use std::rc::Rc;

use waypost_backend::{Backend, FieldEdits, Headers as Node, Template};

use super::fields::{FieldName, FieldTexts};
use super::{BackendType, Child, Site};
use crate::config::section;

section! {
    /// Passes requests on with their fields changed, and changes the fields of the responses: first some are
    /// removed, then some set, then some added. In values `$scheme`, `$host` (without the port), `$path` and
    /// `$query` (with its question mark, when there is one) stand for the request's own. Fields that frame a
    /// message or belong to a connection are the router's own. When the request goes on to another backend,
    /// after a pass or for a retry, it has the client's fields again.
    Headers {
        /// The backend they go to.
        backend: String,
        /// Fields to take off the request.
        request_remove: Vec<FieldName> = Vec::new(),
        /// Fields of the request to replace, as `{ x-from = "edge" }`.
        request_set: FieldTexts = FieldTexts(Vec::new()),
        /// Fields to give the request besides those of the same name.
        request_add: FieldTexts = FieldTexts(Vec::new()),
        /// Fields to take off the response.
        response_remove: Vec<FieldName> = Vec::new(),
        /// Fields of the response to replace.
        response_set: FieldTexts = FieldTexts(Vec::new()),
        /// Fields to give the response besides those of the same name.
        response_add: FieldTexts = FieldTexts(Vec::new()),
    }
}

fn edits(remove: &[FieldName], set: &FieldTexts, add: &FieldTexts) -> FieldEdits {
    let texts = |fields: &FieldTexts| fields.iter().map(|(name, text)| (name, Template::new(text))).collect();
    FieldEdits {
        remove: remove.iter().map(|name| name.0.as_str().to_owned()).collect(),
        set: texts(set),
        add: texts(add),
    }
}

impl BackendType for Headers {
    const NAME: &'static str = "headers";

    fn children(&self) -> Vec<Child<'_>> {
        vec![Child { key: "backend", name: &self.backend }]
    }

    fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Backend> {
        let request = edits(&self.request_remove, &self.request_set, &self.request_add);
        let response = edits(&self.response_remove, &self.response_set, &self.response_add);
        let node = Node::new(name, site.backend(&self.backend), request, response);
        // A `HeaderName` and a `HeaderValue` can stand in a head.
        Rc::new(node.expect("names and values were checked when they were read"))
    }
}
