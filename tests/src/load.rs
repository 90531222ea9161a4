//! Clients that go on asking for hosts while a test does its worst, and forgive nothing.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::Client;
use crate::wait::eventually;

/// How long a client rests between two requests, so that the machine has time for what is being tested.
const REST: Duration = Duration::from_micros(300);

/// A load that runs until it is finished or dropped.
#[derive(Debug)]
pub struct Load {
    state: Arc<State>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    stop: AtomicBool,
    served: AtomicUsize,
    /// What the first request that failed came to.
    fault: Mutex<Option<String>>,
}

impl Load {
    /// Starts clients that ask for these hosts in turn, each on one connection that is kept. Every request
    /// must be answered with 200 and the text that stands beside its host.
    pub fn start(router: SocketAddr, clients: usize, hosts: &[(&str, &str)]) -> Load {
        let state = Arc::new(State::default());
        let hosts: Arc<[(String, String)]> =
            hosts.iter().map(|(host, text)| ((*host).to_owned(), (*text).to_owned())).collect();
        let clients = (0..clients)
            .map(|number| {
                let (state, hosts) = (Arc::clone(&state), Arc::clone(&hosts));
                std::thread::spawn(move || state.ask(router, hosts.iter().cycle().skip(number)))
            })
            .collect();
        Load { state, clients }
    }

    /// How many requests have been served.
    pub fn served(&self) -> usize {
        self.state.served.load(Ordering::SeqCst)
    }

    /// What the first request that failed came to, if one has.
    pub fn fault(&self) -> Option<String> {
        self.state.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many more requests have been served.
    ///
    /// # Panics
    /// When one has failed.
    pub fn await_more(&self, count: usize) {
        let goal = self.served() + count;
        eventually(&format!("{count} more requests served"), || {
            self.assert_flawless();
            (self.served() >= goal).then_some(())
        });
    }

    /// Panics when a request has failed.
    pub fn assert_flawless(&self) {
        if let Some(fault) = self.fault() {
            panic!("after {} requests: {fault}", self.served());
        }
    }

    /// Ends the load; how many requests were served.
    ///
    /// # Panics
    /// When one has failed.
    pub fn finish(mut self) -> usize {
        self.stop();
        self.assert_flawless();
        self.served()
    }

    fn stop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            client.join().expect("a client of the load does not panic");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    fn ask<'a>(&self, router: SocketAddr, hosts: impl Iterator<Item = &'a (String, String)>) {
        let mut client = match Client::try_connect(router) {
            Ok(client) => client,
            Err(error) => return self.fail(format!("connect to {router}: {error}")),
        };
        for (host, expected) in hosts {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            match client.try_exchange(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")) {
                Ok(response) if response.status == 200 && response.text() == *expected => {
                    self.served.fetch_add(1, Ordering::SeqCst);
                }
                Ok(response) => {
                    return self.fail(format!("{host}: {} {:?}", response.status, response.text()));
                }
                Err(error) => return self.fail(format!("{host}: {error}")),
            }
            std::thread::sleep(REST);
        }
    }

    fn fail(&self, fault: String) {
        let mut first = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(fault);
    }
}
