//! A fast application inside the router, in front of a ring of caches: what answers what it can answers at once,
//! everything else goes to the cache that has it.
//!
//! ```text
//! try_pass
//!  ├ log ─ in_process: an axum router, which answers 501 to what is not its own
//!  └ log ─ hash_ring, by path and query
//!           ├ log ─ client: cache 1
//!           ├ log ─ client: cache 2
//!           └ log ─ client: cache 3
//! ```
//!
//! `cargo run -p waypost-examples --bin hierarchy -- 127.0.0.1:8080 127.0.0.1:6081 127.0.0.1:6082 127.0.0.1:6083`
//!
//! `waypost.toml` beside this file is the same for the program `waypost`.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::signal::unix::{SignalKind, signal};
use waypost_backend::upstream::Registry;
use waypost_backend::{
    Backend, Client, ClientOptions, HashRing, HashRingOptions, InProcess, InProcessOptions, Log, LogOptions,
    TryPass, TryPassOptions,
};
use waypost_proxy::{Forwarding, Ground, Limits, Options, Server, Settings};

/// The fast application. "Not mine, pass" is 501.
fn application() -> Router {
    Router::new()
        .route("/users/{name}", get(|Path(name): Path<String>| async move { format!("user {name}\n") }))
        .fallback(|| async { StatusCode::NOT_IMPLEMENTED })
}

/// The tree. Each worker builds its own, over its own connections.
fn hierarchy(application: Router, caches: &[SocketAddr], ground: &Ground) -> Rc<dyn Backend> {
    let (peers, timers) = (&ground.peers, ground.peers.timers());
    let logged = |name: &str, backend: Rc<dyn Backend>| -> Rc<dyn Backend> {
        Rc::new(Log::new(name, backend, &LogOptions::default()))
    };

    let options =
        InProcessOptions { describes: "the fast application".into(), ..InProcessOptions::default() };
    let fast = Rc::new(InProcess::new("fast", application, options, Rc::clone(timers)));

    let mut members = Vec::new();
    for (number, cache) in caches.iter().enumerate() {
        let name = format!("cache{}", number + 1);
        let options = ClientOptions::new(cache.ip().to_string(), cache.port());
        let client = Rc::new(Client::new(name.as_str(), options, Rc::clone(peers)));
        // What names it on the ring, and with it which requests are its own.
        members.push((cache.to_string(), logged(&format!("{name}_log"), client)));
    }
    let ring = HashRing::new("ring", members, HashRingOptions::default(), peers.registry());

    let members = vec![logged("fast_log", fast), logged("ring_log", Rc::new(ring))];
    Rc::new(TryPass::new("site", members, TryPassOptions::default(), Rc::clone(timers)))
}

fn main() -> anyhow::Result<()> {
    let mut addresses = Vec::new();
    for argument in std::env::args().skip(1) {
        addresses
            .push(argument.parse().with_context(|| format!("{argument} is no address as 127.0.0.1:8080"))?);
    }
    let [listen, caches @ ..] = &addresses[..] else { anyhow::bail!("usage: hierarchy LISTEN CACHE...") };
    anyhow::ensure!(!caches.is_empty(), "usage: hierarchy LISTEN CACHE...");
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();

    let caches = caches.to_vec();
    let tree = {
        let application = application();
        Arc::new(move |ground: &Ground| hierarchy(application.clone(), &caches, ground))
    };
    let server = Server::start(Options {
        listen: vec![*listen],
        workers: std::thread::available_parallelism()?.get(),
        settings: Settings { limits: Limits::default(), forwarding: Forwarding::default(), tree },
        registry: Registry::new(),
        access_log: None,
    })?;
    wait_for_the_end()?;
    server.drain();
    while !server.has_ended() {
        std::thread::sleep(Duration::from_millis(20));
    }
    server.stop();
    Ok(())
}

/// Waits for SIGTERM or Ctrl-C.
fn wait_for_the_end() -> std::io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}
