//! Exports that wait to be written: bounded by number and bytes, taken out as one joined write at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use larder_model::storage::{Batch, Error, ErrorKind};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::exchange::Exchange;
use super::suspects::Suspect;

/// Exports are joined into one write until it weighs this much (`host/docs/architecture.md`, "How a write travels").
pub(crate) const JOINED_BYTES: usize = 8 << 20;

/// Returns the result of a write or a purge to its caller.
pub(crate) type Reply = oneshot::Sender<Result<(), Error>>;

/// One consumer, any number of producers.
pub(crate) struct WriteQueue {
    inner: Mutex<QueueState>,
    /// Something was pushed, or the queue was closed.
    changed: Notify,
}

struct QueueState {
    items: VecDeque<Item>,
    most_depth: usize,
    most_bytes: usize,
    /// Writes without an answer yet, in the queue or taken out of it.
    depth: usize,
    bytes: usize,
    closed: bool,
}

enum Item {
    Write(Box<Waiting>),
    Purge(Reply),
    Exchange(Box<Exchange>),
    Follow(Reply),
}

/// A batch whose client waits.
pub(crate) struct Waiting {
    pub(crate) batch: Batch,
    pub(crate) suspect: Option<Suspect>,
    pub(crate) ack: Ack,
}

/// The reply to a client, and its permit in the queue, which is released when this is dropped.
pub(crate) struct Ack {
    reply: Reply,
    _permit: QueuePermit,
}

struct QueuePermit {
    queue: Arc<WriteQueue>,
    bytes: usize,
}

/// The next piece of work.
pub(crate) enum Work {
    /// Write these as one.
    Writes(Vec<Waiting>),
    /// Forget everything.
    Purge(Reply),
    /// Replace the writer by one of another component.
    Exchange(Box<Exchange>),
    /// Go on in the tenant's namespace, if another host has purged the tenant.
    Follow(Reply),
    /// The queue is closed and empty.
    Stop,
}

// === impl WriteQueue ===

