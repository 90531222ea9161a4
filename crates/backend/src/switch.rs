//! `switch`: chooses a backend by what the request is.

use std::rc::Rc;

use http::{Method, StatusCode};

use crate::backend::{Backend, Call, Explanation, Probe, Report, Sketch};
use crate::exchange::Exchange;
use crate::response::Response;

/// What a request must be for one case. All that is said must hold; a case that says nothing always does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Case {
    /// One of these hosts; none: any.
    pub hosts: Vec<HostPattern>,
    /// A path that begins with this, on whole segments: `/api` is that of `/api` and `/api/x`, not of `/apix`.
    pub path: Option<String>,
    /// One of these methods; none: any.
    pub methods: Vec<Method>,
    /// A field of this name, with this value if one is given.
    pub header: Option<(String, Option<String>)>,
}

/// A host, or all below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// That host.
    Exact(String),
    /// `*.example.com`: any host below that, at any depth, and not that itself.
    Below(String),
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(name) => host == name,
            HostPattern::Below(name) => {
                host.len() > name.len() + 1 && host.ends_with(name.as_str())
                    // The dot in front of the name.
                    && host.as_bytes()[host.len() - name.len() - 1] == b'.'
            }
        }
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HostPattern::Exact(name) => f.write_str(name),
            HostPattern::Below(name) => write!(f, "*.{name}"),
        }
    }
}

impl Case {
    fn matches(&self, request: &Sketch<'_>) -> bool {
        let host = request.host.as_str();
        (self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(host)))
            && self.path.as_ref().is_none_or(|prefix| covers(prefix.as_bytes(), request.path()))
            && (self.methods.is_empty() || self.methods.contains(request.method))
            && self.header.as_ref().is_none_or(|(name, value)| has(request, name, value.as_deref()))
    }
}

