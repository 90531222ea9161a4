//! Where a `Location` leads, seen from the request it answers (RFC 9110 §10.2.2, RFC 3986 §5.2).

use waypost_http1::{Host, Scheme};

use crate::backend::Sketch;

/// The target that a `Location` names, if it is on the host and port that the request asked for: path and
/// query, without a fragment. `None`: it leads elsewhere, or is no reference of `http`.
pub(crate) fn target_here(request: &Sketch<'_>, location: &[u8]) -> Option<Vec<u8>> {
    let reference = location.split(|byte| *byte == b'#').next().unwrap_or_default();
    if reference.is_empty() || !reference.iter().all(|byte| matches!(byte, b'!'..=b'~')) {
        return None;
    }
    let (scheme, rest) = split_scheme(reference)?;
    let rest = match rest.strip_prefix(b"//") {
        Some(rest) => {
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            if !is_here(request, scheme.unwrap_or(request.scheme), &rest[..end]) {
                return None;
            }
            // An authority without a path means its root.
            if rest.get(end) == Some(&b'/') { rest[end..].to_vec() } else { [b"/", &rest[end..]].concat() }
        }
        // `http:/path` names no host.
        None if scheme.is_some() => return None,
        None => rest.to_vec(),
    };
    let (path, query) = rest.split_at(rest.iter().position(|byte| *byte == b'?').unwrap_or(rest.len()));
    let base = request.path();
    let path = match path {
        [] => base.to_vec(),
        [b'/', ..] => without_dots(path),
        _ => {
            let directory = base.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            without_dots(&[&base[..directory], path].concat())
        }
    };
    (path.first() == Some(&b'/')).then(|| [&path, query].concat())
}

/// Parts a reference into its scheme, if it has one, and the rest. `None`: a scheme that is not ours.
fn split_scheme(reference: &[u8]) -> Option<(Option<Scheme>, &[u8])> {
    let end = reference.iter().position(|byte| matches!(byte, b':' | b'/' | b'?'));
    match end {
        Some(end) if reference[end] == b':' => {
            let (scheme, rest) = (&reference[..end], &reference[end + 1..]);
            let known = [Scheme::Http, Scheme::Https]
                .into_iter()
                .find(|known| scheme.eq_ignore_ascii_case(known.as_str().as_bytes()))?;
            Some((Some(known), rest))
        }
        _ => Some((None, reference)),
    }
}

/// Whether an authority is the one that the request asked for. A port that its scheme implies is none.
fn is_here(request: &Sketch<'_>, scheme: Scheme, authority: &[u8]) -> bool {
    let named = |port: Option<u16>, scheme: Scheme| port.filter(|port| *port != scheme.default_port());
    Host::parse(authority).is_ok_and(|(host, port)| {
        host == *request.host && named(port, scheme) == named(request.port, request.scheme)
    })
}

/// The path without its `.` and `..` (RFC 3986 §5.2.4).
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut parts = path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        match part {
            b"." | b".." => {
                if part == b".." {
                    segments.pop();
                }
                // What a dot stood for is a directory.
                if is_last {
                    segments.push(b"");
                }
            }
            part => segments.push(part),
        }
    }
    [b"/", segments.join(&b'/').as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use proptest::prelude::*;
    use waypost_http1::Fields;

    fn to(authority: &str, target: &str, location: &[u8]) -> Option<String> {
        let (host, port) = Host::parse(authority.as_bytes()).unwrap();
        let request = Sketch {
            method: &Method::GET,
            scheme: Scheme::Http,
            host: &host,
            port,
            target: target.as_bytes(),
            fields: &Fields::new(),
        };
        target_here(&request, location).map(|target| String::from_utf8(target).unwrap())
    }

    #[test]
    fn a_reference_is_resolved_against_the_request() {
        for (location, target) in [
            ("/x", "/x"),
            ("/x?y=z#part", "/x?y=z"),
            ("/", "/"),
            ("d", "/a/b/d"),
            ("d/", "/a/b/d/"),
            ("./d", "/a/b/d"),
            ("../d", "/a/d"),
            ("..", "/a/"),
            (".", "/a/b/"),
            ("../../../d", "/d"),
            ("/x/./y/../z", "/x/z"),
            ("/x/..", "/"),
            ("/x//y", "/x//y"),
            ("?q", "/a/b/c?q"),
            ("d?../e", "/a/b/d?../e"),
            ("http://h.test/x?y", "/x?y"),
            ("HTTP://H.test:80/x", "/x"),
            ("http://h.test", "/"),
            ("http://h.test?q", "/?q"),
            ("https://h.test:443/x", "/x"),
            ("//h.test/x", "/x"),
            ("/x:y", "/x:y"),
        ] {
            assert_eq!(to("h.test", "/a/b/c?p", location.as_bytes()).as_deref(), Some(target), "{location}");
        }
        assert_eq!(to("h.test:8080", "/", b"http://h.test:8080/x").as_deref(), Some("/x"));
        assert_eq!(to("h.test:80", "/", b"http://h.test/x").as_deref(), Some("/x"));
        assert_eq!(to("[::1]:81", "/", b"http://[::1]:81/x").as_deref(), Some("/x"));
    }

    #[test]
    fn what_leads_elsewhere_is_nowhere_here() {
        for location in [
            "",
            "#part",
            "http://other.test/x",
            "//other.test/x",
            "http://h.test:8080/x",
            "http://u@h.test/x",
            "http:///x",
            "http:/x",
            "http:x",
            "ftp://h.test/x",
            "mailto:h.test",
            "//",
            "/a b",
            "/\u{e9}",
            "/a\tb",
        ] {
            assert_eq!(to("h.test", "/a", location.as_bytes()), None, "{location}");
        }
        assert_eq!(to("h.test", "*", b"?x"), None, "a request for the server as a whole has no path");
    }

    proptest! {
        #[test]
        fn every_target_can_stand_in_a_request_line(location: Vec<u8>, path in "(/[a-z.]{0,3}){1,4}") {
            if let Some(target) = to("h.test", &path, &location) {
                let mut head = waypost_http1::RequestHead::default();
                prop_assert!(head.set_target(target.as_bytes()).is_ok(), "{target:?}");
            }
        }

        #[test]
        fn no_dots_are_left_and_nothing_else_is_lost(path in "(/|/[.]|/[.][.]|/a|/b){0,8}") {
            let clean = String::from_utf8(without_dots(path.as_bytes())).unwrap();
            prop_assert!(clean.starts_with('/'), "{clean}");
            prop_assert!(clean.split('/').all(|part| part != "." && part != ".."), "{clean}");
            let again = String::from_utf8(without_dots(clean.as_bytes())).unwrap();
            prop_assert_eq!(&again, &clean);
            if !path.contains('.') && !path.is_empty() {
                prop_assert_eq!(clean, path);
            }
        }
    }
}
