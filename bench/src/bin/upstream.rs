//! The server behind every contender: answers each request at once with one fixed response, so that as
//! little as possible of a run's time is spent here. It knows only where a request without a body ends,
//! which is all the load generator sends.
//!
//! `GET /-/connections` answers with the number of connections accepted so far, itself included: the
//! driver asks it to learn how often a contender connected. Where it listens with `--listen-passing` it
//! answers everything else with 501, "not mine, pass".

#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use waypost_bench::{accept, listen, run};

/// A request longer than this ends its connection.
const LONGEST_REQUEST: usize = 16 * 1024;

const TAKEN: &str = "200 OK";
const PASSED: &str = "501 Not Implemented";

/// Answers every request with the same response.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; may be given several times
    #[arg(long, required = true)]
    listen: Vec<SocketAddr>,
    /// Where to listen and answer 501; may be given several times
    #[arg(long)]
    listen_passing: Vec<SocketAddr>,
    /// Bytes of the response's body
    #[arg(long, default_value_t = 100)]
    body: usize,
}

/// What all connections share.
struct Server {
    /// The whole response, its `Date` renewed every second.
    response: RefCell<Vec<u8>>,
    /// The response of those that pass.
    passing: RefCell<Vec<u8>>,
    accepted: Cell<u64>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    run(async move {
        let body = vec![b'x'; arguments.body];
        let server = Rc::new(Server {
            response: RefCell::new(response(TAKEN, &body)),
            passing: RefCell::new(response(PASSED, b"")),
            accepted: Cell::new(0),
        });
        let listen_on = [(arguments.listen, false), (arguments.listen_passing, true)];
        for (address, passes) in
            listen_on.into_iter().flat_map(|(all, passes)| all.into_iter().map(move |one| (one, passes)))
        {
            let listener = listen(address).await?;
            tokio::task::spawn_local(serve(listener, Rc::clone(&server), passes));
        }
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            *server.response.borrow_mut() = response(TAKEN, &body);
            *server.passing.borrow_mut() = response(PASSED, b"");
        }
    })
}

async fn serve(listener: TcpListener, server: Rc<Server>, passes: bool) -> anyhow::Result<()> {
    loop {
        let (stream, _) = accept(&listener).await?;
        server.accepted.set(server.accepted.get() + 1);
        tokio::task::spawn_local(converse(stream, Rc::clone(&server), passes));
    }
}

/// Answers one connection's requests until it is closed.
async fn converse(mut stream: TcpStream, server: Rc<Server>, passes: bool) -> std::io::Result<()> {
    let mut received = Vec::with_capacity(LONGEST_REQUEST);
    let mut answers = Vec::new();
    loop {
        if stream.read_buf(&mut received).await? == 0 || received.len() > LONGEST_REQUEST {
            return Ok(());
        }
        let mut done = 0;
        while let Some(length) = head_length(&received[done..]) {
            if received[done..].starts_with(b"GET /-/connections ") {
                let count = server.accepted.get().to_string();
                answers.extend_from_slice(&response(TAKEN, count.as_bytes()));
            } else if passes {
                answers.extend_from_slice(&server.passing.borrow());
            } else {
                answers.extend_from_slice(&server.response.borrow());
            }
            done += length;
        }
        received.drain(..done);
        stream.write_all(&answers).await?;
        answers.clear();
    }
}

/// Bytes up to and with the empty line that ends a request's head; none while it has not come.
fn head_length(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    bytes.windows(END.len()).position(|window| window == END).map(|start| start + END.len())
}

fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let mut response = format!(
        "HTTP/1.1 {status}\r\nServer: upstream\r\nDate: {}\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\nCache-Control: no-cache\r\nVary: Accept-Encoding\r\n\r\n",
        httpdate::fmt_http_date(SystemTime::now()),
        body.len(),
    )
    .into_bytes();
    response.extend_from_slice(body);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_its_empty_line() {
        assert_eq!(head_length(b"GET / HTTP/1.1\r\n\r\nGET"), Some(18));
        assert_eq!(head_length(b"GET / HTTP/1.1\r\nHost: a\r\n"), None);
    }

    #[test]
    fn a_response_says_how_long_its_body_is() {
        let response = String::from_utf8(response(TAKEN, b"12345")).unwrap();
        assert!(response.contains("\r\nContent-Length: 5\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\n12345"), "{response}");
    }
}
