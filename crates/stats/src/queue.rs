//! The bounded queue between workers and the writer.
//!
//! A worker hands over a buffer of whole lines and takes an empty one back in the same step, so that in
//! steady state nothing is allocated. The lock is held for a few pointer moves, once a buffer (64 KiB or one
//! tick of the worker), never while a file is written. What bounds the queue is memory, not the number of
//! buffers: small buffers, as ticks make them, are joined while they wait.
//!
//! The queue never drops a line. A caller that finds it full may wait, and decides itself what happens when
//! waiting was not enough.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a buffer is made with.
pub(crate) const BUFFER_CAPACITY: usize = 64 * 1024;

/// Empty buffers kept for reuse.
const MAX_SPARE: usize = 16;

/// A run of whole lines.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The lines, each with its newline.
    pub(crate) bytes: Vec<u8>,
    /// How many they are.
    pub(crate) lines: u64,
}

impl Chunk {
    pub(crate) fn new() -> Self {
        Chunk { bytes: Vec::with_capacity(BUFFER_CAPACITY), lines: 0 }
    }
}

/// What came of handing a chunk over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handed {
    /// The queue has the lines and the chunk is empty.
    Over,
    /// The queue is full; the chunk is as it was.
    Full,
    /// The writer has ended; the chunk is as it was.
    Ended,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(crate) enum Work {
    /// Write these lines.
    Write(Chunk),
    /// Nothing to write: look after the file.
    Idle,
    /// The log was closed and everything handed over has been taken.
    End,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// The writer waits here for lines and for orders.
    work: Condvar,
    /// Workers wait here for room.
    room: Condvar,
    /// Bound on `State::held`, in bytes.
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Chunk>,
    spare: Vec<Vec<u8>>,
    /// Memory of the chunks waiting and of the one being written.
    held: usize,
    /// Lines of the one being written.
    writing: u64,
    /// The writer is to look at the file's name again.
    reopen: bool,
    /// Set once: the writer ends when nothing is left, or at this time whatever is left.
    close_by: Option<Instant>,
    /// The writer takes nothing more.
    ended: bool,
}

impl Queue {
    /// A queue that holds at most `limit` bytes, but always one chunk.
    pub(crate) fn new(limit: usize) -> Self {
        Queue { state: Mutex::default(), work: Condvar::new(), room: Condvar::new(), limit }
    }

    /// No code that can panic runs under the lock, and every state it could be left in is usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lines out of `chunk` if there is room now.
    pub(crate) fn offer(&self, chunk: &mut Chunk) -> Handed {
        let mut state = self.lock();
        let handed = state.take_over(chunk, self.limit);
        drop(state);
        if handed == Handed::Over {
            self.work.notify_one();
        }
        handed
    }

    /// As `offer`, but waits up to `patience` for room.
    pub(crate) fn offer_waiting(&self, chunk: &mut Chunk, patience: Duration) -> Handed {
        let full = |state: &mut State| !state.ended && !state.has_room(chunk, self.limit);
        let (mut state, _) =
            self.room.wait_timeout_while(self.lock(), patience, full).unwrap_or_else(PoisonError::into_inner);
        let handed = state.take_over(chunk, self.limit);
        drop(state);
        if handed == Handed::Over {
            self.work.notify_one();
        }
        handed
    }

    /// Takes the lines out of `chunk` whether or not there is room: for the last chunk of a handle.
    pub(crate) fn force(&self, chunk: &mut Chunk) -> Handed {
        let mut state = self.lock();
        let handed = state.take_over(chunk, usize::MAX);
        drop(state);
        self.work.notify_one();
        handed
    }

    /// What to do next; waits up to `patience` for it.
    pub(crate) fn next(&self, patience: Duration) -> Work {
        let nothing =
            |state: &mut State| state.chunks.is_empty() && !state.reopen && state.close_by.is_none();
        let (mut state, _) = self
            .work
            .wait_timeout_while(self.lock(), patience, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(chunk) = state.chunks.pop_front() {
            state.writing = chunk.lines;
            return Work::Write(chunk);
        }
        if state.close_by.is_some() {
            state.ended = true;
            self.room.notify_all();
            return Work::End;
        }
        Work::Idle
    }

    /// Takes note that `chunk` needs its memory no longer, and keeps the buffer for reuse.
    pub(crate) fn done(&self, chunk: Chunk) {
        let Chunk { mut bytes, .. } = chunk;
        let mut state = self.lock();
        state.writing = 0;
        state.held = state.held.saturating_sub(bytes.capacity());
        // A buffer that a giant line has stretched is not worth keeping.
        if state.spare.len() < MAX_SPARE && bytes.capacity() == BUFFER_CAPACITY {
            bytes.clear();
            state.spare.push(bytes);
        }
        drop(state);
        self.room.notify_all();
    }

    /// Waits up to `patience` while a write is to be tried again; sooner when something was ordered.
    pub(crate) fn pause(&self, patience: Duration) {
        let state = self.lock();
        let closing = state.close_by.is_some();
        let nothing = |state: &mut State| !state.reopen && state.close_by.is_some() == closing;
        drop(
            self.work.wait_timeout_while(state, patience, nothing).unwrap_or_else(PoisonError::into_inner).0,
        );
    }

    /// Orders the writer to look at the file's name again.
    pub(crate) fn reopen(&self) {
        self.lock().reopen = true;
        self.work.notify_one();
    }

    /// Takes the order to reopen, if there is one.
    pub(crate) fn take_reopen(&self) -> bool {
        std::mem::take(&mut self.lock().reopen)
    }

    /// Orders the writer to end once all is written, at `deadline` at the latest. The first call counts.
    pub(crate) fn close(&self, deadline: Instant) {
        self.lock().close_by.get_or_insert(deadline);
        self.work.notify_one();
    }

    /// When the writer has to give up, if the log is being closed.
    pub(crate) fn close_by(&self) -> Option<Instant> {
        self.lock().close_by
    }

    /// Ends the queue and says how many lines it still held, those being written included.
    pub(crate) fn abandon(&self) -> u64 {
        let mut state = self.lock();
        state.ended = true;
        state.held = 0;
        let lines =
            state.chunks.drain(..).map(|chunk| chunk.lines).sum::<u64>() + std::mem::take(&mut state.writing);
        drop(state);
        self.room.notify_all();
        lines
    }

    /// Memory held by lines handed over and not yet written, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.lock().held
    }
}

