//! What is kept for one window, as a query needs it.
//!
//! A trace counts once: by its row, as it was when the view was made, or by being judged. What is judged: traces with spans in buckets
//! that are open (anywhere: a span outside the window takes a trace out of it) or may have been written to without being marked, in
//! buckets without a record, and in buckets whose record is suspect; the traces that have rows in suspect records, as their spans in that
//! bucket may be gone; and late traces. The rows of a judged trace are left out; they can only be in records of buckets in which its spans
//! start.

mod sums;
mod unsettled;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Keep, TimeRange, TraceId};
use larder_search::kept::{Summed, View};
use tokio::task::yield_now;

use unsettled::unsettled;

use crate::bucket::{Bucket, Day};
use crate::record::{Damage, Page, load_pages};
use crate::shared::Shared;
use crate::state::{DaySums, Entry, Phase, State, Stored};

/// Ranges of time that are searched one by one. A client may write into any number of buckets; from here on it costs less to judge the
/// window as if nothing were kept.
const MOST_RANGES: usize = 256;
/// Records added up before the task yields.
const RECORDS_A_YIELD: usize = 64;

/// A view of what is kept.
pub(crate) struct Kept {
    shared: Arc<Shared>,
    keep: Arc<dyn Keep>,
    window: TimeRange,
    /// All buckets, as they were.
    buckets: Arc<BTreeMap<Bucket, Entry>>,
    /// True once a trace was judged.
    has_judged: bool,
    late: Vec<TraceId>,
    unsettled: Vec<TimeRange>,
    /// Records of buckets within the window that count.
    used: BTreeMap<Bucket, Stored>,
    /// Days whose sums count in place of those of their records, all of which are used.
    days: Vec<(Day, DaySums)>,
    /// The times of all buckets in `used`.
    used_times: TimeRange,
    /// Suspect records that may have rows of traces within the window.
    suspect: Vec<(Bucket, Stored)>,
    /// Judged traces by the buckets of their spans, and the starts of these.
    judged: HashMap<Bucket, Judged>,
    dropped: Box<dyn Dropped>,
    summed: Summed,
}

/// What retention has taken since a view was made.
#[async_trait::async_trait]
pub(crate) trait Dropped: Send + Sync {
    /// The time before which what is gone by now may have been written; 0 if nothing is gone. `None` if nobody knows.
    async fn before(&self) -> Option<u64>;
}

/// That of data which no other host writes.
struct DroppedHere {
    shared: Arc<Shared>,
    series: u64,
    number: u64,
}

#[derive(Default)]
struct Judged {
    ids: HashSet<TraceId>,
    starts: Vec<u64>,
}

// === impl Kept ===

impl Kept {
    /// A view for the traces within a window. `None` if all have to be judged.
    pub(crate) fn new(shared: &Arc<Shared>, window: TimeRange) -> Option<Self> {
        let within = Bucket::of(window.start)..=Bucket::of(window.end);
        let (keep, state, damaged) = {
            let inner = shared.inner.lock();
            // Those that are too large would have to be judged also in queries of other times.
            let mut too_large = inner.too_large.iter();
            let is_small = too_large.all(|it| within.contains(it));
            let is_usable = is_small && inner.unusable().is_none();
            let damaged = || inner.days.damaged.clone();
            is_usable.then(|| (Arc::clone(&inner.keep), inner.state.clone(), damaged()))?
        };
        let dropped = DroppedHere {
            shared: Arc::clone(shared),
            series: state.series,
            number: state.drops.number,
        };
        Self::of((shared, Box::new(dropped)), (keep, state, damaged), window)
    }

    /// A view of this state, which can be used. Sums of the days that are given are not read.
    pub(crate) fn of(
        (shared, dropped): (&Arc<Shared>, Box<dyn Dropped>),
        (keep, state, damaged): (Arc<dyn Keep>, State, BTreeSet<Day>),
        window: TimeRange,
    ) -> Option<Self> {
        let within = Bucket::of(window.start)..=Bucket::of(window.end);
        let drops = &state.drops;
        let mut used = BTreeMap::new();
        let mut is_any = false;
        for (bucket, entry) in state.buckets.range(within.clone()) {
            if let Phase::Settled(record) = &entry.phase
                && !record.is_suspect(drops)
            {
                is_any = true;
                used.extend(record.group.clone().map(|it| (*bucket, it)));
            }
        }
        if !is_any {
            return None;
        }
        let unsettled = unsettled(&state, window);
        if unsettled.len() > MOST_RANGES {
            return None;
        }
        let before = state.buckets.range(..=*within.end());
        let suspect = before
            .filter_map(|(bucket, entry)| Some((*bucket, entry.suspect(drops)?.group.clone()?)));
        let first = used.keys().next().copied();
        let last = used.keys().next_back().copied();
        let used_times = match (first, last) {
            (Some(first), Some(last)) => first.to(last),
            _ => TimeRange { start: 1, end: 0 },
        };
        let mut days = state.days_within(&shared.config, window);
        days.retain(|(day, _)| !damaged.contains(day));
        Some(Self {
            shared: Arc::clone(shared),
            keep,
            window,
            buckets: Arc::clone(&state.buckets),
            has_judged: false,
            late: state.late.keys().copied().collect(),
            unsettled,
            suspect: suspect.collect(),
            used,
            days,
            used_times,
            judged: HashMap::new(),
            dropped,
            summed: Summed::default(),
        })
    }