impl WriteQueue {
    pub(crate) fn new(most_depth: usize, most_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(QueueState {
                items: VecDeque::new(),
                most_depth,
                most_bytes,
                depth: 0,
                bytes: 0,
                closed: false,
            }),
            changed: Notify::new(),
        })
    }

    /// The most writes that may wait.
    pub(crate) fn most_depth(&self) -> usize {
        self.lock().most_depth
    }

    /// Changes how many writes may wait, and how many bytes of them.
    pub(crate) fn set_limits(&self, most_depth: usize, most_bytes: usize) {
        let mut inner = self.lock();
        inner.most_depth = most_depth;
        inner.most_bytes = most_bytes;
    }

    /// Lets a batch wait for its turn.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] where the queue is full, [`ErrorKind::Unavailable`] once it is closed.
    pub(crate) fn push(
        self: &Arc<Self>,
        batch: Batch,
        suspect: Option<Suspect>,
    ) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let bytes = batch.weight();
        let (reply, receiver) = oneshot::channel();
        let mut inner = self.lock();
        if inner.closed {
            return Err(shutting_down());
        }
        if inner.depth >= inner.most_depth {
            return Err(full(
                "limits.queue_depth",
                &format!("{} writes", inner.depth),
            ));
        }
        // An empty queue accepts a batch that is larger than its limit, which otherwise would never be written.
        if inner.depth > 0 && inner.bytes.saturating_add(bytes) > inner.most_bytes {
            return Err(full(
                "limits.queue_bytes",
                &format!("{} bytes", inner.bytes),
            ));
        }
        inner.depth += 1;
        inner.bytes += bytes;
        let permit = QueuePermit {
            queue: Arc::clone(self),
            bytes,
        };
        inner.items.push_back(Item::Write(Box::new(Waiting {
            batch,
            suspect,
            ack: Ack {
                reply,
                _permit: permit,
            },
        })));
        drop(inner);
        self.changed.notify_one();
        Ok(receiver)
    }

    /// Queues a purge behind the writes that wait.
    pub(crate) fn purge(&self) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let (reply, receiver) = oneshot::channel();
        let mut inner = self.lock();
        if inner.closed {
            return Err(shutting_down());
        }
        inner.items.push_back(Item::Purge(reply));
        drop(inner);
        self.changed.notify_one();
        Ok(receiver)
    }

    /// Queues an exchange before all that waits, which goes to the new writer.
    pub(crate) fn exchange(&self, exchange: Box<Exchange>) -> Result<(), Error> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(shutting_down());
        }
        inner.items.push_front(Item::Exchange(exchange));
        drop(inner);
        self.changed.notify_one();
        Ok(())
    }

    /// Queues a look at the tenant's namespace before all that waits.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] once the queue is closed.
    pub(crate) fn follow(&self) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let (reply, receiver) = oneshot::channel();
        let mut inner = self.lock();
        if inner.closed {
            return Err(shutting_down());
        }
        inner.items.push_front(Item::Follow(reply));
        drop(inner);
        self.changed.notify_one();
        Ok(receiver)
    }

    /// The number of writes without an answer yet, and their bytes.
    pub(crate) fn waiting(&self) -> (u64, u64) {
        let inner = self.lock();
        let wide = |number| u64::try_from(number).unwrap_or(u64::MAX);
        (wide(inner.depth), wide(inner.bytes))
    }

    /// Refuses everything from here on. Writes that wait are still taken out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Returns once [`WriteQueue::take`] has something to give.
    pub(crate) async fn ready(&self) {
        loop {
            {
                let inner = self.lock();
                if inner.closed || !inner.items.is_empty() {
                    return;
                }
            }
            self.changed.notified().await;
        }
    }

    /// The next piece of work, if there is one. Joins as many writes as fit into one; a suspect is always alone.
    pub(crate) fn take(&self) -> Option<Work> {
        let mut inner = self.lock();
        let first = match inner.items.pop_front() {
            None if inner.closed => return Some(Work::Stop),
            None => return None,
            Some(Item::Purge(reply)) => return Some(Work::Purge(reply)),
            Some(Item::Exchange(exchange)) => return Some(Work::Exchange(exchange)),
            Some(Item::Follow(reply)) => return Some(Work::Follow(reply)),
            Some(Item::Write(first)) => *first,
        };
        let mut bytes = first.batch.weight();
        let mut fits = |item: &mut Item| match item {
            Item::Write(next) if next.suspect.is_none() => {
                bytes = bytes.saturating_add(next.batch.weight());
                bytes <= JOINED_BYTES
            }
            Item::Write(_) | Item::Purge(_) | Item::Exchange(_) | Item::Follow(_) => false,
        };
        let alone = first.suspect.is_some();
        let mut writes = vec![first];
        if !alone {
            while let Some(Item::Write(next)) = inner.items.pop_front_if(&mut fits) {
                writes.push(*next);
            }
        }
        Some(Work::Writes(writes))
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.inner.lock()
    }
}

fn full(setting: &'static str, waiting: &str) -> Error {
    let text = format!("the write queue is full ({waiting} wait); retry later, or raise {setting}");
    Error::new(ErrorKind::ResourceExhausted, text).with_setting(setting)
}

fn shutting_down() -> Error {
    Error::new(ErrorKind::Unavailable, "the server is shutting down")
}

// === impl Ack ===

impl Ack {
    /// Answers the client. It may have gone, as the write does not depend on it.
    pub(crate) fn answer(self, result: Result<(), Error>) {
        answer(self.reply, result);
    }
}

/// Answers a caller, which may have gone.
pub(crate) fn answer(reply: Reply, result: Result<(), Error>) {
    drop(reply.send(result));
}

// === impl QueuePermit ===

impl Drop for QueuePermit {
    fn drop(&mut self) {
        let mut inner = self.queue.lock();
        inner.depth -= 1;
        inner.bytes -= self.bytes;
    }
}

#[cfg(test)]
mod tests;
