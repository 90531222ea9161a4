//! How many requests each member has in hand, over all workers: from before one is sent until its response
//! has been read, or until what has become of an upgraded connection ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};

use waypost_http1::Fields;

use crate::body::{Body, BodyError, Fill, Source};
use crate::response::Response;

/// The requests that the members of one cluster have in hand.
#[derive(Debug)]
pub(super) struct Loads(Box<[AtomicU32]>);

impl Loads {
    pub(super) fn new(members: usize) -> Loads {
        Loads((0..members).map(|_| AtomicU32::new(0)).collect())
    }

    /// How many a member has.
    pub(super) fn of(&self, member: usize) -> u32 {
        self.0[member].load(Relaxed)
    }

    /// Counts one more, until what this returns is dropped.
    pub(super) fn take(self: &Arc<Loads>, member: usize) -> InHand {
        self.0[member].fetch_add(1, Relaxed);
        InHand { loads: Arc::clone(self), member }
    }
}

/// One request that a member has in hand.
#[derive(Debug)]
pub(super) struct InHand {
    loads: Arc<Loads>,
    member: usize,
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.loads.0[self.member].fetch_sub(1, Relaxed);
    }
}

impl InHand {
    /// Stays until the response has been read.
    pub(super) fn stay_with(self, response: &mut Response) {
        if let Some(tunnel) = &mut response.tunnel {
            tunnel.keep(Box::new(self));
        } else if !response.body.is_empty() {
            let body = std::mem::take(&mut response.body);
            let length = body.length();
            response.body = Body::stream(Box::new(Counted { body, _in_hand: self }), length);
        }
    }
}

/// A response's body, counted as in hand until it ends.
struct Counted {
    body: Body,
    _in_hand: InHand,
}

impl Source for Counted {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        self.body.poll_fill(cx, out, room)
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.body.take_trailers()
    }
}
