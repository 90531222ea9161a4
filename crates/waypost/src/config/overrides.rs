//! The flags of `serve` and the variables of the environment that override the configuration file. They are
//! made from the keys that name a flag, so that a flag's help, its check and its meaning are its key's own.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::problem::Place;
use super::reference::sections;
use super::section::{Key, full_name};

/// A value that stands over the file's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The key's full name.
    pub key: String,
    /// The value, as [`Setting::parse`](super::Setting::parse) reads it.
    pub text: String,
    /// The flag or the variable it came from.
    pub place: Place,
}

/// What the command line and the environment override, for `#[command(flatten)]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides(pub Vec<Override>);

impl clap::Args for Overrides {
    fn augment_args(command: Command) -> Command {
        sections().into_iter().flat_map(|section| section.keys).fold(command, |command, key| {
            let Some(flag) = key.flag else { return command };
            let check = key.check;
            let arg = Arg::new(flag.name)
                .long(flag.name)
                .value_name(flag.value)
                .env(flag.variable)
                .hide_env_values(true)
                .help(help(&key))
                .value_parser(move |text: &str| check(text).map(|()| text.to_owned()))
                .action(if flag.repeatable { ArgAction::Append } else { ArgAction::Set });
            command.arg(if flag.repeatable { arg.value_delimiter(',') } else { arg })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Overrides {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut overrides = Vec::new();
        for section in sections() {
            for key in section.keys {
                let Some(flag) = key.flag else { continue };
                let Some(values) = matches.get_many::<String>(flag.name) else { continue };
                let place = match matches.value_source(flag.name) {
                    Some(ValueSource::EnvVariable) => Place::Environment(flag.variable),
                    _ => Place::Flag(flag.dashed),
                };
                let text = values.map(String::as_str).collect::<Vec<_>>().join(",");
                overrides.push(Override { key: full_name(section.name, key.name), text, place });
            }
        }
        Ok(Self(overrides))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A key's documentation as a flag's help: without Markdown, without the last full stop, with the default.
fn help(key: &Key) -> String {
    let text = key.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").replace('`', "");
    let mut help = text.strip_suffix('.').unwrap_or(&text).to_owned();
    if key.flag.is_some_and(|flag| flag.repeatable) {
        help.push_str(" (can be repeated)");
    }
    if let Some(default) = &key.default {
        help.push_str(&format!(" [default: {}]", default.replace(['"', '[', ']'], "")));
    }
    help
}
