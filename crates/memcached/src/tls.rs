//! TLS towards servers: certificates are checked against the system's authorities, or against those of one
//! file. There is no way to skip the check.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// What connections to all servers of an address share.
pub(crate) fn client_config(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, Error> {
    let roots = match authorities {
        Some(path) => roots_of(path)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Configuration(format!("TLS can't be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The name a server's certificate must have.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| Error::Configuration(format!("{host:?} is no name that a certificate can have")))
}

fn roots_of(path: &Path) -> Result<RootCertStore, Error> {
    let broken = |what: &dyn std::fmt::Display| {
        Error::Configuration(format!("{}: can't read certificates of authorities: {what}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| broken(&error))? {
        let certificate = certificate.map_err(|error| broken(&error))?;
        roots.add(certificate).map_err(|error| broken(&error))?;
    }
    if roots.is_empty() { Err(broken(&"there is none in it")) } else { Ok(roots) }
}

fn system_roots() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // Some systems keep certificates that can't be read; the others still count.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let what = "this system has no certificates of authorities: install ca-certificates, or set tls_ca";
        return Err(Error::Configuration(what.to_owned()));
    }
    Ok(roots)
}
