//! The marks of a host, made before each of its writes.
//!
//! Those of a dead host are removed here too, and what upkeep drops of its data is told, by the host that has adopted it.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Batch, Error, ErrorKind, Keep, KeepChange, TraceId, Upkept};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::timeout;

use super::followed::Together;
use super::marks::{
    Head, HostDrops, HostMarks, Late, Open, STAMP, Stamp, damaged, decode_stamp, late_key,
    open_key, put_drops, put_head, put_late, put_open, put_stamp,
};
use crate::bucket::Bucket;
use crate::config::{Config, nanos};
use crate::entries::scan_all;
use crate::shared::unique;
use crate::state::Phase;

/// The smallest step of a plugin's times of writing; times within it may be told as equal.
const TIME_STEP: u64 = 1_000_000_000;
/// The time by which a write may be told of later than it was begun, in nanoseconds, and more.
const TOLERANCE: u64 = 1_000_000_000;
/// How long marks that may be removed wait for a write that is under way.
const LONGEST_GATE: Duration = Duration::from_secs(1);
/// Changes that are committed at once: fewer bytes than a commit may have.
const CHANGES: usize = 1536;

/// See the module.
pub(crate) struct Marking {
    tenant: String,
    config: Config,
    /// True for the marks of a dead host.
    is_adopted: bool,
    /// Held during each write of the plugin, and while marks change.
    gate: Arc<AsyncMutex<()>>,
    /// The gate, during a write.
    held: Mutex<Option<OwnedMutexGuard<()>>>,
    inner: Mutex<Inner>,
}

/// The right to change marks: no write is under way.
struct Gate(OwnedMutexGuard<()>);

struct Inner {
    keep: Arc<dyn Keep>,
    /// That of `keep` when the marks were read from it. `None` if they have to be read.
    generation: Option<u64>,
    marks: HostMarks,
    stamp: Stamp,
    /// The time of the last write into each open bucket.
    written: HashMap<Bucket, u64>,
    /// True if upkeep was under way when another one began.
    was_interrupted: bool,
    /// What hosts keep together, as it was last seen.
    together: Option<Arc<Together>>,
}

// === impl Marking ===

impl Marking {
    /// Marks in this place, which is read before they change.
    pub(crate) fn new(
        tenant: &str,
        config: &Config,
        (keep, is_adopted): (Arc<dyn Keep>, bool),
    ) -> Self {
        Self {
            tenant: tenant.to_owned(),
            config: config.clone(),
            is_adopted,
            gate: Arc::default(),
            held: Mutex::default(),
            inner: Mutex::new(Inner::new(keep)),
        }
    }

    /// Begins in a new place: nothing is stored any more.
    pub(crate) async fn forget(&self, keep: Arc<dyn Keep>) {
        let _gate = self.gate().await;
        *self.inner.lock() = Inner::new(keep);
    }

    async fn gate(&self) -> Gate {
        Gate(Arc::clone(&self.gate).lock_owned().await)
    }

    /// Has the marks read again before they are used.
    pub(crate) fn read_again(&self) {
        self.inner.lock().generation = None;
    }

    /// Has the host's marks begin, if nothing was marked.
    pub(crate) async fn begin(&self) -> Result<(), Error> {
        let gate = self.gate().await;
        self.refresh(&gate).await
    }

    /// Marks a write, and waits for the one before it.
    pub(crate) async fn before_write(&self, now: u64, batches: &[&Batch]) -> Result<(), Error> {
        drop(self.held.lock().take());
        let gate = self.gate().await;
        self.refresh(&gate).await?;
        let went_back = now.saturating_add(TOLERANCE) < self.inner.lock().stamp.latest;
        if went_back {
            // What was written before goes before what is written now, and has a later time.
            tracing::warn!(
                tenant = self.tenant,
                "the clock has gone back, and the service graph is counted anew"
            );
            self.restart(&gate, now).await?;
        }
        let is_full = {
            let inner = self.inner.lock();
            inner.marks.late.len() > self.config.most_late
        };
        if is_full {
            self.restart(&gate, now).await?;
        }
        let (opens, late) = self.inner.lock().new_marks(&self.config, now, batches);
        if !opens.is_empty() || !late.is_empty() {
            // Those of each commit have a number of their own: a holder that has seen some of them has not taken the others.
            let first = self.inner.lock().stamp.next;
            let mut numbers = (first..).flat_map(|number| std::iter::repeat_n(number, CHANGES));
            let mut next = || numbers.next().unwrap_or(u64::MAX);
            let numbered = |(bucket, open)| {
                let number = next();
                (bucket, Open { number, ..open })
            };
            let opens: Vec<(Bucket, Open)> = opens.into_iter().map(numbered).collect();
            let numbered = |(of, late)| {
                let number = next();
                (of, Late { number, ..late })
            };
            let late: Vec<((TraceId, Bucket), Late)> = late.into_iter().map(numbered).collect();
            let changes = opens.iter().map(|(bucket, open)| put_open(*bucket, *open));
            let changes = changes.chain(late.iter().map(|(id, late)| put_late(*id, *late)));
            self.commit(&gate, changes.collect(), now).await?;
            let mut inner = self.inner.lock();
            for (bucket, open) in opens {
                inner.written.insert(bucket, now);
                inner.marks.opens.insert(bucket, open);
            }
            inner.marks.late.extend(late);
        }
        *self.held.lock() = Some(gate.0);
        Ok(())
    }

