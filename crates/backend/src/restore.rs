//! Changes to a request that are undone.
//!
//! An exchange is its caller's: a backend that passed, failed or was given up must leave the request behind
//! as it found it, or the next one is asked for something else. Whoever changes a request does so through
//! this.

use std::ops::{Deref, DerefMut};

use waypost_http1::RequestHead;

use crate::exchange::Exchange;

/// An exchange whose request is put back when this is dropped, if [`Restore::save`] was called.
#[derive(Debug)]
pub struct Restore<'a> {
    exchange: &'a mut Exchange,
    saved: Option<RequestHead>,
}

impl<'a> Restore<'a> {
    /// Takes charge of an exchange; nothing is saved yet, which costs nothing.
    pub fn new(exchange: &'a mut Exchange) -> Restore<'a> {
        Restore { exchange, saved: None }
    }

    /// Keeps the request as it is now, unless it was saved before. To be called before it is changed.
    pub fn save(&mut self) {
        if self.saved.is_none() {
            self.saved = Some(self.exchange.request.clone());
        }
    }
}

impl Deref for Restore<'_> {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        self.exchange
    }
}

impl DerefMut for Restore<'_> {
    fn deref_mut(&mut self) -> &mut Exchange {
        self.exchange
    }
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        if let Some(saved) = self.saved.take() {
            self.exchange.request = saved;
        }
    }
}
