//! The time limit of the operations on one connection, one after the other.
//!
//! A timer that is put off costs next to nothing, while making and registering one costs as much as encoding a
//! request. So a connection keeps its own, which is only looked at when there is something to wait for.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is used again and again, made at its first use.
#[derive(Debug, Default)]
pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// What a future comes to, if it does before `end`. A future that is ready at once is never late.
    pub(crate) async fn limit<F: Future>(&mut self, end: Instant, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut is_set = false;
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(end)));
            if !is_set {
                sleep.as_mut().reset(end);
                is_set = true;
            }
            sleep.as_mut().poll(cx).map(|()| None)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timer_serves_one_limit_after_the_other() {
        let mut timer = Timer::default();
        for seconds in [5, 1, 3] {
            let began = Instant::now();
            let limit = Duration::from_secs(seconds);
            assert_eq!(timer.limit(began + limit, pending::<()>()).await, None);
            assert_eq!(began.elapsed(), limit);
            assert_eq!(timer.limit(began + limit * 2, yield_now()).await, Some(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_is_not_late() {
        assert_eq!(Timer::default().limit(Instant::now(), ready(1)).await, Some(1));
    }
}
