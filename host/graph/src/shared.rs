//! What the write path, the queries and the work in the background share.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Weak};

use larder_core::telemetry::Metrics;
use larder_model::storage::{Batch, Error, Keep, Statistics, Storage, StorageSource};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};

use crate::cache::Cache;
use crate::config::Config;
use crate::entries;
use crate::inner::Inner;

/// One tenant's graph.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tenant: String,
    source: Weak<dyn StorageSource>,
    /// Held during each write of the plugin, and while the state changes. So who holds it sees every write that was marked before.
    gate: Arc<AsyncMutex<()>>,
    /// The gate, during a write.
    held: Mutex<Option<OwnedMutexGuard<()>>>,
    pub(crate) inner: Mutex<Inner>,
    pub(crate) cache: Mutex<Cache>,
    /// Heads without their pages, of many more records.
    pub(crate) outlines: Mutex<Cache>,
    /// Wakes the work in the background.
    pub(crate) changed: Notify,
}

/// The right to change the state: no write is under way.
pub(crate) struct Gate(OwnedMutexGuard<()>);

/// A number that no other process has used.
pub(crate) fn unique() -> u64 {
    RandomState::new().hash_one(0)
}

// === impl Shared ===

impl Shared {
    /// Opens the graph of a tenant, reading its state.
    pub(crate) async fn open(
        tenant: &str,
        keep: Arc<dyn Keep>,
        source: Weak<dyn StorageSource>,
        (config, metrics): (Config, Arc<Metrics>),
    ) -> Self {
        let shared = Self::unread(tenant, Arc::clone(&keep), source, (config, metrics));
        let loaded = entries::load(&*keep, unique(), shared.config.day_buckets).await;
        {
            let mut inner = shared.inner.lock();
            match loaded {
                Ok(loaded) => inner.install(loaded, shared.now()),
                Err(error) => {
                    tracing::warn!(tenant, %error, "the state of the service graph was not read: dependencies are answered from all spans");
                    inner.is_unreadable = true;
                }
            }
        }
        shared
    }

    /// The graph of a tenant of which nothing is known.
    pub(crate) fn unread(
        tenant: &str,
        keep: Arc<dyn Keep>,
        source: Weak<dyn StorageSource>,
        (config, metrics): (Config, Arc<Metrics>),
    ) -> Self {
        let generation = keep.generation();
        let cache = Mutex::new(Cache::new(config.cache / 4));
        let outlines = Mutex::new(Cache::new(config.cache - config.cache / 4));
        Self {
            config,
            metrics,
            tenant: tenant.to_owned(),
            source,
            gate: Arc::default(),
            held: Mutex::new(None),
            inner: Mutex::new(Inner::new(keep, generation)),
            cache,
            outlines,
            changed: Notify::new(),
        }
    }

    /// The storage; `None` once the tenant is closed.
    pub(crate) fn storage(&self) -> Option<Arc<dyn Storage>> {
        Some(self.source.upgrade()?.storage())
    }

    pub(crate) fn now(&self) -> u64 {
        (self.config.clock)()
    }

    /// Waits until no write is under way, and holds up the next one.
    pub(crate) async fn gate(&self) -> Gate {
        Gate(Arc::clone(&self.gate).lock_owned().await)
    }

    /// Marks a write, and waits for the one before it.
    pub(crate) async fn before_write(&self, now: u64, batches: &[&Batch]) -> Result<(), Error> {
        drop(self.held.lock().take());
        let gate = self.gate().await;
        self.refresh(&gate).await?;
        let (marks, changes, needs_head) = {
            let mut inner = self.inner.lock();
            inner.look_at_clock(now);
            let mut changes = inner.lower_durably(now);
            let marks = inner.marks(&self.config, now, batches);
            if let Some(bucket) = marks.unmarked {
                inner.leave_unmarked(bucket, now);
            }
            let needs_head = marks.unmarked.is_some() && !inner.is_head_saved;
            changes.extend(marks.changes(inner.state.series));
            (marks, changes, needs_head)
        };
        if needs_head && changes.is_empty() {
            self.commit_once(&gate, changes).await?;
        } else {
            self.commit(&gate, changes).await?;
        }
        self.inner.lock().lower(now);
        if needs_head || !marks.is_empty() || !marks.again.is_empty() {
            self.inner.lock().apply(marks, now);
            self.changed.notify_one();
        }
        *self.held.lock() = Some(gate.0);
        Ok(())
    }

    /// A write has ended.
    pub(crate) fn after_write(&self) {
        drop(self.held.lock().take());
    }

    /// Begins with nothing: nothing is stored any more.
    pub(crate) async fn forget(&self, keep: Arc<dyn Keep>) {
        let _gate = self.gate().await;
        let mut inner = self.inner.lock();
        inner.forget(keep);
        self.changed.notify_one();
    }

    /// Compares the plugin's counters with those before.
    pub(crate) fn counted(&self, now: u64, statistics: &Statistics) {
        let mut inner = self.inner.lock();
        if inner.counted(now, statistics) {
            self.changed.notify_one();
        }
    }
}
