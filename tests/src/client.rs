//! A client that sends bytes as given and reads answers strictly. It is a [`Wire`] with a few ways to say
//! the usual things.

use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};

use crate::message::Response;
use crate::wait::PATIENCE;
use crate::wire::{Wire, WireError};

/// A connection to a server under test.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When it can't.
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).unwrap_or_else(|error| panic!("connect to {address}: {error}"))
    }

    /// Connects, if the server takes connections.
    pub fn try_connect(address: SocketAddr) -> Result<Client, WireError> {
        Ok(Client { wire: Wire::new(TcpStream::connect_timeout(&address, PATIENCE)?) })
    }

    /// Sends a request given as bytes, and reads the answer. The method is the bytes' first word.
    ///
    /// # Panics
    /// When no answer comes, or one that isn't strictly HTTP.
    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> Response {
        let request = request.as_ref();
        self.try_exchange(request).unwrap_or_else(|error| {
            panic!("no answer to {:?}: {error}", String::from_utf8_lossy(&request[..request.len().min(300)]))
        })
    }

    /// The same, and the fault if no answer comes.
    pub fn try_exchange(&mut self, request: impl AsRef<[u8]>) -> Result<Response, WireError> {
        let request = request.as_ref();
        // A server may answer and close before it has read all: the answer counts.
        let sent = self.wire.send(request);
        let method = request.split(|byte| *byte == b' ').next().unwrap_or_default();
        let answer = self.wire.read_response(&String::from_utf8_lossy(method));
        answer.or_else(|error| sent.and(Err(error)))
    }

    /// GETs a path of a host, and reads the answer; the connection stays open.
    pub fn get(&mut self, host: &str, path: &str) -> Response {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// The same, and the fault if no answer comes.
    pub fn try_get(&mut self, host: &str, path: &str) -> Result<Response, WireError> {
        self.try_exchange(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// Gives up the client for its connection.
    pub fn into_wire(self) -> Wire {
        self.wire
    }
}

impl Deref for Client {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}
