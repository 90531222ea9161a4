//! `redirect`: an answer that sends the client elsewhere.

use http::StatusCode;
use waypost_http1::Name;

use crate::backend::{Backend, Call, Explanation, Report, Sketch};
use crate::exchange::Exchange;
use crate::response::Response;

/// Answers every request with a `Location`.
///
/// In the template `$host` stands for the host, `$path` for the path, `$query` for the query with its
/// question mark (empty without one) and `$scheme` for `http` or `https`; every other character stands
/// for itself.
#[derive(Debug)]
pub struct Redirect {
    name: String,
    status: StatusCode,
    template: String,
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Host,
    Path,
    Query,
    Scheme,
}

impl Redirect {
    /// A redirect with a 3xx status to what the template gives.
    pub fn new(name: impl Into<String>, status: StatusCode, template: impl Into<String>) -> Redirect {
        let template = template.into();
        Redirect { name: name.into(), status, parts: parts(&template), template }
    }

    fn location(&self, scheme: &str, host: &str, target: &str) -> String {
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        let mut location = String::new();
        for part in &self.parts {
            location.push_str(match part {
                Part::Text(text) => text,
                Part::Host => host,
                Part::Path => path,
                Part::Query => query,
                Part::Scheme => scheme,
            });
        }
        // A path of `//evil.example` behind an empty authority would name another host.
        if location.starts_with("//") && !self.template.starts_with("//") {
            let rest = location.trim_start_matches('/').len();
            location.replace_range(..location.len() - rest, "/");
        }
        location
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

impl Backend for Redirect {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        let target = String::from_utf8_lossy(exchange.request.target());
        let location = self.location(exchange.downstream.scheme.as_str(), exchange.host.as_str(), &target);
        let mut response = Response::text(self.status, format!("See {location}"));
        response.add(Name::Location, location.as_bytes());
        Box::pin(std::future::ready(Ok(response)))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn report(&self) -> Report {
        Report {
            name: self.name.clone(),
            kind: "redirect",
            up: true,
            detail: format!("{} to {}", self.status.as_u16(), self.template),
            children: Vec::new(),
        }
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        let target = String::from_utf8_lossy(request.target);
        let location = self.location(request.scheme.as_str(), request.host.as_str(), &target);
        Explanation {
            backend: self.name.clone(),
            kind: "redirect",
            says: format!("answers {} with Location: {location}", self.status.as_u16()),
            detail: None,
            next: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_in() {
        let to = |template: &str, target: &str| {
            Redirect::new("r", StatusCode::FOUND, template).location("http", "a.example", target)
        };
        assert_eq!(to("https://$host$path$query", "/x/y?z=1"), "https://a.example/x/y?z=1");
        assert_eq!(to("$scheme://b.example/$", "/x"), "http://b.example/$");
        assert_eq!(to("https://b.example/cost$5", "/x"), "https://b.example/cost$5");
        assert_eq!(to("$path", "/x?y"), "/x");
    }

    #[test]
    fn a_path_can_not_name_another_host() {
        let redirect = Redirect::new("r", StatusCode::FOUND, "$path");
        assert_eq!(redirect.location("http", "a", "//evil.example/x"), "/evil.example/x");
    }
}
