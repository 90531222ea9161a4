//! Standard output: buffered, coloured only where a person looks at it, and with every failure to write told.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Where a command writes its result.
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    colours: bool,
}

/// What a word means, where colours show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Good,
    Bad,
    Faint,
    Strong,
}

impl Output {
    pub(crate) fn stdout() -> Self {
        let stdout = io::stdout();
        // https://no-color.org: present and not empty, whatever its value.
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = stdout.is_terminal() && !refused;
        Self { out: BufWriter::new(stdout), colours }
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(Failure::Output)
    }

    /// Writes text as it stands.
    pub(crate) fn text(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        write!(self.out, "{text}").map_err(Failure::Output)
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::Output(error.into()))?;
        self.line(text)
    }

    /// Writes what `write` writes.
    pub(crate) fn with(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        write(&mut self.out).map_err(Failure::Output)
    }

    /// The text, coloured if colours are shown.
    pub(crate) fn paint(&self, colour: Colour, text: impl fmt::Display) -> String {
        if !self.colours {
            return text.to_string();
        }
        let code = match colour {
            Colour::Good => 32,
            Colour::Bad => 31,
            Colour::Faint => 2,
            Colour::Strong => 1,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Writes what is still held back.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::Output)
    }

    /// Ends the output.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }
}
