//! The storage of one request. Its reads go to the one instance, or to the readers that were current when the request came.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use larder_model::storage::{
    self, Batch, Operation, Part, Pieces, Search, Sightings, Statistics, Storage, TraceId, Wanted,
};

use larder_store::Namespace;
use parking_lot::Mutex;

use super::Plugin;
use super::forgotten::Told;
use super::freshness::Request;
use super::pool::Pool;
use super::question::{self, Find, Question};
use super::reader::LookedAhead;
use super::slot::WriterSlot;

/// See the module.
pub(crate) enum Reads {
    /// The one instance.
    Writer(Arc<WriterSlot>),
    /// Instances beside the writer.
    Pool(Arc<Pool>),
}

/// A tenant's storage for one request. Its reads see what was acknowledged before it began, and what it has written. A query goes on asking
/// instances of the component that it began with: where another has taken its place, neither a page nor a fragment's handle goes from the
/// one to the other.
pub(crate) struct Pinned {
    plugin: Arc<Plugin>,
    reads: Reads,
    request: Request,
    /// What all was read from: the tenant's when the request came, or when it was last found that it is another.
    namespace: Mutex<Arc<dyn Namespace>>,
    /// The plugin's counters and restarts when the request came.
    counted: (Statistics, u64),
    /// What was read ahead.
    ahead: Mutex<Option<Arc<LookedAhead>>>,
    /// For work in the background: the plugin does not count as used by it, so its tenant may be evicted and purged meanwhile.
    is_background: bool,
}

// === impl Pinned ===

impl Pinned {
    pub(crate) fn new(plugin: Arc<Plugin>, reads: Reads, is_background: bool) -> Self {
        if is_background {
            plugin.background.fetch_add(1, Ordering::SeqCst);
        }
        let request = Request::new(&plugin.shared.moments, Instant::now());
        let namespace = Mutex::new(plugin.starter.namespace());
        let counted = (plugin.shared.statistics(), plugin.shared.restarts());
        Self {
            plugin,
            reads,
            request,
            namespace,
            counted,
            ahead: Mutex::default(),
            is_background,
        }
    }

    async fn ask<Q: Question>(&self, question: Q) -> Result<Q::Answer, storage::Error> {
        let slot = match &self.reads {
            Reads::Pool(pool) => {
                let moments = &self.plugin.shared.moments;
                let since = self.request.since(moments, Instant::now());
                let ahead = self.ahead.lock().clone();
                return pool.ask(question, since, ahead).await;
            }
            Reads::Writer(slot) => slot,
        };
        let Plugin { queue, starter, .. } = &*self.plugin;
        let mut writer = slot.lock_to_read(queue.most_depth()).await?;
        let answer = async move { writer.answer(&question).await };
        starter.run_read(answer).await
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.is_background {
            self.plugin.background.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[async_trait::async_trait]
impl Storage for Pinned {
    async fn write(&self, batch: Batch) -> Result<(), storage::Error> {
        let written = self.plugin.write(batch).await;
        self.renew();
        written
    }

    async fn find(
        &self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, storage::Error> {
        let find = Find {
            search: search.clone(),
            resume: resume.map(<[u8]>::to_vec),
            limit,
        };
        self.ask(find).await
    }

    async fn read(
        &self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, storage::Error> {
        let read = question::Read {
            wanted: wanted.clone(),
            part,
            resume: resume.map(<[u8]>::to_vec),
            max_bytes,
        };
        self.ask(read).await
    }

    async fn services(&self) -> Result<Vec<String>, storage::Error> {
        self.ask(question::Services).await
    }

    async fn operations(&self, service: &str) -> Result<Vec<Operation>, storage::Error> {
        let service = service.to_owned();
        self.ask(question::Operations { service }).await
    }

    async fn look_ahead(&self) {
        let Reads::Pool(pool) = &self.reads else {
            return;
        };
        if self.is_shared() {
            let namespace = Arc::clone(&self.namespace.lock());
            let found = pool.look_ahead(namespace).await;
            *self.ahead.lock() = found.map(Arc::new);
        }
    }

    fn renew(&self) {
        let moments = &self.plugin.shared.moments;
        self.request.renew(moments, Instant::now());
    }

    fn is_shared(&self) -> bool {
        self.plugin.starter.is_shared()
    }

    async fn still_current(&self) -> Result<bool, storage::Error> {
        if !self.is_shared() {
            return Ok(true);
        }
        let read = Arc::clone(&self.namespace.lock());
        let Some(now) = self.plugin.moved_from(&read).await? else {
            return Ok(true);
        };
        *self.namespace.lock() = now;
        self.renew();
        Ok(false)
    }

    fn not_read_back(&self, fragments: usize, example: (u64, TraceId)) {
        let is_purged = !Arc::ptr_eq(&self.namespace.lock(), &self.plugin.starter.namespace());
        // What other hosts drop of what they have written is in no counter here.
        if is_purged || self.is_shared() {
            return;
        }
        let (counted, restarts) = self.counted;
        self.plugin.shared.forgotten.tell(Told {
            counted,
            restarts,
            fragments,
            example,
        });
    }

    fn report(&self, breach: &storage::Error) {
        let shared = &self.plugin.shared;
        if !shared.reported(breach) {
            return;
        }
        // The instances that answered these reads are to be replaced.
        match &self.reads {
            Reads::Writer(_) => shared.struck_out.notify_one(),
            Reads::Pool(pool) => pool.renew(),
        }
    }
}
