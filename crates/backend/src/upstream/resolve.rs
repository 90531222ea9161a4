//! The addresses of a server that is named: looked up on first use, and again now and then in the
//! background, while requests go on with those that are known.
//!
//! A lookup takes a thread that may wait long, when nobody answers it. So there is one at a time for a name
//! of which nothing is known, whose outcome all wait for; none is begun right behind one that failed.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::failure::{Failure, FailureKind};

/// A name is looked up again when its addresses are older than this.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);
/// And this long after that failed, if no address is known.
const PAUSE: Duration = Duration::from_secs(1);
/// Nobody waits longer for a lookup.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server's name and port, and the addresses one worker knows of it.
#[derive(Debug)]
pub struct Resolved {
    host: Box<str>,
    port: u16,
    known: Rc<RefCell<Known>>,
    /// Held while a name is looked up of which no address is known.
    looking: Mutex<()>,
}

#[derive(Debug)]
struct Known {
    addresses: Rc<[SocketAddr]>,
    /// When they were looked up; never for an address that needed no looking up.
    at: Option<Instant>,
    /// When, and how, looking them up failed, while there are none.
    failed: Option<(Instant, String)>,
}

impl Known {
    fn of(addresses: Rc<[SocketAddr]>) -> Known {
        Known { addresses, at: Some(Instant::now()), failed: None }
    }
}

impl Resolved {
    /// A server by its name or address, an IPv6 address without brackets. Nothing is looked up yet.
    pub fn new(host: &str, port: u16) -> Resolved {
        let literal = host.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port));
        let known = Known { addresses: literal.into_iter().collect(), at: None, failed: None };
        Resolved { host: host.into(), port, known: Rc::new(RefCell::new(known)), looking: Mutex::default() }
    }

    /// Those of its addresses that are known by now.
    pub fn known(&self) -> Rc<[SocketAddr]> {
        Rc::clone(&self.known.borrow().addresses)
    }

    /// Its addresses, one at least.
    ///
    /// # Errors
    /// If the name can't be resolved and never could be. Nothing of the request was sent then.
    pub async fn addresses(&self) -> Result<Rc<[SocketAddr]>, Failure> {
        if let Some(addresses) = self.at_hand() {
            return Ok(addresses);
        }
        let _looking = self.looking.lock().await;
        // Somebody else may have looked meanwhile.
        if let Some(addresses) = self.at_hand() {
            return Ok(addresses);
        }
        if let Some((at, error)) = &self.known.borrow().failed
            && at.elapsed() < PAUSE
        {
            return Err(self.unresolved(error));
        }
        match look_up(&self.host, self.port).await {
            Ok(addresses) => {
                *self.known.borrow_mut() = Known::of(Rc::clone(&addresses));
                Ok(addresses)
            }
            Err(error) => {
                let error = error.to_string();
                let failure = self.unresolved(&error);
                self.known.borrow_mut().failed = Some((Instant::now(), error));
                Err(failure)
            }
        }
    }

    /// The addresses that are known, if any are. Old ones are looked up again, for those who come later.
    fn at_hand(&self) -> Option<Rc<[SocketAddr]>> {
        let mut known = self.known.borrow_mut();
        if known.addresses.is_empty() {
            return None;
        }
        if known.at.is_some_and(|at| at.elapsed() > RESOLVE_EVERY) {
            // Whoever comes next uses the old addresses while this one's question is under way.
            known.at = Some(Instant::now());
            tokio::task::spawn_local(refresh(self.host.clone(), self.port, Rc::clone(&self.known)));
        }
        Some(Rc::clone(&known.addresses))
    }

    /// The failure of a request for a server without addresses.
    pub(crate) fn without_addresses(&self) -> Failure {
        self.unresolved(NO_ADDRESSES)
    }

    fn unresolved(&self, error: &str) -> Failure {
        let (host, error) = (self.host.to_string(), error.to_owned());
        Failure::unsent(FailureKind::Unresolved { host, error })
    }
}

const NO_ADDRESSES: &str = "it has no addresses";

async fn look_up(host: &str, port: u16) -> io::Result<Rc<[SocketAddr]>> {
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port))).await;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}"));
    let addresses: Rc<[SocketAddr]> = found.map_err(late)??.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, NO_ADDRESSES));
    }
    Ok(addresses)
}

/// Looks the name up once more; the old addresses stay if that fails.
async fn refresh(host: Box<str>, port: u16, known: Rc<RefCell<Known>>) {
    match look_up(&host, port).await {
        Ok(addresses) => *known.borrow_mut() = Known::of(addresses),
        Err(error) => {
            tracing::warn!(%host, %error, "looking the name up again failed, its old addresses stay")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: &str) -> Result<Rc<[SocketAddr]>, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Resolved::new(host, 8080).addresses())
    }

    #[test]
    fn an_address_needs_no_looking_up_and_a_name_does() {
        assert_eq!(*ask("127.0.0.1").unwrap(), [SocketAddr::from(([127, 0, 0, 1], 8080))]);
        assert_eq!(*ask("::1").unwrap(), ["[::1]:8080".parse().unwrap()]);
        assert!(ask("localhost").unwrap().iter().all(|address| address.ip().is_loopback()));
    }

    #[test]
    fn a_name_without_addresses_is_a_failure_before_anything_was_sent() {
        let failure = ask("no-such-host.invalid").unwrap_err();
        assert!(!failure.sent && failure.to_string().contains("no-such-host.invalid"), "{failure}");
    }

    #[test]
    fn a_name_that_failed_is_not_looked_up_again_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let resolved = Resolved::new("no-such-host.invalid", 80);
            let failed_at = || resolved.known.borrow().failed.as_ref().map(|(at, _)| *at);
            let (one, other) = tokio::join!(resolved.addresses(), resolved.addresses());
            assert_eq!(one.unwrap_err().to_string(), other.unwrap_err().to_string(), "both had one answer");
            let first = failed_at().unwrap();
            resolved.addresses().await.unwrap_err();
            assert_eq!(failed_at(), Some(first));
            // As if it had been longer ago.
            if let Some((at, _)) = &mut resolved.known.borrow_mut().failed {
                *at = first.checked_sub(PAUSE).unwrap();
            }
            resolved.addresses().await.unwrap_err();
            assert!(failed_at() > Some(first), "it was looked up once more");
        });
    }
}
