//! The ways to a server: unix sockets, TLS, and user and password, each with a real memcached.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use waypost_memcached::{Address, Client, Error, ResultCode, StoreOptions};
use waypost_tests::{Memcached, Port, Process, eventually};

const FOREVER: StoreOptions = StoreOptions { ttl: None, flags: 0 };

fn client(url: &str) -> Result<Client, Error> {
    Client::new(&Address::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")))
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

const PATIENT: &str = "timeout=10s&connect_timeout=10s&retry_timeout=0s";

#[test]
fn a_unix_socket_serves_as_a_port_does() {
    let server = Memcached::with().unix().start();
    for protocol in ["meta", "text", "binary"] {
        run(async {
            let client = client(&format!("{}?{PATIENT}&protocol={protocol}", server.url())).unwrap();
            client.set("key", protocol, FOREVER).await.unwrap();
            assert_eq!(server.get("key"), Some(protocol.as_bytes().to_vec()));
            assert_eq!(client.get("key").await.unwrap().unwrap().value, protocol);
        });
    }
}

#[test]
fn a_missing_unix_socket_is_a_connection_failure_that_names_it() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("none");
    let client = client(&format!("memcached+unix://{}?{PATIENT}", path.display())).unwrap();
    let error = run(client.get("key")).unwrap_err();
    assert_eq!(error.code(), ResultCode::ConnectionFailure);
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

/// A key and a certificate for 127.0.0.1 that signs itself.
fn certificate(directory: &Path, name: &str) -> [PathBuf; 2] {
    let [cert, key] = ["crt", "key"].map(|end| directory.join(format!("{name}.{end}")));
    let made = Process::run(
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=memcached", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out"])
            .arg(&cert)
            .arg("-keyout")
            .arg(&key),
    );
    assert_eq!(made.code, Some(0), "{made:#?}");
    [cert, key]
}

#[test]
fn tls_is_spoken_to_a_server_whose_certificate_is_trusted_and_to_no_other() {
    let directory = TempDir::new().unwrap();
    let [right, other] = ["right", "other"].map(|name| certificate(directory.path(), name));
    let port = Port::free();
    let options = format!("ssl_chain_cert={},ssl_key={}", right[0].display(), right[1].display());
    let mut command = Command::new("memcached");
    command.args(["-u", "root", "-l", "127.0.0.1", "-U", "0", "-t", "2", "-Z", "-o", &options, "-p"]);
    let mut server = Process::start(command.arg(port.number().to_string()));
    eventually("memcached listens", || {
        assert!(server.is_running(), "memcached ended: {}", server.stderr());
        std::net::TcpStream::connect(port.address()).ok()
    });
    let url =
        |ca: &Path| format!("memcached://{}?{PATIENT}&tls=true&tls_ca={}", port.address(), ca.display());
    run(async {
        let trusting = client(&url(&right[0])).unwrap();
        let large = "x".repeat(700_000);
        for _ in 0..3 {
            trusting.set("key", large.clone(), FOREVER).await.unwrap();
            let found = trusting.get_multi(&["none", "key", "key"]).await;
            let sizes = found.into_iter().map(|item| item.unwrap().map(|item| item.value.len()));
            assert_eq!(sizes.collect::<Vec<_>>(), [None, Some(700_000), Some(700_000)]);
        }
        let error = client(&url(&other[0])).unwrap().get("key").await.unwrap_err();
        assert_eq!(error.code(), ResultCode::ConnectionFailure, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
        let plain = client(&format!("memcached://{}?{PATIENT}", port.address())).unwrap();
        assert!(plain.get("key").await.is_err());
    });
    let error = client(&url(&right[1])).unwrap_err();
    assert_eq!(error.code(), ResultCode::InvalidArguments, "a key is no certificate: {error}");
}

#[test]
fn a_user_is_let_in_with_the_right_password_alone() {
    let directory = TempDir::new().unwrap();
    let users = directory.path().join("users");
    std::fs::write(&users, "alice:secret\n").unwrap();
    let server = Memcached::with().option(&["-Y", users.to_str().unwrap()]).start();
    let url = |login: &str| format!("{}?{PATIENT}&{login}", server.url());
    for protocol in ["auto", "meta", "text"] {
        run(async {
            let alice = client(&url(&format!("user=alice&password=secret&protocol={protocol}"))).unwrap();
            alice.set("key", "v", FOREVER).await.unwrap();
            assert_eq!(alice.get("key").await.unwrap().unwrap().value, "v");
            for login in ["user=alice&password=wrong", "user=mallory&password=secret", "user=alice", "ttl=0"]
            {
                let error = client(&url(login)).unwrap().get("key").await.unwrap_err();
                assert_eq!(error.code(), ResultCode::AuthFailure, "{login}: {error}");
                assert!(!error.to_string().contains("secret"), "{error}");
            }
        });
    }
    let error = client(&url("user=alice&password=two%20words")).unwrap_err();
    assert_eq!(error.code(), ResultCode::InvalidArguments, "{error}");
}

#[test]
fn a_password_is_not_left_on_a_server_that_did_not_ask_for_it() {
    let server = Memcached::start();
    run(async {
        let client = client(&format!("{}?{PATIENT}&user=alice&password=secret", server.url())).unwrap();
        client.set("key", "v", FOREVER).await.unwrap();
        assert_eq!(server.get("auth"), None);
    });
}

#[test]
fn a_user_is_let_in_over_the_binary_protocol_with_the_right_password_alone() {
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("users");
    let config = format!(
        "mech_list: plain\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\n",
        database.display()
    );
    std::fs::write(directory.path().join("memcached.conf"), config).unwrap();
    // memcached looks its users up under this machine's name.
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let added = Process::run(
        Command::new("sh")
            .args(["-c", "printf %s secret | saslpasswd2 -p -c -a memcached -f \"$1\" -u \"$2\" alice", "sh"])
            .args([database.to_str().unwrap(), machine.trim()]),
    );
    assert_eq!(added.code, Some(0), "{added:#?}");
    let port = Port::free();
    let mut command = Command::new("memcached");
    command.args([
        "-u",
        "root",
        "-l",
        "127.0.0.1",
        "-U",
        "0",
        "-t",
        "2",
        "-S",
        "-p",
        &port.number().to_string(),
    ]);
    let mut server = Process::start(command.env("SASL_CONF_PATH", directory.path()));
    eventually("memcached listens", || {
        assert!(server.is_running(), "memcached ended: {}", server.stderr());
        std::net::TcpStream::connect(port.address()).ok()
    });
    let url = |login: &str| format!("memcached://{}?{PATIENT}&protocol=binary&{login}", port.address());
    run(async {
        let alice = client(&url("user=alice&password=secret")).unwrap();
        alice.set("key", "v", FOREVER).await.unwrap();
        assert_eq!(alice.get("key").await.unwrap().unwrap().value, "v");
        for login in ["user=alice&password=wrong", "user=mallory&password=secret", "ttl=0"] {
            let error = client(&url(login)).unwrap().get("key").await.unwrap_err();
            assert_eq!(error.code(), ResultCode::AuthFailure, "{login}: {error}");
        }
    });
}
