//! One tenant's plugin at work. Each request gets a [`Storage`] of it: [`Plugin::pinned`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use larder_core::Permit;
use larder_core::Serving;
use larder_core::telemetry::{Metrics, PluginLabels, TenantGauges};
use larder_model::DEFAULT_TENANT;
use larder_model::storage::{self, Batch, Statistics, Storage, StorageSource};
use larder_store as kv;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{Instrument as _, error, info, info_span, warn};

use super::acks::Acks;
use super::adoption::Adopter;
use super::backoff::Backoff;
use super::pool::Pool;
use super::pools::Pools;
use super::queue::WriteQueue;
use super::reads::{Pinned, Reads};
use super::shared::Shared;
use super::slot::WriterSlot;
use super::starter::{OpenError, Starter};
use super::suspects::Suspicion;
use super::worker::{Worker, poisonous};
use crate::component::{Component, Error, Host, Instancing, LoadChecks, PluginConfig, Status};
use crate::sandbox::Runtime;

/// One tenant's plugin: takes writes and reads, and replaces instances that fail.
pub struct Plugin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Arc<WriteQueue>,
    pub(crate) readers: Readers,
    worker: Mutex<Option<JoinHandle<()>>>,
    pub(crate) starter: Arc<Starter>,
    /// Storages that work in the background uses now.
    pub(crate) background: AtomicUsize,
    /// Its place among the tenants that may be open, returned when it is dropped.
    place: OnceLock<Permit>,
    #[cfg(test)]
    pub(crate) adopter: Arc<Adopter>,
}

/// The instances that serve reads.
pub(crate) enum Readers {
    /// The one instance.
    Writer(Arc<WriterSlot>),
    /// Instances beside the writer.
    Beside(Arc<Pools>),
}

// === impl Plugin ===

