//! `files`: a directory, with what HTTP has for files: types, conditional requests, ranges, encodings that
//! were made beforehand.
//!
//! A worker never waits for a disk. Names are resolved and bytes are read out of what the kernel has in
//! memory, which is nearly always all of it; where it isn't, the same happens on a thread that may wait.
//! What is sent is what was opened: a file that is replaced meanwhile is sent as it was, one that is cut
//! short resets the connection.

mod body;
mod open;
mod path;

use std::path::PathBuf;

use http::{Method, StatusCode};
use waypost_http1::{Fields, InvalidField, Name};

use crate::backend::{Backend, Call, Explanation, Report, Sketch};
use crate::body::Body;
use crate::conditional::{Validators, Verdict, evaluate, range_holds};
use crate::exchange::Exchange;
use crate::failure::{Failure, FailureKind};
use crate::range::{Ranges, ranges};
use crate::response::Response;
use body::{FileBody, Piece};
use open::{Found, OpenError, OpenFile, Root, Wait};

/// What a [`Files`] is told.
#[derive(Debug, Clone)]
pub struct FilesOptions {
    /// The directory.
    pub root: PathBuf,
    /// What is sent for a directory: the first of these that is there.
    pub index: Vec<String>,
    /// The status when there is no such file; 501 passes the request on where somebody tries the next.
    pub missing: StatusCode,
    /// Whether `NAME.br`, `NAME.zst` and `NAME.gz` are sent to those who take that encoding.
    pub precompressed: bool,
    /// Whether names that begin with a dot are found.
    pub hidden: bool,
    /// Whether symbolic links may lead out of the directory.
    pub follow_symlinks: bool,
    /// `Cache-Control` of what is found.
    pub cache_control: Option<String>,
}

impl Default for FilesOptions {
    fn default() -> FilesOptions {
        FilesOptions {
            root: PathBuf::from("."),
            index: vec!["index.html".to_owned()],
            missing: StatusCode::NOT_FOUND,
            precompressed: false,
            hidden: false,
            follow_symlinks: false,
            cache_control: None,
        }
    }
}

/// Answers with the files of a directory.
#[derive(Debug)]
pub struct Files {
    name: String,
    options: FilesOptions,
    root: Root,
}

/// Encodings, the one that is preferred first: `Content-Encoding`, and what the file's name ends in.
const ENCODINGS: [(&str, &str); 3] = [("br", ".br"), ("zstd", ".zst"), ("gzip", ".gz")];

/// What a name leads to.
#[derive(Debug)]
enum Resource {
    /// A file, the name its type goes by, and its encoding.
    File(OpenFile, Vec<u8>, Option<&'static str>),
    /// A directory whose path lacks the slash.
    Slashless,
}

/// What is to be found for one request.
#[derive(Debug, Clone)]
struct Wanted {
    name: Vec<u8>,
    is_directory: bool,
    index: Vec<String>,
    /// Those of [`ENCODINGS`] that the client takes.
    encodings: [bool; ENCODINGS.len()],
}

impl Wanted {
    fn find(&self, root: &Root, wait: Wait) -> Result<Resource, OpenError> {
        if !self.is_directory {
            return match self.open(root, &self.name, wait)? {
                Some(resource) => Ok(resource),
                None => Ok(Resource::Slashless),
            };
        }
        for index in &self.index {
            let mut name = self.name.clone();
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend_from_slice(index.as_bytes());
            match self.open(root, &name, wait) {
                Ok(Some(resource)) => return Ok(resource),
                Ok(None) | Err(OpenError::Missing) => {}
                Err(error) => return Err(error),
            }
        }
        Err(OpenError::Missing)
    }

    /// The file of that name in the best encoding there is; none when it is a directory.
    fn open(&self, root: &Root, name: &[u8], wait: Wait) -> Result<Option<Resource>, OpenError> {
        let plain = match root.open(name, wait)? {
            Found::File(file) => file,
            Found::Directory => return Ok(None),
        };
        let accepted = ENCODINGS.iter().zip(self.encodings).filter(|(_, accepted)| *accepted);
        for ((encoding, suffix), _) in accepted {
            match root.open(&[name, suffix.as_bytes()].concat(), wait) {
                Ok(Found::File(file)) => {
                    return Ok(Some(Resource::File(file, name.to_owned(), Some(encoding))));
                }
                Ok(Found::Directory) | Err(OpenError::Missing | OpenError::Forbidden) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Resource::File(plain, name.to_owned(), None)))
    }
}

impl Files {
    /// The files of a directory, which need not be there yet.
    ///
    /// # Errors
    /// If `cache_control` could not stand in a head.
    pub fn new(name: impl Into<String>, options: FilesOptions) -> Result<Files, InvalidField> {
        if let Some(value) = &options.cache_control {
            Fields::new().push("Cache-Control", value.as_bytes())?;
        }
        let root = Root { path: options.root.clone(), follow_symlinks: options.follow_symlinks };
        Ok(Files { name: name.into(), options, root })
    }

