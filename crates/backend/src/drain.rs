//! What becomes of an answer that nobody gets.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::body::Fill;
use crate::buffer::{recycle, spare};
use crate::deadline::Timers;
use crate::response::Response;

/// So much of an answer is read to keep its connection; opening a new one costs less than reading more.
const MOST: usize = 64 * 1024;
/// And so long the request waits for it. An answer of no account comes with its head, or right behind it.
const PATIENCE: Duration = Duration::from_millis(100);

/// Reads a small answer to its end, so that the connection it comes on can be used again. One that is
/// large, slow or broken costs its connection.
pub(crate) async fn drain(mut response: Response, timers: &Rc<Timers>) {
    if response.tunnel.is_some() || response.body.length().is_some_and(|length| length > MOST as u64) {
        return;
    }
    let mut scratch = spare();
    let mut read = 0;
    let mut deadline = None;
    poll_fn(|cx| {
        while read < MOST {
            scratch.clear();
            match response.body.poll_fill(cx, &mut scratch, MOST) {
                Poll::Ready(Ok(Fill::Data)) => read += scratch.len(),
                Poll::Ready(Ok(Fill::End) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => {
                    let deadline = deadline.get_or_insert_with(|| {
                        let deadline = timers.deadline();
                        deadline.set(PATIENCE);
                        deadline
                    });
                    return if deadline.has_passed(cx) { Poll::Ready(()) } else { Poll::Pending };
                }
            }
        }
        Poll::Ready(())
    })
    .await;
    recycle(scratch);
}
