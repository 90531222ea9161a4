//! Everything that is needed to open a connection to one server.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// Where a server is, and how it is spoken to.
#[derive(Debug)]
pub(crate) struct Target {
    /// The server for messages.
    pub(crate) name: Arc<str>,
    pub(crate) place: Place,
    pub(crate) speech: Speech,
    pub(crate) login: Option<Login>,
}

#[derive(Debug)]
pub(crate) enum Place {
    Tcp { host: String, port: u16, tls: Option<(Arc<ClientConfig>, ServerName<'static>)> },
    Unix(PathBuf),
}

/// Which protocol to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// Meta, or text where the server's version has no meta commands.
    Best,
    Meta,
    Text,
    Binary,
}

/// User and password.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}
