//! `redirect`: an answer that sends the client elsewhere.

use http::StatusCode;
use waypost_http1::Name;

use crate::backend::{Backend, Call, Explanation, Report, Sketch};
use crate::exchange::Exchange;
use crate::response::Response;
use crate::template::Template;

/// Answers every request with a `Location` made of a [`Template`].
#[derive(Debug)]
pub struct Redirect {
    name: String,
    status: StatusCode,
    template: Template,
}

impl Redirect {
    /// A redirect with a 3xx status to what the template gives.
    pub fn new(name: impl Into<String>, status: StatusCode, template: impl Into<String>) -> Redirect {
        Redirect { name: name.into(), status, template: Template::new(template) }
    }

    fn location(&self, request: &Sketch<'_>) -> Vec<u8> {
        let mut location = Vec::new();
        self.template.fill(request, &mut location);
        // A path of `//evil.example` behind an empty authority would name another host.
        if location.starts_with(b"//") && !self.template.as_str().starts_with("//") {
            let slashes = location.iter().take_while(|byte| **byte == b'/').count();
            location.drain(..slashes - 1);
        }
        location
    }
}

impl Backend for Redirect {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        let location = self.location(&exchange.sketch());
        let mut response = Response::text(self.status, format!("See {}", String::from_utf8_lossy(&location)));
        response.add(Name::Location, &location);
        Box::pin(std::future::ready(Ok(response)))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn report(&self) -> Report {
        Report::of(self, "redirect", format!("{} to {}", self.status.as_u16(), self.template.as_str()))
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        let location = String::from_utf8_lossy(&self.location(request)).into_owned();
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
    use http::Method;
    use waypost_http1::{Fields, Host, Scheme};

    use super::*;

    #[test]
    fn a_path_can_not_name_another_host() {
        let (host, fields) = (Host::parse(b"a.example").unwrap().0, Fields::new());
        let request = Sketch {
            method: &Method::GET,
            scheme: Scheme::Http,
            host: &host,
            port: None,
            target: b"//evil.example/x",
            fields: &fields,
        };
        let redirect = |template: &str| Redirect::new("r", StatusCode::FOUND, template).location(&request);
        assert_eq!(redirect("$path"), b"/evil.example/x");
        assert_eq!(redirect("//b.example$path"), b"//b.example//evil.example/x");
    }
}
