//! `tls = { … }`: how servers are spoken to over TLS. The files it names are read when the whole
//! configuration is checked, so that a wrong one is an error with its line, and a reload reads them again.

use std::path::PathBuf;

use toml::de::{DeTable, DeValue};
use waypost_backend::upstream::{Tls, TlsError, TlsOptions, server_name};

use super::setting::{Setting, expected, quoted};
use super::suggest::did_you_mean;

/// TLS to servers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServerTls {
    /// Whom to believe, and what to show them.
    pub tls: Tls,
    /// The name that a certificate must have, if it is not to be found out from elsewhere.
    pub server_name: Option<String>,
}

const KEYS: &[&str] = &["ca", "server_name", "verify", "cert", "key"];

impl ServerTls {
    /// Reads the files, and says whether a server could be known by `host` if no other name is given.
    pub(crate) fn check(&self, host: &str) -> Result<(), TlsError> {
        server_name(self.server_name.as_deref().unwrap_or(host))?;
        self.tls.check()
    }
}

/// Takes a key's value out of the table.
fn take<T: Setting>(table: &DeTable<'_>, key: &str) -> Result<Option<T>, String> {
    let Some(value) = table.get(key) else { return Ok(None) };
    T::read(value.get_ref()).map(Some).map_err(|error| format!("`{key}`: {error}"))
}

impl Setting for ServerTls {
    fn kind() -> String {
        "a table as { ca = \"ca.pem\" }".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Err(format!("expected {}, found {text:?}", Self::kind()))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let table = value.as_table().ok_or_else(|| expected(&Self::kind(), value))?;
        for key in table.keys().map(|key| key.get_ref().as_ref()) {
            if !KEYS.contains(&key) {
                return Err(format!("unknown key `{key}`{}", did_you_mean(key, KEYS.iter().copied())));
            }
        }
        let (ca, verify) = (take::<PathBuf>(table, "ca")?, take::<bool>(table, "verify")?.unwrap_or(true));
        if ca.is_some() && !verify {
            return Err("`ca` is of no use beside `verify = false`: take one of them out".into());
        }
        let identity = match (take::<PathBuf>(table, "cert")?, take::<PathBuf>(table, "key")?) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((cert, key)),
            (Some(_), None) => return Err("`cert` needs its `key`".into()),
            (None, Some(_)) => return Err("`key` needs its `cert`".into()),
        };
        let name = take::<String>(table, "server_name")?;
        if let Some(name) = &name {
            server_name(name).map_err(|error| format!("`server_name`: {error}"))?;
        }
        Ok(Self { tls: Tls::new(TlsOptions { ca, verify, identity }), server_name: name })
    }

    fn show(&self) -> Option<String> {
        let TlsOptions { ca, verify, identity } = self.tls.options();
        let mut keys = Vec::new();
        if let Some(ca) = ca {
            keys.push(format!("ca = {}", quoted(ca.display())?));
        }
        if let Some(name) = &self.server_name {
            keys.push(format!("server_name = {}", quoted(name)?));
        }
        if ca.is_none() {
            keys.push(format!("verify = {verify}"));
        }
        if let Some((cert, key)) = identity {
            keys.push(format!("cert = {}, key = {}", quoted(cert.display())?, quoted(key.display())?));
        }
        Some(format!("{{ {} }}", keys.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<ServerTls, String> {
        let text = format!("key = {toml}");
        let table = toml::de::DeTable::parse(&text).unwrap();
        ServerTls::read(table.get_ref().get("key").unwrap().get_ref())
    }

    #[test]
    fn what_is_shown_reads_back() {
        for toml in [
            "{}",
            "{ verify = false }",
            "{ ca = 'a.pem' }",
            "{ ca = 'a.pem', server_name = 'x.test', cert = 'b.pem', key = 'c.pem' }",
            "{ server_name = '::1' }",
        ] {
            let tls = read(toml).unwrap();
            assert_eq!(read(&tls.show().unwrap()), Ok(tls), "{toml}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_named() {
        for (toml, named) in [
            ("'ca.pem'", "expected a table"),
            ("{ c = 'a' }", "`c`"),
            ("{ verifi = true }", "did you mean `verify`"),
            ("{ verify = 1 }", "`verify`"),
            ("{ cert = 'a' }", "`key`"),
            ("{ key = 'a' }", "`cert`"),
            ("{ ca = 'a', verify = false }", "`verify = false`"),
            ("{ server_name = 'a b' }", "`server_name`"),
            ("{ ca = '' }", "`ca`"),
        ] {
            let error = read(toml).unwrap_err();
            assert!(error.contains(named), "{toml}: {error}");
        }
    }
}