impl Plugin {
    /// Loads the plugin, checks that it fits the contract, and opens it for the tenant [`DEFAULT_TENANT`].
    ///
    /// # Errors
    /// Everything that makes the plugin unusable: see [`Error`].
    pub async fn open(
        runtime: &Runtime,
        settings: PluginConfig,
        kv: Arc<dyn kv::Driver>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, Error> {
        let host = Host {
            runtime: runtime.clone(),
            kv,
            metrics,
            observers: None,
        };
        let component = Component::load(&host, settings, LoadChecks::Describe).await?;
        component.open(DEFAULT_TENANT).await
    }

    /// Opens an instance that writes, and sets it to work.
    pub(crate) async fn start(starter: Starter) -> Result<Arc<Self>, Error> {
        let starter = Arc::new(starter);
        let component = starter.component();
        let (name, instancing) = (Arc::clone(component.name()), component.instancing());
        let limits = component.limits();
        if instancing == Instancing::Replicated && !starter.driver().is_durable() {
            let driver = starter.driver().name();
            warn!(
                plugin = &*name,
                kv.driver = driver,
                "what the plugin stores is lost when this process ends"
            );
        }
        let span = info_span!("tenant", tenant.id = starter.tenant());
        let instance = match starter.writer(&component).instrument(span).await {
            Ok(instance) => Ok(instance),
            // Readers need no claim.
            Err(error @ OpenError::Kv(kv::Error::Held(_))) => Err(error.into_failure()),
            Err(error) => return Err(error.into_error(&name)),
        };
        let has_writer = instance.is_ok();
        let labels = PluginLabels {
            tenant: Arc::clone(starter.lane().tenant()),
            plugin: Arc::clone(&name),
        };
        let shared = Arc::new(Shared::new(
            labels,
            instancing,
            Arc::clone(starter.gauge()),
            Arc::clone(&component.host().metrics),
            Arc::clone(starter.observed()),
        ));
        info!(
            tenant.id = starter.tenant(),
            plugin = &*name,
            version = component.version(),
            source = component.config().source.to_string(),
            hash = component.hash(),
            "the plugin is open"
        );

        let backoff = Backoff::new(limits.restart_delay);
        let slot = WriterSlot::new(instance, Arc::clone(&starter), backoff, Arc::clone(&shared));
        let queue = WriteQueue::new(limits.queue_depth, limits.queue_bytes);
        let adopter = Arc::new(Adopter::new(Arc::clone(&starter)));
        let (readers, mut worker) = work(slot, &starter, &shared, &queue, &adopter);
        let plugin = Arc::new(Self {
            shared,
            queue,
            readers,
            worker: Mutex::new(None),
            starter,
            background: AtomicUsize::new(0),
            place: OnceLock::new(),
            #[cfg(test)]
            adopter,
        });
        if has_writer {
            let opened = plugin.observe().await;
            opened.map_err(|source| Error::Kv {
                plugin: name.to_string(),
                source,
            })?;
        } else {
            worker.unobserved = Some(Arc::downgrade(&plugin));
        }
        let starter = &plugin.starter;
        let span = info_span!("tenant", tenant.id = starter.tenant());
        let task = tokio::spawn(starter.lane().gated(worker.run().instrument(span)));
        *plugin.worker.lock() = Some(task);
        Ok(plugin)
    }

    /// Has the tenant observed, where the host has observers.
    pub(crate) async fn observe(self: &Arc<Self>) -> Result<(), kv::Error> {
        let Some(observers) = self.starter.component().observers().cloned() else {
            return Ok(());
        };
        let keep = self.starter.keep().await?;
        let this: Weak<Self> = Arc::downgrade(self);
        let observer = observers.open(self.starter.tenant(), keep, this).await;
        self.shared.observed.begin(observer);
        Ok(())
    }

    /// The plugin at this moment.
    pub fn status(&self) -> Status {
        let (queue_depth, queue_bytes) = self.queue.waiting();
        let memory_used = self.shared.memory_used();
        Status {
            state: self.shared.state(),
            restarts: self.shared.restarts(),
            queue_depth,
            queue_bytes,
            statistics: self.shared.statistics(),
            ..self.starter.component().status_with(memory_used)
        }
    }

    /// The tenant's part of the server's gauges.
    pub fn gauges(&self) -> TenantGauges {
        let (queue_depth, queue_bytes) = self.queue.waiting();
        let Statistics {
            traces,
            spans,
            bytes,
            oldest_write,
            ..
        } = self.shared.statistics();
        TenantGauges {
            open: 1,
            ready: u64::from(*self.shared.ready().borrow()),
            queue_depth,
            queue_bytes,
            memory: self.shared.memory_used(),
            traces,
            traces_unknown: u64::from(traces == 0 && spans > 0),
            spans,
            oldest_write,
            oldest_write_unknown: u64::from(oldest_write.is_none() && spans > 0),
            bytes,
        }
    }

    /// The component of its instances.
    pub(crate) fn component(&self) -> Arc<Component> {
        self.starter.component()
    }

    /// Linear memory of all of its instances, in bytes.
    pub(crate) fn memory_used(&self) -> u64 {
        self.shared.memory_used()
    }

    /// Memory that being open takes, in bytes: of its instances, and of what the host holds of the tenant's data.
    pub(crate) fn memory_held(&self) -> u64 {
        let observed = self.shared.observed.memory();
        self.memory_used().saturating_add(observed)
    }

    /// Keeps a place among the tenants that may be open until the plugin is dropped. Only the first one is kept.
    pub(crate) fn keep(&self, place: Permit) {
        drop(self.place.set(place));
    }

    /// True while writes wait or are being written.
    pub fn is_busy(&self) -> bool {
        self.queue.waiting() != (0, 0)
    }

    /// Changes the limits of waiting writes and reads. Those that wait already stay.
    pub fn set_queue(&self, depth: usize, bytes: usize) {
        self.queue.set_limits(depth, bytes);
        if let Readers::Beside(pools) = &self.readers {
            pools.current().set_most_waiting(depth);
        }
    }

    /// Where its data lives.
    pub fn instancing(&self) -> Instancing {
        self.shared.instancing
    }

    /// Compressed size of its namespace in bytes; 0 for a plugin that does not use `kv`.
    pub fn stored_bytes(&self) -> u64 {
        self.starter.namespace().stored_bytes()
    }

    /// True while calls are served. Changes with every restart that has to wait.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.shared.ready()
    }

