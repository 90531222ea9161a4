//! The backends of the configuration, a file a type: its keys, what is wrong with them, and how it is built.
//! What a backend does is `waypost-backend`'s and `waypost-table`'s.
//!
//! A new type is a file with a `section!` that implements [`BackendType`], and a line in the list below;
//! reading, errors with their lines, and the reference follow from there.

mod case;
mod cluster;
mod cookie;
mod fields;
mod outcomes;
mod rate;
mod redirect_target;
mod server;
mod status;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use waypost_backend::Backend as Node;
use waypost_backend::upstream::{Options, Peers};
use waypost_table::{RemapTable, Table};

use crate::config::{Config, Key, Place, Section, Source, Written, read_section};

/// A type of backend, as a configuration says what it is.
pub trait BackendType: Section {
    /// What `type` calls it.
    const NAME: &'static str;

    /// Keys that come with a later version.
    const LATER: &'static [&'static str] = &[];

    /// The backends it passes requests to.
    fn children(&self) -> Vec<Child<'_>> {
        Vec::new()
    }

    /// Reports what is wrong beyond each key alone.
    fn check(&self, _found: &mut Findings<'_>) {}

    /// Builds it for one worker, with what is below it.
    fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Node>;
}

/// A backend that another one passes requests to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child<'a> {
    /// The key that names it.
    pub key: &'static str,
    /// Its name.
    pub name: &'a str,
}

impl<'a> Child<'a> {
    /// The backends that a list under one key names.
    pub fn each(key: &'static str, names: &'a [String]) -> Vec<Child<'a>> {
        names.iter().map(|name| Child { key, name }).collect()
    }
}

/// Takes what is wrong with one backend.
pub struct Findings<'a> {
    pub(crate) name: &'a str,
    pub(crate) add: &'a mut dyn FnMut(&str, String),
}

impl Findings<'_> {
    /// Something is wrong with the value of a key.
    pub fn add(&mut self, key: &str, message: impl std::fmt::Display) {
        let key = format!("backend.{}.{key}", self.name);
        (self.add)(&key, format!("`{key}`: {message}"));
    }

    /// A value that would serve nobody if it were nothing.
    pub fn more_than_nothing(&mut self, key: &str, is_nothing: bool) {
        if is_nothing {
            self.add(key, "must be more than 0");
        }
    }
}

/// What a tree is built on, for one worker.
pub struct Site<'a> {
    config: &'a Config,
    table: &'a Arc<Table>,
    remap: Option<&'a Arc<RemapTable>>,
    peers: &'a Rc<Peers>,
    built: BTreeMap<String, Rc<dyn Node>>,
}

impl<'a> Site<'a> {
    pub(crate) fn new(
        config: &'a Config,
        table: &'a Arc<Table>,
        remap: Option<&'a Arc<RemapTable>>,
        peers: &'a Rc<Peers>,
    ) -> Self {
        Self { config, table, remap, peers, built: BTreeMap::new() }
    }

    /// The whole configuration.
    pub fn config(&self) -> &'a Config {
        self.config
    }

    /// The route table.
    pub fn table(&self) -> &'a Arc<Table> {
        self.table
    }

    /// The route table, if it is in memcached.
    pub fn remap(&self) -> Option<&'a Arc<RemapTable>> {
        self.remap
    }

    /// The worker's connections to servers; what all workers share is its registry.
    pub fn peers(&self) -> &'a Rc<Peers> {
        self.peers
    }

    /// The backend of that name, built once however many point at it. It ends: the configuration's check has
    /// seen that no backend leads back to itself.
    pub fn backend(&mut self, name: &str) -> Rc<dyn Node> {
        if let Some(backend) = self.built.get(name) {
            return Rc::clone(backend);
        }
        // The configuration's check has seen that every name leads to a backend.
        let spec = &self.config.backend(name).expect("every name in a checked configuration is known").spec;
        let backend = spec.build(name, self);
        self.built.insert(name.to_owned(), Rc::clone(&backend));
        backend
    }

    /// The backends of those names, in their order.
    pub fn backends(&mut self, names: &[String]) -> Vec<Rc<dyn Node>> {
        names.iter().map(|name| self.backend(name)).collect()
    }
}

/// Limits on talking to servers.
fn upstream(connect_timeout: Duration, response_timeout: Duration) -> Options {
    Options { connect_timeout, response_timeout, ..Options::default() }
}

/// A backend and its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// Its name, by which others point at it.
    pub name: String,
    /// What it is.
    pub spec: BackendSpec,
}

/// Every type, in the order of the names: `file: Type`.
macro_rules! backends {
    ($($file:ident: $type:ident,)*) => {
        $( mod $file; pub use $file::$type; )*

        /// Every type of backend that a configuration can name.
        #[derive(Debug, Clone, PartialEq)]
        pub enum BackendSpec {
            $( #[doc = concat!("`type = \"", stringify!($file), "\"`.")] $type($type), )*
        }

        impl BackendSpec {
            /// The names of the types, as `type` has them.
            pub const TYPES: &'static [&'static str] = &[$($type::NAME),*];

            /// The name of this one's type.
            pub fn type_name(&self) -> &'static str {
                match self { $( Self::$type(_) => $type::NAME, )* }
            }

            /// The backends it passes requests to.
            pub fn children(&self) -> Vec<Child<'_>> {
                match self { $( Self::$type(spec) => spec.children(), )* }
            }

            pub(crate) fn check(&self, found: &mut Findings<'_>) {
                match self { $( Self::$type(spec) => spec.check(found), )* }
            }

            pub(crate) fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Node> {
                match self { $( Self::$type(spec) => spec.build(name, site), )* }
            }

            /// Reads the keys of a backend of that type; `None` inside when it could not be read, outside when
            /// there is no such type.
            pub(crate) fn read<'t>(
                type_name: &str,
                path: &str,
                written: Written<'_, 't>,
                source: &mut Source<'t>,
            ) -> Option<Option<Self>> {
                match type_name {
                    $( $type::NAME => Some(
                        read_section(path, Some(written), $type::LATER, source).map(Self::$type)
                    ), )*
                    _ => None,
                }
            }

            /// The lines about each type and its keys, for the reference.
            pub(crate) fn describe() -> Vec<(&'static str, &'static [&'static str], Vec<Key>)> {
                vec![$( ($type::NAME, <$type as Section>::DOC, <$type as Section>::keys()), )*]
            }
        }
    };
}

backends! {
    client: Client,
    files: Files,
    hash_ring: HashRing,
    headers: Headers,
    in_process: InProcess,
    log: Log,
    rate_limit: RateLimit,
    redirect: Redirect,
    respond: Respond,
    retry: Retry,
    round_robin: RoundRobin,
    routes: Routes,
    switch: Switch,
    timeout: Timeout,
    try_pass: TryPass,
}

/// Adds what is wrong with single backends.
pub(crate) fn check(config: &Config, source: &mut Source<'_>) {
    for backend in &config.backends {
        let mut add = |key: &str, message: String| {
            let place = source.places.get(key).cloned().unwrap_or(Place::Default);
            source.problems.add(place, message);
        };
        backend.spec.check(&mut Findings { name: &backend.name, add: &mut add });
    }
}