    async fn answer(&self, exchange: &mut Exchange) -> Result<Response, Failure> {
        let request = exchange.sketch();
        if request.method != Method::GET && request.method != Method::HEAD {
            let mut response =
                Response::text(StatusCode::METHOD_NOT_ALLOWED, "waypost: files are read with GET and HEAD");
            push(&mut response, "Allow", "GET, HEAD");
            return Ok(response);
        }
        let Ok(relative) = path::relative(request.path(), self.options.hidden) else {
            return Ok(self.missing());
        };
        let wanted = Wanted {
            name: relative.name,
            is_directory: relative.is_directory,
            index: self.options.index.clone(),
            encodings: if self.options.precompressed {
                ENCODINGS.map(|(encoding, _)| accepts(request.fields, encoding))
            } else {
                [false; ENCODINGS.len()]
            },
        };
        match self.find(wanted).await {
            Ok(Resource::File(file, name, encoding)) => Ok(self.respond(&request, file, &name, encoding)),
            Ok(Resource::Slashless) => Ok(to_directory(&request)),
            Err(OpenError::Missing) => Ok(self.missing()),
            Err(OpenError::Forbidden) => {
                Ok(Response::text(StatusCode::FORBIDDEN, "waypost: this file may not be read"))
            }
            Err(OpenError::WouldWait) => Err(self.failure("the system would not say what is there")),
            Err(OpenError::Other(error)) => Err(self.failure(&error.to_string())),
        }
    }

    async fn find(&self, wanted: Wanted) -> Result<Resource, OpenError> {
        match wanted.find(&self.root, Wait::Never) {
            Err(OpenError::WouldWait) => {}
            result => return result,
        }
        let root = self.root.clone();
        let found = tokio::task::spawn_blocking(move || wanted.find(&root, Wait::May)).await;
        found.unwrap_or_else(|error| Err(OpenError::Other(std::io::Error::other(error))))
    }

    fn failure(&self, what: &str) -> Failure {
        let what = format!("{}: {} could not be read: {what}", self.name, self.options.root.display());
        Failure::unsent(FailureKind::Handler { what })
    }

    fn missing(&self) -> Response {
        Response::text(self.options.missing, "waypost: there is no such file")
    }

    fn respond(
        &self,
        request: &Sketch<'_>,
        file: OpenFile,
        name: &[u8],
        encoding: Option<&'static str>,
    ) -> Response {
        let validators =
            Validators { etag: Some(format!("\"{}\"", file.tag)), modified: Some(file.modified) };
        let verdict = evaluate(request.method, request.fields, &validators);
        if verdict == Verdict::Failed {
            return Response::text(StatusCode::PRECONDITION_FAILED, "waypost: the file is another by now");
        }
        let mut response = Response::new(StatusCode::OK);
        if let Some(etag) = &validators.etag {
            push(&mut response, "ETag", etag);
        }
        push(&mut response, "Last-Modified", &httpdate::fmt_http_date(file.modified));
        if let Some(value) = &self.options.cache_control {
            push(&mut response, "Cache-Control", value);
        }
        if self.options.precompressed {
            push(&mut response, "Vary", "Accept-Encoding");
        }
        if verdict == Verdict::NotModified {
            response.head.status = StatusCode::NOT_MODIFIED;
            return response;
        }
        push(&mut response, "Accept-Ranges", "bytes");
        if let Some(encoding) = encoding {
            push(&mut response, "Content-Encoding", encoding);
        }
        let kind = content_type(name);
        let asked = match request.method == Method::GET && range_holds(request.fields, &validators) {
            true => ranges(request.fields, file.length),
            false => Ranges::Whole,
        };
        let pieces = match asked {
            Ranges::Unsatisfiable => {
                let mut response =
                    Response::text(StatusCode::RANGE_NOT_SATISFIABLE, "waypost: the file has no such range");
                push(&mut response, "Content-Range", &format!("bytes */{}", file.length));
                return response;
            }
            Ranges::Whole => {
                response.add(Name::ContentType, kind.as_bytes());
                vec![Piece::Span(0..file.length)]
            }
            Ranges::Parts(parts) => {
                response.head.status = StatusCode::PARTIAL_CONTENT;
                match <[_; 1]>::try_from(parts) {
                    Ok([part]) => {
                        response.add(Name::ContentType, kind.as_bytes());
                        let range = format!("bytes {}-{}/{}", part.start, part.end - 1, file.length);
                        push(&mut response, "Content-Range", &range);
                        vec![Piece::Span(part)]
                    }
                    Err(parts) => multipart(&mut response, parts, &kind, &file),
                }
            }
        };
        let length: u64 = pieces.iter().map(Piece::length).sum();
        if request.method == Method::HEAD {
            response.add(Name::ContentLength, length.to_string().as_bytes());
        } else if length > 0 {
            let pieces = pieces.into_iter().filter(|piece| piece.length() > 0);
            response.body = Body::stream(Box::new(FileBody::new(file.file, pieces)), Some(length));
        }
        response
    }
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Piece::Text(text) => text.len() as u64,
            Piece::Span(span) => span.end - span.start,
        }
    }
}

