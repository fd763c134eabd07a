//! What is kept for one window, as a query needs it.
//!
//! A trace counts once: by its row, as it was when the view was made, or by being judged. What is judged: traces with spans in buckets
//! that are open (anywhere: a span outside the window takes a trace out of it) or may have been written to without being marked, in
//! buckets without a record, and in buckets whose record is suspect; the traces that have rows in suspect records, as their spans in that bucket may be gone; and late traces. The rows of a
//! judged trace are left out; they can only be in records of buckets in which its spans start.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Keep, TimeRange, TraceId};
use larder_search::kept::{Summed, View};
use tokio::task::yield_now;

use crate::bucket::Bucket;
use crate::record::{Damage, Extent, Head, Page, PageHead, calls, load_pages};
use crate::rows::has_one;
use crate::shared::Shared;
use crate::state::{Before, Entry, Phase, Settling, State, Stored};

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
    late: Vec<TraceId>,
    unsettled: Vec<TimeRange>,
    /// Records of buckets within the window that count.
    used: BTreeMap<Bucket, Stored>,
    /// The times of all buckets in `used`.
    used_times: TimeRange,
    /// Suspect records that may have rows of traces within the window.
    suspect: Vec<(Bucket, Stored)>,
    /// Judged traces by the buckets of their spans, and the starts of these.
    judged: HashMap<Bucket, Judged>,
    summed: Summed,
}

#[derive(Default)]
struct Judged {
    ids: HashSet<TraceId>,
    starts: Vec<u64>,
}

/// The calls of a record that count.
struct Sums {
    head: Arc<Head>,
    /// The number of calls by edge.
    counts: Vec<u64>,
    summed: Summed,
}

/// How the traces of a page lie to the window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lies {
    Within,
    Outside,
    /// Some within and some outside.
    Across,
}

// === impl Kept ===

impl Kept {
    /// A view for the traces within a window. `None` if all have to be judged.
    pub(crate) fn new(shared: &Arc<Shared>, window: TimeRange) -> Option<Self> {
        let within = Bucket::of(window.start)..=Bucket::of(window.end);
        let (keep, state) = {
            let inner = shared.inner.lock();
            // Those that are too large would have to be judged also in queries of other times.
            let mut too_large = inner.too_large.iter();
            let is_small = too_large.all(|it| within.contains(it));
            let is_usable = is_small && inner.unusable().is_none();
            is_usable.then(|| (Arc::clone(&inner.keep), inner.state.clone()))?
        };
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
        Some(Self {
            shared: Arc::clone(shared),
            keep,
            window,
            late: state.late.keys().copied().collect(),
            unsettled,
            suspect: suspect.collect(),
            used,
            used_times,
            judged: HashMap::new(),
            summed: Summed::default(),
        })
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

    /// The calls of the traces of a record within the window that were not judged.
    async fn sums(&self, bucket: Bucket, stored: &Stored) -> Result<Sums, Damage> {
        let head = self.shared.outline(&*self.keep, stored).await?;
        let judged = self.judged.get(&bucket);
        if judged.is_none() && self.lies(head.extent) == Lies::Within {
            let counts = head.totals.clone();
            let summed = Summed {
                whole_buckets: 1,
                ..Summed::default()
            };
            return Ok(Sums {
                head,
                counts,
                summed,
            });
        }
        let head = self.shared.head(&*self.keep, stored).await?;
        let mut summed = Summed {
            partial_buckets: 1,
            ..Summed::default()
        };
        let mut counts = vec![0_u64; head.edges.len()];
        let mut scanned = Vec::new();
        for (number, page) in (0..).zip(&head.pages) {
            let has_judged = judged.is_some_and(|it| has_one(&it.starts, page.extent.first));
            match self.lies(page.extent) {
                Lies::Outside => {}
                Lies::Within if !has_judged => add(&mut counts, page),
                Lies::Within | Lies::Across => {
                    scanned.push(number);
                    summed.scanned_pages += 1;
                    summed.scanned_rows += page.rows;
                }
            }
        }
        let mut each = |number, bytes: &[u8]| {
            let mut page = Page::decode(number, bytes)?;
            while let Some(row) = page.next()? {
                let is_judged = || judged.is_some_and(|it| it.ids.contains(&row.id));
                if row.first < self.window.start || row.last > self.window.end || is_judged() {
                    continue;
                }
                for call in calls(row.calls) {
                    if let Some(count) = counts.get_mut(call?.0 as usize) {
                        *count += 1;
                    }
                }
            }
            Ok(())
        };
        load_pages(&*self.keep, (&stored.group, &head), &scanned, &mut each).await?;
        Ok(Sums {
            head,
            counts,
            summed,
        })
    }

    fn lies(&self, extent: Extent) -> Lies {
        let TimeRange { start, end } = self.window;
        if extent.first.0 >= start && extent.last.1 <= end {
            Lies::Within
        } else if extent.first.1 < start || extent.last.0 > end {
            Lies::Outside
        } else {
            Lies::Across
        }
    }
}

/// Adds the sums of a page.
fn add(counts: &mut [u64], page: &PageHead) {
    for (edge, calls) in &page.counts {
        if let Some(count) = counts.get_mut(*edge as usize) {
            *count = count.saturating_add(*calls);
        }
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
        for judged in self.judged.values_mut() {
            judged.starts.sort_unstable();
        }
        for (number, (bucket, stored)) in self.used.iter().enumerate() {
            let sums = self.sums(*bucket, stored).await;
            let Sums {
                head,
                counts,
                summed,
            } = match sums {
                Ok(sums) => sums,
                Err(damage) => {
                    self.damaged((*bucket, stored), &damage);
                    return false;
                }
            };
            self.summed += summed;
            let name = |service: u32| head.services.get(service as usize);
            for ((parent, child), count) in head.edges.iter().zip(counts) {
                if count > 0
                    && let (Some(parent), Some(child)) = (name(*parent), name(*child))
                {
                    add(parent, child, count);
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

/// The starts of spans whose traces have to be judged, for the traces within a window.
fn unsettled(state: &State, window: TimeRange) -> Vec<TimeRange> {
    let clip = |range: TimeRange| TimeRange {
        start: range.start.max(window.start),
        end: range.end.min(window.end),
    };
    let (first, last) = (Bucket::of(window.start), Bucket::of(window.end));
    let mut ranges = Vec::new();
    for (bucket, entry) in state.buckets.iter() {
        let is_unknown = matches!(
            &entry.phase,
            Phase::Settling(Settling {
                before: Before::Unknown,
                ..
            })
        );
        if entry.is_open() {
            ranges.push(bucket.range());
        } else if (is_unknown || entry.suspect(&state.drops).is_some())
            && (first..=last).contains(bucket)
        {
            ranges.push(clip(bucket.range()));
        }
    }
    if let Some(frontier) = state.frontier {
        let gaps = state.gaps(first, frontier.min(last)).into_iter();
        ranges.extend(gaps.map(|(from, to)| clip(from.to(to))));
    }
    if let Some(unmarked) = state.unmarked {
        let gaps = state.gaps(Bucket(0), unmarked).into_iter();
        ranges.extend(gaps.map(|(from, to)| from.to(to)));
    }
    join(ranges)
}

/// Joins ranges that touch.
fn join(mut ranges: Vec<TimeRange>) -> Vec<TimeRange> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<TimeRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(1) => {
                last.end = last.end.max(range.end);
            }
            _ => joined.push(range),
        }
    }
    joined
}
