//! HTTP/1.1 towards servers: connections, their pool, and what is known of each server.
//!
//! A connection is driven by the request that uses it, inside that request's own task: no task of its
//! own, no channel. Between requests it rests in its worker's pool and never changes threads.

mod connection;
mod peer;
mod recovery;
mod registry;
mod resolve;
mod tls;
mod transport;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use waypost_http1::HeadLimits;

pub use peer::{Peer, Peers};
pub use recovery::watch as watch_for_recovery;
pub use registry::{InFlight, PeerState, Registry};
pub use resolve::Resolved;
pub use tls::{Tls, TlsError, TlsOptions, server_name};
pub use transport::Transport;

use crate::exchange::Exchange;
use crate::failure::{Failure, FailureKind};
use crate::response::Response;
use connection::Connection;

/// How a server is talked to: limits, of which a duration of zero is none, and TLS.
#[derive(Debug, Clone)]
pub struct Options {
    /// For a connection to come about.
    pub connect_timeout: Duration,
    /// For the response to begin once the request is sent, and between two arrivals of a body's bytes.
    pub response_timeout: Duration,
    /// How long a connection may rest in the pool.
    pub idle_timeout: Duration,
    /// How many connections to one server rest in one worker's pool.
    pub most_idle: usize,
    /// How many requests one server may have in hand, over all workers.
    pub max_connections: Option<u32>,
    /// How large a response's head may be.
    pub head: HeadLimits,
    /// How TLS is spoken; none: it isn't.
    pub tls: Option<Tls>,
    /// The name that a server is asked for over TLS (SNI) and that its certificate must have; none: the
    /// host that the request asks for.
    pub server_name: Option<String>,
}

impl Options {
    /// The name that a server has to have towards that request.
    fn server_name<'a>(&'a self, exchange: &'a Exchange) -> &'a str {
        self.server_name.as_deref().unwrap_or(exchange.host.as_str())
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(55),
            most_idle: 128,
            max_connections: None,
            head: HeadLimits { line: 32 * 1024, size: 64 * 1024, fields: HeadLimits::MOST_FIELDS },
            tls: None,
            server_name: None,
        }
    }
}

/// Sends requests to servers over one worker's connections.
#[derive(Debug, Clone)]
pub struct Upstream {
    peers: Rc<Peers>,
    options: Rc<Options>,
}

impl Upstream {
    /// Sends over the connections of `peers`.
    pub fn new(peers: Rc<Peers>, options: Options) -> Upstream {
        Upstream { peers, options: Rc::new(options) }
    }

    /// What is known of a server, and this worker's connections to it.
    pub fn peer(&self, address: SocketAddr) -> Rc<Peer> {
        match &self.options.tls {
            None => self.peers.get(address),
            Some(tls) => self.peers.get_over(address, tls),
        }
    }

    /// Sends the request to that server and returns as soon as the response's head has come.
    ///
    /// A connection that comes out of the pool dead is replaced by a new one, once, if nothing of the
    /// request can have been acted upon or the request may be repeated. Whether a failure tells on the
    /// server's health is noted here; whether another server is tried is the caller's affair.
    pub async fn send(&self, peer: &Rc<Peer>, exchange: &mut Exchange) -> Result<Response, Failure> {
        let mut in_flight = Some(InFlight::begin(peer.state()));
        if self.options.max_connections.is_some_and(|most| peer.state().in_flight() > most) {
            let what = format!("{} has as many requests in hand as it may", peer.address());
            return Err(Failure::unsent(FailureKind::Unavailable { what }));
        }
        exchange.notes.set_upstream(peer.address_text());
        let repeatable = exchange.is_repeatable();
        let idle = match &self.options.tls {
            None => peer.take_idle(repeatable),
            Some(_) => peer.take_idle_of(self.options.server_name(exchange), repeatable),
        };
        if let Some(connection) = idle {
            match connection.exchange(exchange, in_flight.take(), &self.options).await {
                Err(failure) if is_stale(&failure) && (!failure.sent || exchange.is_repeatable()) => {
                    tracing::debug!(address = %peer.address(), "a pooled connection was dead, trying a new one");
                    peer.state().count_stale();
                }
                result => return result,
            }
        }
        let in_flight = in_flight.unwrap_or_else(|| InFlight::begin(peer.state()));
        self.send_anew(peer, exchange, Some(in_flight)).await
    }

    /// Sends the request over a new connection, whatever rests in the pool. Without `in_flight` it is none of
    /// those that the server has in hand: so a probe takes nobody's place.
    pub(crate) async fn send_anew(
        &self,
        peer: &Rc<Peer>,
        exchange: &mut Exchange,
        in_flight: Option<InFlight>,
    ) -> Result<Response, Failure> {
        let connection = match &self.options.tls {
            None => Connection::open(peer, &self.options).await?,
            // A handshake is large and rare: it has no place in the future of every request.
            Some(tls) => {
                let name = self.options.server_name(exchange);
                Box::pin(Connection::open_over(tls, name, peer, &self.options)).await?
            }
        };
        connection.exchange(exchange, in_flight, &self.options).await
    }

    /// Whether a connection to one of these servers might be had, as far as is known. If none is known, so
    /// is nothing against them.
    pub fn is_reachable(&self, addresses: &[SocketAddr]) -> bool {
        self.peers.registry().down() == 0
            || addresses.is_empty()
            || addresses.iter().any(|address| !self.peer(*address).state().is_down())
    }
}

/// Whether a pooled connection may have been dead before the request came.
fn is_stale(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::Closed { .. })
}

/// What is shared by all workers, as a backend is given it.
pub type SharedRegistry = Arc<Registry>;
