//! `headers`: changes fields on the way in and on the way back.

use std::rc::Rc;

use waypost_http1::{Fields, InvalidField};

use crate::backend::{Backend, Call, Explanation, Report, Sketch};
use crate::exchange::Exchange;
use crate::restore::Restore;
use crate::template::Template;

/// What is done to the fields of a message: first some are removed, then some replaced, then some added.
#[derive(Debug, Clone, Default)]
pub struct FieldEdits {
    /// Names of fields that are taken off, in any case.
    pub remove: Vec<String>,
    /// Fields that replace all of their name.
    pub set: Vec<(String, Template)>,
    /// Fields that stand beside those of their name.
    pub add: Vec<(String, Template)>,
}

impl FieldEdits {
    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Whether every name and text can stand in a head. What a request brings into a template can.
    fn check(&self) -> Result<(), InvalidField> {
        let mut fields = Fields::new();
        let texts = self.set.iter().chain(&self.add);
        texts.into_iter().try_for_each(|(name, text)| fields.push(name, text.as_str().as_bytes()))
    }

    fn apply(&self, fields: &mut Fields, request: &Sketch<'_>) {
        for name in &self.remove {
            fields.remove_spelled(name.as_bytes());
        }
        for (name, _) in &self.set {
            fields.remove_spelled(name.as_bytes());
        }
        let mut value = Vec::new();
        for (name, template) in self.set.iter().chain(&self.add) {
            value.clear();
            template.fill(request, &mut value);
            if let Err(error) = fields.push(name, &value) {
                tracing::debug!(field = %name, %error, "a field was left out");
            }
        }
    }

    fn says(&self, what: &str) -> Option<String> {
        let list = |verb: &str, names: &mut dyn Iterator<Item = &String>| {
            let names: Vec<&str> = names.map(String::as_str).collect();
            (!names.is_empty()).then(|| format!("{verb} {}", names.join(", ")))
        };
        let parts: Vec<String> = [
            list("removes", &mut self.remove.iter()),
            list("sets", &mut self.set.iter().map(|(name, _)| name)),
            list("adds", &mut self.add.iter().map(|(name, _)| name)),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| format!("{what}: {}", parts.join("; ")))
    }
}

/// Passes requests to another backend with their fields changed, and changes the fields of its responses.
///
/// Whoever holds this backend gets the request back as it was: what comes after a pass or a retry sees the
/// client's own fields. The templates of both directions are filled in from the request as the client sent
/// it.
pub struct Headers {
    name: String,
    backend: Rc<dyn Backend>,
    request: FieldEdits,
    response: FieldEdits,
}

impl Headers {
    /// Changes what goes to `backend` and what comes back.
    ///
    /// # Errors
    /// If a field could not stand in a head.
    pub fn new(
        name: impl Into<String>,
        backend: Rc<dyn Backend>,
        request: FieldEdits,
        response: FieldEdits,
    ) -> Result<Headers, InvalidField> {
        request.check()?;
        response.check()?;
        Ok(Headers { name: name.into(), backend, request, response })
    }

    async fn pass(&self, exchange: &mut Exchange) -> Result<crate::Response, crate::Failure> {
        let mut exchange = Restore::new(exchange);
        if !self.request.is_empty() {
            exchange.save();
            let mut changed = exchange.request.fields.clone();
            self.request.apply(&mut changed, &exchange.sketch());
            exchange.request.fields = changed;
        }
        let mut response = self.backend.call(&mut exchange).await?;
        if !self.response.is_empty() {
            self.response.apply(&mut response.head.fields, &exchange.sketch());
        }
        Ok(response)
    }

    fn says(&self) -> String {
        let parts = [self.request.says("request"), self.response.says("response")];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }
}

impl Backend for Headers {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        Box::pin(self.pass(exchange))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn children(&self) -> &[Rc<dyn Backend>] {
        std::slice::from_ref(&self.backend)
    }

    fn report(&self) -> Report {
        Report::of(self, "headers", self.says())
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        let mut changed = request.fields.clone();
        self.request.apply(&mut changed, request);
        Explanation {
            backend: self.name.clone(),
            kind: "headers",
            says: self.says(),
            detail: None,
            next: vec![self.backend.explain(&Sketch { fields: &changed, ..*request })],
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use waypost_http1::{Host, Scheme};

    use super::*;

    fn edits(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> FieldEdits {
        let own = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), Template::new(*text))).collect()
        };
        FieldEdits {
            remove: remove.iter().map(|name| (*name).to_owned()).collect(),
            set: own(set),
            add: own(add),
        }
    }

    #[test]
    fn fields_are_removed_then_set_then_added() {
        let host = Host::parse(b"a.example").unwrap().0;
        let mut fields = Fields::new();
        for (name, value) in [("X-Old", "1"), ("Cookie", "a"), ("cookie", "b"), ("X-Two", "1")] {
            fields.push(name, value.as_bytes()).unwrap();
        }
        let own = fields.clone();
        let request = Sketch {
            method: &Method::GET,
            scheme: Scheme::Http,
            host: &host,
            port: None,
            target: b"/x?y",
            fields: &own,
        };
        let edits = edits(&["x-old"], &[("Cookie", "$host$path")], &[("X-Two", "2"), ("X-Old", "new")]);
        edits.apply(&mut fields, &request);
        let mut text = Vec::new();
        fields.write_to(&mut text);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text, "X-Two: 1\r\nCookie: a.example/x\r\nX-Two: 2\r\nX-Old: new\r\n");
    }

    #[test]
    fn a_text_that_would_end_its_field_is_refused() {
        assert!(edits(&[], &[("X", "a\r\nY: b")], &[]).check().is_err());
        assert!(edits(&[], &[], &[("X Y", "a")]).check().is_err());
        assert!(edits(&[], &[("X", "a b")], &[]).check().is_ok());
    }
}
