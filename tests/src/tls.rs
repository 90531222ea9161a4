//! TLS for tests: certificates out of OpenSSL, and a front that ends TLS (Python's, which is OpenSSL as well) in
//! front of any [`Upstream`](crate::Upstream): nothing of it is what the router is made of.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::port::Port;
use crate::process::Process;
use crate::upstream::Upstream;
use crate::wait::eventually;

/// One that signs certificates, and whom a test may choose to trust.
#[derive(Debug)]
pub struct Authority {
    directory: TempDir,
}

/// A certificate and its key, in files.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate, in PEM.
    pub cert: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
}

impl Authority {
    /// A new one, whom nobody trusts yet.
    pub fn new() -> Authority {
        let directory = TempDir::new().expect("a temporary directory");
        let authority = Authority { directory };
        let subject = ["-subj", "/CN=Authority of a test", "-addext", "basicConstraints=critical,CA:TRUE"];
        authority.openssl(
            NEW_KEY
                .iter()
                .chain(&["-x509", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem"])
                .chain(&subject),
        );
        authority
    }

    /// Its own certificate, in PEM.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A certificate for names and addresses, as `DNS:a.test` or `IP:127.0.0.1`.
    pub fn issue(&self, names: &str) -> Certificate {
        self.sign(names, "2")
    }

    /// A certificate that has expired.
    pub fn issue_expired(&self, names: &str) -> Certificate {
        self.sign(names, "-1")
    }

    fn sign(&self, names: &str, days: &str) -> Certificate {
        let name: String =
            format!("{names}{days}").chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let [cert, key, request, extensions] =
            ["pem", "key", "csr", "ext"].map(|kind| format!("{name}.{kind}"));
        let text = format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n");
        std::fs::write(self.path(&extensions), text).expect("a file in a new directory");
        self.openssl(NEW_KEY.iter().chain(&[
            "-new",
            "-subj",
            "/CN=a server",
            "-keyout",
            &key,
            "-out",
            &request,
        ]));
        self.openssl(
            ["x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"].iter().chain(&[
                "-days",
                days,
                "-in",
                &request,
                "-extfile",
                &extensions,
                "-out",
                &cert,
            ]),
        );
        Certificate { cert: self.path(&cert), key: self.path(&key) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn openssl<'a>(&self, arguments: impl IntoIterator<Item = &'a &'a str>) {
        let mut command = Command::new("openssl");
        let done = Process::run(command.args(arguments).current_dir(self.directory.path()));
        assert_eq!(done.code, Some(0), "{done:#?}");
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

const NEW_KEY: &[&str] = &["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// TLS in front of an upstream. Each connection that completes its handshake is one to the upstream.
#[derive(Debug)]
pub struct TlsFront {
    port: Port,
    _process: Process,
}

impl TlsFront {
    /// TLS 1.2 and 1.3 with this certificate.
    pub fn start(upstream: &Upstream, certificate: &Certificate) -> TlsFront {
        TlsFront::with(upstream, certificate, json!({}))
    }

    /// The same, with more: `version` (the only one), `ca` (of which a client must show a certificate), `abrupt`
    /// (it closes without close_notify).
    pub fn with(upstream: &Upstream, certificate: &Certificate, more: Value) -> TlsFront {
        let port = Port::free();
        let mut options = json!({
            "listen": port.number(), "behind": upstream.address().port(),
            "cert": certificate.cert, "key": certificate.key,
        });
        let (Value::Object(options_map), Value::Object(more)) = (&mut options, more) else {
            panic!("options are a JSON object")
        };
        options_map.extend(more);
        let mut command = Command::new("python3");
        command.args(["-c", include_str!("tls_front.py"), &options.to_string()]);
        let mut process = Process::start(&mut command);
        eventually("the TLS front to listen", || {
            assert!(process.is_running(), "the TLS front ended:\n{}", process.stderr());
            TcpStream::connect(port.address()).ok().map(drop)
        });
        TlsFront { port, _process: process }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }
}

/// A path as TOML.
pub fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}
