//! Replaces the component that runs, or its settings and limits. No call fails and no write is lost.
//!
//! The writer's task finishes the write in hand and opens the new writer, which fences the one before it; writes wait in the queue
//! meanwhile. Reads that are under way end where they began, and new ones ask new readers. A new writer that cannot be opened changes
//! nothing: a writer of what ran before is opened again. Only for `replicated` plugins: an `exclusive` one would lose what it holds.

use std::sync::Arc;
use std::time::Instant;

use larder_model::storage;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::Plugin;
use super::pool::Pool;
use super::suspects::Suspects;
use super::worker::Worker;
use crate::component::{Component, Error};
use crate::sandbox::guest::{Cause, Failure};

/// A request to the writer's task to run another component.
pub(crate) struct Exchange {
    next: Arc<Component>,
    reply: oneshot::Sender<Result<(), Error>>,
}

/// The outcome of [`Plugin::exchange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchanged {
    /// The component runs already.
    Unchanged,
    /// The instances were replaced.
    Replaced,
}

// === impl Plugin ===

impl Plugin {
    /// Has the tenant run `next`, if it does not already. Returns once the new writer is open, or the old one again.
    ///
    /// # Errors
    /// [`Error::NeedsRestart`] where it cannot be exchanged at all; the new instance's failure, and then the old one goes on;
    /// [`Error::Stopping`].
    pub async fn exchange(&self, next: &Arc<Component>) -> Result<Exchanged, Error> {
        let now = self.starter.component();
        if now.is_same_as(next) {
            return Ok(Exchanged::Unchanged);
        }
        now.may_become(next)?;
        let (reply, exchanged) = oneshot::channel();
        let exchange = Exchange {
            next: Arc::clone(next),
            reply,
        };
        let stopping = || Error::Stopping {
            plugin: self.shared.name.to_string(),
        };
        let queued = self.queue.exchange(Box::new(exchange));
        queued.map_err(|_: storage::Error| stopping())?;
        let exchanged = exchanged.await;
        exchanged.unwrap_or_else(|_| Err(stopping()))?;
        Ok(Exchanged::Replaced)
    }
}

// === impl Worker ===

impl Worker {
    /// Opens the new writer. If that fails, opens a writer of the old component again, unless the new one is granted less: what is taken away
    /// is not kept because the plugin says so.
    pub(crate) async fn exchange(&mut self, exchange: Exchange) {
        let Exchange { next, reply } = exchange;
        let before = self.starter.component();
        let exchanged = match self.starter.writer(&next).await {
            Ok(instance) => {
                self.starter.exchange(Arc::clone(&next));
                if let Some(pools) = &self.pools {
                    let (starter, shared) = (Arc::clone(&self.starter), Arc::clone(&self.shared));
                    pools.exchange(Pool::new(starter, shared));
                }
                if before.hash() != next.hash() {
                    // A batch that killed the one component may not kill the other.
                    *self.shared.suspects.lock() = Suspects::default();
                }
                self.slot.lock().await.replace(instance);
                self.maintain_at = Instant::now();
                info!(
                    plugin = &*self.shared.name,
                    version = next.version(),
                    hash = next.hash(),
                    "the plugin's instances are replaced"
                );
                Ok(())
            }
            Err(error) => {
                let error = error.into_error(&self.shared.name);
                if next.withdraws_from(&before) {
                    self.withdraw(&next, &error).await;
                    drop(reply.send(Err(error)));
                    return;
                }
                warn!(plugin = &*self.shared.name, %error, "the plugin cannot be replaced, and goes on as it was");
                let mut writer = self.slot.lock().await;
                if writer.restart_at().is_none() {
                    // The claim has fenced the old writer. If it cannot be opened again, its state says so.
                    drop(writer.restart().await);
                }
                Err(error)
            }
        };
        // The caller may have gone.
        drop(reply.send(exchanged));
    }

    /// Runs the new component from here on, though its writer cannot be opened: it is tried again like one that has failed.
    async fn withdraw(&self, next: &Arc<Component>, error: &Error) {
        warn!(plugin = &*self.shared.name, %error, "the plugin cannot be replaced; as it is granted less now, it is stopped, and started anew");
        self.starter.exchange(Arc::clone(next));
        if let Some(pools) = &self.pools {
            let (starter, shared) = (Arc::clone(&self.starter), Arc::clone(&self.shared));
            pools.exchange(Pool::new(starter, shared));
        }
        let failure = Failure {
            cause: Cause::Open,
            detail: error.to_string(),
        };
        self.slot.lock().await.fail(failure).await;
    }
}
