//! The graph of one tenant: told of writes, asked by queries, and driven in the background.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use larder_core::telemetry::Metrics;
use larder_model::storage::{
    Batch, Error, Keep, Observer, Statistics, StorageSource, TimeRange, Upkept,
};
use larder_search::kept::{Coverage, Kept, View};
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;

use crate::checkpoint::Pieces;
use crate::config::Config;
use crate::figures::Figures;
use crate::hosts::{Hosts, Work};
use crate::jobs::{self, Due};
use crate::shared::Shared;
use crate::view;

/// The calls between the services of one tenant, kept as its traces come.
pub struct Graph {
    shared: Arc<Shared>,
    /// This host's part, where others write too. `shared` is what its queries read with then.
    hosts: Option<Hosts>,
    worker: AsyncMutex<Worker>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Work in the background.
#[derive(Default)]
struct Worker {
    job: Option<Pieces<()>>,
    hosts: Work,
    is_closed: bool,
}

/// What a [`Graph::step`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A piece of work.
    Worked {
        /// The time that it took. A guest may compute in another thread, so waiting for others is part of it.
        took: Duration,
        /// Number of jobs that wait for this one.
        waiting: usize,
    },
    /// Nothing: there is nothing to do for so long, or until something changes.
    Idle(Option<Duration>),
    /// Nothing: the tenant is closed.
    Closed,
}

// === impl Graph ===

impl Graph {
    /// Opens the graph of a tenant. [`Graph::step`] does its work.
    pub async fn open(
        tenant: &str,
        keep: Arc<dyn Keep>,
        storage: Weak<dyn StorageSource>,
        (config, metrics): (Config, Arc<Metrics>),
    ) -> Arc<Self> {
        let mut hosts = None;
        if keep.is_shared() {
            let settings = (config.clone(), Arc::clone(&metrics));
            hosts = Hosts::open(tenant, &keep, Weak::clone(&storage), settings).await;
        }
        let shared = match &hosts {
            Some(_) => Shared::unread(tenant, keep, storage, (config, metrics)),
            None => Shared::open(tenant, keep, storage, (config, metrics)).await,
        };
        Arc::new(Self {
            shared: Arc::new(shared),
            hosts,
            worker: AsyncMutex::default(),
            task: Mutex::new(None),
        })
    }

    /// Does one bounded piece of the work that is due.
    pub async fn step(&self) -> Step {
        let mut worker = self.worker.lock().await;
        if worker.is_closed || self.shared.storage().is_none() {
            worker.job = None;
            worker.hosts = Work::default();
            return Step::Closed;
        }
        if let Some(hosts) = &self.hosts {
            return hosts.step(&mut worker.hosts).await;
        }
        let waiting = if worker.job.is_some() {
            match self.shared.due() {
                Due::Now(_, waiting) => waiting,
                Due::At(_) | Due::Nothing => 0,
            }
        } else {
            match self.shared.due() {
                Due::Now(job, waiting) => {
                    worker.job = Some(Pieces::new(jobs::run(Arc::clone(&self.shared), job)));
                    waiting
                }
                Due::At(at) => {
                    let wait = at.saturating_sub(self.shared.now());
                    return Step::Idle(Some(Duration::from_nanos(wait)));
                }
                Due::Nothing => return Step::Idle(None),
            }
        };
        let Some(job) = &mut worker.job else {
            return Step::Idle(None);
        };
        let since = Instant::now();
        let is_done = job.next().await;
        let took = since.elapsed();
        if is_done.is_some() {
            worker.job = None;
        }
        self.shared.inner.lock().worked += took;
        Step::Worked { took, waiting }
    }

    /// Figures for the operator's metrics.
    pub fn figures(&self) -> Figures {
        let Some(hosts) = &self.hosts else {
            return self.shared.figures();
        };
        let (seen, unusable) = hosts.seen();
        Figures {
            held_tenants: hosts.is_holder().into(),
            is_unusable: unusable.is_some(),
            ..seen.figures()
        }
    }

    /// Tells when something has changed that may be work, or the graph has gone.
    pub(crate) fn changes(&self) -> Changes {
        Changes(Arc::clone(&self.shared))
    }

    /// Keeps the task that drives it, to end it with the tenant.
    pub(crate) fn driven_by(&self, task: JoinHandle<()>) {
        *self.task.lock() = Some(task);
    }
}

