//! Servers to route to. An [`Upstream`] runs a script for each connection and keeps every byte it was sent;
//! it can be stopped and started again on its port, as a program that dies and comes back would.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::message::Request;
use crate::port::Port;
use crate::wait::eventually;
use crate::wire::{Wire, WireError};

type Script = dyn Fn(&mut Peer) -> Result<(), WireError> + Send + Sync;

/// A scripted server on a free port of 127.0.0.1.
pub struct Upstream {
    port: Port,
    script: Arc<Script>,
    seen: Arc<Mutex<Seen>>,
    running: Option<Running>,
}

/// What has come so far, over all lives of the server.
#[derive(Default)]
struct Seen {
    /// What each connection sent.
    received: Vec<Arc<Mutex<Vec<u8>>>>,
    /// What the script read with [`Peer::request`], in the order it was complete.
    requests: Vec<Request>,
    /// A script has panicked: the test that wrote it must not pass.
    panicked: bool,
}

struct Running {
    listener: TcpListener,
    /// A handle of every connection's socket, by its number, to close it by.
    open: Arc<Mutex<HashMap<usize, TcpStream>>>,
    accepting: JoinHandle<()>,
}

/// A client's connection, as a script sees it. When the script returns, the connection closes.
pub struct Peer {
    wire: Wire,
    index: usize,
    seen: Arc<Mutex<Seen>>,
}

impl Upstream {
    /// Starts a server that runs `script` for each connection. A script that returns an error ends its
    /// connection, like one that returns none: a client that goes away is nothing unusual.
    pub fn start(script: impl Fn(&mut Peer) -> Result<(), WireError> + Send + Sync + 'static) -> Upstream {
        let mut upstream =
            Upstream { port: Port::free(), script: Arc::new(script), seen: Arc::default(), running: None };
        upstream.resume();
        upstream
    }

    /// A server that answers each request, once it is read whole, with what `respond` makes of it.
    pub fn serving(respond: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Upstream {
        Upstream::start(move |peer| {
            loop {
                let request = peer.request()?;
                peer.send(respond(&request))?;
            }
        })
    }

    /// A server that answers each request with the same bytes.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> Upstream {
        let bytes = bytes.into();
        Upstream::serving(move |_| bytes.clone())
    }

    /// A server that answers 200 with a text, by which a test knows it again.
    pub fn named(name: &str) -> Upstream {
        Upstream::answering(answer(200, name))
    }

    /// A server that sends a request's body back.
    pub fn echo() -> Upstream {
        Upstream::serving(|request| answer(200, &request.body))
    }

    /// Where it listens, or would.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Stops listening and closes every connection at once. What was received is kept.
    pub fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        // Wakes the thread in accept(2).
        let listener = socket2::SockRef::from(&running.listener);
        listener.shutdown(Shutdown::Both).expect("a listening socket");
        running.accepting.join().expect("the accepting thread does not panic");
        for (_, stream) in lock(&running.open).drain() {
            // The client may have closed it before.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Listens again, on the same port, after [`Upstream::stop`].
    pub fn resume(&mut self) {
        assert!(self.running.is_none(), "the upstream runs");
        let address = self.port.address();
        let listener = eventually("the upstream's port is free again", || TcpListener::bind(address).ok());
        let open = Arc::default();
        let accepting = std::thread::spawn({
            let listener = listener.try_clone().expect("a handle of an open socket");
            let (script, seen, open) = (self.script.clone(), self.seen.clone(), Arc::clone(&open));
            move || accept(&listener, &script, &seen, &open)
        });
        self.running = Some(Running { listener, open, accepting });
    }

    /// How many connections have been made.
    pub fn connections(&self) -> usize {
        lock(&self.seen).received.len()
    }

    /// Every byte that came, connection after connection.
    pub fn received(&self) -> Vec<u8> {
        lock(&self.seen).received.iter().flat_map(|bytes| lock(bytes).clone()).collect()
    }

    /// The requests that scripts have read whole with [`Peer::request`].
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.seen).requests.clone()
    }

    /// The only request there was.
    ///
    /// # Panics
    /// When there was none, or more than one.
    pub fn request(&self) -> Request {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "expected one request, found {requests:#?}");
        requests.remove(0)
    }

    /// Forgets the bytes and the requests that came so far; connections go on being counted.
    pub fn forget(&self) {
        let mut seen = lock(&self.seen);
        seen.requests.clear();
        seen.received.iter().for_each(|bytes| lock(bytes).clear());
    }

    /// Waits until so many connections have been made.
    pub fn await_connections(&self, count: usize) {
        eventually("connections to an upstream", || (self.connections() >= count).then_some(()));
    }

    /// Waits until these bytes have come, on any connection.
    pub fn await_bytes(&self, bytes: &[u8]) {
        eventually(&format!("{:?} at an upstream", String::from_utf8_lossy(bytes)), || {
            let received = lock(&self.seen).received.clone();
            received.iter().any(|one| lock(one).windows(bytes.len()).any(|w| w == bytes)).then_some(())
        });
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
        let panicked = lock(&self.seen).panicked;
        assert!(!panicked || std::thread::panicking(), "an upstream's script panicked");
    }
}

