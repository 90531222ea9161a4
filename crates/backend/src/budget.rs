//! How many retries all requests together may cost.
//!
//! Retries help against the failure of one server and harm when all are overloaded: three tries a request
//! are three times the load just when there is no room for it, and a service that would have recovered is
//! kept down by those who wait for it. A limit on each request's tries doesn't prevent that, since every
//! request comes with its own. What does is a limit in proportion to the requests there are: with a budget
//! of 20 percent, an outage costs a fifth more load and never three times as much.
//!
//! The budget is a bucket of tokens, as in Finagle and in tower's `retry::budget`. Every request puts a part
//! of a token in, time puts in some for those who make few requests, and each retry takes a whole one out; an
//! empty bucket means that the answer in hand stands. Theirs forgets each deposit after ten seconds, for
//! which they keep a ring of counters. Here the bucket is only so large, which bounds what a quiet time
//! can save up just as well, and lets it be one number: all workers share it without a lock, and as long as
//! it is full, which it is whenever nothing fails, a request only reads it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How fast a [`Budget`] fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetOptions {
    /// So many retries may come on a hundred requests.
    pub percent: u32,
    /// And so many a second whatever the number of requests.
    pub minimum: u32,
}

/// What is left for retries, shared by all workers. It outlives a change of its options.
#[derive(Debug)]
pub struct Budget {
    epoch: Instant,
    /// Thousandths of tokens in the lower bits, and above them when time was last paid for, in
    /// milliseconds since the epoch: 40 bits, which is 34 years.
    state: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
}

const TOKEN: u64 = 1000;
const TOKEN_BITS: u32 = 24;
const TOKENS: u64 = (1 << TOKEN_BITS) - 1;

impl BudgetOptions {
    /// How much the bucket holds, in thousandths of tokens: what comes in ten seconds by time alone, which is
    /// as long as a burst of retries may be saved up, within bounds.
    fn capacity(&self) -> u64 {
        (10 * u64::from(self.minimum)).clamp(10, TOKENS / TOKEN) * TOKEN
    }
}

impl Default for Budget {
    /// A full one.
    fn default() -> Budget {
        Budget {
            epoch: Instant::now(),
            state: AtomicU64::new(TOKENS),
            retried: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }
}

impl Budget {
    /// A request came: some more retries may follow.
    pub fn deposit(&self, options: &BudgetOptions) {
        let capacity = options.capacity();
        let part = u64::from(options.percent) * (TOKEN / 100);
        // Failing to change it means that it is full.
        let _ = self.state.fetch_update(Relaxed, Relaxed, |state| {
            let tokens = state & TOKENS;
            (tokens < capacity).then(|| state & !TOKENS | (tokens + part).min(capacity))
        });
    }

    /// Takes one retry out. `false`: there is none.
    pub fn withdraw(&self, options: &BudgetOptions) -> bool {
        let granted = self.withdraw_at(options, self.epoch.elapsed());
        let count = if granted { &self.retried } else { &self.refused };
        count.fetch_add(1, Relaxed);
        granted
    }

    fn withdraw_at(&self, options: &BudgetOptions, now: Duration) -> bool {
        let now = now.as_millis() as u64;
        let taken = self.state.fetch_update(Relaxed, Relaxed, |state| {
            let (paid, tokens) = (state >> TOKEN_BITS, state & TOKENS);
            // A token a second is a thousandth a millisecond. Clocks of two threads may be a little apart.
            let earned = now.saturating_sub(paid).saturating_mul(u64::from(options.minimum));
            let tokens = tokens.saturating_add(earned).min(options.capacity());
            Some(now.max(paid) << TOKEN_BITS | tokens.checked_sub(TOKEN)?)
        });
        taken.is_ok()
    }

    /// How many retries there have been.
    pub fn retried(&self) -> u64 {
        self.retried.load(Relaxed)
    }

    /// How many there would have been, had there been more in the budget.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_budget_that_is_spent_comes_back_with_requests_and_with_time() {
        let options = BudgetOptions { percent: 20, minimum: 1 };
        let budget = Budget::default();
        let now = Duration::from_secs(5);
        let mut burst = 0;
        while budget.withdraw_at(&options, now) {
            burst += 1;
        }
        assert_eq!(burst, 10, "ten seconds' worth, however long it was quiet");
        (0..4).for_each(|_| budget.deposit(&options));
        assert!(!budget.withdraw_at(&options, now), "four requests are less than one retry's worth");
        budget.deposit(&options);
        assert!(budget.withdraw_at(&options, now));
        assert!(!budget.withdraw_at(&options, now));
        assert!(!budget.withdraw_at(&options, now + Duration::from_millis(999)));
        assert!(budget.withdraw_at(&options, now + Duration::from_millis(1000)));
    }

    proptest! {
        #[test]
        fn retries_stay_within_the_share_of_requests_and_time(
            percent in 0u32..200,
            minimum in 0u32..50,
            steps in prop::collection::vec((0u32..40, 0u64..3000, 0u32..60), 1..60),
        ) {
            let options = BudgetOptions { percent, minimum };
            let budget = Budget::default();
            let (mut now, mut requests, mut retries) = (0, 0, 0);
            for (deposits, millis, withdrawals) in steps {
                now += millis;
                (0..deposits).for_each(|_| budget.deposit(&options));
                requests += u64::from(deposits);
                for _ in 0..withdrawals {
                    retries += u64::from(budget.withdraw_at(&options, Duration::from_millis(now)));
                }
                let share = requests * u64::from(percent) * 10 + now * u64::from(minimum);
                prop_assert!(retries * TOKEN <= options.capacity() + share, "{retries} retries");
            }
        }
    }

    #[test]
    fn threads_take_no_more_out_together_than_there_is() {
        let options = BudgetOptions { percent: 0, minimum: 100 };
        let budget = Budget::default();
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..1000).filter(|_| budget.withdraw_at(&options, Duration::ZERO)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            // A thread that panicked has failed the test already.
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 1000);
    }
}
