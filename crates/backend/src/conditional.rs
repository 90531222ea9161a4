//! Conditional requests (RFC 9110 §13): whether a client that has a copy needs another, and whether one that
//! would change something still means what is there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use waypost_http1::Fields;

/// What tells one state of a resource from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// The entity tag, with its quotes, and `W/` in front if it is a weak one.
    pub etag: Option<String>,
    /// When it changed last.
    pub modified: Option<SystemTime>,
}

/// What a request's conditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is to be answered as if there were none.
    Proceed,
    /// 304: the client's copy is still good.
    NotModified,
    /// 412: the resource is not what the client means.
    Failed,
}

/// Evaluates the conditions of a request in the order of RFC 9110 §13.2.2. A field that can't be read is as
/// if it were not there, as each of them asks for.
pub fn evaluate(method: &Method, fields: &Fields, validators: &Validators) -> Verdict {
    let safe = method == Method::GET || method == Method::HEAD;
    if let Some(tags) = all(fields, "if-match") {
        if !names(&tags, validators, strong) {
            return Verdict::Failed;
        }
    } else if let Some(since) = date(fields, "if-unmodified-since")
        && validators.modified.is_some_and(|modified| seconds(modified) > seconds(since))
    {
        return Verdict::Failed;
    }
    if let Some(tags) = all(fields, "if-none-match") {
        if names(&tags, validators, weak) {
            return if safe { Verdict::NotModified } else { Verdict::Failed };
        }
    } else if safe
        && let Some(since) = date(fields, "if-modified-since")
        && validators.modified.is_some_and(|modified| seconds(modified) <= seconds(since))
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether the ranges that are asked for are ranges of what is there (RFC 9110 §13.1.5): yes without an
/// `If-Range`, and with one that names this state exactly.
pub fn range_holds(fields: &Fields, validators: &Validators) -> bool {
    let Some(condition) = fields.find("if-range") else { return true };
    if condition.starts_with(b"\"") || condition.starts_with(b"W/") {
        return validators.etag.as_deref().is_some_and(|etag| strong(condition, etag.as_bytes()));
    }
    let since = std::str::from_utf8(condition).ok().and_then(|text| httpdate::parse_http_date(text).ok());
    // A date is a strong validator only where the state is older than a second by the client's own words;
    // what we send is of a time at rest, and any other date doesn't match.
    matches!((since, validators.modified), (Some(since), Some(modified)) if seconds(since) == seconds(modified))
}

/// All lines of a field as one list.
fn all(fields: &Fields, name: &str) -> Option<Vec<u8>> {
    let mut joined: Option<Vec<u8>> = None;
    for field in fields.iter().filter(|field| field.spelled.eq_ignore_ascii_case(name.as_bytes())) {
        let list = joined.get_or_insert_default();
        if !list.is_empty() {
            list.push(b',');
        }
        list.extend_from_slice(field.value);
    }
    joined
}

fn date(fields: &Fields, name: &str) -> Option<SystemTime> {
    let text = std::str::from_utf8(fields.find(name)?).ok()?;
    httpdate::parse_http_date(text).ok()
}

/// Whether a list of entity tags names this state; `*` names any.
fn names(list: &[u8], validators: &Validators, same: fn(&[u8], &[u8]) -> bool) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let Some(etag) = &validators.etag else { return false };
    tags(list).any(|tag| same(tag, etag.as_bytes()))
}

/// The entity tags of a list. A comma within quotes is part of a tag.
fn tags(mut list: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let start = list.iter().position(|byte| !b" \t,".contains(byte))?;
        list = &list[start..];
        let open = list.iter().position(|byte| *byte == b'"')?;
        let close = list[open + 1..].iter().position(|byte| *byte == b'"')? + open + 2;
        let tag;
        (tag, list) = list.split_at(close);
        Some(tag)
    })
}

/// RFC 9110 §8.8.3.2: the strong comparison.
fn strong(one: &[u8], other: &[u8]) -> bool {
    one == other && !one.starts_with(b"W/")
}