fn accept(
    listener: &TcpListener,
    script: &Arc<Script>,
    seen: &Arc<Mutex<Seen>>,
    open: &Arc<Mutex<HashMap<usize, TcpStream>>>,
) {
    // Ends when the listener is shut down.
    while let Ok((stream, _)) = listener.accept() {
        let tap = Arc::default();
        let index = {
            let mut seen = lock(seen);
            seen.received.push(Arc::clone(&tap));
            seen.received.len() - 1
        };
        lock(open).insert(index, stream.try_clone().expect("a handle of an open socket"));
        let mut peer = Peer { wire: Wire::new(stream).tapped(tap), index, seen: seen.clone() };
        let (script, open) = (script.clone(), Arc::clone(open));
        std::thread::spawn(move || {
            let ran = catch_unwind(AssertUnwindSafe(|| script(&mut peer)));
            lock(&peer.seen).panicked |= ran.is_err();
            // The other handle would hold the connection open.
            lock(&open).remove(&index);
        });
    }
}

impl Peer {
    /// The number of this connection, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Reads a request with its body, and keeps a copy for [`Upstream::requests`].
    pub fn request(&mut self) -> Result<Request, WireError> {
        let request = self.wire.read_request()?;
        lock(&self.seen).requests.push(request.clone());
        Ok(request)
    }

    /// Does nothing for a while.
    pub fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Says nothing more, until the client closes.
    pub fn hang(&mut self) -> Result<(), WireError> {
        while !self.wire.read_some()?.is_empty() {}
        Ok(())
    }

    /// Makes the connection end by a reset, rather than orderly, when the script returns.
    pub fn reset(&mut self) {
        let socket = self.wire.writer();
        let socket = socket2::SockRef::from(&socket);
        socket.set_linger(Some(Duration::ZERO)).expect("an open socket");
    }
}

impl Deref for Peer {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Peer {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

/// A whole response with a `Content-Length`.
pub fn answer(status: u16, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// An address that takes no connection and refuses none: its backlog is full, so that connecting to it
/// never ends.
#[derive(Debug)]
pub struct Blackhole {
    port: Port,
    _listener: socket2::Socket,
    _waiting: Vec<TcpStream>,
}

impl Blackhole {
    /// Listens, and fills its own backlog.
    pub fn start() -> Blackhole {
        let port = Port::free();
        let listener =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        listener.bind(&port.address().into()).expect("a claimed port is free");
        listener.listen(0).expect("a bound socket");
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&port.address(), Duration::from_millis(200)) {
            waiting.push(stream);
        }
        Blackhole { port, _listener: listener, _waiting: waiting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

/// A script that panicked has said so already; what it left is still right to look at.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