    /// Calls that are taken now, for health checks.
    pub fn serving(&self) -> Serving {
        self.shared.serving()
    }

    /// Forgets everything that was written before. A write that is acknowledged after this returns is kept.
    ///
    /// # Errors
    /// [`Unavailable`](storage::ErrorKind::Unavailable) where the plugin cannot be started afresh.
    pub async fn purge(&self) -> Result<(), storage::Error> {
        self.settled(self.queue.purge()?).await
    }

    /// Refuses new writes, writes those that wait, and returns once all are durable.
    pub async fn shutdown(&self) {
        self.queue.close();
        let worker = self.worker.lock().take();
        if let Some(worker) = worker
            && let Err(error) = worker.await
        {
            error!(plugin = &*self.shared.name, %error, "the plugin's task ended early");
        }
    }

    /// The storage for one request: all of its calls are answered by the component that was there when it began.
    pub fn pinned(self: Arc<Self>) -> Arc<dyn Storage> {
        Arc::new(self.pin(false))
    }

    fn pin(self: Arc<Self>, is_background: bool) -> Pinned {
        let reads = match &self.readers {
            Readers::Beside(pools) => Reads::Pool(pools.current()),
            Readers::Writer(slot) => Reads::Writer(Arc::clone(slot)),
        };
        Pinned::new(self, reads, is_background)
    }

    /// True while a request has it, besides the one who asks, or writes wait. Work in the background is no use of it.
    pub(crate) fn is_used(self: &Arc<Self>) -> bool {
        let background = self.background.load(Ordering::SeqCst);
        Arc::strong_count(self) > 1 + background || self.is_busy()
    }

    /// Writes the batch after those that wait. Returns when it is as durable as the plugin promises.
    ///
    /// # Errors
    /// As [`Storage::write`].
    pub(crate) async fn write(&self, batch: Batch) -> Result<(), storage::Error> {
        let verdict = self.shared.suspects.lock().verdict(&batch);
        let suspect = match verdict {
            Suspicion::Clean => None,
            Suspicion::Suspect(suspect) => Some(suspect),
            Suspicion::Poison(digest) => return Err(poisonous(&self.shared.name, digest)),
        };
        self.settled(self.queue.push(batch, suspect)?).await
    }

    /// Waits for the writer's answer.
    pub(crate) async fn settled(
        &self,
        answer: oneshot::Receiver<Result<(), storage::Error>>,
    ) -> Result<(), storage::Error> {
        let answer = answer.await;
        answer.unwrap_or_else(|_| Err(self.shared.shutting_down()))
    }
}

impl StorageSource for Plugin {
    fn storage(self: Arc<Self>) -> Arc<dyn Storage> {
        Arc::new(self.pin(true))
    }
}

/// The writer's task, and readers beside it where the plugin wants them.
fn work(
    slot: Arc<WriterSlot>,
    starter: &Arc<Starter>,
    shared: &Arc<Shared>,
    queue: &Arc<WriteQueue>,
    adopter: &Arc<Adopter>,
) -> (Readers, Worker) {
    let replicated = shared.instancing == Instancing::Replicated;
    let pools = replicated.then(|| {
        let (starter, shared) = (Arc::clone(starter), Arc::clone(shared));
        Pools::new(Pool::new(starter, shared))
    });
    // Of many tenants few are searched, and an instance takes memory.
    let is_searched = starter.is_shared() && starter.tenant() == DEFAULT_TENANT;
    if let Some(pools) = pools.as_ref().filter(|_| is_searched) {
        tokio::spawn(pools.current().open_one());
    }
    let worker = Worker {
        starter: Arc::clone(starter),
        shared: Arc::clone(shared),
        queue: Arc::clone(queue),
        pools: pools.clone(),
        acks: replicated.then(|| Acks::start(starter.is_shared())),
        slot: Arc::clone(&slot),
        maintain_every: starter.component().limits().maintain_every,
        maintain_at: Instant::now(),
        unobserved: None,
        adopter: Arc::clone(adopter),
    };
    let readers = match pools {
        Some(pools) => Readers::Beside(pools),
        None => Readers::Writer(slot),
    };
    (readers, worker)
}

#[cfg(test)]
mod tests;
