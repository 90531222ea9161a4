//! The addresses of a server that is named: looked up on first use, and again now and then in the
//! background, while requests go on with those that are known.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::failure::{Failure, FailureKind};

/// A name is looked up again when its addresses are older than this.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// A server's name and port, and the addresses one worker knows of it.
#[derive(Debug)]
pub struct Resolved {
    host: Box<str>,
    port: u16,
    known: Rc<RefCell<Known>>,
}

#[derive(Debug)]
struct Known {
    addresses: Rc<[SocketAddr]>,
    /// When they were looked up; never for an address that needed no looking up.
    at: Option<Instant>,
}

impl Resolved {
    /// A server by its name or address, an IPv6 address without brackets. Nothing is looked up yet.
    pub fn new(host: &str, port: u16) -> Resolved {
        let literal = host.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port));
        let known = Known { addresses: literal.into_iter().collect(), at: None };
        Resolved { host: host.into(), port, known: Rc::new(RefCell::new(known)) }
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
        {
            let mut known = self.known.borrow_mut();
            if !known.addresses.is_empty() {
                if known.at.is_some_and(|at| at.elapsed() > RESOLVE_EVERY) {
                    // Whoever comes next uses the old addresses while this one's question is under way.
                    known.at = Some(Instant::now());
                    tokio::task::spawn_local(refresh(self.host.clone(), self.port, Rc::clone(&self.known)));
                }
                return Ok(Rc::clone(&known.addresses));
            }
        }
        let addresses = look_up(&self.host, self.port).await.map_err(|error| {
            let what = format!("the name {} could not be resolved: {error}", self.host);
            Failure::unsent(FailureKind::Unavailable { what })
        })?;
        *self.known.borrow_mut() = Known { addresses: Rc::clone(&addresses), at: Some(Instant::now()) };
        Ok(addresses)
    }
}

async fn look_up(host: &str, port: u16) -> io::Result<Rc<[SocketAddr]>> {
    let addresses: Rc<[SocketAddr]> = tokio::net::lookup_host((host, port)).await?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it has no addresses"));
    }
    Ok(addresses)
}

/// Looks the name up once more; the old addresses stay if that fails.
async fn refresh(host: Box<str>, port: u16, known: Rc<RefCell<Known>>) {
    match look_up(&host, port).await {
        Ok(addresses) => *known.borrow_mut() = Known { addresses, at: Some(Instant::now()) },
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
}
