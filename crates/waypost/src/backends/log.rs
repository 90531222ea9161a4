//! `type = "log"`.

use std::rc::Rc;

use tracing::Level;
use waypost_backend::{Backend, Log as Node, LogField, LogOptions};

use super::{BackendType, Child, Findings, Site};
use crate::config::{LogLevel, section, words};

words! {
    LogField {
        Backend = "backend",
        Client = "client",
        Method = "method",
        Host = "host",
        Path = "path",
        Status = "status",
        Bytes = "bytes",
        Duration = "duration",
        Upstream = "upstream",
        RequestId = "request_id",
        Error = "error",
    }
}

section! {
    /// Tells the log, on standard error, of each exchange that goes through another backend: what was asked,
    /// how long it took, and how it ended, also when it failed or the client went away. Nothing else changes.
    Log {
        /// The backend whose exchanges are logged.
        backend: String,
        /// The level they are logged at. While `log_level` leaves it out, they cost nothing.
        level: LogLevel = LogLevel::Info,
        /// What is told of each.
        fields: Vec<LogField> = LogField::ALL.to_vec(),
    }
}

impl BackendType for Log {
    const NAME: &'static str = "log";

    fn children(&self) -> Vec<Child<'_>> {
        vec![Child { key: "backend", name: &self.backend }]
    }

    fn check(&self, found: &mut Findings<'_>) {
        if self.fields.is_empty() {
            found.add("fields", "an empty list tells of no exchange which one it was: name at least one");
        }
    }

    fn build(&self, name: &str, site: &mut Site<'_>) -> Rc<dyn Backend> {
        let level = match self.level {
            LogLevel::Error => Level::ERROR,
            LogLevel::Warn => Level::WARN,
            LogLevel::Info => Level::INFO,
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Trace => Level::TRACE,
        };
        let options = LogOptions { level, fields: self.fields.clone() };
        Rc::new(Node::new(name, site.backend(&self.backend), &options))
    }
}
