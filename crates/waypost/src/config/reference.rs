//! The reference of the configuration, in Markdown, made from the definitions of its keys.

use std::fmt::Write as _;

use super::section::{Key, Section};
use super::sections::{Admin, Forwarded, General, Limits, Listen, Stats, Table};
use crate::backends::BackendSpec;

/// A section as the reference and the flags see it.
pub(super) struct Described {
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) keys: Vec<Key>,
}

/// Every section but the backends, in the order of the reference.
pub(super) fn sections() -> Vec<Described> {
    fn describe<S: Section>(name: &'static str) -> Described {
        Described { name, doc: S::DOC, keys: S::keys() }
    }
    vec![
        describe::<General>(""),
        describe::<Listen>("listen"),
        describe::<Admin>("admin"),
        describe::<Table>("table"),
        describe::<Stats>("stats"),
        describe::<Limits>("limits"),
        describe::<Forwarded>("forwarded"),
    ]
}

const HEAD: &str = "\
# Configuration

A TOML file, given to `waypost serve --config FILE` and checked by `waypost check FILE`, which shows every
error with its line. Everything has a default: an empty file, or none, is a working configuration.

A flag of `serve` stands over its variable in the environment, which stands over the file. Relative paths
start at the working directory. A key of the whole program may also stand below the header of a section
that has no key of that name.

This page is made from the definitions of the keys: `WAYPOST_WRITE_DOCS=1 cargo test -p waypost` writes it.
";

const TLS: &str = "
## TLS to servers

What `tls` holds, in `[table]` and in a backend of `type = \"client\"`. TLS 1.2 and 1.3 are spoken. The files are
read when the configuration is, and again at a reload.

| key | value | default |
| --- | --- | --- |
| `ca` | A PEM file with the certificates of the authorities that are trusted, instead of the system's. | the system's |
| `server_name` | The name that the server is asked for (SNI) and that its certificate must have. | the host of the `url`; in `[table]`, of the request |
| `verify` | `false`: whoever answers is believed to be the server. For trying things out; it is said in the log. | `true` |
| `cert`, `key` | PEM files with a certificate and its key, for servers that ask for one. | not set |
";

/// The whole page.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for section in sections() {
        let title = match section.name {
            "" => "The whole program".to_owned(),
            name => format!("`[{name}]`"),
        };
        part(&mut page, &format!("## {title}"), section.doc, &section.keys);
    }
    page.push_str(
        "\n## `[backend.NAME]`\n\nA backend answers requests. `type` says which of these it is; every backend must be \
         reached from `entry`.\nA name has letters, digits, `-`, `_` and `.`.\n",
    );
    for (type_name, doc, keys) in BackendSpec::describe() {
        part(&mut page, &format!("### `type = \"{type_name}\"`"), doc, &keys);
    }
    page.push_str(TLS);
    page
}

fn part(page: &mut String, title: &str, doc: &[&str], keys: &[Key]) {
    let doc: Vec<&str> = doc.iter().map(|line| line.trim()).collect();
    // Writing to a string can't fail.
    let _ =
        write!(page, "\n{title}\n\n{}\n\n| key | value | default |\n| --- | --- | --- |\n", doc.join("\n"));
    for key in keys {
        let mut about = key.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        if let Some(flag) = key.flag {
            let often = if flag.repeatable { " (repeatable)" } else { "" };
            let _ = write!(about, " Flag `{}`{often}, variable `{}`.", flag.dashed, flag.variable);
        }
        let default = match &key.default {
            Some(shown) => format!("`{shown}`"),
            None if key.required => "must be written".to_owned(),
            None => "not set".to_owned(),
        };
        let kind = key.kind.replace('|', "\\|");
        let _ = writeln!(page, "| `{}` | {about} *{kind}* | {default} |", key.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_reference_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        if std::env::var_os("WAYPOST_WRITE_DOCS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, reference(), "write it anew: WAYPOST_WRITE_DOCS=1 cargo test -p waypost");
    }

    #[test]
    fn every_default_in_the_reference_reads_back_as_written() {
        let mut file = String::new();
        for section in sections() {
            if !section.name.is_empty() {
                let _ = writeln!(file, "[{}]", section.name);
            }
            for key in section.keys {
                if let Some(default) = key.default {
                    let _ = writeln!(file, "{} = {default}", key.name);
                }
            }
        }
        let config = crate::config::Config::from_text(&file, None, &[]).unwrap();
        assert_eq!(config, crate::config::Config::default());
    }

    #[test]
    fn every_key_says_what_it_does() {
        for section in sections() {
            for key in section.keys {
                assert!(!key.doc.is_empty(), "{}.{} is not documented", section.name, key.name);
            }
        }
    }
}
