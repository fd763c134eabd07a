//! Instances that read beside the writer, for plugins with `replicated` instancing: made when all others are busy, up to a number.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use larder_model::storage::{
    DurationRange, Error, ErrorKind, Part, Search, TimeRange, TraceId, Wanted,
};
use larder_store::{Key, Namespace};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep_until;

use super::backoff::Backoff;
use super::freshness::Moment;
use super::question::{Find, Question, Read};
use super::reader::{LookedAhead, Reader};
use super::shared::Shared;
use super::starter::Starter;
use crate::component::Component;
use crate::sandbox::guest::{Ahead, Cause, Failure};

/// Sightings that are asked for before anybody searches: Jaeger shows so many traces.
const NEWEST: u32 = 20;
/// Bytes of their traces.
const NEWEST_BYTES: u32 = 1 << 20;

/// The readers of one tenant from one component.
pub(crate) struct Pool {
    starter: Arc<Starter>,
    component: Arc<Component>,
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
    state: Mutex<PoolState>,
    /// The keys with which the last refresh began that was told something ahead.
    refresh_keys: Mutex<Arc<[Key]>>,
}

struct PoolState {
    idle: Vec<Reader>,
    /// Instances of an earlier generation are not used again.
    generation: u64,
    backoff: Backoff,
    /// No instance is made before this.
    down: Option<(Instant, Failure)>,
    /// Another pool has replaced it. The health of these readers no longer counts as the tenant's.
    retired: bool,
}

/// One read among those that wait.
pub(crate) struct ReadPermit<'a>(&'a AtomicUsize);

// === impl Pool ===

impl Pool {
    /// Readers from the tenant's component of this moment.
    pub(crate) fn new(starter: Arc<Starter>, shared: Arc<Shared>) -> Arc<Self> {
        let component = starter.component();
        let limits = component.limits();
        let (readers, most_waiting) = (limits.readers.max(1), limits.queue_depth);
        let backoff = Backoff::new(limits.restart_delay);
        Arc::new(Self {
            component,
            starter,
            shared,
            permits: Arc::new(Semaphore::new(readers)),
            waiting: AtomicUsize::new(0),
            most_waiting: AtomicUsize::new(most_waiting),
            state: Mutex::new(PoolState {
                idle: Vec::new(),
                generation: 0,
                backoff,
                down: None,
                retired: false,
            }),
            refresh_keys: Mutex::new(Arc::new([])),
        })
    }

    /// Lets more reads wait, or less, from here on.
    pub(crate) fn set_most_waiting(&self, most: usize) {
        self.most_waiting.store(most, Ordering::Relaxed);
    }

    /// Asks whichever instance is free, once it knows all that was acknowledged before this moment.
    pub(crate) async fn ask<Q: Question>(
        self: &Arc<Self>,
        question: Q,
        since: Moment,
        ahead: Option<Arc<LookedAhead>>,
    ) -> Result<Q::Answer, Error> {
        let permit = self.wait().await?;
        let serve = Arc::clone(self).serve(question, since, ahead, permit);
        self.starter.run_read(serve).await
    }

    /// Drops idle instances at once, and busy ones when they are given back: after a purge, or for strikes.
    pub(crate) fn renew(&self) {
        let mut state = self.state.lock();
        state.generation += 1;
        state.down = None;
        self.tell_up(&state);
        let idle = mem::take(&mut state.idle);
        drop(state);
        drop(idle);
    }