    /// False if retention may have taken spans, since the view was made, of which a record that counts has rows. A trace that was judged
    /// without them would count by its row as well.
    async fn has_all(&self) -> bool {
        if !self.has_judged {
            return true;
        }
        let Some(before) = self.dropped.before().await else {
            return false;
        };
        let entries = self.used.keys().filter_map(|it| self.buckets.get(it));
        let mut records = entries.filter_map(Entry::record);
        records.all(|record| record.needs_write >= before)
    }

    /// Notes that a record cannot be read. One that was replaced since may be gone.
    fn damaged(&self, (bucket, stored): (Bucket, &Stored), damage: &Damage) {
        tracing::warn!(tenant = self.shared.tenant, %damage, "a record of the service graph cannot be read: dependencies are answered from all spans");
        let mut inner = self.shared.inner.lock();
        let current = inner.state.buckets.get(&bucket).and_then(Entry::group);
        if damage.is_lasting() && current == Some(stored) {
            inner.damaged.insert(bucket);
            self.shared.changed.notify_one();
        }
    }

    /// Notes that the sums of a day cannot be read.
    fn damaged_day(&self, (day, sums): (Day, &DaySums), damage: &Damage) {
        tracing::warn!(tenant = self.shared.tenant, %damage, "sums of the service graph cannot be read: their records are added up");
        let mut inner = self.shared.inner.lock();
        if damage.is_lasting() && inner.state.days.get(&day) == Some(sums) {
            inner.days.damaged.insert(day);
            self.shared.changed.notify_one();
        }
    }

    /// The traces that a suspect record has rows of, and that may lie within the window.
    async fn suspects(&self, stored: &Stored) -> Result<Vec<TraceId>, Damage> {
        let head = self.shared.head(&*self.keep, stored).await?;
        let start = self.window.start;
        let pages = (0..).zip(&head.pages);
        let pages = pages.filter(|(_, page)| page.extent.last.1 >= start);
        let pages: Vec<u32> = pages.map(|(number, _)| number).collect();
        let mut ids = Vec::new();
        let mut each = |number, bytes: &[u8]| {
            let mut page = Page::decode(number, bytes)?;
            while let Some(row) = page.next()? {
                ids.push(row.id);
            }
            Ok(())
        };
        load_pages(&*self.keep, (&stored.group, &head), &pages, &mut each).await?;
        Ok(ids)
    }
}

#[async_trait::async_trait]
impl Dropped for DroppedHere {
    async fn before(&self) -> Option<u64> {
        let inner = self.shared.inner.lock();
        let (state, drops) = (&inner.state, inner.state.drops);
        let is_known = state.series == self.series && !drops.is_unknown;
        let before = || {
            if drops.number == self.number {
                0
            } else {
                drops.before
            }
        };
        is_known.then(before)
    }
}

#[async_trait::async_trait]
impl View for Kept {
    fn unsettled(&self) -> &[TimeRange] {
        &self.unsettled
    }

    async fn changed(&mut self) -> Option<Vec<TraceId>> {
        let mut changed = std::mem::take(&mut self.late);
        for (bucket, stored) in &self.suspect {
            match self.suspects(stored).await {
                Ok(ids) => changed.extend(ids),
                Err(damage) => {
                    self.damaged((*bucket, stored), &damage);
                    return None;
                }
            }
        }
        Some(changed)
    }

    fn judged(&mut self, trace: TraceId, starts: &[u64]) {
        self.has_judged = true;
        let mut last = None;
        for start in starts {
            if !(self.used_times.start..=self.used_times.end).contains(start) {
                continue;
            }
            let bucket = Bucket::of(*start);
            if last != Some(bucket) && !self.used.contains_key(&bucket) {
                continue;
            }
            let judged = self.judged.entry(bucket).or_default();
            judged.ids.insert(trace);
            judged.starts.push(*start);
            last = Some(bucket);
        }
    }

    async fn count(&mut self, add: &mut (dyn for<'a> FnMut(&'a str, &'a str, u64) + Send)) -> bool {
        if !self.has_all().await {
            tracing::debug!(
                tenant = self.shared.tenant,
                "retention has taken traces meanwhile: dependencies are answered from all spans"
            );
            return false;
        }
        for judged in self.judged.values_mut() {
            judged.starts.sort_unstable();
        }
        let mut is_counted = BTreeSet::new();
        for (day, sums) in &self.days {
            let counted = self.day(*day, sums).await;
            match counted {
                Ok(counted) => {
                    counted.pass(add);
                    self.summed += counted.summed;
                    is_counted.insert(*day);
                }
                Err(damage) => self.damaged_day((*day, sums), &damage),
            }
        }
        let buckets = self.shared.config.day_buckets;
        for (number, (bucket, stored)) in self.used.iter().enumerate() {
            if is_counted.contains(&Day::of(*bucket, buckets)) {
                continue;
            }
            let sums = self.sums(*bucket, stored).await;
            match sums {
                Ok(sums) => {
                    sums.pass(add);
                    self.summed += sums.summed;
                }
                Err(damage) => {
                    self.damaged((*bucket, stored), &damage);
                    return false;
                }
            }
            if number % RECORDS_A_YIELD == RECORDS_A_YIELD - 1 {
                yield_now().await;
            }
        }
        true
    }

    fn summed(&self) -> Summed {
        self.summed
    }
}