    /// A write has ended.
    pub(crate) fn after_write(&self) {
        drop(self.held.lock().take());
    }

    /// Removes the marks that what hosts keep together covers. Returns `true` if there were some.
    pub(crate) async fn obey(&self, together: &Arc<Together>) -> Result<bool, Error> {
        let now = (self.config.clock)();
        {
            let mut inner = self.inner.lock();
            inner.together = Some(Arc::clone(together));
            let is_read = inner.generation == Some(inner.keep.generation());
            if is_read && inner.covered(self, together, now).is_empty() {
                return Ok(false);
            }
        }
        // No write is under way. So those that were marked have ended. One that takes long, or whose instance cannot be replaced, must not keep
        // this host from all else.
        let Ok(gate) = timeout(LONGEST_GATE, self.gate()).await else {
            return Ok(false);
        };
        self.refresh(&gate).await?;
        let covered = self.inner.lock().covered(self, together, now);
        if covered.is_empty() {
            return Ok(false);
        }
        let buckets = covered.buckets.iter().map(|it| open_key(*it));
        let keys = buckets.chain(covered.ids.iter().map(|it| late_key(*it)));
        let changes = keys.map(KeepChange::Delete).collect();
        self.commit(&gate, changes, 0).await?;
        let mut inner = self.inner.lock();
        for bucket in &covered.buckets {
            inner.marks.opens.remove(bucket);
            inner.written.remove(bucket);
        }
        for id in &covered.ids {
            inner.marks.late.remove(id);
        }
        Ok(true)
    }

    /// Notes that upkeep may drop something from now on.
    pub(crate) async fn before_upkeep(&self) -> Result<(), Error> {
        let gate = self.gate().await;
        self.refresh(&gate).await?;
        let drops = {
            let mut inner = self.inner.lock();
            let drops = inner.marks.drops;
            // Nobody has told what came of the upkeep before: its instance, or process, may have ended in the middle.
            inner.was_interrupted |= drops.is_under_way;
            drops
        };
        if drops.is_under_way {
            return Ok(());
        }
        let drops = HostDrops {
            is_under_way: true,
            ..drops
        };
        self.commit(&gate, vec![put_drops(drops)], 0).await?;
        self.inner.lock().marks.drops = drops;
        Ok(())
    }

    /// Tells what upkeep has dropped, if it may have.
    pub(crate) async fn after_upkeep(&self, now: u64, upkept: Upkept) -> Result<(), Error> {
        let is_read = |inner: &Inner| inner.generation == Some(inner.keep.generation());
        {
            let inner = self.inner.lock();
            if is_read(&inner) && !inner.marks.drops.is_under_way {
                return Ok(());
            }
        }
        let gate = self.gate().await;
        self.refresh(&gate).await?;
        let (mut drops, number, was_interrupted, has_written) = {
            let inner = self.inner.lock();
            let has_marked = inner.stamp.latest > 0;
            let was_interrupted = inner.was_interrupted || upkept.has_dropped.is_none();
            let drops = inner.marks.drops;
            (
                drops,
                inner.stamp.next,
                was_interrupted,
                self.is_adopted || has_marked || inner.keep.had_written(),
            )
        };
        if !drops.is_under_way {
            return Ok(());
        }
        let told = upkept.oldest_write.map(|it| it.min(now));
        let has_dropped = was_interrupted || upkept.has_dropped == Some(true);
        match told {
            // The first that is told is of the first writes.
            _ if !has_dropped && (told == drops.oldest || drops.oldest.is_none()) => {
                drops.oldest = told;
            }
            // All of it is gone, or nobody knows what is.
            None if has_written => {
                return self.restart(&gate, now).await;
            }
            None => {}
            Some(oldest) => {
                // Of what was written at the same time some may be gone and some not.
                drops.before = drops.before.max(oldest.saturating_add(TIME_STEP));
                drops.oldest = told;
                drops.number = number;
            }
        }
        drops.is_under_way = false;
        self.commit(&gate, vec![put_drops(drops)], 0).await?;
        let mut inner = self.inner.lock();
        inner.marks.drops = drops;
        inner.was_interrupted = false;
        Ok(())
    }

