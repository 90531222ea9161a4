//! From a request's path to the name of a file below a directory, and never to one beside it.

/// Why a path leads to no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSuchPath;

/// A file's name relative to the root, in the file system's bytes, and whether the path says that it is a
/// directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relative {
    pub(crate) name: Vec<u8>,
    pub(crate) is_directory: bool,
}

/// Decodes a path. Segments that could lead anywhere else (`..`, `.`, a decoded slash, a zero byte) lead
/// nowhere: a client's own resolution of them comes before it sends the request (RFC 3986 §5.2.4), and one
/// that left them in wants to see what happens. Empty segments are left out, as file systems do.
///
/// Segments that begin with a dot are only found if `hidden`, but for `.well-known` (RFC 8615).
pub(crate) fn relative(path: &[u8], hidden: bool) -> Result<Relative, NoSuchPath> {
    let rest = path.strip_prefix(b"/").ok_or(NoSuchPath)?;
    let mut name = Vec::with_capacity(rest.len());
    for segment in rest.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()) {
        if !name.is_empty() {
            name.push(b'/');
        }
        let start = name.len();
        decode(segment, &mut name)?;
        let segment = &name[start..];
        let leads_elsewhere =
            segment == b"." || segment == b".." || segment.iter().any(|b| b"/\0".contains(b));
        let is_hidden = segment.starts_with(b".") && segment != b".well-known";
        if leads_elsewhere || (is_hidden && !hidden) {
            return Err(NoSuchPath);
        }
    }
    Ok(Relative { name, is_directory: rest.is_empty() || rest.ends_with(b"/") })
}

/// Percent-decodes a segment; a percent sign that is none is itself.
fn decode(segment: &[u8], out: &mut Vec<u8>) -> Result<(), NoSuchPath> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut bytes = segment;
    while let [first, rest @ ..] = bytes {
        let coded = match (first, rest) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match coded {
            Some((high, low)) => {
                out.push(high << 4 | low);
                bytes = &rest[2..];
            }
            None => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
    if out.len() > 4096 { Err(NoSuchPath) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_names_a_file_below_the_root() {
        for (path, name, is_directory) in [
            ("/", "", true),
            ("/a.txt", "a.txt", false),
            ("/a/b/", "a/b", true),
            ("//a///b", "a/b", false),
            ("/a%20b", "a b", false),
            ("/100%", "100%", false),
            ("/%zz", "%zz", false),
            ("/a..b/...c", "a..b/...c", false),
            ("/.well-known/x", ".well-known/x", false),
        ] {
            let expected = Relative { name: name.into(), is_directory };
            let hidden = path.contains("...");
            assert_eq!(relative(path.as_bytes(), hidden), Ok(expected), "{path}");
        }
        assert_eq!(relative(b"/%ff%FE", false).unwrap().name, b"\xff\xfe");
        assert_eq!(relative(b"/.git/config", true).unwrap().name, b".git/config");
    }

    #[test]
    fn what_could_lead_elsewhere_leads_nowhere() {
        for path in [
            "",
            "*",
            "a",
            "/..",
            "/../a",
            "/a/../b",
            "/a/..",
            "/.",
            "/%2e%2e/a",
            "/.%2E",
            "/a%2fb",
            "/a%00",
            "/.git",
        ] {
            assert_eq!(relative(path.as_bytes(), false), Err(NoSuchPath), "{path}");
        }
        assert_eq!(relative(b"/%2e%2e/a", true), Err(NoSuchPath));
    }

    proptest! {
        #[test]
        fn no_path_leads_out(path in "/[a.%2eE0/f]{0,40}", hidden: bool) {
            if let Ok(Relative { name, .. }) = relative(path.as_bytes(), hidden) {
                prop_assert!(!name.contains(&0) && !name.starts_with(b"/"));
                prop_assert!(name.split(|byte| *byte == b'/').all(|segment| segment != b".." && segment != b"."));
            }
        }
    }
}
