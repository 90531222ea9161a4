//! How a section of the configuration is defined, and how it is read. [`section!`] is the one definition of
//! each key: it makes the typed struct that the program is built from, reads it, and describes it for the
//! reference and for the flags of `serve`.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::overrides::Override;
use super::problem::{Place, Problems};
use super::setting::{Setting, expected};
use super::suggest::did_you_mean;

/// What is known of a key without a configuration at hand.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name within its section.
    pub name: &'static str,
    /// What it does, as lines of Markdown.
    pub doc: &'static [&'static str],
    /// What it holds.
    pub kind: String,
    /// What stands when it is not written, as TOML: none when it is then not set, or must be written.
    pub default: Option<String>,
    /// Whether it must be written.
    pub required: bool,
    /// The flag of `serve` that overrides it.
    pub flag: Option<Flag>,
    /// Says whether a flag's text is a value of this key.
    pub check: fn(&str) -> Result<(), String>,
}

/// A flag of `serve`, and the variable that stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// The long name, without dashes.
    pub name: &'static str,
    /// The long name, with its dashes.
    pub dashed: &'static str,
    /// What the help calls its value.
    pub value: &'static str,
    /// The variable of the environment.
    pub variable: &'static str,
    /// Whether it can be given more than once.
    pub repeatable: bool,
}

/// A part of the configuration that is read as one.
pub trait Section: Sized {
    /// What it is for, as lines of Markdown.
    const DOC: &'static [&'static str];

    /// Its keys, in the order of their definition.
    fn keys() -> Vec<Key>;

    /// Reads it. What is wrong goes to the fields' problems; none when a key is missing that must be there.
    fn read(fields: &mut Fields<'_, '_>) -> Option<Self>;
}