    /// Makes changes durable, some at a time, each with a stamp of its own. `now` is the time of the write that they mark, or 0.
    async fn commit(&self, _: &Gate, changes: Vec<KeepChange>, now: u64) -> Result<(), Error> {
        for some in changes.chunks(CHANGES) {
            let (keep, stamp) = {
                let mut inner = self.inner.lock();
                inner.stamp.next += 1;
                inner.stamp.latest = inner.stamp.latest.max(now);
                (Arc::clone(&inner.keep), inner.stamp)
            };
            let mut some = some.to_vec();
            some.push(put_stamp(stamp));
            let committed = keep.commit(some).await;
            if committed.is_err() {
                // It may have happened all the same.
                self.inner.lock().generation = None;
                return committed;
            }
        }
        Ok(())
    }

    /// Reads the marks if they were not read, or if what was not durable has been lost.
    async fn refresh(&self, gate: &Gate) -> Result<(), Error> {
        let (keep, is_read) = {
            let inner = self.inner.lock();
            let is_read = inner.generation == Some(inner.keep.generation());
            (Arc::clone(&inner.keep), is_read)
        };
        if is_read {
            return Ok(());
        }
        let generation = keep.generation();
        let read = read(&*keep).await;
        let now = (self.config.clock)();
        match read {
            Ok((marks, stamp)) => {
                let has_head = marks.head.is_some();
                {
                    let mut inner = self.inner.lock();
                    inner.generation = Some(generation);
                    let next = stamp.next.max(marks.greatest_number());
                    inner.written = marks.opens.keys().map(|it| (*it, now)).collect();
                    inner.marks = marks;
                    inner.stamp = Stamp {
                        process: unique(),
                        next: next + 1,
                        latest: stamp.latest,
                    };
                    inner.was_interrupted |= inner.marks.drops.is_under_way;
                }
                if has_head {
                    return Ok(());
                }
                // What a dead host has written unmarked is counted anew, and it writes no more.
                let is_whole = !self.is_adopted && !keep.had_written();
                self.begin_series(gate, is_whole).await
            }
            Err(error) if error.kind() == ErrorKind::DataLoss => {
                self.inner.lock().generation = Some(generation);
                self.restart(gate, now).await
            }
            Err(error) => Err(error),
        }
    }

    async fn begin_series(&self, gate: &Gate, is_whole: bool) -> Result<(), Error> {
        let head = Head {
            series: unique(),
            is_whole,
        };
        self.commit(gate, vec![put_head(head)], 0).await?;
        self.inner.lock().marks.head = Some(head);
        Ok(())
    }

    /// Begins another series, as what was marked in this one does not tell all. Until the holder has counted all anew nothing is answered from
    /// what is kept. After an error the marks are read again.
    async fn restart(&self, gate: &Gate, now: u64) -> Result<(), Error> {
        let restarted = self.try_restart(gate, now).await;
        if restarted.is_err() {
            self.inner.lock().generation = None;
        }
        restarted
    }

    async fn try_restart(&self, gate: &Gate, now: u64) -> Result<(), Error> {
        let head = Head {
            series: unique(),
            is_whole: false,
        };
        let (keep, drops) = {
            let inner = self.inner.lock();
            let drops = HostDrops {
                oldest: None,
                is_under_way: false,
                number: inner.stamp.next,
                ..inner.marks.drops
            };
            (Arc::clone(&inner.keep), drops)
        };
        self.commit(gate, vec![put_head(head), put_drops(drops)], 0)
            .await?;
        let keys = scan_all(&*keep).await?.into_iter().map(|(key, _)| key);
        let marks = keys.filter(|key| matches!(key.first(), Some(b'o' | b'l')));
        let keys = marks.map(KeepChange::Delete).collect();
        self.commit(gate, keys, 0).await?;
        // Last, so that a restart after a step of the clock is begun again if it was cut off.
        self.inner.lock().stamp.latest = now;
        self.commit(gate, vec![put_head(head)], now).await?;
        let mut inner = self.inner.lock();
        inner.written.clear();
        inner.was_interrupted = false;
        inner.marks = HostMarks {
            head: Some(head),
            drops,
            ..HostMarks::default()
        };
        Ok(())
    }
}