impl State {
    /// Whether `chunk` can be joined to the last one waiting.
    fn joins(&self, chunk: &Chunk) -> bool {
        self.chunks.back().is_some_and(|last| last.bytes.capacity() - last.bytes.len() >= chunk.bytes.len())
    }

    fn has_room(&self, chunk: &Chunk, limit: usize) -> bool {
        self.held == 0 || self.joins(chunk) || self.held.saturating_add(chunk.bytes.capacity()) <= limit
    }

    fn take_over(&mut self, chunk: &mut Chunk, limit: usize) -> Handed {
        if self.ended {
            return Handed::Ended;
        }
        if !self.has_room(chunk, limit) {
            return Handed::Full;
        }
        if self.joins(chunk) {
            if let Some(last) = self.chunks.back_mut() {
                last.bytes.append(&mut chunk.bytes);
                last.lines += std::mem::take(&mut chunk.lines);
            }
            return Handed::Over;
        }
        let empty = match self.spare.pop() {
            Some(bytes) => Chunk { bytes, lines: 0 },
            None => Chunk::new(),
        };
        let full = std::mem::replace(chunk, empty);
        self.held = self.held.saturating_add(full.bytes.capacity());
        self.chunks.push_back(full);
        Handed::Over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(len: usize) -> Chunk {
        let mut chunk = Chunk::new();
        chunk.bytes.resize(len, b'x');
        chunk.lines = 1;
        chunk
    }

    fn taken(queue: &Queue) -> Chunk {
        match queue.next(Duration::ZERO) {
            Work::Write(chunk) => chunk,
            other => panic!("expected lines, got {other:?}"),
        }
    }

    #[test]
    fn small_chunks_are_joined_while_they_wait() {
        let queue = Queue::new(BUFFER_CAPACITY);
        for _ in 0..10 {
            assert_eq!(queue.offer(&mut chunk(100)), Handed::Over);
        }
        assert_eq!(queue.held(), BUFFER_CAPACITY);
        let all = taken(&queue);
        assert_eq!((all.bytes.len(), all.lines), (1000, 10));
    }

    #[test]
    fn a_full_queue_leaves_the_chunk_as_it_was() {
        let queue = Queue::new(BUFFER_CAPACITY);
        assert_eq!(queue.offer(&mut chunk(60_000)), Handed::Over);
        let mut second = chunk(60_000);
        assert_eq!(queue.offer(&mut second), Handed::Full);
        assert_eq!(queue.offer_waiting(&mut second, Duration::from_millis(1)), Handed::Full);
        assert_eq!((second.bytes.len(), second.lines), (60_000, 1));
    }

    #[test]
    fn memory_counts_until_it_is_written_not_until_it_is_taken() {
        let queue = Queue::new(BUFFER_CAPACITY);
        queue.offer(&mut chunk(60_000));
        let writing = taken(&queue);
        assert_eq!(queue.offer(&mut chunk(1)), Handed::Full);
        queue.done(writing);
        assert_eq!(queue.offer(&mut chunk(1)), Handed::Over);
    }

    #[test]
    fn a_chunk_beyond_the_limit_passes_when_it_is_alone() {
        let queue = Queue::new(1);
        assert_eq!(queue.offer(&mut chunk(200_000)), Handed::Over);
    }

    #[test]
    fn buffers_are_reused() {
        let queue = Queue::new(1 << 20);
        let mut mine = chunk(60_000);
        let first = mine.bytes.as_ptr();
        queue.offer(&mut mine);
        queue.done(taken(&queue));
        mine.bytes.extend_from_slice(&[b'x'; 60_000]);
        queue.offer(&mut mine);
        assert_eq!(mine.bytes.as_ptr(), first);
        assert!(mine.bytes.is_empty());
    }

    #[test]
    fn a_worker_that_waits_goes_on_when_there_is_room() {
        let queue = Queue::new(BUFFER_CAPACITY);
        queue.offer(&mut chunk(60_000));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.offer_waiting(&mut chunk(60_000), Duration::from_secs(60)));
            queue.done(taken(&queue));
            assert_eq!(waiting.join().unwrap(), Handed::Over);
        });
    }

    #[test]
    fn what_was_handed_over_before_closing_is_still_given_out() {
        let queue = Queue::new(1 << 20);
        queue.offer(&mut chunk(10));
        queue.close(Instant::now());
        assert_eq!(taken(&queue).bytes.len(), 10);
        assert!(matches!(queue.next(Duration::ZERO), Work::End));
        assert_eq!(queue.offer(&mut chunk(10)), Handed::Ended);
        assert_eq!(queue.force(&mut chunk(10)), Handed::Ended);
    }
}
