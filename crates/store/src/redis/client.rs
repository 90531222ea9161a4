//! A client of the `redis` crate for an address.

use redis::io::tcp::TcpSettings;
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    TlsCertificates,
};

use super::address::{Credentials, Endpoint, TlsFiles};

/// Prepares connections to a server: where it is, who one is there, and TLS. Nothing is sent.
///
/// # Errors
/// Why the files for TLS or the address can't be used, as a line of text.
pub fn client(
    endpoint: &Endpoint,
    credentials: &Credentials,
    database: u32,
    tls: Option<&TlsFiles>,
    protocol: ProtocolVersion,
) -> Result<Client, String> {
    let (host, port) = (endpoint.host.clone(), endpoint.port);
    let place = match tls {
        None => ConnectionAddr::Tcp(host, port),
        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
    };
    let mut settings = RedisConnectionInfo::default()
        .set_db(i64::from(database))
        .set_protocol(protocol)
        // One command less that an ACL has to allow.
        .set_skip_set_lib_name();
    if let Some(user) = &credentials.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &credentials.password {
        settings = settings.set_password(password);
    }
    let setup = |error: redis::RedisError| error.to_string();
    let info = place
        .into_connection_info()
        .map_err(setup)?
        .set_tcp_settings(TcpSettings::default().set_nodelay(true))
        .set_redis_settings(settings);
    match tls {
        None => Client::open(info),
        Some(files) => {
            // Another part of the program may have chosen already; then that choice stands.
            let _ = rustls::crypto::ring::default_provider().install_default();
            Client::build_with_tls(info, certificates(files)?)
        }
    }
    .map_err(setup)
}

fn certificates(files: &TlsFiles) -> Result<TlsCertificates, String> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let client_tls = match &files.identity {
        None => None,
        Some((cert, key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
    };
    Ok(TlsCertificates { client_tls, root_cert: files.ca.as_ref().map(read).transpose()? })
}