/// Marks that are covered by what hosts keep together.
#[derive(Default)]
struct Covered {
    buckets: Vec<Bucket>,
    ids: Vec<(TraceId, Bucket)>,
}

type NewMarks = (HashMap<Bucket, Open>, HashMap<(TraceId, Bucket), Late>);

// === impl Inner ===

impl Inner {
    fn new(keep: Arc<dyn Keep>) -> Self {
        Self {
            keep,
            generation: None,
            marks: HostMarks::default(),
            stamp: Stamp::default(),
            written: HashMap::new(),
            was_interrupted: false,
            together: None,
        }
    }

    /// The marks that a write needs. Those of late traces are made anew each time, so that the holder can tell whether one was written to since.
    fn new_marks(&mut self, config: &Config, now: u64, batches: &[&Batch]) -> NewMarks {
        let mut opens: HashMap<Bucket, Open> = HashMap::new();
        let mut late: HashMap<(TraceId, Bucket), Late> = HashMap::new();
        let mut late_of: HashMap<Bucket, HashSet<TraceId>> = HashMap::new();
        let number = self.stamp.next;
        let facts = batches.iter().flat_map(|batch| batch.facts());
        for (facts, _) in facts {
            let bucket = Bucket::of(facts.starts.start);
            if self.marks.opens.contains_key(&bucket) {
                self.written.insert(bucket, now);
            } else if opens.contains_key(&bucket) {
            } else if self.is_closed(bucket)
                || self.marks.opens.len() + opens.len() >= config.most_open
            {
                late_of.entry(bucket).or_default().insert(facts.trace_id);
            } else {
                opens.insert(bucket, Open { number, at: now });
            }
        }
        for (bucket, ids) in late_of {
            let is_many = ids.len() > config.late_a_write;
            if is_many && self.marks.opens.len() + opens.len() < config.most_open {
                opens.insert(bucket, Open { number, at: now });
                continue;
            }
            late.extend(ids.into_iter().map(|id| {
                let known = self.marks.late.get(&(id, bucket));
                let at = known.map_or(now, |it| it.at.min(now));
                ((id, bucket), Late { number, at })
            }));
        }
        (opens, late)
    }

    /// True if the bucket is settled, or about to be. It may be wrong: a mark of either kind is right.
    fn is_closed(&self, bucket: Bucket) -> bool {
        let Some(together) = &self.together else {
            return false;
        };
        let entry = together.state.buckets.get(&bucket);
        let is_settled = entry.is_some_and(|it| matches!(it.phase, Phase::Settled(_)));
        is_settled || together.holding.closing.contains_key(&bucket)
    }

    fn covered(&self, marking: &Marking, together: &Together, now: u64) -> Covered {
        let Some(head) = self.marks.head else {
            return Covered::default();
        };
        let quiet = nanos(marking.config.quiet);
        let longest = nanos(marking.config.longest_open);
        let holding = &together.holding;
        let is_ready = |bucket: &Bucket, open: &Open| {
            let written = self.written.get(bucket).copied().unwrap_or_default();
            marking.is_adopted
                || written.saturating_add(quiet) <= now
                || open.at.saturating_add(longest) <= now
        };
        let buckets = self.marks.opens.iter().filter(|(bucket, open)| {
            let closing = holding.closing.get(*bucket);
            closing.is_some_and(|it| it.contains(&(head.series, open.number)))
                && is_ready(bucket, open)
        });
        let taken = holding.taken(head.series);
        let ids = self.marks.late.iter().filter(|it| it.1.number <= taken);
        Covered {
            buckets: buckets.map(|(bucket, _)| *bucket).collect(),
            ids: ids.map(|(id, _)| *id).collect(),
        }
    }
}

// === impl Covered ===

impl Covered {
    fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.ids.is_empty()
    }
}

/// Reads marks.
async fn read(keep: &dyn Keep) -> Result<(HostMarks, Stamp), Error> {
    let (mut marks, mut stamp) = (HostMarks::default(), Stamp::default());
    for (key, value) in scan_all(keep).await? {
        marks.read(&key, &value).map_err(damaged)?;
        if key == STAMP {
            stamp = decode_stamp(&value).map_err(damaged)?;
        }
    }
    Ok((marks, stamp))
}
