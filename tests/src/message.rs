//! Messages as the tests see them, and a strict reading of their heads (RFC 9112 §2 to §7) that shares no
//! code with the router's.

/// The fields of a head or a trailer section, in order, spelled as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The value of the only field of that name.
    ///
    /// # Panics
    /// When there are several: whoever asks for one expects one.
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "expected one {name}, found {all:?}");
        all.first().copied()
    }

    /// The values of all fields of that name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether there is a field of that name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// Reads field lines, each with its CR LF, up to an empty line.
    pub(crate) fn read(lines: &[u8]) -> Result<Fields, String> {
        let mut fields = Vec::new();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let shown = || String::from_utf8_lossy(line).into_owned();
            let line = line.strip_suffix(b"\r\n").ok_or_else(|| format!("no CR LF: {:?}", shown()))?;
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|byte| *byte == b':');
            let (name, value) = line.split_at(colon.ok_or_else(|| format!("no colon: {:?}", shown()))?);
            if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
                return Err(format!("a field's name is no token: {:?}", shown()));
            }
            let value = value[1..].trim_ascii();
            if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
                return Err(format!("a control byte in a value: {:?}", shown()));
            }
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            fields.push((text(name), text(value)));
        }
        Ok(Fields(fields))
    }

    /// How the body is delimited, by its own fields: `None` where they say nothing.
    fn framing(&self) -> Result<Option<Framing>, String> {
        match (&self.all("transfer-encoding")[..], &self.all("content-length")[..]) {
            ([], []) => Ok(None),
            (["chunked"], []) => Ok(Some(Framing::Chunked)),
            ([], [length]) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
                Ok(Some(Framing::Length(length.parse().map_err(|_| format!("length {length}"))?)))
            }
            (codings, lengths) => Err(format!("ambiguous framing: {codings:?} and {lengths:?}")),
        }
    }
}

/// How a body was delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// By `Content-Length`.
    Length(u64),
    /// By chunks.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// A request as an upstream got it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The target, as it stood in the request line.
    pub target: String,
    /// `HTTP/1.1`
    pub version: String,
    /// The fields of its head.
    pub fields: Fields,
    /// How its body was delimited.
    pub framing: Framing,
    /// The body.
    pub body: Vec<u8>,
    /// The fields behind the last chunk.
    pub trailers: Fields,
}

impl Request {
    /// Reads a head, its empty line included.
    pub(crate) fn read(head: &[u8]) -> Result<Request, String> {
        let (line, fields) = split(head)?;
        let words: Vec<&str> = line.split(' ').collect();
        let [method, target, version] = words[..] else {
            return Err(format!("request line {line:?}"));
        };
        if version != "HTTP/1.1" && version != "HTTP/1.0" {
            return Err(format!("version {version:?}"));
        }
        let framing = fields.framing()?.unwrap_or(Framing::None);
        Ok(Request {
            method: method.into(),
            target: target.into(),
            version: version.into(),
            fields,
            framing,
            body: Vec::new(),
            trailers: Fields::default(),
        })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A response as a client got it.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// `HTTP/1.1`
    pub version: String,
    /// The fields of its head.
    pub fields: Fields,
    /// How its body was delimited.
    pub framing: Framing,
    /// The body.
    pub body: Vec<u8>,
    /// The fields behind the last chunk.
    pub trailers: Fields,
    /// The interim responses (1xx, but 101) that came before it.
    pub interim: Vec<Response>,
}

impl Response {
    /// Reads a head, its empty line included, of an answer to `method`.
    pub(crate) fn read(head: &[u8], method: &str) -> Result<Response, String> {
        let (line, fields) = split(head)?;
        let mut words = line.splitn(3, ' ');
        let (Some(version), Some(status), Some(reason)) = (words.next(), words.next(), words.next()) else {
            return Err(format!("status line {line:?}"));
        };
        if version != "HTTP/1.1" || status.len() != 3 {
            return Err(format!("status line {line:?}"));
        }
        let status: u16 = status.parse().map_err(|_| format!("status line {line:?}"))?;
        let stated = fields.framing()?;
        if (status == 204 || status < 200) && stated.is_some() {
            return Err(format!("a {status} may not frame a body: {fields:?}"));
        }
        let framing = match stated {
            _ if method == "HEAD" || status < 200 || status == 204 || status == 304 => Framing::None,
            Some(framing) => framing,
            None => Framing::UntilClose,
        };
        Ok(Response {
            status,
            reason: reason.into(),
            version: version.into(),
            fields,
            framing,
            body: Vec::new(),
            trailers: Fields::default(),
            interim: Vec::new(),
        })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The first line and the fields.
fn split(head: &[u8]) -> Result<(String, Fields), String> {
    let end = head.iter().position(|byte| *byte == b'\n').ok_or("a head without a line")?;
    let line = head[..end].strip_suffix(b"\r").ok_or("a first line without CR LF")?;
    let line = String::from_utf8(line.to_vec()).map_err(|_| "a first line that is no text")?;
    Ok((line, Fields::read(&head[end + 1..])?))
}

/// RFC 9110 §5.6.2
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_strictly() {
        for (head, fault) in [
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\n", None),
            ("HTTP/1.1 200 \r\n\r\n", None),
            ("HTTP/1.1 200\r\n\r\n", Some("status line")),
            ("HTTP/1.0 200 OK\r\n\r\n", Some("status line")),
            ("HTTP/1.1 200 OK\nA: b\r\n\r\n", Some("without CR LF")),
            ("HTTP/1.1 200 OK\r\nA: b\n\r\n", Some("no CR LF")),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Some("no token")),
            ("HTTP/1.1 200 OK\r\nA\r\n\r\n", Some("no colon")),
            ("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", Some("control byte")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", Some("ambiguous")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Some("ambiguous")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Some("ambiguous")),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Some("may not frame")),
        ] {
            match (Response::read(head.as_bytes(), "GET"), fault) {
                (Ok(_), None) => {}
                (Err(found), Some(fault)) if found.contains(fault) => {}
                (found, _) => panic!("{head:?}: expected {fault:?}, found {found:?}"),
            }
        }
    }

    #[test]
    fn a_response_is_framed_by_its_fields_its_status_and_the_method() {
        for (head, method, framing) in [
            ("HTTP/1.1 200 OK\r\n\r\n", "GET", Framing::UntilClose),
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "GET", Framing::Length(7)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "HEAD", Framing::None),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "GET", Framing::None),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", Framing::Chunked),
        ] {
            assert_eq!(Response::read(head.as_bytes(), method).unwrap().framing, framing, "{head:?}");
        }
    }
}
