//! Reads a TOML document into a [`Config`]: which table is which section, which backend has which type, and
//! what to say of a name that is none of them.

use toml::de::{DeTable, DeValue};

use super::Config;
use super::problem::Place;
use super::reference;
use super::section::{Key, Pair, Section, Source, Written, as_table, full_name, read_section};
use super::sections::General;
use super::setting::Setting;
use super::suggest::did_you_mean;
use crate::backends::{Backend, BackendSpec};

/// The sections that stand at a name of their own.
const SECTIONS: &[&str] = &["listen", "admin", "table", "stats", "limits", "forwarded"];

// Names that come with a later version: they are refused as such, not taken for slips.
const LATER_TOP: &[&str] = &["tls"];
const LATER_LISTEN: &[&str] = &["https"];
const LATER_TYPES: &[&str] = &["content"];

/// What could be read of a document.
pub(super) struct Read {
    pub(super) config: Config,
    /// The backends that are missing in it.
    pub(super) unread: Vec<Unread>,
}

/// A backend that could not be read.
pub(super) struct Unread {
    pub(super) name: String,
    /// Every text in it: whatever it was meant to be, a backend that it would pass requests to is among them.
    pub(super) texts: Vec<String>,
}

/// Reads every section; none when something is missing without which there is no configuration.
pub(super) fn read<'t>(document: &DeTable<'t>, source: &mut Source<'t>) -> Option<Read> {
    let (mut general, tables) = top_level(document, source);
    let mut section = |name: &str| {
        let (_, written) = tables.iter().find(|(section, _)| *section == name)?;
        let mut written = written.clone();
        written.pairs.retain(|pair| {
            let stray = is_stray(name, pair.0.get_ref());
            if stray {
                adopt(*pair, &mut general, source);
            }
            !stray
        });
        Some(written)
    };
    let (listen, admin, table) = (section("listen"), section("admin"), section("table"));
    let (stats, limits, forwarded) = (section("stats"), section("limits"), section("forwarded"));
    let backends =
        tables.iter().find(|(section, _)| *section == "backend").map(|(_, written)| &written.pairs);

    let general: Option<General> =
        read_section("", Some(Written { place: Place::Default, pairs: general }), &[], source);
    let listen = read_section("listen", listen, LATER_LISTEN, source);
    let admin = read_section("admin", admin, &[], source);
    let table = read_section("table", table, &[], source);
    let stats = read_section("stats", stats, &[], source);
    let limits = read_section("limits", limits, &[], source);
    let forwarded = read_section("forwarded", forwarded, &[], source);
    let (backends, unread) = read_backends(backends.map_or(&[], Vec::as_slice), source);
    let mut config = Config {
        general: general?,
        listen: listen?,
        admin: admin?,
        table: table?,
        stats: stats?,
        limits: limits?,
        forwarded: forwarded?,
        backends,
    };
    add_routes(&mut config, &unread, source);
    Some(Read { config, unread })
}