/// Whether a path is the prefix or below it.
fn covers(prefix: &[u8], path: &[u8]) -> bool {
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

fn has(request: &Sketch<'_>, name: &str, value: Option<&str>) -> bool {
    let mut found = request.fields.iter().filter(|field| field.spelled.eq_ignore_ascii_case(name.as_bytes()));
    found.any(|field| value.is_none_or(|value| field.value == value.as_bytes()))
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        let words = |list: Vec<String>| list.join(" or ");
        if !self.hosts.is_empty() {
            parts.push(format!("host {}", words(self.hosts.iter().map(ToString::to_string).collect())));
        }
        parts.extend(self.path.as_ref().map(|path| format!("path {path}")));
        if !self.methods.is_empty() {
            parts.push(format!("method {}", words(self.methods.iter().map(ToString::to_string).collect())));
        }
        parts.extend(self.header.as_ref().map(|(name, value)| match value {
            Some(value) => format!("field {name}: {value}"),
            None => format!("field {name}"),
        }));
        f.write_str(if parts.is_empty() { "any request" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// Passes a request to the backend of the first case that matches it, else to the default, else answers 404.
pub struct Switch {
    name: String,
    /// Each with the index of its backend.
    cases: Vec<(Case, usize)>,
    default: Option<usize>,
    backends: Vec<Rc<dyn Backend>>,
}

impl Switch {
    /// Chooses among cases in their order.
    pub fn new(
        name: impl Into<String>,
        cases: Vec<(Case, Rc<dyn Backend>)>,
        default: Option<Rc<dyn Backend>>,
    ) -> Switch {
        let mut backends: Vec<Rc<dyn Backend>> = Vec::new();
        let mut index = |backend: Rc<dyn Backend>| {
            let known = backends.iter().position(|known| Rc::ptr_eq(known, &backend));
            known.unwrap_or_else(|| {
                backends.push(backend);
                backends.len() - 1
            })
        };
        let cases = cases.into_iter().map(|(case, backend)| (case, index(backend))).collect();
        let default = default.map(index);
        Switch { name: name.into(), cases, default, backends }
    }

    /// The backend of a request, and the case that led there.
    fn choose(&self, request: &Sketch<'_>) -> Option<(&Rc<dyn Backend>, Option<&Case>)> {
        let case = self.cases.iter().find(|(case, _)| case.matches(request));
        match case {
            Some((case, index)) => Some((&self.backends[*index], Some(case))),
            None => self.default.map(|index| (&self.backends[index], None)),
        }
    }
}

impl Backend for Switch {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        match self.choose(&exchange.sketch()) {
            Some((backend, _)) => backend.call(exchange),
            None => {
                let text = format!("waypost: {} has no backend for this request", self.name);
                Box::pin(std::future::ready(Ok(Response::text(StatusCode::NOT_FOUND, text))))
            }
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn children(&self) -> &[Rc<dyn Backend>] {
        &self.backends
    }

    /// As long as one of its backends would take a request, some requests are taken.
    fn is_up(&self) -> bool {
        self.backends.iter().any(|backend| backend.is_up())
    }

    fn probe(&self) -> Probe<'_> {
        Box::pin(async move {
            let mut last = Ok(());
            for backend in &self.backends {
                last = backend.probe().await;
                if last.is_ok() {
                    break;
                }
            }
            last
        })
    }

    fn report(&self) -> Report {
        Report::of(
            self,
            "switch",
            format!(
                "{} cases, {}",
                self.cases.len(),
                match self.default {
                    Some(index) => format!("else {}", self.backends[index].name()),
                    None => "else 404".to_owned(),
                }
            ),
        )
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        let chosen = self.choose(request);
        let says = match &chosen {
            Some((backend, Some(case))) => format!("{case}: {}", backend.name()),
            Some((backend, None)) => format!("no case matches: {}", backend.name()),
            None => "answers 404: no case matches, and there is no default".to_owned(),
        };
        Explanation {
            backend: self.name.clone(),
            kind: "switch",
            says,
            detail: None,
            next: chosen.into_iter().map(|(backend, _)| backend.explain(request)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use waypost_http1::{Fields, Host, Scheme};

    use super::*;

    fn matches(case: &Case, method: Method, host: &str, target: &str, field: Option<(&str, &str)>) -> bool {
        let host = Host::parse(host.as_bytes()).unwrap().0;
        let mut fields = Fields::new();
        if let Some((name, value)) = field {
            fields.push(name, value.as_bytes()).unwrap();
        }
        case.matches(&Sketch {
            method: &method,
            scheme: Scheme::Http,
            host: &host,
            port: None,
            target: target.as_bytes(),
            fields: &fields,
        })
    }

    #[test]
    fn a_path_is_matched_on_whole_segments() {
        for (prefix, target, expected) in [
            ("/api", "/api", true),
            ("/api", "/api/x", true),
            ("/api", "/api?x=/", true),
            ("/api", "/apix", false),
            ("/api/", "/api", true),
            ("/", "/anything", true),
            ("/a/b", "/a", false),
        ] {
            let case = Case { path: Some(prefix.to_owned()), ..Case::default() };
            assert_eq!(matches(&case, Method::GET, "a", target, None), expected, "{prefix} of {target}");
        }
    }

    #[test]
    fn a_wildcard_matches_below_and_not_the_name_itself() {
        let case = Case { hosts: vec![HostPattern::Below("b.example".into())], ..Case::default() };
        for (host, expected) in
            [("x.b.example", true), ("y.x.b.example", true), ("b.example", false), ("xb.example", false)]
        {
            assert_eq!(matches(&case, Method::GET, host, "/", None), expected, "{host}");
        }
    }

    #[test]
    fn all_that_a_case_says_must_hold() {
        let case = Case {
            methods: vec![Method::GET, Method::HEAD],
            header: Some(("X-Canary".into(), Some("1".into()))),
            ..Case::default()
        };
        assert!(matches(&case, Method::HEAD, "a", "/", Some(("x-canary", "1"))));
        assert!(!matches(&case, Method::POST, "a", "/", Some(("x-canary", "1"))));
        assert!(!matches(&case, Method::GET, "a", "/", Some(("x-canary", "10"))));
        assert!(!matches(&case, Method::GET, "a", "/", None));
        let any = Case { header: Some(("X-Canary".into(), None)), ..Case::default() };
        assert!(matches(&any, Method::GET, "a", "/", Some(("X-CANARY", "no"))));
        assert!(matches(&Case::default(), Method::GET, "a", "/", None), "a case that says nothing");
    }
}