    /// Marks that another pool has replaced it. Requests that use this pool go on.
    pub(crate) fn retire(&self) {
        let mut state = self.state.lock();
        self.tell_up(&state);
        state.retired = true;
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, Error> {
        let most = self.most_waiting.load(Ordering::Relaxed);
        let Some(_permit) = ReadPermit::take(&self.waiting, most) else {
            return Err(too_many_reads(most));
        };
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.map_err(|_| self.shared.shutting_down())
    }

    async fn serve<Q: Question>(
        self: Arc<Self>,
        question: Q,
        since: Moment,
        ahead: Option<Arc<LookedAhead>>,
        _permit: OwnedSemaphorePermit,
    ) -> Result<Q::Answer, Error> {
        let (mut reader, generation) = self.reader().await?;
        let ahead = ahead.as_deref();
        let outcome = reader.ask(&question, since, ahead, &self.shared).await;
        let (result, failure) = outcome.settle(&self.shared);
        match failure {
            None => self.give_back(reader, generation),
            Some(failure) => {
                drop(reader);
                self.fail(failure);
            }
        }
        result
    }

    /// Reads what the next refresh of an instance will ask for first. Returns nothing if that cannot be read: the refresh will say why.
    pub(crate) async fn look_ahead(&self, namespace: Arc<dyn Namespace>) -> Option<LookedAhead> {
        let begun = self.shared.moments.next();
        let keys = Arc::clone(&self.refresh_keys.lock());
        let found = Ahead::read(namespace, &keys).await.ok()?;
        Some(LookedAhead { begun, found })
    }

    /// Starts an instance and has it read what a first search is likely to ask for: the newest traces, and with them where all others are
    /// found. The instance knows what is stored then, and a driver on other machines has that at hand. If something is wrong, that search says
    /// what.
    pub(crate) async fn open_one(self: Arc<Self>) {
        drop(self.read_newest().await);
    }

    async fn read_newest(self: &Arc<Self>) -> Result<(), Error> {
        let since = self.shared.moments.next();
        let ahead = self.look_ahead(self.starter.namespace()).await;
        let find = Find {
            search: Search {
                starts: TimeRange::ALL,
                durations: DurationRange::ALL,
                clauses: Vec::new(),
            },
            resume: None,
            limit: NEWEST,
        };
        let newest = self.ask(find, since, ahead.map(Arc::new)).await?;
        let ids: BTreeSet<TraceId> = newest.found.iter().map(|it| it.trace_id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let wanted = Wanted::Traces(ids.into_iter().collect());
        for part in [Part::Digest, Part::Otlp] {
            let read = Read {
                wanted: wanted.clone(),
                part,
                resume: None,
                max_bytes: NEWEST_BYTES,
            };
            self.ask(read, since, None).await?;
        }
        Ok(())
    }

    async fn reader(self: &Arc<Self>) -> Result<(Reader, u64), Error> {
        // Dropped without the lock.
        let mut of_before = Vec::new();
        let generation = {
            let namespace = self.starter.namespace();
            let mut state = self.state.lock();
            if let Some((until, failure)) = &state.down
                && Instant::now() < *until
            {
                return Err(self.shared.unavailable(failure));
            }
            state.down = None;
            while let Some(reader) = state.idle.pop() {
                // After a purge by another host, also before the pool is renewed.
                if Arc::ptr_eq(reader.namespace(), &namespace) {
                    return Ok((reader, state.generation));
                }
                of_before.push(reader);
            }
            state.generation
        };
        drop(of_before);
        let instances = self.component.host().runtime.instances();
        // Counts for the reader until it is there.
        let Some(_starting) = instances.reader().await else {
            let text = format!(
                "{}, and all tenants that are open are in use; retry",
                instances.describe()
            );
            return Err(Error::new(ErrorKind::ResourceExhausted, text));
        };
        match self.starter.reader(&self.component).await {
            Ok(instance) => Ok((Reader::new(instance), generation)),
            Err(error) => {
                let failure = error.into_failure();
                let error = self.shared.unavailable(&failure);
                self.fail(failure);
                Err(error)
            }
        }
    }

    fn give_back(&self, mut reader: Reader, generation: u64) {
        if let Some(keys) = reader.take_keys() {
            *self.refresh_keys.lock() = keys.into();
        }
        let mut state = self.state.lock();
        if state.generation == generation {
            state.idle.push(reader);
        }
    }

    fn fail(self: &Arc<Self>, failure: Failure) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let until = state.backoff.failed(now);
        self.shared.failed(&failure, until - now);
        if failure.cause == Cause::Contract {
            state.generation += 1;
            state.idle.clear();
        }
        if until > now && !state.retired {
            self.shared.readers_down(&failure);
            let pool = Arc::downgrade(self);
            tokio::spawn(async move {
                sleep_until(until.into()).await;
                if let Some(pool) = pool.upgrade() {
                    pool.waited(until);
                }
            });
        }
        state.down = Some((until, failure));
    }

    /// The pause that ended at `until` is over; a longer one may have begun meanwhile.
    fn waited(&self, until: Instant) {
        let state = self.state.lock();
        if state.down.as_ref().is_none_or(|(end, _)| *end <= until) {
            self.tell_up(&state);
        }
    }

    /// Reports that reads are tried again. Called with the lock held, so that reports stay in order.
    fn tell_up(&self, state: &PoolState) {
        if !state.retired {
            self.shared.readers_up();
        }
    }
}

/// The error of a read when too many wait already.
pub(crate) fn too_many_reads(waiting: usize) -> Error {
    let text =
        format!("{waiting} reads wait for the plugin; retry later, or raise limits.queue_depth");
    Error::new(ErrorKind::ResourceExhausted, text).with_setting("limits.queue_depth")
}

// === impl ReadPermit ===

impl<'a> ReadPermit<'a> {
    /// None if there are as many as may be.
    pub(crate) fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let permit = Self(waiting);
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        (before < most).then_some(permit)
    }
}

impl Drop for ReadPermit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