/// Parts the document into the keys of the whole program and the sections, and reports the rest.
fn top_level<'s, 't>(
    document: &'s DeTable<'t>,
    source: &mut Source<'t>,
) -> (Vec<Pair<'s, 't>>, Vec<(&'s str, Written<'s, 't>)>) {
    let known = General::keys();
    let mut general = Vec::new();
    let mut tables = Vec::new();
    for (key, value) in document {
        let name = key.get_ref().as_ref();
        let place = source.line(&key.span());
        if SECTIONS.contains(&name) || name == "backend" {
            if let Some(table) = as_table(name, &place, value.get_ref(), &mut source.problems) {
                tables.push((name, Written { place, pairs: table.iter().collect() }));
            }
        } else if known.iter().any(|known| known.name == name) {
            general.push((key, value));
        } else if LATER_TOP.contains(&name) {
            source.problems.add(place, format!("`{name}` is not supported in this version: take it out"));
        } else {
            let words = known.iter().map(|key| key.name).chain(SECTIONS.iter().copied()).chain(["backend"]);
            let what = if value.get_ref().is_table() { "section" } else { "key" };
            source.problems.add(place, format!("unknown {what} `{name}`{}", did_you_mean(name, words)));
        }
    }
    (general, tables)
}

/// Whether a key below a section's header is one of the whole program's. TOML counts it to the section; where
/// the section has no such key, what is meant is plain all the same.
fn is_stray(section: &str, key: &str) -> bool {
    let has = |keys: &[Key]| keys.iter().any(|known| known.name == key);
    has(&General::keys())
        && !reference::sections().iter().any(|known| known.name == section && has(&known.keys))
}

/// Takes a stray key among the program's, unless it stands there already.
fn adopt<'s, 't>(pair: Pair<'s, 't>, general: &mut Vec<Pair<'s, 't>>, source: &mut Source<'t>) {
    let name = pair.0.get_ref();
    match general.iter().find(|(key, _)| key.get_ref() == name) {
        None => general.push(pair),
        Some((other, _)) => {
            let first = match source.line(&other.span()) {
                Place::Line(line) => format!(", the first on line {line}"),
                _ => String::new(),
            };
            let message = format!("`{name}` is a key of the whole program and stands there twice{first}");
            source.problems.add(source.line(&pair.0.span()), message);
        }
    }
}

/// Adds the backend `routes`, which exists without being written, when something asks for it.
fn add_routes<'t>(config: &mut Config, unread: &[Unread], source: &mut Source<'t>) {
    let asked_for = config.general.entry == "routes"
        || unread.iter().any(|backend| backend.texts.iter().any(|text| text == "routes"))
        || config
            .backends
            .iter()
            .any(|backend| backend.spec.children().iter().any(|child| child.name == "routes"));
    let written = config.backend("routes").is_some() || unread.iter().any(|backend| backend.name == "routes");
    if asked_for && !written {
        // None of its keys must be written.
        if let Some(routes) = read_section("backend.routes", None, &[], source) {
            config.backends.push(Backend { name: "routes".into(), spec: BackendSpec::Routes(routes) });
        }
    }
    config.backends.sort_by(|one, other| one.name.cmp(&other.name));
}

/// Reads `[backend.NAME]`, each by its `type`, and says which could not be read.
fn read_backends<'t>(pairs: &[Pair<'_, 't>], source: &mut Source<'t>) -> (Vec<Backend>, Vec<Unread>) {
    let (mut backends, mut unread) = (Vec::new(), Vec::new());
    for (key, value) in pairs {
        let name = key.get_ref().as_ref();
        let path = full_name("backend", name);
        let place = source.line(&key.span());
        source.places.insert(path.clone(), place.clone());
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(allowed) {
            let message = format!("{name:?} is no name for a backend: use letters, digits, `-`, `_` and `.`");
            source.problems.add(place.clone(), message);
        }
        let table = as_table(&path, &place, value.get_ref(), &mut source.problems);
        let spec = table.and_then(|table| {
            let written = Written { place, pairs: table.iter().collect() };
            read_backend(&path, written, source)
        });
        let name = name.to_owned();
        match spec {
            Some(spec) => backends.push(Backend { name, spec }),
            None => {
                let mut texts = Vec::new();
                gather_texts(value.get_ref(), &mut texts);
                unread.push(Unread { name, texts });
            }
        }
    }
    (backends, unread)
}

fn gather_texts(value: &DeValue<'_>, texts: &mut Vec<String>) {
    match value {
        DeValue::String(text) => texts.push(text.to_string()),
        DeValue::Array(items) => items.iter().for_each(|item| gather_texts(item.get_ref(), texts)),
        DeValue::Table(table) => table.values().for_each(|value| gather_texts(value.get_ref(), texts)),
        _ => {}
    }
}

fn read_backend<'t>(
    path: &str,
    mut written: Written<'_, 't>,
    source: &mut Source<'t>,
) -> Option<BackendSpec> {
    let types = BackendSpec::TYPES.join(", ");
    let Some(position) = written.pairs.iter().position(|(key, _)| key.get_ref() == "type") else {
        source.problems.add(written.place, format!("`{path}` has no `type`: write one of {types}"));
        return None;
    };
    let (key, value) = written.pairs.remove(position);
    let place = source.line(&key.span());
    let problem = |message: String| format!("`{path}.type`: {message}");
    let type_name = match String::read(value.get_ref()) {
        Ok(type_name) => type_name,
        Err(message) => {
            source.problems.add(place, problem(message));
            return None;
        }
    };
    if let Some(read) = BackendSpec::read(&type_name, path, written, source) {
        return read;
    }
    let message = if LATER_TYPES.contains(&type_name.as_str()) {
        format!("{type_name:?} is not supported in this version: use one of {types}")
    } else {
        let suggestion = did_you_mean(&type_name, BackendSpec::TYPES.iter().copied());
        format!("{type_name:?} is not one of {types}{suggestion}")
    };
    source.problems.add(place, problem(message));
    None
}