/// Defines a section:
///
/// ```text
/// section! {
///     /// What the section is for.
///     Name {
///         /// What the key does.
///         key: Type = default,
///         /// A key that must be written.
///         other: Type,
///         /// A key with a flag and a variable.
///         third: Type = default => flag "third" "VALUE" "WAYPOST_THIRD",
///         /// The same, when the flag can be repeated.
///         fourth: Vec<Type> = default => flags "fourth" "VALUE" "WAYPOST_FOURTH",
///     }
/// }
/// ```
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        $section:ident {
            $(
                $(#[doc = $doc:literal])*
                $key:ident: $type:ty $(= $default:expr)?
                    $(=> $flags:ident $flag:literal $value:literal $variable:literal)?,
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $section { $( $(#[doc = $doc])* pub $key: $type, )* }

        impl $crate::config::Section for $section {
            const DOC: &'static [&'static str] = &[$($about),*];

            fn keys() -> Vec<$crate::config::Key> {
                vec![$({
                    let default: Option<$type> = section!(@default $($default)?);
                    $crate::config::Key {
                        name: stringify!($key),
                        doc: &[$($doc),*],
                        kind: <$type as $crate::config::Setting>::kind(),
                        required: default.is_none(),
                        default: default.as_ref().and_then($crate::config::Setting::show),
                        flag: section!(@flag $($flags $flag $value $variable)?),
                        check: |text| <$type as $crate::config::Setting>::parse(text).map(drop),
                    }
                }),*]
            }

            fn read(fields: &mut $crate::config::Fields<'_, '_>) -> Option<Self> {
                $( let $key: Option<$type> = fields.take(stringify!($key), section!(@default $($default)?)); )*
                Some(Self { $( $key: $key?, )* })
            }
        }
    };
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
    (@flag) => { None };
    (@flag flag $name:literal $value:literal $variable:literal) => {
        section!(@flag $name $value $variable false)
    };
    (@flag flags $name:literal $value:literal $variable:literal) => {
        section!(@flag $name $value $variable true)
    };
    (@flag $name:literal $value:literal $variable:literal $repeatable:literal) => {
        Some($crate::config::Flag {
            name: $name,
            dashed: concat!("--", $name),
            value: $value,
            variable: $variable,
            repeatable: $repeatable,
        })
    };
}
pub(crate) use section;

/// Where each key that is not at its default was set, by its full name (`limits.header_size`).
pub(crate) type Places = BTreeMap<String, Place>;

/// What every section reads from and reports to.
pub(crate) struct Source<'t> {
    pub(crate) text: &'t str,
    pub(crate) overrides: &'t [Override],
    pub(crate) problems: Problems,
    pub(crate) places: Places,
}

impl Source<'_> {
    /// The line at which a span begins.
    pub(crate) fn line(&self, span: &std::ops::Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        Place::Line(before.bytes().filter(|byte| *byte == b'\n').count() + 1)
    }
}

/// A key and its value in the file.
pub(crate) type Pair<'s, 't> = (&'s Spanned<DeString<'t>>, &'s Spanned<DeValue<'t>>);

/// What the file has for a section.
#[derive(Clone)]
pub(crate) struct Written<'s, 't> {
    /// Where the section begins.
    pub(crate) place: Place,
    pub(crate) pairs: Vec<Pair<'s, 't>>,
}

impl Default for Written<'_, '_> {
    fn default() -> Self {
        Self { place: Place::Default, pairs: Vec::new() }
    }
}

/// The fields of one section as they were written, from which its keys take theirs.
pub struct Fields<'s, 't> {
    /// The section's name; empty at the top level.
    path: String,
    /// Where the section begins.
    place: Place,
    values: BTreeMap<&'s str, (Place, &'s Spanned<DeValue<'t>>)>,
    source: &'s mut Source<'t>,
}

/// The full name of a key.
pub(crate) fn full_name(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'s, 't> Fields<'s, 't> {
    /// The fields that the file has for a section.
    pub(crate) fn new(path: &str, written: Written<'s, 't>, source: &'s mut Source<'t>) -> Self {
        let values = written
            .pairs
            .into_iter()
            .map(|(key, value)| (key.get_ref().as_ref(), (source.line(&key.span()), value)));
        Self { path: path.to_owned(), place: written.place, values: values.collect(), source }
    }

    /// Takes a key's value: its override, else what the file says, else the default. A value that can't be
    /// read is reported, and the default stands in for it so that reading goes on.
    pub(crate) fn take<T: Setting>(&mut self, key: &'static str, default: Option<T>) -> Option<T> {
        let name = full_name(&self.path, key);
        let written = self.values.remove(key);
        let mut wrong = Vec::new();
        let (place, read) = match self.source.overrides.iter().find(|over| over.key == name) {
            Some(over) => {
                let read = T::parse(&over.text);
                (over.place.clone(), read.map_err(|message| wrong.push((over.place.clone(), message))).ok())
            }
            None => match written {
                Some((place, value)) => {
                    let mut found = Vec::new();
                    let read = T::read_whole(value, &mut found);
                    wrong.extend(found.into_iter().map(|(span, message)| (self.source.line(&span), message)));
                    (place, read)
                }
                None => {
                    if default.is_none() {
                        let message = format!("`{name}` is missing: write {}", T::kind());
                        self.source.problems.add(self.place.clone(), message);
                    }
                    return default;
                }
            },
        };
        self.source.places.insert(name.clone(), place);
        for (place, message) in wrong {
            self.source.problems.add(place, format!("`{name}`: {message}"));
        }
        read.or(default)
    }

    /// Reports the fields that no key took.
    pub(crate) fn finish(self, known: &[Key], later: &[&str]) {
        for (key, (place, _)) in self.values {
            let name = full_name(&self.path, key);
            let message = if later.contains(&key) {
                format!("`{name}` is not supported in this version: take it out")
            } else {
                format!("unknown key `{name}`{}", did_you_mean(key, known.iter().map(|key| key.name)))
            };
            self.source.problems.add(place, message);
        }
    }
}

/// Reads a section that stands under `path`, or its defaults when it is not written.
pub(crate) fn read_section<'t, S: Section>(
    path: &str,
    written: Option<Written<'_, 't>>,
    later: &[&str],
    source: &mut Source<'t>,
) -> Option<S> {
    let mut fields = Fields::new(path, written.unwrap_or_default(), source);
    let section = S::read(&mut fields);
    fields.finish(&S::keys(), later);
    section
}

/// The table under a key, or a problem when something else stands there.
pub(crate) fn as_table<'v, 't>(
    name: &str,
    place: &Place,
    value: &'v DeValue<'t>,
    problems: &mut Problems,
) -> Option<&'v DeTable<'t>> {
    let table = value.as_table();
    if table.is_none() {
        problems.add(place.clone(), format!("`{name}`: {}", expected("a table", value)));
    }
    table
}
