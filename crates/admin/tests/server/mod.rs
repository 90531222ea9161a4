//! An admin API on a free port, over an embedded table in a directory of its own, and a client that sends
//! exactly what it is told.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use waypost_admin::{Admin, AdminServer, Membership, Router, RunningAdmin, VersionSets};
use waypost_backend::{Explanation, Report, Sketch};
use waypost_table::{EmbeddedTable, Health, InstanceRef, TableStore};

/// A router that is only talked about: every instance on port 1 is down.
#[derive(Default)]
pub(crate) struct Still {
    pub(crate) draining: AtomicBool,
}

impl Router for Still {
    fn health(&self, instance: &InstanceRef<'_>) -> Health {
        match instance.address() {
            Some(address) if address.port() == 1 => Health::Down { reason: "refused".into() },
            _ => Health::Up,
        }
    }

    fn backends(&self) -> Report {
        Report {
            name: "routes".into(),
            kind: "routes",
            up: true,
            detail: String::new(),
            health: None,
            children: Vec::new(),
        }
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        let target = String::from_utf8_lossy(request.target);
        let says = format!("asked for {target} at {}", request.host);
        Explanation { backend: "routes".into(), kind: "routes", says, detail: None, next: Vec::new() }
    }

    fn backend_names(&self) -> BTreeSet<String> {
        BTreeSet::from(["app".to_owned()])
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Sets in memory.
#[derive(Default)]
pub(crate) struct Sets(pub(crate) Mutex<Vec<Membership>>);

impl VersionSets for Sets {
    fn add(&self, memberships: &[Membership]) -> Result<usize, Box<dyn Error + Send + Sync>> {
        self.0.lock().unwrap().extend_from_slice(memberships);
        Ok(memberships.len())
    }
}

pub(crate) struct Server {
    pub(crate) store: Arc<dyn TableStore>,
    pub(crate) router: Arc<Still>,
    pub(crate) sets: Arc<Sets>,
    pub(crate) address: SocketAddr,
    running: Option<RunningAdmin>,
    _directory: TempDir,
}

/// A socket on a loopback port below those that outgoing connections take.
fn bind() -> AdminServer {
    let start = std::process::id() as u16 % 10_000 + 20_000;
    let mut ports = (start..32_768).chain(20_000..start);
    ports
        .find_map(|port| AdminServer::bind(SocketAddr::from(([127, 0, 0, 1], port))).ok())
        .expect("a free port")
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::with(|admin, sets| admin.with_sets(sets))
    }

    pub(crate) fn with(finish: impl FnOnce(Admin, Arc<Sets>) -> Admin) -> Server {
        let directory = TempDir::new().unwrap();
        let store: Arc<dyn TableStore> = Arc::new(EmbeddedTable::open(directory.path()).unwrap());
        let (router, sets) = (Arc::<Still>::default(), Arc::<Sets>::default());
        let admin = finish(Admin::new(Arc::clone(&store), router.clone()), Arc::clone(&sets));
        let running = bind().start(admin).unwrap();
        let address = running.address();
        Server { store, router, sets, address, running: Some(running), _directory: directory }
    }

    /// Sends these bytes and reads until the connection ends.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // A server that refuses early may not read it all.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Answer::parse(&answer)
    }

    /// Sends a request with these fields, each ended by CR LF, and this body.
    pub(crate) fn send(&self, method: &str, path: &str, fields: &str, body: &str) -> Answer {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n{body}",
            self.address,
            body.len()
        );
        self.raw(request.as_bytes())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    pub(crate) fn post(&self, path: &str, json: &str) -> Answer {
        self.send("POST", path, "Content-Type: application/json\r\n", json)
    }

    pub(crate) fn import(&self, path: &str, lines: &str) -> Answer {
        self.send("POST", path, "Content-Type: application/x-ndjson\r\n", lines)
    }

    pub(crate) fn add(&self, host: &str, address: &str) {
        let change =
            format!(r#"{{"changes":[{{"op":"add","host":"{host}","member":{{"address":"{address}"}}}}]}}"#);
        assert_eq!(self.post("/api/v1/routes", &change).status, 200);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.take().unwrap().stop();
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let head = head.to_ascii_lowercase();
        let body = if head.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_owned() };
        Answer { status, head, body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Asserts that it is a problem of this status, and returns what it says.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        problem["detail"].as_str().expect("a detail").to_owned()
    }
}

fn unchunk(mut text: &str) -> String {
    let mut body = String::new();
    loop {
        let (size, rest) = text.split_once("\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(size, 16).expect("a hexadecimal size");
        if size == 0 {
            return body;
        }
        body.push_str(&rest[..size]);
        text = &rest[size + 2..];
    }
}