/// Several ranges as one body (RFC 9110 §14.6).
fn multipart(
    response: &mut Response,
    parts: Vec<std::ops::Range<u64>>,
    kind: &str,
    file: &OpenFile,
) -> Vec<Piece> {
    // Not in the file: a reader goes by the parts' lengths, or looks for what this file can't be known to
    // hold.
    let boundary = format!("waypost-{}-{:016x}", file.tag, fresh());
    response.add(Name::ContentType, format!("multipart/byteranges; boundary={boundary}").as_bytes());
    let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
    for (index, part) in parts.into_iter().enumerate() {
        let lead = if index == 0 { "" } else { "\r\n" };
        let head = format!(
            "{lead}--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: bytes {}-{}/{}\r\n\r\n",
            part.start,
            part.end - 1,
            file.length
        );
        pieces.extend([Piece::Text(head.into()), Piece::Span(part)]);
    }
    pieces.push(Piece::Text(format!("\r\n--{boundary}--\r\n").into()));
    pieces
}

/// A number nobody can foretell.
fn fresh() -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::RandomState::default().hash_one(std::time::Instant::now())
}

/// The directory's path with its slash, so that relative links in its index lead where they should.
fn to_directory(request: &Sketch<'_>) -> Response {
    let path = request.path();
    let mut location = Vec::with_capacity(request.target.len() + 1);
    // `//evil.example/x` would name another host.
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    location.extend_from_slice(&path[slashes.saturating_sub(1)..]);
    location.push(b'/');
    location.extend_from_slice(&request.target[path.len()..]);
    let mut response =
        Response::text(StatusCode::MOVED_PERMANENTLY, format!("See {}", String::from_utf8_lossy(&location)));
    response.add(Name::Location, &location);
    response
}

fn content_type(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let guess = mime_guess::from_path(&*name).first_or_octet_stream();
    match guess.type_() {
        mime_guess::mime::TEXT => format!("{guess}; charset=utf-8"),
        _ => guess.to_string(),
    }
}

/// Whether the client takes a coding (RFC 9110 §12.5.3): named, or covered by `*`, with a weight above 0.
fn accepts(fields: &Fields, coding: &str) -> bool {
    let mut others = false;
    let lines = fields.iter().filter(|field| field.spelled.eq_ignore_ascii_case(b"accept-encoding"));
    for line in lines {
        for element in line.elements() {
            let Ok(element) = std::str::from_utf8(element) else { continue };
            let (name, weight) = element.split_once(';').unwrap_or((element, ""));
            let weight = weight.trim();
            let weight = weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="));
            let weight = weight.map_or(Ok(1.0), str::parse::<f32>);
            let taken = weight.is_ok_and(|weight| weight > 0.0);
            if name.trim().eq_ignore_ascii_case(coding) {
                return taken;
            }
            others |= name.trim() == "*" && taken;
        }
    }
    others
}

/// Adds a field that was checked before, or is made of digits and letters.
fn push(response: &mut Response, name: &str, value: &str) {
    if let Err(error) = response.head.fields.push(name, value.as_bytes()) {
        tracing::warn!(field = name, %error, "a response field was left out");
    }
}

impl Backend for Files {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        Box::pin(self.answer(exchange))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn report(&self) -> Report {
        Report::of(self, "files", self.options.root.display().to_string())
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        let says = match path::relative(request.path(), self.options.hidden) {
            Err(_) => format!("answers {}: no file has such a path", self.options.missing.as_u16()),
            Ok(relative) => {
                let name = String::from_utf8_lossy(&relative.name).into_owned();
                let path = self.options.root.join(name);
                let index = match relative.is_directory {
                    true => format!(", with {} in it", self.options.index.join(" or ")),
                    false => String::new(),
                };
                format!(
                    "answers with {}{index}, or {} if it is not there",
                    path.display(),
                    self.options.missing.as_u16()
                )
            }
        };
        Explanation { backend: self.name.clone(), kind: "files", says, detail: None, next: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_is_taken_if_it_is_named_or_covered() {
        for (value, expected) in [
            ("gzip", true),
            ("GZIP;q=0.5, br", true),
            ("gzip;q=0", false),
            ("gzip; q=0, *", false),
            ("gzip;Q=0", false),
            ("br, *", true),
            ("*;q=0", false),
            ("br", false),
            ("", false),
        ] {
            let mut fields = Fields::new();
            fields.push("Accept-Encoding", value.as_bytes()).unwrap();
            assert_eq!(accepts(&fields, "gzip"), expected, "{value}");
        }
    }

    #[test]
    fn types_go_by_the_name() {
        assert_eq!(content_type(b"a/b.HTML"), "text/html; charset=utf-8");
        assert_eq!(content_type(b"x.png"), "image/png");
        assert_eq!(content_type(b"no-extension"), "application/octet-stream");
    }
}
