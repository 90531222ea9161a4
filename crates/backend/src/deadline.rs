//! Time limits that cost a store into an array.
//!
//! A request has half a dozen limits (connect, head, idle, each wait for a body) and hardly ever meets
//! one. A timer a limit means a turn of the runtime's timer wheel for each, twice; here setting a limit
//! writes a number, and the worker looks through all numbers ten times a second. Limits are therefore
//! up to a tenth of a second late, and never early.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// All limits of one worker.
#[derive(Debug)]
pub struct Timers {
    epoch: Instant,
    /// Milliseconds since the epoch, as of the last [`Timers::tick`].
    now: Cell<u64>,
    slots: RefCell<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    /// When each ends, in milliseconds since the epoch; [`NEVER`] when none is set.
    ends: Vec<u64>,
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

const NEVER: u64 = u64::MAX;

impl Timers {
    /// How often [`Timers::tick`] is to be called.
    pub const TICK: Duration = Duration::from_millis(100);

    /// No limits yet.
    pub fn new() -> Rc<Timers> {
        Rc::new(Timers { epoch: Instant::now(), now: Cell::new(0), slots: RefCell::default() })
    }

    /// Milliseconds since the worker began, as of the last tick.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// Notes the time and wakes whoever has met its limit.
    pub fn tick(&self) {
        let now = self.epoch.elapsed().as_millis() as u64;
        self.now.set(now);
        let mut due = Vec::new();
        {
            let mut slots = self.slots.borrow_mut();
            let Slots { ends, wakers, .. } = &mut *slots;
            for (end, waker) in ends.iter().zip(wakers) {
                if *end <= now {
                    due.extend(waker.take());
                }
            }
        }
        due.into_iter().for_each(Waker::wake);
    }

    /// Wakes whoever waits with a limit, so that it looks around for what else has changed.
    pub fn wake_all(&self) {
        let wakers: Vec<_> = self.slots.borrow_mut().wakers.iter_mut().filter_map(Option::take).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A limit that is not set yet.
    pub fn deadline(self: &Rc<Timers>) -> Deadline {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.ends.push(NEVER);
            slots.wakers.push(None);
            slots.ends.len() - 1
        });
        Deadline { timers: Rc::clone(self), slot }
    }
}

/// One limit, which can be set again and again.
#[derive(Debug)]
pub struct Deadline {
    timers: Rc<Timers>,
    slot: usize,
}

impl Deadline {
    /// Ends `after` from now; a limit of zero never ends.
    pub fn set(&self, after: Duration) {
        let end = match after.as_millis() as u64 {
            0 => NEVER,
            // Now is as of the last tick: one tick more, so as not to be early.
            after => self.timers.now.get() + after + Timers::TICK.as_millis() as u64,
        };
        self.timers.slots.borrow_mut().ends[self.slot] = end;
    }

    /// Never ends, until set again.
    pub fn clear(&self) {
        self.timers.slots.borrow_mut().ends[self.slot] = NEVER;
    }

    /// Whether it has ended; if not, and it is set, the task is woken when it does.
    pub fn has_passed(&self, cx: &mut Context<'_>) -> bool {
        let mut slots = self.timers.slots.borrow_mut();
        let end = slots.ends[self.slot];
        if end <= self.timers.now.get() {
            return true;
        }
        if end != NEVER {
            let waker = &mut slots.wakers[self.slot];
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        false
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut slots = self.timers.slots.borrow_mut();
        slots.ends[self.slot] = NEVER;
        slots.wakers[self.slot] = None;
        slots.free.push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_passes_after_its_time_and_not_before() {
        let timers = Timers::new();
        let deadline = timers.deadline();
        let mut cx = Context::from_waker(Waker::noop());
        timers.tick();
        assert!(!deadline.has_passed(&mut cx), "it is not set");
        deadline.set(Duration::from_millis(1));
        assert!(!deadline.has_passed(&mut cx));
        while timers.now() <= 101 {
            std::thread::sleep(Duration::from_millis(5));
            timers.tick();
        }
        assert!(deadline.has_passed(&mut cx));
        deadline.clear();
        assert!(!deadline.has_passed(&mut cx));
        deadline.set(Duration::ZERO);
        timers.tick();
        assert!(!deadline.has_passed(&mut cx), "zero is no limit");
    }

    #[test]
    fn a_slot_is_used_again_and_comes_back_clean() {
        let timers = Timers::new();
        let first = timers.deadline();
        first.set(Duration::from_millis(1));
        let slot = first.slot;
        drop(first);
        let second = timers.deadline();
        assert_eq!(second.slot, slot);
        assert_eq!(timers.slots.borrow().ends[slot], NEVER);
    }
}
