//! The head of a request (RFC 9112 §3).

use std::mem::MaybeUninit;

use http::Method;

use crate::error::RequestError;
use crate::fields::Fields;
use crate::head::HeadLimits;
use crate::name::Name;

/// The two versions that are spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// What a request's target names (RFC 9112 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A path and perhaps a query, with which authority it came: none, so that `Host` has the say.
    Origin,
    /// An absolute URI, whose authority overrides `Host`.
    Absolute,
    /// `*`: the server as a whole. OPTIONS only.
    Asterisk,
}

/// The head of a request. Its buffers are kept when the next one is read into it.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The version the sender speaks.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
    form: Target,
    /// Path and query, in the fields' text.
    target: (u32, u32),
    /// The authority of an absolute target, in the fields' text.
    authority: (u32, u32),
}

impl Default for RequestHead {
    fn default() -> RequestHead {
        RequestHead {
            method: Method::GET,
            version: Version::Http11,
            fields: Fields::new(),
            form: Target::Origin,
            target: (0, 0),
            authority: (0, 0),
        }
    }
}

impl RequestHead {
    /// A head for a request made here, to a path (and query) that begins with `/`.
    pub fn new(method: Method, target: &str) -> Result<RequestHead, RequestError> {
        let mut head = RequestHead { method, ..RequestHead::default() };
        head.set_target(target.as_bytes())?;
        Ok(head)
    }

    /// Reads a complete head, as [`crate::HeadScanner`] found it, in the place of what was here.
    ///
    /// Looks at form only. Whether the fields make sense together is asked separately:
    /// [`RequestHead::authority`], [`crate::request_body_length`], [`RequestHead::expects_continue`].
    pub fn read(&mut self, head: &[u8], limits: &HeadLimits) -> Result<(), RequestError> {
        let mut slots = [const { MaybeUninit::uninit() }; HeadLimits::MOST_FIELDS];
        let most = limits.fields.min(HeadLimits::MOST_FIELDS);
        let mut parsed = httparse::Request::new(&mut []);
        match httparse::ParserConfig::default().parse_request_with_uninit_headers(
            &mut parsed,
            head,
            &mut slots[..most],
        ) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(RequestError::RequestLine),
            Err(error) => return Err(refusal(error, head)),
        }
        let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(RequestError::RequestLine);
        };
        // `httparse` skips empty lines in front; whoever reads connections decides on those.
        if method.as_ptr() != head.as_ptr() {
            return Err(RequestError::RequestLine);
        }
        self.method = Method::from_bytes(method.as_bytes()).map_err(|_| RequestError::RequestLine)?;
        self.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        if self.method == Method::CONNECT {
            return Err(RequestError::Method);
        }
        let start = method.len() + 1;
        self.fields.load(head, parsed.headers).map_err(|_| RequestError::Field)?;
        self.read_target(target.as_bytes(), start as u32)
    }

    fn read_target(&mut self, target: &[u8], start: u32) -> Result<(), RequestError> {
        if !target.iter().all(|byte| matches!(byte, b'!'..=b'~') && *byte != b'#') {
            return Err(RequestError::Target);
        }
        self.authority = (0, 0);
        let end = start + target.len() as u32;
        match target {
            [b'/', ..] => (self.form, self.target) = (Target::Origin, (start, end)),
            b"*" if self.method == Method::OPTIONS => {
                (self.form, self.target) = (Target::Asterisk, (start, end));
            }
            _ => {
                let scheme = match target {
                    t if t.len() >= 7 && t[..7].eq_ignore_ascii_case(b"http://") => 7,
                    t if t.len() >= 8 && t[..8].eq_ignore_ascii_case(b"https://") => 8,
                    _ => return Err(RequestError::Target),
                };
                let rest = &target[scheme..];
                let length = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
                if length == 0 || rest[..length].contains(&b'@') {
                    return Err(RequestError::Target);
                }
                let path = start + (scheme + length) as u32;
                self.form = Target::Absolute;
                self.authority = (start + scheme as u32, path);
                self.target = match rest.get(length) {
                    Some(b'/') => (path, end),
                    _ if self.method == Method::OPTIONS && path == end => self.fields.keep_text(b"*"),
                    _ => self.fields.keep_text(&[b"/", &rest[length..]].concat()),
                };
            }
        }
        Ok(())
    }

    /// Which form the target had.
    pub fn form(&self) -> Target {
        self.form
    }

    /// Path and query as they go on the wire: `/a?b`, or `*`.
    pub fn target(&self) -> &[u8] {
        &self.fields.text()[self.target.0 as usize..self.target.1 as usize]
    }

    /// The path, without the query.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        &target[..memchr::memchr(b'?', target).unwrap_or(target.len())]
    }

    /// Puts another path and query in the place of the target; it begins with `/`.
    pub fn set_target(&mut self, target: &[u8]) -> Result<(), RequestError> {
        if target.first() != Some(&b'/') || !target.iter().all(|b| matches!(b, b'!'..=b'~') && *b != b'#') {
            return Err(RequestError::Target);
        }
        self.target = self.fields.keep_text(target);
        self.form = Target::Origin;
        Ok(())
    }

    /// The authority the request is for: the absolute target's, else the `Host` field's (RFC 9112
    /// §3.2.2, §3.3). There must be exactly one `Host`; only an absolute target in HTTP/1.0 needs none.
    /// Whether it is a valid host is not asked here.
    pub fn authority(&self) -> Result<&[u8], RequestError> {
        let mut hosts = self.fields.get_all(Name::Host);
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err(RequestError::Host);
        }
        match (self.form, host) {
            (Target::Absolute, None) if self.version == Version::Http11 => Err(RequestError::Host),
            (Target::Absolute, _) => {
                Ok(&self.fields.text()[self.authority.0 as usize..self.authority.1 as usize])
            }
            (_, host) => host.ok_or(RequestError::Host),
        }
    }

    /// Whether the sender waits for `100 Continue` before it sends its body (RFC 9110 §10.1.1). Any
    /// other expectation is an error.
    pub fn expects_continue(&self) -> Result<bool, RequestError> {
        match self.fields.get(Name::Expect) {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(self.version == Version::Http11),
            Some(_) => Err(RequestError::Expectation),
        }
    }

    /// Whether the connection stays open behind this request (RFC 9112 §9.3).
    pub fn keeps_alive(&self) -> bool {
        self.fields.keep_alive(self.version)
    }

    /// Appends the request line and the fields, without the empty line that ends the head. Always
    /// HTTP/1.1.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.target());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        self.fields.write_to(out);
    }
}

