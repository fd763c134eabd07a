//! What the write path, the queries and the work in the background share.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hashbrown::HashMap;
use larder_core::telemetry::Metrics;
use larder_model::storage::{
    Batch, Dropped, Error, ErrorKind, Keep, KeepChange, Statistics, Storage, StorageSource, TraceId,
};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};

use crate::bucket::Bucket;
use crate::cache::Cache;
use crate::config::Config;
use crate::days::Days;
use crate::entries::{self, Loaded, put_head};
use crate::jobs::{Job, Retry};
use crate::marks::{Marker, Marks};
use crate::state::{Drops, Phase, State};

/// Bytes of changes that are committed at once. A commit may have 256 KiB.
const COMMIT: usize = 128 << 10;

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

/// What changes.
pub(crate) struct Inner {
    pub(crate) keep: Arc<dyn Keep>,
    /// That of `keep` when the state was read from it.
    generation: u64,
    /// Changes each time the state is replaced by another.
    pub(crate) epoch: u64,
    pub(crate) state: State,
    /// False if the durable head is another, or none.
    pub(crate) is_head_saved: bool,
    /// True if the state could not be read. Nothing is answered from it, and it is read again before the next write.
    pub(crate) is_unreadable: bool,
    /// The time of the last write into each open bucket.
    pub(crate) written: HashMap<Bucket, u64>,
    /// The number of late traces of each bucket.
    late_counts: HashMap<Bucket, usize>,
    /// When each late trace was last written to, as a number, and when it became late.
    pub(crate) late_marks: HashMap<TraceId, (u64, u64)>,
    /// The last number given to anything.
    number: u64,
    statistics: Option<Statistics>,
    /// The time of the last drop that was seen, and of the first one since no record was suspect.
    pub(crate) dropped: u64,
    pub(crate) first_dropped: u64,
    /// Keys of remains, to be deleted.
    pub(crate) remains: Vec<Vec<u8>>,
    /// True if groups may be there that nothing refers to.
    pub(crate) has_orphans: bool,
    /// Buckets whose record cannot be read.
    pub(crate) damaged: BTreeSet<Bucket>,
    /// Open buckets that have too many traces to be settled.
    pub(crate) too_large: BTreeSet<Bucket>,
    /// The last of the buckets that were left unmarked since backfilling has looked, and the time since which there are some.
    pub(crate) left_unmarked: Option<Bucket>,
    pub(crate) unmarked_since: u64,
    pub(crate) retries: HashMap<Job, Retry>,
    pub(crate) days: Days,
    /// Time spent on work in the background.
    pub(crate) worked: Duration,
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
        let generation = keep.generation();
        let loaded = entries::load(&*keep, unique(), config.day_buckets).await;
        let mut inner = Inner {
            keep,
            generation,
            epoch: 0,
            state: State::unknown(unique()),
            is_head_saved: false,
            is_unreadable: false,
            written: HashMap::new(),
            late_counts: HashMap::new(),
            late_marks: HashMap::new(),
            number: 0,
            statistics: None,
            dropped: 0,
            first_dropped: 0,
            remains: Vec::new(),
            has_orphans: false,
            damaged: BTreeSet::new(),
            too_large: BTreeSet::new(),
            left_unmarked: None,
            unmarked_since: 0,
            retries: HashMap::new(),
            days: Days::default(),
            worked: Duration::ZERO,
        };
        match loaded {
            Ok(loaded) => inner.install(loaded, (config.clock)()),
            Err(error) => {
                tracing::warn!(tenant, %error, "the state of the service graph was not read: dependencies are answered from all spans");
                inner.is_unreadable = true;
            }
        }
        let cache = Mutex::new(Cache::new(config.cache / 4));
        let outlines = Mutex::new(Cache::new(config.cache - config.cache / 4));
        Self {
            config,
            metrics,
            tenant: tenant.to_owned(),
            source,
            gate: Arc::default(),
            held: Mutex::new(None),
            inner: Mutex::new(inner),
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
            let marks = inner.marks(&self.config, now, batches);
            if let Some(bucket) = marks.unmarked {
                inner.leave_unmarked(bucket, now);
            }
            let needs_head = marks.unmarked.is_some() && !inner.is_head_saved;
            let changes = marks.changes(inner.state.series);
            (marks, changes, needs_head)
        };
        if needs_head && changes.is_empty() {
            self.commit_once(&gate, changes).await?;
        } else {
            self.commit(&gate, changes).await?;
        }
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

    async fn load(&self, keep: &dyn Keep) -> Result<Loaded, Error> {
        entries::load(keep, unique(), self.config.day_buckets).await
    }

