//! A router with a backend of one's own, in front of one server: see `docs/writing-a-backend.md`.
//!
//! `cargo run -p waypost-examples --bin own-backend -- 127.0.0.1:8080 127.0.0.1:9000`

mod footer;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context;
use waypost_backend::upstream::Registry;
use waypost_backend::{Backend, Client, ClientOptions};
use waypost_proxy::{Forwarding, Ground, Limits, Options, Server, Settings};

use footer::Footer;

fn main() -> anyhow::Result<()> {
    let addresses: Result<Vec<SocketAddr>, _> = std::env::args().skip(1).map(|text| text.parse()).collect();
    let addresses = addresses.context("usage: own-backend LISTEN SERVER")?;
    let [listen, server] = addresses[..] else { anyhow::bail!("usage: own-backend LISTEN SERVER") };

    let tree = Arc::new(move |ground: &Ground| -> Rc<dyn Backend> {
        let options = ClientOptions::new(server.ip().to_string(), server.port());
        let client = Rc::new(Client::new("server", options, Rc::clone(&ground.peers)));
        Rc::new(Footer::new("footer", client, "served by waypost\n"))
    });
    let _server = Server::start(Options {
        listen: vec![listen],
        workers: 1,
        settings: Settings { limits: Limits::default(), forwarding: Forwarding::default(), tree },
        registry: Registry::new(),
        access_log: None,
    })?;
    loop {
        std::thread::park();
    }
}
