//! A client that asks for a host and reads the status; its connection is kept.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::Context;

use crate::DEADLINE;

/// A connection to the router.
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(address)
            .with_context(|| format!("could not connect to the router at {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Client { stream, read: Vec::with_capacity(4096) })
    }

    /// Asks for `/` of a host; the status it is answered with.
    pub(crate) fn get(&mut self, host: &str) -> anyhow::Result<u16> {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).context("could not write to the router")?;
        self.read.clear();
        loop {
            let mut piece = [0; 4096];
            let length = self.stream.read(&mut piece).context("no answer from the router")?;
            anyhow::ensure!(length > 0, "the router closed the connection after {host}");
            self.read.extend_from_slice(&piece[..length]);
            if let Some(status) = whole(&self.read)? {
                return Ok(status);
            }
        }
    }
}

/// The status, if the response has come whole.
fn whole(response: &[u8]) -> anyhow::Result<Option<u16>> {
    let Some(end) = response.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&response[..end]).context("a head that is no text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let status: u16 = status.with_context(|| format!("no status in {head:?}"))?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.with_context(|| format!("no Content-Length in {head:?}"))?;
    Ok((response.len() >= end + 4 + length).then_some(status))
}
