//! The design that was considered for the router's data plane and left: hyper's `conn::http1` on both
//! sides, a pool that never crosses threads, hosts in a hash map, forwarded headers, and the access log.
//! It stays as evidence: `./dev bench` measures it beside what was built instead.
//!
//! It does what the measurement needs and no more: requests upgrade nothing, nothing has a time limit,
//! the table never changes.

#![forbid(unsafe_code)]

mod log;

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Task, Poll, ready};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use waypost_bench::{Upstreams, accept, connect, listen, run};

use crate::log::{AccessLog, Exchange};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fields that concern one connection only (RFC 9110, section 7.6.1), besides those `Connection` names.
const HOP_BY_HOP: [HeaderName; 5] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// How often a request is tried whose pooled connection turned out to be closed.
const TRIES: usize = 3;

/// Proxies HTTP/1.1 by the request's host.
#[derive(Parser)]
struct Arguments {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// What every host is routed to; taken in turn when given several times
    #[arg(long)]
    upstream: Vec<SocketAddr>,
    /// The hosts, one a line
    #[arg(long)]
    hosts: PathBuf,
    /// Where to write the access log
    #[arg(long)]
    access_log: PathBuf,
}

struct Proxy {
    port: HeaderValue,
    hosts: HashMap<String, Rc<Upstreams>, foldhash::fast::RandomState>,
    idle: RefCell<HashMap<SocketAddr, Vec<SendRequest<Incoming>>, foldhash::fast::RandomState>>,
    log: AccessLog,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let hosts = std::fs::read_to_string(&arguments.hosts)
        .with_context(|| format!("could not read {}", arguments.hosts.display()))?;
    let mut table = HashMap::default();
    for host in hosts.lines() {
        table.insert(host.to_owned(), Rc::new(Upstreams::new(arguments.upstream.clone())?));
    }
    let proxy = Rc::new(Proxy {
        port: HeaderValue::from(arguments.listen.port()),
        hosts: table,
        idle: RefCell::default(),
        log: AccessLog::open(&arguments.access_log)?,
    });
    run(async move {
        tokio::task::spawn_local(flush_every_second(Rc::clone(&proxy)));
        let listener = listen(arguments.listen).await?;
        loop {
            let (client, peer) = accept(&listener).await?;
            let proxy = Rc::clone(&proxy);
            tokio::task::spawn_local(async move {
                let service = service_fn(|request| {
                    let proxy = Rc::clone(&proxy);
                    async move { Ok::<_, Infallible>(proxy.answer(request, peer).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(client), service);
                // A client that goes away is no news.
                let _closed = connection.await;
            });
        }
    })
}

async fn flush_every_second(proxy: Rc<Proxy>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.log.tick();
    }
}

impl Proxy {
    async fn answer(self: Rc<Self>, mut request: Request<Incoming>, peer: SocketAddr) -> Response<Relayed> {
        let mut exchange = Exchange::begin(&request, peer);
        let Some(upstreams) = host(request.headers()).and_then(|host| self.hosts.get(host)) else {
            return self.refuse(StatusCode::NOT_FOUND, exchange);
        };
        let address = upstreams.next();
        exchange.upstream = Some(address);
        strip(request.headers_mut());
        self.add_forwarded(request.headers_mut(), peer);

        let asked = Instant::now();
        match self.send(address, request).await {
            Some((mut response, connection)) => {
                exchange.upstream_time = asked.elapsed();
                exchange.code = response.status().as_u16();
                strip(response.headers_mut());
                exchange.bytes = head_length(response.headers());
                response.map(|body| Relayed {
                    body: Some(body),
                    ended: false,
                    connection: Some((address, connection)),
                    exchange,
                    proxy: self,
                })
            }
            None => self.refuse(StatusCode::BAD_GATEWAY, exchange),
        }
    }

    /// Sends on a pooled connection if there is one, else on a new one. None: the upstream failed.
    async fn send(
        &self,
        address: SocketAddr,
        mut request: Request<Incoming>,
    ) -> Option<(Response<Incoming>, SendRequest<Incoming>)> {
        for _ in 0..TRIES {
            let mut connection = self.connection(address).await?;
            match connection.try_send_request(request).await {
                Ok(response) => return Some((response, connection)),
                // What comes back was not sent at all.
                Err(mut failure) => request = failure.take_message()?,
            }
        }
        None
    }

    async fn connection(&self, address: SocketAddr) -> Option<SendRequest<Incoming>> {
        while let Some(mut connection) = self.pooled(address) {
            if connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
        let stream = TokioIo::new(connect(address).await.ok()?);
        let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.ok()?;
        tokio::task::spawn_local(connection);
        Some(sender)
    }

    fn pooled(&self, address: SocketAddr) -> Option<SendRequest<Incoming>> {
        self.idle.borrow_mut().get_mut(&address)?.pop()
    }

    fn add_forwarded(&self, headers: &mut HeaderMap, peer: SocketAddr) {
        let peer = peer.ip().to_string();
        let chain = match headers.get("x-forwarded-for").and_then(|chain| chain.to_str().ok()) {
            Some(chain) => format!("{chain}, {peer}"),
            None => peer,
        };
        if let Ok(chain) = HeaderValue::try_from(chain) {
            headers.insert("x-forwarded-for", chain);
        }
        if let Some(host) = headers.get(header::HOST).cloned() {
            headers.insert("x-forwarded-host", host);
        }
        headers.insert("x-forwarded-port", self.port.clone());
        headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
    }

    fn refuse(self: Rc<Self>, status: StatusCode, mut exchange: Exchange) -> Response<Relayed> {
        exchange.code = status.as_u16();
        let body = Relayed { body: None, ended: true, connection: None, exchange, proxy: self };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response
    }
}

/// The request's host as the table has it. The load generator sends names in lower case, without a port.
fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

fn strip(headers: &mut HeaderMap) {
    if let Some(named) = headers.get(header::CONNECTION).cloned() {
        for name in named.to_str().unwrap_or_default().split(',') {
            headers.remove(name.trim());
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Bytes that `headers` take on the wire.
fn head_length(headers: &HeaderMap) -> u64 {
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>();
    (fields + "HTTP/1.1 200 OK\r\n\r\n".len()) as u64
}

/// An upstream's body on its way to the client. When it is dropped, the exchange is over: the connection
/// goes back to the pool if the body was read whole, and the access log gets its line.
struct Relayed {
    /// None in a response made here, which is empty.
    body: Option<Incoming>,
    /// Whether the upstream's body was read whole.
    ended: bool,
    connection: Option<(SocketAddr, SendRequest<Incoming>)>,
    exchange: Exchange,
    proxy: Rc<Proxy>,
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *body).poll_frame(task));
        let ended = body.is_end_stream();
        match &frame {
            Some(Ok(frame)) => {
                self.ended = ended;
                self.exchange.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Some(Err(_)) => {}
            None => self.ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        let ended = self.ended || self.is_end_stream();
        if let Some((address, connection)) = self.connection.take().filter(|_| ended) {
            self.proxy.idle.borrow_mut().entry(address).or_default().push(connection);
        }
        self.proxy.log.write(&self.exchange);
    }
}
