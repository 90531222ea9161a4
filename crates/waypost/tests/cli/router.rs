//! A running router.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{Place, listener};

/// Patience with a router that starts or ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// A router that is killed when the test ends, however it ends.
pub(crate) struct Router {
    child: Child,
    pub(crate) admin: SocketAddr,
}

impl Router {
    pub(crate) fn start(place: &Place, flags: &[&str]) -> Router {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut router = Router::spawn(place, flags);
            // One that has ended lost a port to another test between its choice and its use.
            while router.child.try_wait().unwrap().is_none() {
                if router.is_alive() {
                    return router;
                }
                assert!(Instant::now() < end, "the router does not answer");
                thread::sleep(Duration::from_millis(20));
            }
            assert!(Instant::now() < end, "the router ends as it starts");
        }
    }

    fn spawn(place: &Place, flags: &[&str]) -> Router {
        // Held together, so that they differ; free for the router from the end of this block on.
        let (http, admin) = {
            let (http, admin) = (listener(), listener());
            (http.local_addr().unwrap(), admin.local_addr().unwrap())
        };
        let addresses = ["--listen".to_owned(), http.to_string(), "--admin".to_owned(), admin.to_string()];
        let child = place
            .command(&["serve", "--workers", "1"])
            .args(addresses)
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Router { child, admin }
    }

    pub(crate) fn is_alive(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.admin) else { return false };
        let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    }

    /// Sends it a signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The arguments, and where the router is.
    pub(crate) fn at<'a>(&self, arguments: &[&'a str], admin: &'a str) -> Vec<&'a str> {
        [arguments, &["--admin", admin]].concat()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
