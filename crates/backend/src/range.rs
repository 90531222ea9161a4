//! Range requests (RFC 9110 §14): which bytes of a representation are asked for.

use std::ops::Range;

use waypost_http1::Fields;

/// A request for more ranges than this gets the whole: it is somebody who wants to make work.
const MOST_RANGES: usize = 16;

/// What a `Range` field comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// There is none, or none that is to be heeded: 200 and the whole.
    Whole,
    /// 206: these, at least one, none of them empty.
    Parts(Vec<Range<u64>>),
    /// 416: none of them is within the representation.
    Unsatisfiable,
}

/// The ranges that a request asks for of a representation of `length` bytes.
///
/// A field that can't be read, has another unit than bytes, more ranges than are reasonable, or asks in sum
/// for more than there is, is as if it were not there (RFC 9110 §14.2).
pub fn ranges(fields: &Fields, length: u64) -> Ranges {
    let mut lines = fields.iter().filter(|field| field.spelled.eq_ignore_ascii_case(b"range"));
    match (lines.next(), lines.next()) {
        (Some(field), None) => parse(field.value, length).unwrap_or(Ranges::Whole),
        _ => Ranges::Whole,
    }
}

/// Reads the field's value; none when it is malformed or unreasonable.
pub fn parse(value: &[u8], length: u64) -> Option<Ranges> {
    let text = std::str::from_utf8(value).ok()?;
    let (unit, list) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut parts = Vec::new();
    let mut count = 0;
    for spec in list.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        count += 1;
        if count > MOST_RANGES {
            return None;
        }
        let (first, last) = spec.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let range = match (first, last) {
            (None, None) => return None,
            // The last so many.
            (None, Some(count)) => length.saturating_sub(count)..length,
            (Some(first), None) => first..length,
            (Some(first), Some(last)) if last < first => return None,
            (Some(first), Some(last)) => first..length.min(last.saturating_add(1)),
        };
        if range.start < range.end {
            parts.push(range);
        }
    }
    if count == 0 {
        return None;
    }
    if parts.is_empty() {
        return Some(Ranges::Unsatisfiable);
    }
    let sum = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.end - part.start));
    (sum <= length).then_some(Ranges::Parts(parts))
}

/// A run of digits as a number, none for no digits; one too large for 64 bits is as large as they go.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        let parts =
            |list: &[(u64, u64)]| Some(Ranges::Parts(list.iter().map(|(start, end)| *start..*end).collect()));
        for (value, expected) in [
            ("bytes=0-499", parts(&[(0, 500)])),
            ("bytes=500-999", parts(&[(500, 1000)])),
            ("bytes=500-5000", parts(&[(500, 1000)])),
            ("bytes=-500", parts(&[(500, 1000)])),
            ("bytes=-5000", parts(&[(0, 1000)])),
            ("bytes=999-", parts(&[(999, 1000)])),
            ("Bytes = 0-0 , -1", parts(&[(0, 1), (999, 1000)])),
            ("bytes=0-0,2000-", parts(&[(0, 1)])),
            ("bytes=0-18446744073709551615", parts(&[(0, 1000)])),
            ("bytes=0-99999999999999999999", parts(&[(0, 1000)])),
            ("bytes=1000-", Some(Ranges::Unsatisfiable)),
            ("bytes=-0", Some(Ranges::Unsatisfiable)),
            ("bytes=", None),
            ("bytes=,", None),
            ("bytes=-", None),
            ("bytes=2-1", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("bytes 0-1", None),
            ("lines=0-1", None),
            ("bytes=0-,0-", None),
        ] {
            assert_eq!(parse(value.as_bytes(), 1000), expected, "{value}");
        }
        assert_eq!(parse(b"bytes=0-", 0), Some(Ranges::Unsatisfiable));
        let many: Vec<String> = (0..17).map(|at| format!("{at}-{at}")).collect();
        assert_eq!(parse(format!("bytes={}", many.join(",")).as_bytes(), 1000), None);
    }

    proptest! {
        #[test]
        fn what_is_asked_for_is_there(value in "(bytes=)?[0-9,\\- ]{0,40}", length in 0u64..2000) {
            if let Some(Ranges::Parts(parts)) = parse(value.as_bytes(), length) {
                prop_assert!(!parts.is_empty());
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
                prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= length);
            }
        }
    }
}