/// RFC 9110 §8.8.3.2: the weak comparison.
fn weak(one: &[u8], other: &[u8]) -> bool {
    let opaque = |tag| <[u8]>::strip_prefix(tag, b"W/").unwrap_or(tag).to_vec();
    opaque(one) == opaque(other)
}

/// A date in a field has no fractions of a second.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "Tue, 01 Sep 2020 00:00:00 GMT";
    const NOW: &str = "Tue, 01 Sep 2026 00:00:00 GMT";
    const NEW: &str = "Wed, 01 Sep 2027 00:00:00 GMT";

    fn validators() -> Validators {
        Validators {
            etag: Some("\"a,b\"".into()),
            modified: httpdate::parse_http_date(NOW).ok().map(|time| time + Duration::from_millis(500)),
        }
    }

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        list.iter().for_each(|(name, value)| fields.push(name, value.as_bytes()).unwrap());
        fields
    }

    #[test]
    fn conditions_are_taken_in_their_order() {
        use Verdict::{Failed, NotModified, Proceed};
        let cases: &[(&[(&str, &str)], Verdict)] = &[
            (&[], Proceed),
            (&[("If-None-Match", "\"a,b\"")], NotModified),
            (&[("If-None-Match", "W/\"a,b\"")], NotModified),
            (&[("If-None-Match", "\"x\", \"a,b\" , \"y\"")], NotModified),
            (&[("If-None-Match", "\"x\""), ("If-None-Match", "\"a,b\"")], NotModified),
            (&[("If-None-Match", "*")], NotModified),
            (&[("If-None-Match", "\"a\"")], Proceed),
            (&[("If-None-Match", "a,b")], Proceed),
            (&[("If-None-Match", "\"x\""), ("If-Modified-Since", NEW)], Proceed),
            (&[("If-Modified-Since", NOW)], NotModified),
            (&[("If-Modified-Since", NEW)], NotModified),
            (&[("If-Modified-Since", OLD)], Proceed),
            (&[("If-Modified-Since", "yesterday")], Proceed),
            (&[("If-Match", "\"a,b\"")], Proceed),
            (&[("If-Match", "W/\"a,b\"")], Failed),
            (&[("If-Match", "*")], Proceed),
            (&[("If-Match", "\"x\"")], Failed),
            (&[("If-Match", "\"a,b\""), ("If-Unmodified-Since", OLD)], Proceed),
            (&[("If-Unmodified-Since", OLD)], Failed),
            (&[("If-Unmodified-Since", NOW)], Proceed),
            (&[("If-Match", "\"a,b\""), ("If-None-Match", "\"a,b\"")], NotModified),
        ];
        for (list, expected) in cases {
            assert_eq!(evaluate(&Method::GET, &fields(list), &validators()), *expected, "{list:?}");
        }
        let put = |list: &[(&str, &str)]| evaluate(&Method::PUT, &fields(list), &validators());
        assert_eq!(put(&[("If-None-Match", "*")]), Failed);
        assert_eq!(put(&[("If-Modified-Since", NEW)]), Proceed);
    }

    #[test]
    fn a_range_is_one_of_what_is_named_exactly() {
        let holds = |list: &[(&str, &str)]| range_holds(&fields(list), &validators());
        assert!(holds(&[]));
        assert!(holds(&[("If-Range", "\"a,b\"")]));
        assert!(holds(&[("If-Range", NOW)]));
        for value in ["\"x\"", "W/\"a,b\"", OLD, NEW, "", "nonsense"] {
            assert!(!holds(&[("If-Range", value)]), "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_list_makes_it_panic(list in "[\"W/a, *]{0,30}") {
            let fields = fields(&[("If-None-Match", &list), ("If-Match", &list), ("If-Range", &list)]);
            let _ = evaluate(&Method::GET, &fields, &validators());
            let _ = range_holds(&fields, &validators());
        }
    }
}
