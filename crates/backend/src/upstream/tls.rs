//! TLS to servers: whom to believe, and with which certificate of our own.
//!
//! A [`Tls`] is made of [`TlsOptions`] and shared by all workers: the certificates are read once, and a
//! session that one worker began another can resume. What it is made of never changes; other options, or
//! files that are read again, are another `Tls`, whose connections are its own.
//!
//! Servers are spoken to in TLS 1.2 or 1.3 and told that we speak HTTP/1.1 (ALPN). Who is trusted without
//! being told is the operating system's affair, so that a certificate authority that an administrator has
//! added or removed there is added or removed here.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The system's certificates are read again when they were read longer ago than this: a configuration
/// with a hundred backends reads them once, and so does the next.
const ROOTS_STAY: Duration = Duration::from_secs(5);

/// How servers are spoken to over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// A PEM file with the certificates of those who are believed; without one the system's are.
    pub ca: Option<PathBuf>,
    /// Whether the server has to prove who it is.
    pub verify: bool,
    /// Our own certificate (with its chain) and its key, both PEM files, for a server that asks for them.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Default for TlsOptions {
    fn default() -> TlsOptions {
        TlsOptions { ca: None, verify: true, identity: None }
    }
}

/// Why TLS can't be spoken as told.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{} can't be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Arc<io::Error>,
    },
    /// A file holds no certificate, or one that is broken.
    #[error("{} holds no usable certificate in PEM ({detail})", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A file holds no private key, or one that is broken.
    #[error("{} holds no usable private key in PEM ({detail})", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The certificate and the key don't belong together.
    #[error("the certificate {} can't be used with the key {}: {detail}", cert.display(), key.display())]
    Identity {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The system trusts nobody.
    #[error(
        "this system has no trusted certificates ({0}): install ca-certificates, or name yours with `ca`"
    )]
    NoRoots(String),
    /// The server's name is none that a certificate could have.
    #[error("{0:?} is no host name or IP address")]
    Name(String),
    /// The cryptography has no use for the versions of TLS that we speak.
    #[error("TLS can't be set up: {0}")]
    Setup(String),
}

/// TLS as it is spoken to some servers; cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    /// Another one for each.
    id: u64,
    options: TlsOptions,
    config: OnceLock<Result<Arc<ClientConfig>, TlsError>>,
    /// Whether it has been said that nobody has to prove anything.
    warned: AtomicBool,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls::new(TlsOptions::default())
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Tls) -> bool {
        self.0.options == other.0.options
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Tls").field(&self.0.options).finish()
    }
}

impl Tls {
    /// TLS as told. Nothing is read before [`Tls::check`] or the first connection.
    pub fn new(options: TlsOptions) -> Tls {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Relaxed);
        Tls(Arc::new(Shared { id, options, config: OnceLock::new(), warned: AtomicBool::new(false) }))
    }

    /// What it was told.
    pub fn options(&self) -> &TlsOptions {
        &self.0.options
    }

    /// Reads what the options name.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self) -> Result<(), TlsError> {
        self.config().map(drop)
    }

    /// By which its connections are told from others.
    pub(super) fn id(&self) -> u64 {
        self.0.id
    }

    /// Shakes hands over a connection, with a server that has to be of that name.
    pub(super) async fn connect(&self, transport: TcpStream, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let config = self.config().map_err(io::Error::other)?;
        let name = server_name(name).map_err(io::Error::other)?;
        if !self.0.options.verify && !self.0.warned.swap(true, Relaxed) {
            tracing::warn!(
                server = %name.to_str(),
                "verify = false: whoever answers is believed to be the server, on this connection and all like it"
            );
        }
        TlsConnector::from(Arc::clone(config)).connect(name, transport).await.map_err(in_words)
    }

    fn config(&self) -> Result<&Arc<ClientConfig>, TlsError> {
        self.0.config.get_or_init(|| configure(&self.0.options)).as_ref().map_err(TlsError::clone)
    }
}

/// A name as SNI and certificates have it; a host of HTTP has brackets around an IPv6 address.
///
/// # Errors
/// When it is none.
pub fn server_name(text: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::Name(text.to_owned()))
}

fn configure(options: &TlsOptions) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    let builder = match (options.verify, &options.ca) {
        (false, _) => builder.dangerous().with_custom_certificate_verifier(Arc::new(BelieveAnyone(provider))),
        (true, Some(path)) => builder.with_root_certificates(roots_in(path)?),
        (true, None) => builder.with_root_certificates(system_roots()?),
    };
    let mut config = match &options.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates_in(cert)?;
            let secret = PrivateKeyDer::from_pem_slice(&read(key)?)
                .map_err(|error| TlsError::Key { path: key.clone(), detail: error.to_string() })?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| TlsError::Identity {
                cert: cert.clone(),
                key: key.clone(),
                detail: error.to_string(),
            })?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path)
        .map_err(|error| TlsError::Unreadable { path: path.to_owned(), error: Arc::new(error) })
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |detail: String| TlsError::Certificate { path: path.to_owned(), detail };
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| unusable(error.to_string()))?;
    match certificates.is_empty() {
        true => Err(unusable("there is none in it".to_owned())),
        false => Ok(certificates),
    }
}

fn roots_in(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_in(path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Certificate { path: path.to_owned(), detail: error.to_string() })?;
    }
    Ok(roots)
}

/// Whom the system trusts.
fn system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    static READ: Mutex<Option<(Instant, Arc<RootCertStore>)>> = Mutex::new(None);
    // Held while reading: whoever comes meanwhile would only read the same.
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, roots)) = &*read
        && at.elapsed() < ROOTS_STAY
    {
        return Ok(Arc::clone(roots));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems carry certificates that nobody can use any more; the rest is as good without them.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let detail = found.errors.first().map_or_else(|| "none were found".to_owned(), ToString::to_string);
        return Err(TlsError::NoRoots(detail));
    }
    let roots = Arc::new(roots);
    *read = Some((Instant::now(), Arc::clone(&roots)));
    Ok(roots)
}

/// For `verify = false`: takes every certificate, whoever made it for whomever. That the server holds the
/// key of what it shows is still checked.
#[derive(Debug)]
struct BelieveAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for BelieveAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// An error of TLS in the words of whoever has to do something about it.
pub(super) fn in_words(error: io::Error) -> io::Error {
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(error.kind(), "it broke the connection off without ending TLS")
            }
            _ => error,
        };
    };
    let words = match cause {
        rustls::Error::InvalidCertificate(fault) => match fault {
            // The second: by the name of one that is known, but not with its key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is not trusted: none of the known authorities has signed it".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet".to_owned()
            }
            CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
            CertificateError::NotValidForNameContext { expected, presented } => {
                // They come as `DnsName("a.example")`.
                let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
                let names: Vec<String> = presented.iter().map(bare).collect();
                let names = if names.is_empty() { "no name at all".into() } else { names.join(", ") };
                format!("its certificate is not for {} but for {names}", expected.to_str())
            }
            other => format!("its certificate is not valid: {other}"),
        },
        rustls::Error::InvalidMessage(_) => format!("it doesn't speak TLS there ({cause})"),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "it demands a certificate of us: set `cert` and `key`".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("it refused TLS with the alert {alert:?}"),
        other => format!("TLS failed: {other}"),
    };
    io::Error::new(error.kind(), words)
}
