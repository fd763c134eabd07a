//! The observer of one tenant's data, if there is one: see [`Observer`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use larder_model::storage::{Batch, Error, ErrorKind, Keep, Observer, Statistics, Upkept};
use tracing::warn;

use super::starter::Starter;
use crate::sandbox::guest::BeforeUpkeep;

/// Tells the observer what happens. Without one, nothing is done.
#[derive(Default)]
pub(crate) struct Observed {
    observer: OnceLock<Arc<dyn Observer>>,
    /// True from the observer's `before_write` to its `after_write`.
    is_writing: AtomicBool,
}

/// Tells the observer before the upkeep of an instance changes anything.
pub(crate) struct UpkeepOf {
    pub(crate) observed: Arc<Observed>,
    /// The dead host whose data it keeps up, if not this host's.
    pub(crate) dead: Option<String>,
}

#[async_trait::async_trait]
impl BeforeUpkeep for UpkeepOf {
    async fn before_upkeep(&self) -> Result<(), Error> {
        match self.observed.observer.get() {
            Some(observer) => observer.before_upkeep(self.dead.as_deref()).await,
            None if self.dead.is_none() => Ok(()),
            None => {
                let text = "what is derived from the tenant's data is not followed yet";
                Err(Error::new(ErrorKind::Unavailable, text))
            }
        }
    }
}

// === impl Observed ===

impl Observed {
    /// Tells this observer from now on. Only the first one is told.
    pub(crate) fn begin(&self, observer: Arc<dyn Observer>) {
        drop(self.observer.set(observer));
    }

    /// True once an observer is told.
    pub(crate) fn has_begun(&self) -> bool {
        self.observer.get().is_some()
    }

    /// Returns an error for a batch that can no longer be written.
    pub(crate) fn admit(&self, now: u64, batch: &Batch) -> Result<(), Error> {
        let observer = self.observer.get();
        observer.map_or(Ok(()), |observer| observer.admit(now, batch))
    }

    /// Before these batches are given to the plugin.
    ///
    /// # Errors
    /// The observer's: the batches are to be refused.
    pub(crate) async fn before_write(&self, now: u64, batches: &[&Batch]) -> Result<(), Error> {
        let Some(observer) = self.observer.get() else {
            return Ok(());
        };
        self.write_ended();
        observer.before_write(now, batches).await?;
        self.is_writing.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The write has ended, or the instance that it was given to is fenced: before that, what an instance has begun when it is killed may
    /// still be stored.
    pub(crate) fn write_ended(&self) {
        if let Some(observer) = self.observer.get()
            && self.is_writing.swap(false, Ordering::Relaxed)
        {
            observer.after_write();
        }
    }

    /// The plugin's counters, after its upkeep or a write.
    pub(crate) fn counted(&self, now: u64, statistics: &Statistics) {
        if let Some(observer) = self.observer.get() {
            observer.counted(now, statistics);
        }
    }

    /// After a step of upkeep, of this host's data or of a dead host's.
    pub(crate) async fn after_upkeep(&self, dead: Option<&str>, now: u64, upkept: Upkept) {
        if let Some(observer) = self.observer.get() {
            observer.after_upkeep(dead, now, upkept).await;
        }
    }

    /// A dead host's data is kept up here from now on. Returns `false` if there is no observer yet.
    pub(crate) async fn adopted(&self, dead: &str, keep: Arc<dyn Keep>) -> bool {
        let Some(observer) = self.observer.get() else {
            return false;
        };
        observer.adopted(dead, keep).await;
        true
    }

    /// Everything that was stored is gone, and the instance that wrote it can write nothing any more.
    pub(crate) async fn forget(&self, starter: &Starter) {
        let Some(observer) = self.observer.get() else {
            return;
        };
        self.write_ended();
        let forgotten = match starter.fresh_keep().await {
            Ok(keep) => observer
                .forget(keep)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = forgotten {
            warn!(
                error,
                "nothing is kept of what is derived from the tenant's data until it is opened again"
            );
        }
    }

    /// Bytes of memory that the observer holds for the tenant, about.
    pub(crate) fn memory(&self) -> u64 {
        self.observer.get().map_or(0, |observer| observer.memory())
    }

    /// The tenant is being closed.
    pub(crate) async fn close(&self) {
        if let Some(observer) = self.observer.get() {
            self.write_ended();
            observer.close().await;
        }
    }
}