/// Changes of a graph. Does not keep it.
pub(crate) struct Changes(Arc<Shared>);

impl Changes {
    /// Waits for the next change.
    pub(crate) async fn next(&self) {
        self.0.changed.notified().await;
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        self.shared.changed.notify_one();
    }
}

#[async_trait::async_trait]
impl Kept for Graph {
    async fn view(&self, window: TimeRange) -> Option<Box<dyn View>> {
        let view = match &self.hosts {
            Some(hosts) => hosts.view(window).await?,
            None => view::Kept::new(&self.shared, window)?,
        };
        Some(Box::new(view))
    }

    fn coverage(&self, window: TimeRange) -> Coverage {
        let Some(hosts) = &self.hosts else {
            return self.shared.coverage(window);
        };
        let (seen, unusable) = hosts.seen();
        Coverage {
            unusable,
            ..seen.coverage(window)
        }
    }
}

#[async_trait::async_trait]
impl Observer for Graph {
    async fn before_write(&self, now: u64, batches: &[&Batch]) -> Result<(), Error> {
        match &self.hosts {
            Some(hosts) => {
                if hosts.wakes() {
                    self.shared.changed.notify_one();
                }
                hosts.before_write(now, batches).await
            }
            None => self.shared.before_write(now, batches).await,
        }
    }

    fn after_write(&self) {
        match &self.hosts {
            Some(hosts) => hosts.after_write(),
            None => self.shared.after_write(),
        }
    }

    fn counted(&self, now: u64, statistics: &Statistics) {
        // Where several hosts write, it is told durably: see `after_upkeep`.
        if self.hosts.is_none() {
            self.shared.counted(now, statistics);
        }
    }

    async fn before_upkeep(&self, dead: Option<&str>) -> Result<(), Error> {
        match &self.hosts {
            Some(hosts) => hosts.before_upkeep(dead).await,
            None => Ok(()),
        }
    }

    async fn after_upkeep(&self, dead: Option<&str>, now: u64, upkept: Upkept) {
        if let Some(hosts) = &self.hosts
            && let Err(error) = hosts.after_upkeep(dead, now, upkept).await
        {
            tracing::warn!(tenant = self.shared.tenant, %error, "what upkeep has dropped is told after the next one; until then dependencies are answered from all spans");
        }
    }

    async fn adopted(&self, dead: &str, keep: Arc<dyn Keep>) {
        if let Some(hosts) = &self.hosts {
            hosts.adopt(dead, keep);
        }
    }

    async fn forget(&self, keep: Arc<dyn Keep>) -> Result<(), Error> {
        match &self.hosts {
            Some(hosts) => hosts.forget(keep).await,
            None => self.shared.forget(keep).await,
        }
        Ok(())
    }

    async fn close(&self) {
        let task = self.task.lock().take();
        if let Some(task) = task {
            task.abort();
            // It ends because of the abort, or has ended.
            drop(task.await);
        }
        let mut worker = self.worker.lock().await;
        worker.job = None;
        worker.hosts = Work::default();
        worker.is_closed = true;
        if let Some(hosts) = &self.hosts {
            hosts.close().await;
        }
    }
}

impl Shared {
    fn figures(&self) -> Figures {
        let now = self.now();
        let inner = self.inner.lock();
        let entries = || inner.state.buckets.values();
        let unsettled = entries().filter(|entry| entry.is_open());
        let opened = unsettled.clone().map(|entry| entry.opened);
        let unmarked = inner.state.unmarked.map(|_| inner.unmarked_since);
        let opened = opened.chain(unmarked).min();
        let bytes = entries().filter_map(|entry| Some(entry.group()?.bytes));
        let bytes = bytes.chain(inner.state.days.values().map(|it| it.stored.bytes));
        Figures {
            open_buckets: unsettled.count() as u64,
            oldest_unsettled: opened.map(|it| Duration::from_nanos(now.saturating_sub(it))),
            suspect_buckets: entries()
                .filter(|entry| entry.suspect(&inner.state.drops).is_some())
                .count() as u64,
            late_traces: inner.state.late.len() as u64,
            bytes: bytes.sum(),
            worked: inner.worked,
            is_backfilled: inner.state.last_unknown().is_none() && !inner.is_unreadable,
            settled_buckets: entries().filter(|entry| entry.record().is_some()).count() as u64,
            held_tenants: 0,
            is_unusable: inner.unusable().is_some(),
        }
    }
}
