//! Keeping a client at the instance that it met first, by a cookie.
//!
//! The cookie holds a digest of the instance's address: nothing of the inside can be read off it, all
//! routers agree on it without keeping anything, and it means nothing once the instance has gone.

use std::net::SocketAddr;

use waypost_backend::{Exchange, Response};
use waypost_http1::Name;

use super::balance::hash;
use crate::matching::Found;

#[derive(Debug)]
pub(super) struct Sticky {
    cookie: String,
}

impl Sticky {
    pub(super) fn new(cookie: String) -> Sticky {
        Sticky { cookie }
    }

    /// The instance the client's cookie names, if it is among the usable ones.
    pub(super) fn recall(&self, found: &Found<'_>, exchange: &Exchange) -> Option<u16> {
        let digest = self.carried(exchange)?;
        found.usable.iter().copied().find(|&index| {
            let address = found.entry.instance(usize::from(index)).address();
            address.is_some_and(|address| digest_of(address).as_bytes() == digest)
        })
    }

    /// Gives the client the cookie of the instance that answered, unless it has it already.
    pub(super) fn remember(&self, address: SocketAddr, exchange: &Exchange, response: &mut Response) {
        let digest = digest_of(address);
        if self.carried(exchange) == Some(digest.as_bytes()) {
            return;
        }
        let value = format!("{}={digest}; Path=/; HttpOnly; SameSite=Lax", self.cookie);
        if let Err(error) = response.head.fields.push("Set-Cookie", value.as_bytes()) {
            tracing::warn!(cookie = self.cookie, %error, "the sticky cookie can't be set");
        }
    }

    /// The cookie's value in the request (RFC 6265 §4.2).
    fn carried<'a>(&self, exchange: &'a Exchange) -> Option<&'a [u8]> {
        let pairs =
            exchange.request.fields.get_all(Name::Cookie).flat_map(|value| value.split(|b| *b == b';'));
        for pair in pairs {
            let pair = pair.trim_ascii();
            if let Some(value) =
                pair.strip_prefix(self.cookie.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
            {
                return Some(value);
            }
        }
        None
    }
}

fn digest_of(address: SocketAddr) -> String {
    format!("{:016x}", hash(address.to_string().as_bytes(), b"sticky"))
}
