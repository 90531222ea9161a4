//! Texts with placeholders for parts of the request: where a redirect leads, what a field says.

use crate::backend::Sketch;

/// A text in which `$scheme`, `$host` (without the port), `$path` and `$query` (with its question mark, when
/// there is one) stand for the request's own. Any other dollar sign is itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Host,
    Path,
    Query,
    Scheme,
}

impl Template {
    /// Reads a text; every text is a template.
    pub fn new(text: impl Into<String>) -> Template {
        let text = text.into();
        Template { parts: parts(&text), text }
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Appends the text with the request's own in the place of placeholders.
    pub fn fill(&self, request: &Sketch<'_>, out: &mut Vec<u8>) {
        let path = request.path();
        for part in &self.parts {
            out.extend_from_slice(match part {
                Part::Text(text) => text.as_bytes(),
                Part::Host => request.host.as_bytes(),
                Part::Path => path,
                Part::Query => &request.target[path.len()..],
                Part::Scheme => request.scheme.as_str().as_bytes(),
            });
        }
    }
}

fn parts(mut template: &str) -> Vec<Part> {
    const NAMES: [(&str, Part); 4] =
        [("$host", Part::Host), ("$path", Part::Path), ("$query", Part::Query), ("$scheme", Part::Scheme)];
    let mut parts = Vec::new();
    while let Some(dollar) = template.find('$') {
        let known = NAMES.into_iter().find(|(name, _)| template[dollar..].starts_with(name));
        let length = known.as_ref().map_or(1, |(name, _)| name.len());
        let text = &template[..dollar + if known.is_some() { 0 } else { 1 }];
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        parts.extend(known.map(|(_, part)| part));
        template = &template[dollar + length..];
    }
    if !template.is_empty() {
        parts.push(Part::Text(template.to_owned()));
    }
    parts
}

#[cfg(test)]
mod tests {
    use http::Method;
    use waypost_http1::{Fields, Host, Scheme};

    use super::*;

    #[test]
    fn placeholders_stand_for_the_requests_own() {
        let (host, fields) = (Host::parse(b"A.example:81").unwrap().0, Fields::new());
        let fill = |template: &str, target: &str| {
            let request = Sketch {
                method: &Method::GET,
                scheme: Scheme::Http,
                host: &host,
                port: Some(81),
                target: target.as_bytes(),
                fields: &fields,
            };
            let mut out = Vec::new();
            Template::new(template).fill(&request, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(fill("https://$host$path$query", "/x/y?z=1"), "https://a.example/x/y?z=1");
        assert_eq!(fill("$scheme://b.example/$", "/x"), "http://b.example/$");
        assert_eq!(fill("https://b.example/cost$5", "/x"), "https://b.example/cost$5");
        assert_eq!(fill("$path", "/x?y"), "/x");
        assert_eq!(fill("$hostx", "/"), "a.examplex");
    }
}