    /// Makes changes durable, a bounded number at a time, and with them the head, if it is not.
    pub(crate) async fn commit(&self, gate: &Gate, changes: Vec<KeepChange>) -> Result<(), Error> {
        let mut some = Vec::new();
        let mut bytes = 0;
        for change in changes {
            bytes += weight(&change);
            some.push(change);
            if bytes > COMMIT {
                self.commit_once(gate, std::mem::take(&mut some)).await?;
                bytes = 0;
            }
        }
        if some.is_empty() {
            return Ok(());
        }
        self.commit_once(gate, some).await
    }

    /// Makes changes durable at once, and with them the head, if it is not. The sums of the days whose buckets change are deleted.
    pub(crate) async fn commit_once(
        &self,
        _: &Gate,
        mut changes: Vec<KeepChange>,
    ) -> Result<(), Error> {
        let (keep, head, days) = {
            let inner = self.inner.lock();
            let head = (!inner.is_head_saved).then(|| (put_head(&inner.state), inner.head()));
            let days = inner.days_of(&self.config, &changes);
            changes.extend(inner.delete_days(&days));
            (Arc::clone(&inner.keep), head, days)
        };
        let saved = head.map(|(put, saved)| {
            changes.insert(0, put);
            saved
        });
        let committed = keep.commit(changes).await;
        let now = self.now();
        let mut inner = self.inner.lock();
        if committed.is_err() {
            // It may have happened all the same, so the state is read again.
            inner.is_unreadable = true;
            return committed;
        }
        inner.days_changed(days, &self.config, now);
        if let Some(saved) = saved {
            inner.is_head_saved = inner.head() == saved;
        }
        committed
    }