/// The rule that was broken, from what the parser says.
#[cold]
fn refusal(error: httparse::Error, head: &[u8]) -> RequestError {
    match error {
        httparse::Error::TooManyHeaders => RequestError::TooManyFields,
        httparse::Error::Version if has_http_version(head) => RequestError::Version,
        httparse::Error::Version | httparse::Error::Token | httparse::Error::Status => {
            RequestError::RequestLine
        }
        _ => RequestError::Field,
    }
}

/// Whether the request line ends in something of the form `HTTP/9.9`, so that the version is what is
/// wrong with it.
fn has_http_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or(head);
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    matches!(words[..], [_, _, [b'H', b'T', b'T', b'P', b'/', a, b'.', b]] if a.is_ascii_digit() && b.is_ascii_digit())
        || matches!(words[..], [_, _, [b'H', b'T', b'T', b'P', b'/', a]] if a.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RequestHead, RequestError> {
        let mut head = RequestHead::default();
        head.read(text.as_bytes(), &HeadLimits::default()).map(|()| head)
    }

    #[test]
    fn forms_of_the_target() {
        for (line, form, target, authority) in [
            ("GET /a/b?c HTTP/1.1", Target::Origin, "/a/b?c", "h"),
            ("GET http://x.y:81/a?b HTTP/1.1", Target::Absolute, "/a?b", "x.y:81"),
            ("GET HTTPS://x HTTP/1.1", Target::Absolute, "/", "x"),
            ("GET http://x?q HTTP/1.1", Target::Absolute, "/?q", "x"),
            ("OPTIONS * HTTP/1.1", Target::Asterisk, "*", "h"),
            ("OPTIONS http://x HTTP/1.1", Target::Absolute, "*", "x"),
        ] {
            let head = read(&format!("{line}\r\nHost: h\r\n\r\n")).expect(line);
            assert_eq!(head.form(), form, "{line}");
            assert_eq!(head.target(), target.as_bytes(), "{line}");
            assert_eq!(head.authority().unwrap(), authority.as_bytes(), "{line}");
        }
    }

    #[test]
    fn malformed_heads_are_refused() {
        use RequestError::*;
        for (text, expected) in [
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Field),
            ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Field),
            ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", Field),
            ("GET / HTTP/1.1\r\n: a\r\n\r\n", Field),
            ("GET / HTTP/1.1\r\nA(b): a\r\n\r\n", Field),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", Field),
            ("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", Field),
            ("GET / HTTP/1.1\r\nHost\r\n\r\n", Field),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Version),
            ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", Version),
            ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", Version),
            ("GET / HTPP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("GET /\r\nHost: a\r\n\r\n", RequestLine),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            ("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", Method),
        ] {
            assert_eq!(read(text).err(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn hosts_are_one() {
        let authority = |text| read(text).unwrap().authority().map(<[u8]>::to_vec);
        assert_eq!(authority("GET / HTTP/1.1\r\n\r\n"), Err(RequestError::Host));
        assert_eq!(authority("GET / HTTP/1.0\r\n\r\n"), Err(RequestError::Host));
        assert_eq!(authority("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"), Err(RequestError::Host));
        assert_eq!(authority("GET http://a/ HTTP/1.1\r\n\r\n"), Err(RequestError::Host));
        assert_eq!(authority("GET http://a/ HTTP/1.0\r\n\r\n"), Ok(b"a".to_vec()));
    }

    #[test]
    fn persistence_follows_version_and_connection() {
        let keeps = |line: &str, connection: &str| {
            read(&format!("{line}\r\nConnection: {connection}\r\n\r\n")).unwrap().keeps_alive()
        };
        assert!(keeps("GET / HTTP/1.1", "x"));
        assert!(!keeps("GET / HTTP/1.1", "x, Close"));
        assert!(!keeps("GET / HTTP/1.0", "x"));
        assert!(keeps("GET / HTTP/1.0", "Keep-Alive"));
        assert!(!keeps("GET / HTTP/1.0", "keep-alive, close"));
    }

    #[test]
    fn a_head_is_written_as_one_point_one() {
        let head = read("GET http://x/a HTTP/1.0\r\nHost:y\r\nA: b\r\n\r\n").unwrap();
        let mut out = Vec::new();
        head.write_to(&mut out);
        assert_eq!(out, b"GET /a HTTP/1.1\r\nHost: y\r\nA: b\r\n");
    }
}
