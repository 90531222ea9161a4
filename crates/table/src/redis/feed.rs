//! What a server has told of and has not been read yet.
//!
//! The connection's task puts the pushes of `CLIENT TRACKING` in here as they arrive; the session takes the
//! hosts out and reads them. A host that changes ten times before it is read is read once. The number of
//! hosts that wait is bounded: beyond it, everything counts as changed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::aio::{AsyncPushSender, SendError};
use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

use super::keys::{HostKey, Key};

/// The most hosts that wait by name.
const MAX_WAITING: usize = 100_000;

/// The changes that wait; see the module's description.
#[derive(Default)]
pub(super) struct Feed {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Default)]
struct Waiting {
    hosts: HashSet<HostKey>,
    serial: bool,
    everything: bool,
    ended: bool,
}

/// What was taken out of a [`Feed`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Hosts whose keys have changed.
    pub(super) hosts: Vec<HostKey>,
    /// Whether the serial has changed.
    pub(super) serial: bool,
    /// Whether anything may have changed: a flush, a replica filled anew, or more hosts than can wait.
    pub(super) everything: bool,
    /// Whether the connection has ended.
    pub(super) ended: bool,
}

impl Feed {
    /// Takes out what waits, of the hosts at most `limit`.
    pub(super) fn take(&self, limit: usize) -> News {
        let mut waiting = self.lock();
        let mut news = News {
            hosts: Vec::new(),
            serial: std::mem::take(&mut waiting.serial),
            everything: std::mem::take(&mut waiting.everything),
            ended: waiting.ended,
        };
        if waiting.hosts.len() <= limit {
            news.hosts = std::mem::take(&mut waiting.hosts).into_iter().collect();
        } else {
            let taken: Vec<HostKey> = waiting.hosts.iter().take(limit).cloned().collect();
            for host in &taken {
                waiting.hosts.remove(host);
            }
            news.hosts = taken;
        }
        news
    }

    /// Whether this host waits.
    pub(super) fn has(&self, host: &[u8]) -> bool {
        let waiting = self.lock();
        waiting.everything || waiting.hosts.contains(host)
    }

    /// Whether nothing waits.
    pub(super) fn is_quiet(&self) -> bool {
        let waiting = self.lock();
        waiting.hosts.is_empty() && !waiting.serial && !waiting.everything && !waiting.ended
    }

    /// Returns once something has been put in since the last call.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    fn put(&self, push: &PushInfo) {
        let mut waiting = self.lock();
        match (&push.kind, push.data.first()) {
            (PushKind::Disconnection, _) => waiting.ended = true,
            (PushKind::Invalidate, Some(Value::Array(names))) => {
                for name in names {
                    if let Value::BulkString(name) = name {
                        waiting.note(name);
                    }
                }
            }
            // No names: every key is invalid.
            (PushKind::Invalidate, _) => waiting.note_everything(),
            _ => return,
        }
        drop(waiting);
        self.news.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // What is guarded is whole between any two statements, whatever became of an earlier holder.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn note(&mut self, name: &[u8]) {
        match Key::of(name) {
            Key::Host(_) if self.everything => {}
            Key::Host(_) if self.hosts.len() >= MAX_WAITING => self.note_everything(),
            Key::Host(host) => {
                self.hosts.insert(host.into());
            }
            Key::Serial => self.serial = true,
            Key::Foreign => {}
        }
    }

    fn note_everything(&mut self) {
        self.everything = true;
        self.hosts = HashSet::new();
    }
}

/// The end of a [`Feed`] that the connection holds.
pub(super) struct FeedSender(pub(super) Arc<Feed>);

impl AsyncPushSender for FeedSender {
    fn send(&self, push: PushInfo) -> Result<(), SendError> {
        self.0.put(&push);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(names: &[&str]) -> PushInfo {
        let names = names.iter().map(|name| Value::BulkString(name.as_bytes().to_vec())).collect();
        PushInfo { kind: PushKind::Invalidate, data: vec![Value::Array(names)] }
    }

    #[test]
    fn a_host_that_changes_often_waits_once_and_other_keys_do_not_wait() {
        let feed = Feed::default();
        feed.put(&changed(&["instances:a", "instance_ids:a", "serial", "serial2", "instances:a"]));
        assert!(feed.has(b"a"));
        let news = feed.take(10);
        assert_eq!((news.hosts, news.serial, news.everything), (vec![HostKey::from(&b"a"[..])], true, false));
        assert!(feed.is_quiet());
        feed.put(&changed(&["serial2"]));
        assert!(feed.is_quiet());
    }

    #[test]
    fn a_push_without_names_means_everything() {
        let feed = Feed::default();
        feed.put(&changed(&["instances:a"]));
        feed.put(&PushInfo { kind: PushKind::Invalidate, data: vec![Value::Nil] });
        let news = feed.take(10);
        assert!(news.everything && news.hosts.is_empty());
    }

    #[test]
    fn hosts_are_taken_a_batch_at_a_time_and_too_many_are_everything() {
        let feed = Feed::default();
        feed.put(&changed(&["instances:a", "instances:b", "instances:c"]));
        assert_eq!(feed.take(2).hosts.len(), 2);
        assert_eq!(feed.take(2).hosts.len(), 1);
        for host in 0..=MAX_WAITING {
            feed.put(&changed(&[&format!("instances:{host}")]));
        }
        assert!(feed.take(10).everything && feed.is_quiet());
    }
}
