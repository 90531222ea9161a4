//! The thread that writes.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::apply::{Change, Outcome, Tables};
use super::database::Shared;
use super::row::now;
use crate::error::StoreError;

/// Changes that may wait; who brings more waits to be let in.
const QUEUE: usize = 256;

/// Bytes of values that go into one transaction, more or less.
const BATCH_BYTES: usize = 64 << 20;

/// The thread, and the way to it. Dropping it ends it, once what waits is done.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

struct Job {
    key: Bytes,
    change: Change,
    answer: oneshot::Sender<Outcome>,
}

impl Writer {
    pub(super) fn start(database: Arc<Shared>) -> Result<Writer, StoreError> {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let path = database.path.clone();
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&database, waiting))
            .map_err(|error| StoreError::Access { path, detail: error.to_string() })?;
        Ok(Writer { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Brings a change; its outcome comes as the answer. Given up before it was let in, it isn't made.
    pub(super) async fn send(
        &self,
        key: Bytes,
        change: Change,
        answer: oneshot::Sender<Outcome>,
    ) -> Result<(), StoreError> {
        if let Some(jobs) = &self.jobs {
            // If the writer is gone so is the answer, which tells who waits for it.
            let _ = jobs.send(Job { key, change, answer }).await;
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It has no result, and a panic in it has been reported by its hook.
            let _ = thread.join();
        }
    }
}

fn run(database: &Shared, mut waiting: mpsc::Receiver<Job>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut bytes = first.size();
        let mut jobs = vec![first];
        // Everyone who asked while the last transaction was written shares the next.
        while bytes < BATCH_BYTES && jobs.len() < QUEUE {
            let Ok(job) = waiting.try_recv() else { break };
            bytes += job.size();
            jobs.push(job);
        }
        commit(database, jobs);
    }
}

fn commit(database: &Shared, jobs: Vec<Job>) {
    let written = database.write(|transaction| {
        let mut tables = Tables::open(transaction, now())?;
        let apply = |job: &Job| tables.apply(&job.key, &job.change);
        let outcomes = jobs.iter().map(apply).collect::<Result<Vec<_>, _>>()?;
        tables.close()?;
        Ok(outcomes)
    });
    // Who gave up waiting is not told; its change stands.
    match written {
        Ok(outcomes) => {
            for (job, outcome) in jobs.into_iter().zip(outcomes) {
                let _ = job.answer.send(outcome);
            }
        }
        Err(error) => {
            for job in jobs {
                let _ = job.answer.send(Err(error.clone()));
            }
        }
    }
}

impl Job {
    fn size(&self) -> usize {
        match &self.change {
            Change::Write(write) => write.value.len(),
            _ => 0,
        }
    }
}
