//! One case of a `switch` as a configuration writes it.

use http::Method;
use toml::de::DeValue;
use waypost_backend::{Case as Matches, HostPattern};
use waypost_http1::{Fields, Host};

use crate::config::{Setting, did_you_mean, expected, quoted};

/// What a request must be, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What it must be.
    pub matches: Matches,
    /// The backend's name.
    pub backend: String,
}

const KEYS: [&str; 5] = ["backend", "host", "path", "method", "header"];

impl Setting for Case {
    fn kind() -> String {
        "a case as { path = \"/api\", backend = \"api\" }".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Err(format!("expected {}, found {text:?}", Self::kind()))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let table = value.as_table().ok_or_else(|| expected(&Self::kind(), value))?;
        let (mut matches, mut backend) = (Matches::default(), None);
        for (key, value) in table {
            let (key, value) = (key.get_ref().as_ref(), value.get_ref());
            let problem = |message: String| format!("`{key}`: {message}");
            match key {
                "backend" => backend = Some(String::read(value).map_err(problem)?),
                "host" => matches.hosts = words(value, host).map_err(problem)?,
                "method" => matches.methods = words(value, method).map_err(problem)?,
                "path" => matches.path = Some(path(String::read(value).map_err(problem)?).map_err(problem)?),
                "header" => {
                    matches.header = Some(header(&String::read(value).map_err(problem)?).map_err(problem)?);
                }
                other => return Err(format!("unknown key `{other}`{}", did_you_mean(other, KEYS))),
            }
        }
        let backend =
            backend.ok_or("a case lacks its `backend`: write { path = \"/api\", backend = \"api\" }")?;
        if matches == Matches::default() {
            return Err(format!(
                "the case of {backend:?} says nothing that a request must be: write host, path, method or \
                 header, or make it the `default`"
            ));
        }
        Ok(Self { matches, backend })
    }

    fn show(&self) -> Option<String> {
        let list = |words: Vec<String>| -> Option<String> {
            let words: Option<Vec<String>> = words.into_iter().map(quoted).collect();
            Some(format!("[{}]", words?.join(", ")))
        };
        let Matches { hosts, path, methods, header } = &self.matches;
        let mut parts = Vec::new();
        if !hosts.is_empty() {
            parts.push(format!("host = {}", list(hosts.iter().map(ToString::to_string).collect())?));
        }
        if let Some(path) = path {
            parts.push(format!("path = {}", quoted(path)?));
        }
        if !methods.is_empty() {
            parts.push(format!("method = {}", list(methods.iter().map(ToString::to_string).collect())?));
        }
        if let Some((name, value)) = header {
            let text = value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}: {value}"));
            parts.push(format!("header = {}", quoted(text)?));
        }
        parts.push(format!("backend = {}", quoted(&self.backend)?));
        Some(format!("{{ {} }}", parts.join(", ")))
    }
}

/// One word, or a list of them.
fn words<T>(value: &DeValue<'_>, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let texts = match value {
        DeValue::Array(_) => Vec::<String>::read(value)?,
        other => vec![String::read(other)?],
    };
    if texts.is_empty() {
        return Err("names none: write one, or leave the key out".into());
    }
    texts.iter().map(|text| read(text)).collect()
}

fn host(text: &str) -> Result<HostPattern, String> {
    let (below, name) = match text.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, text),
    };
    match Host::parse(name.as_bytes()) {
        Ok((host, None)) if below => Ok(HostPattern::Below(host.as_str().to_owned())),
        Ok((host, None)) => Ok(HostPattern::Exact(host.as_str().to_owned())),
        Ok((_, Some(_))) => Err(format!("{text:?}: a host is matched without its port: take it out")),
        Err(error) => Err(format!("{text:?} is no host: {error}")),
    }
}

fn method(text: &str) -> Result<Method, String> {
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| format!("{text:?} is no method"))?;
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(format!("{text:?}: methods are case-sensitive: write {:?}", text.to_ascii_uppercase()));
    }
    Ok(method)
}

fn path(text: String) -> Result<String, String> {
    if !text.starts_with('/') || text.bytes().any(|byte| !byte.is_ascii_graphic() || b"?#".contains(&byte)) {
        return Err(format!("{text:?} is no path: it begins with / and has no query"));
    }
    Ok(text)
}

fn header(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name.trim(), Some(value.trim().to_owned())),
        None => (text.trim(), None),
    };
    if Fields::new().push(name, value.as_deref().unwrap_or_default().as_bytes()).is_err() {
        return Err(format!("{text:?} is no field: write \"X-Canary: 1\", or \"X-Canary\" for any value"));
    }
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<Case, String> {
        let text = format!("key = {toml}");
        let table = toml::de::DeTable::parse(&text).unwrap();
        Case::read(table.get_ref().get("key").unwrap().get_ref())
    }

    #[test]
    fn a_case_reads_back_as_it_is_shown() {
        for toml in [
            r#"{ path = "/api", backend = "api" }"#,
            r#"{ host = ["a.example", "*.b.example"], method = ["GET", "HEAD"], header = "X: 1", backend = "b" }"#,
        ] {
            let case = read(toml).unwrap();
            assert_eq!(case.show().unwrap(), toml);
            assert_eq!(read(&case.show().unwrap()).unwrap(), case);
        }
        assert_eq!(read(r#"{ host = "A.example.", backend = "b" }"#).unwrap().matches.hosts.len(), 1);
    }

    #[test]
    fn what_is_wrong_with_a_case_is_named() {
        for (toml, expected) in [
            (r#"{ path = "/api" }"#, "lacks its `backend`"),
            (r#"{ backend = "b" }"#, "says nothing"),
            (r#"{ paht = "/", backend = "b" }"#, "did you mean `path`?"),
            (r#"{ path = "api", backend = "b" }"#, "no path"),
            (r#"{ path = "/a?b", backend = "b" }"#, "no path"),
            (r#"{ method = "get", backend = "b" }"#, "write \"GET\""),
            (r#"{ method = [], backend = "b" }"#, "names none"),
            (r#"{ host = "a:80", backend = "b" }"#, "without its port"),
            (r#"{ host = "a b", backend = "b" }"#, "no host"),
            (r#"{ header = "X Y: 1", backend = "b" }"#, "no field"),
            (r#"{ path = 1, backend = "b" }"#, "expected a string"),
            (r#""x""#, "expected a case"),
        ] {
            let error = read(toml).unwrap_err();
            assert!(error.contains(expected), "{toml}: {error}");
        }
    }
}