    /// Reads the state again if what was not durable has been lost, or if it could not be read.
    pub(crate) async fn refresh(&self, gate: &Gate) -> Result<(), Error> {
        let (keep, is_current) = {
            let inner = self.inner.lock();
            (Arc::clone(&inner.keep), inner.is_current())
        };
        if is_current {
            return Ok(());
        }
        let generation = keep.generation();
        match self.load(&*keep).await {
            Ok(loaded) => {
                let mut inner = self.inner.lock();
                inner.generation = generation;
                inner.install(loaded, self.now());
            }
            Err(error) if error.kind() == ErrorKind::DataLoss => {
                tracing::warn!(tenant = self.tenant, %error, "the service graph is made anew");
                self.inner.lock().generation = generation;
                self.begin_anew(gate).await?;
            }
            Err(error) => return Err(error),
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Leaves all that is kept, and begins with the newest trace again.
    pub(crate) async fn begin_anew(&self, gate: &Gate) -> Result<(), Error> {
        {
            let mut inner = self.inner.lock();
            let drops = Drops {
                is_unknown: false,
                ..inner.state.drops
            };
            let mut state = State::unknown(unique());
            state.drops = drops;
            // Nothing is answered from it until it is durable.
            inner.replace(state);
            inner.is_unreadable = true;
            inner.has_orphans = true;
        }
        self.commit_once(gate, Vec::new()).await?;
        let keep = {
            let mut inner = self.inner.lock();
            inner.is_unreadable = false;
            Arc::clone(&inner.keep)
        };
        // What is left of the former series is deleted later.
        if let Ok(loaded) = self.load(&*keep).await {
            self.inner.lock().remains = loaded.remains;
        }
        Ok(())
    }

    /// Begins with nothing: nothing is stored any more.
    pub(crate) async fn forget(&self, keep: Arc<dyn Keep>) {
        let _gate = self.gate().await;
        let mut inner = self.inner.lock();
        inner.generation = keep.generation();
        inner.keep = keep;
        inner.replace(State {
            series: unique(),
            ..State::default()
        });
        inner.is_unreadable = false;
        inner.statistics = Some(Statistics::default());
        inner.remains.clear();
        inner.has_orphans = false;
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

/// Bytes of a change, about.
pub(crate) fn weight(change: &KeepChange) -> usize {
    16 + match change {
        KeepChange::Put(key, value) => key.len() + value.len(),
        KeepChange::Delete(key) => key.len(),
    }
}

// === impl Inner ===

/// The smallest step of a plugin's times of writing; times within it may be told as equal.
const TIME_STEP: u64 = 1_000_000_000;

impl Inner {
    /// What the head holds.
    fn head(&self) -> (u64, Option<Bucket>, Option<Bucket>, u64) {
        let state = &self.state;
        let before = state.drops.before;
        (state.series, state.frontier, state.unmarked, before)
    }

    /// True if the state is the one that is kept.
    pub(crate) fn is_current(&self) -> bool {
        !self.is_unreadable && self.keep.generation() == self.generation
    }

    /// The reason why nothing is answered from the state now; `None` if it can be.
    pub(crate) fn unusable(&self) -> Option<&'static str> {
        if !self.is_current() {
            Some("what is kept has to be read again")
        } else if self.statistics.is_none() {
            // Until then nobody knows what it dropped while the tenant was closed.
            Some("the plugin has not told its counters since it was opened")
        } else if self.state.drops.is_unknown {
            Some("traces were dropped, and the plugin does not tell which")
        } else if !self.damaged.is_empty() {
            Some("a part of what is kept is damaged, and is made anew")
        } else {
            None
        }
    }

    /// A number that was not given before.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn marks(&mut self, config: &Config, now: u64, batches: &[&Batch]) -> Marks {
        let room = self.room(config);
        let mut marker = Marker {
            state: &self.state,
            config,
            written: &mut self.written,
            late: &self.late_counts,
            room,
        };
        marker.marks(now, batches)
    }

    fn apply(&mut self, marks: Marks, now: u64) {
        for id in marks.again {
            let number = self.next_number();
            if let Some(mark) = self.late_marks.get_mut(&id) {
                mark.0 = number;
            }
        }
        for (bucket, entry) in marks.opened {
            self.written.insert(bucket, now);
            let before = self.state.buckets_mut().insert(bucket, entry);
            self.has_orphans |= before.is_some_and(|it| it.group().is_some());
        }
        self.add_late(marks.late, now);
    }

    /// Adds late traces that are durable.
    pub(crate) fn add_late(&mut self, late: Vec<(TraceId, Bucket)>, now: u64) {
        for (id, bucket) in late {
            let number = self.next_number();
            let mark = self.late_marks.entry(id).or_insert((number, now));
            mark.0 = number;
            if self.state.late_mut().insert(id, bucket).is_none() {
                *self.late_counts.entry(bucket).or_default() += 1;
            }
        }
    }

    /// Removes late traces.
    pub(crate) fn remove_late(&mut self, ids: &[TraceId]) {
        for id in ids {
            self.late_marks.remove(id);
            let Some(bucket) = self.state.late_mut().remove(id) else {
                continue;
            };
            if let Some(count) = self.late_counts.get_mut(&bucket) {
                *count -= 1;
                if *count == 0 {
                    self.late_counts.remove(&bucket);
                }
            }
        }
    }

    /// Takes another state in place of this one.
    fn replace(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
        self.is_head_saved = false;
        self.written.clear();
        self.late_counts.clear();
        self.late_marks.clear();
        self.damaged.clear();
        self.too_large.clear();
        self.left_unmarked = None;
        self.days = Days::default();
        self.retries.clear();
    }

    fn install(&mut self, loaded: Loaded, now: u64) {
        let Loaded {
            mut state,
            remains,
            has_head,
        } = loaded;
        // What the plugin has told since it was opened stays true.
        let (drops, before) = (self.state.drops, state.drops.before);
        state.drops.oldest = drops.oldest;
        state.drops.is_unknown = drops.is_unknown;
        state.drops.before = state.drops.before.max(drops.before);
        state.drops.number = state.drops.number.max(drops.number);
        let late = std::mem::take(&mut state.late);
        self.replace(state);
        self.is_head_saved = has_head && before == self.state.drops.before;
        self.is_unreadable = false;
        // What was dropped since the state was made durable is not known before the plugin tells its counters again.
        self.statistics = None;
        self.remains = remains;
        self.has_orphans = true;
        self.unmarked_since = now;
        self.days = Days::since(now);
        self.add_late(
            late.iter().map(|(id, bucket)| (*id, *bucket)).collect(),
            now,
        );
        let buckets = &self.state.buckets;
        let open = buckets
            .iter()
            .filter(|(_, entry)| matches!(entry.phase, Phase::Open));
        self.written = open.map(|(bucket, _)| (*bucket, now)).collect();
    }

    /// Returns `true` if something is gone.
    fn counted(&mut self, now: u64, statistics: &Statistics) -> bool {
        let is_first = self.statistics.is_none();
        let before = self.statistics.replace(*statistics).unwrap_or_default();
        let has_dropped = statistics.dropped_since(&before) != Dropped::default();
        let drops = &mut self.state.drops;
        drops.oldest = statistics.oldest_write;
        let was_unknown = drops.is_unknown;
        let bound = match statistics.oldest_write {
            // Of what was written at the same time some may be gone and some not.
            Some(oldest) if has_dropped => oldest.saturating_add(TIME_STEP),
            Some(oldest) => oldest,
            // Before the plugin was opened it may have dropped anything.
            None => {
                let has_records = is_first && !self.state.buckets.is_empty();
                drops.is_unknown |= has_dropped || has_records;
                0
            }
        };
        let is_gone = bound > drops.before || has_dropped || (drops.is_unknown && !was_unknown);
        if is_gone {
            let mut entries = self.state.buckets.values();
            let had_suspects = entries.any(|entry| entry.suspect(drops).is_some());
            drops.number += 1;
            drops.before = drops.before.max(bound);
            self.dropped = now;
            if !had_suspects {
                self.first_dropped = now;
            }
            self.is_head_saved = false;
        }
        is_gone || is_first
    }

    /// True once the plugin has told its counters.
    pub(crate) fn has_statistics(&self) -> bool {
        self.statistics.is_some()
    }
}
