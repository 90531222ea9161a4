//! A backend that panics ends one exchange, and nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;
use waypost_backend::upstream::Registry;
use waypost_backend::{
    Backend, Body, BodyError, Call, Exchange, Explanation, Fill, Report, Response, Sketch, Source,
};
use waypost_proxy::{Forwarding, Limits, Options, Server, Settings};

/// Panics where the path says, and answers otherwise.
struct Panics;

impl Backend for Panics {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        assert_ne!(exchange.request.path(), b"/asked", "a backend panics when it is asked");
        Box::pin(async {
            assert_ne!(exchange.request.path(), b"/polled", "a backend panics while it works");
            let mut response = Response::text(StatusCode::OK, "well");
            if exchange.request.path() == b"/body" {
                response.set_body(Body::stream(Box::new(Broken(false)), Some(100)));
            }
            Ok(response)
        })
    }

    fn report(&self) -> Report {
        Report {
            name: String::new(),
            kind: "panics",
            up: true,
            detail: String::new(),
            health: None,
            children: Vec::new(),
        }
    }

    fn name(&self) -> &str {
        "panics"
    }

    fn explain(&self, _: &Sketch<'_>) -> Explanation {
        let (backend, says) = (String::new(), String::new());
        Explanation { backend, kind: "panics", says, detail: None, next: Vec::new() }
    }
}

/// A body that panics after its first byte.
struct Broken(bool);

impl Source for Broken {
    fn poll_fill(
        &mut self,
        _: &mut Context<'_>,
        out: &mut Vec<u8>,
        _: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        assert!(!std::mem::replace(&mut self.0, true), "a body panics while it is read");
        out.push(b'x');
        Poll::Ready(Ok(Fill::Data))
    }
}

fn serve() -> (Server, SocketAddr) {
    let server = Server::start(Options {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        workers: 1,
        settings: Settings {
            limits: Limits::default(),
            forwarding: Forwarding::default(),
            tree: Arc::new(|_: &_| Rc::new(Panics)),
        },
        registry: Registry::new(),
        access_log: None,
    })
    .expect("a free port");
    let address = server.addresses()[0];
    (server, address)
}

/// What comes back for a request, and whether the connection ended well.
fn ask(address: SocketAddr, path: &str) -> (String, bool) {
    let mut client = TcpStream::connect(address).expect("the server listens");
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).expect("the request is sent");
    let mut answer = Vec::new();
    let ended = client.read_to_end(&mut answer).is_ok();
    (String::from_utf8_lossy(&answer).into_owned(), ended)
}

#[test]
fn a_backend_that_panics_is_a_500_and_the_worker_lives_on() {
    let (server, address) = serve();
    for path in ["/asked", "/polled", "/asked"] {
        let (answer, _) = ask(address, path);
        assert!(answer.starts_with("HTTP/1.1 500 "), "{path}: {answer}");
        let (answer, _) = ask(address, "/");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("well\n"), "after {path}: {answer}");
    }
    server.stop();
}

#[test]
fn a_body_that_panics_is_an_error_to_its_client_and_the_worker_lives_on() {
    let (server, address) = serve();
    let (answer, ended) = ask(address, "/body");
    assert!(!ended || answer.is_empty(), "the connection ended as if all were well: {answer}");
    let (answer, _) = ask(address, "/");
    assert!(answer.ends_with("well\n"), "{answer}");
    server.stop();
}
