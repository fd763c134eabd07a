//! Acknowledges writes once they are durable: one sync of the kv driver for all that wait at the time.

use std::sync::Arc;

use larder_model::storage::{Error, ErrorKind};
use larder_store::{self as kv, Namespace};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::queue::Ack;

/// Joined writes that wait for the running sync; the writer waits beyond that.
const WAITING_WRITES: usize = 64;

/// Runs beside the writer, which goes on while a sync is under way.
pub(crate) struct Acks {
    sender: mpsc::Sender<Message>,
    task: JoinHandle<()>,
    is_shared: bool,
}

enum Message {
    Written(Written),
    Flush(oneshot::Sender<()>),
}

/// Writes that wait for the same sync.
struct Written {
    namespace: Arc<dyn Namespace>,
    /// Of the namespace, from before the first of them.
    generation: u64,
    /// Another host may have purged the tenant since. What is acknowledged after that must be in its new namespace.
    is_shared: bool,
    acks: Vec<Ack>,
}

// === impl Acks ===

impl Acks {
    /// `is_shared` is true if other hosts can purge the tenant.
    pub(crate) fn start(is_shared: bool) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_WRITES);
        Self {
            sender,
            task: tokio::spawn(run(receiver)),
            is_shared,
        }
    }

    /// Answers these after a sync that starts from now on.
    pub(crate) async fn written(
        &self,
        namespace: Arc<dyn Namespace>,
        generation: u64,
        acks: Vec<Ack>,
    ) {
        let written = Written {
            namespace,
            generation,
            is_shared: self.is_shared,
            acks,
        };
        // The task ends only when this sender is dropped. If it were gone, the clients would see closed channels.
        drop(self.sender.send(Message::Written(written)).await);
    }

    /// Returns once all that was written has been answered.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.sender.send(Message::Flush(done)).await.is_ok() {
            drop(flushed.await);
        }
    }

    /// As [`Acks::flush`], and ends the task.
    pub(crate) async fn stop(self) {
        drop(self.sender);
        drop(self.task.await);
    }
}

async fn run(mut receiver: mpsc::Receiver<Message>) {
    while let Some(message) = receiver.recv().await {
        let mut next = Some(message);
        let mut waiting: Option<Written> = None;
        let mut flushed = None;
        while let Some(message) = next.take() {
            match message {
                Message::Written(written) => match &mut waiting {
                    // Writes of an earlier generation are lost: they must not be covered by a sync of a later one.
                    Some(waiting)
                        if waiting.generation == written.generation
                            && Arc::ptr_eq(&waiting.namespace, &written.namespace) =>
                    {
                        waiting.acks.extend(written.acks);
                    }
                    waiting => {
                        if let Some(earlier) = waiting.replace(written) {
                            earlier.settle().await;
                        }
                    }
                },
                Message::Flush(done) => {
                    flushed = Some(done);
                    break;
                }
            }
            next = receiver.try_recv().ok();
        }
        if let Some(waiting) = waiting {
            waiting.settle().await;
        }
        if let Some(done) = flushed {
            done.send(()).unwrap_or_default();
        }
    }
}

// === impl Written ===

impl Written {
    async fn sync(&self) -> Result<(), Error> {
        let synced = self.namespace.sync(self.generation).await;
        synced.map_err(|error| not_durable(&error))?;
        if !self.is_shared {
            return Ok(());
        }
        let is_current = self.namespace.is_current().await;
        let is_current = is_current.map_err(|error| not_durable(&error))?;
        if is_current { Ok(()) } else { Err(purged()) }
    }

    async fn settle(self) {
        let synced = self.sync().await;
        for ack in self.acks {
            ack.answer(synced.clone());
        }
    }
}

/// The error of a write into a namespace of which nothing is read any more.
pub(crate) fn purged() -> Error {
    let text = "the tenant was purged by another host meanwhile; retry";
    Error::new(ErrorKind::Unavailable, text).of_void_write()
}

fn not_durable(error: &kv::Error) -> Error {
    let kind = match error {
        kv::Error::QuotaExceeded(_) => ErrorKind::ResourceExhausted,
        kv::Error::Unavailable(_)
        | kv::Error::OutcomeUnknown(_)
        | kv::Error::Fenced
        | kv::Error::Held(_)
        | kv::Error::TooLarge(_)
        | kv::Error::DataLoss(_)
        | kv::Error::Other(_) => ErrorKind::Unavailable,
    };
    Error::new(
        kind,
        format!("written, but not known to be durable: {error}"),
    )
}
