//! `type = "files"`.

use std::path::PathBuf;
use std::rc::Rc;

use http::{HeaderValue, StatusCode};
use waypost_backend::{Backend, Files as Leaf, FilesOptions};

use super::status::AnswerStatus;
use super::{BackendType, Findings, Site};
use crate::config::section;

section! {
    /// The files of a directory, with their types, `ETag` and `Last-Modified`, conditional requests and ranges.
    /// Only GET and HEAD; a directory's path without its slash is redirected. Nothing outside of the directory
    /// is ever sent.
    Files {
        /// The directory. It is looked up with each request: another one may take its place at any time.
        root: PathBuf,
        /// What is sent for a directory: the first of these that is there.
        index: Vec<String> = vec!["index.html".into()],
        /// The status when there is no such file. 501 lets a `try_pass` go on to the next backend.
        missing: AnswerStatus = AnswerStatus(StatusCode::NOT_FOUND),
        /// Whether `NAME.br`, `NAME.zst` and `NAME.gz` beside a file `NAME` are sent to clients that take that
        /// encoding.
        precompressed: bool = false,
        /// Whether names that begin with a dot are found; `.well-known` always is.
        hidden: bool = false,
        /// Whether symbolic links may lead out of the directory; within it they always may.
        follow_symlinks: bool = false,
        /// `Cache-Control` of what is found. Not set: none.
        cache_control: Option<HeaderValue> = None,
    }
}

impl BackendType for Files {
    const NAME: &'static str = "files";

    fn check(&self, found: &mut Findings<'_>) {
        match std::fs::metadata(&self.root) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => found.add("root", format_args!("{} is no directory", self.root.display())),
            Err(error) => found.add("root", format_args!("{}: {error}", self.root.display())),
        }
        if let Some(name) = self.index.iter().find(|name| name.is_empty() || name.contains(['/', '\0'])) {
            found.add("index", format_args!("{name:?} is no name of a file"));
        }
    }

    fn build(&self, name: &str, _: &mut Site<'_>) -> Rc<dyn Backend> {
        let cache_control = self.cache_control.as_ref();
        let options = FilesOptions {
            root: self.root.clone(),
            index: self.index.clone(),
            missing: self.missing.0,
            precompressed: self.precompressed,
            hidden: self.hidden,
            follow_symlinks: self.follow_symlinks,
            cache_control: cache_control.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        };
        // A `HeaderValue` can stand in a head.
        Rc::new(Leaf::new(name, options).expect("the value was checked when it was read"))
    }
}
