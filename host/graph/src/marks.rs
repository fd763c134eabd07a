//! What a write changes in the state. Runs before every write, so it allocates nothing where nothing changes.

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Batch, KeepChange, TraceId};

use crate::bucket::Bucket;
use crate::config::Config;
use crate::entries::{put_bucket, put_late};
use crate::state::{Entry, Phase, State};

/// The changes of one write.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Buckets that are written to for the first time, and buckets that are opened again.
    pub(crate) opened: Vec<(Bucket, Entry)>,
    /// Traces that become late, by the bucket that is written to.
    pub(crate) late: Vec<(TraceId, Bucket)>,
    /// Late traces that are written to again.
    pub(crate) again: Vec<TraceId>,
    /// The last of the buckets that are written to for the first time and get no entry.
    pub(crate) unmarked: Option<Bucket>,
}

/// The effect of a fragment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Its bucket is open.
    None,
    /// Its trace is late.
    Late,
}

/// What marking needs to know besides the state.
pub(crate) struct Marker<'a> {
    pub(crate) state: &'a State,
    pub(crate) config: &'a Config,
    /// The time of the last write into each open bucket.
    pub(crate) written: &'a mut HashMap<Bucket, u64>,
    /// The number of late traces of each bucket.
    pub(crate) late: &'a HashMap<Bucket, usize>,
    /// Buckets that may be opened.
    pub(crate) room: usize,
}

// === impl Marks ===

impl Marks {
    pub(crate) fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.late.is_empty()
    }

    /// The durable form of the changes.
    pub(crate) fn changes(&self, series: u64) -> impl Iterator<Item = KeepChange> {
        let opened = self.opened.iter();
        let opened = opened.map(move |(bucket, entry)| put_bucket(series, *bucket, entry));
        let late = self.late.iter();
        let late = late.map(move |(id, bucket)| put_late(series, *id, *bucket));
        opened.chain(late)
    }
}

// === impl Marker ===

impl Marker<'_> {
    /// The changes of a write of these batches.
    pub(crate) fn marks(&mut self, now: u64, batches: &[&Batch]) -> Marks {
        let mut marks = Marks::default();
        let mut new: HashSet<Bucket> = HashSet::new();
        let mut last: Option<(Bucket, Effect)> = None;
        for (facts, _) in batches.iter().flat_map(|batch| batch.facts()) {
            let bucket = Bucket::of(facts.starts.start);
            let effect = match last {
                Some((last, effect)) if last == bucket => effect,
                _ => match self.state.buckets.get(&bucket).map(|it| &it.phase) {
                    Some(Phase::Open) => {
                        self.written.insert(bucket, now);
                        Effect::None
                    }
                    Some(Phase::Settling(_) | Phase::Settled(_)) => Effect::Late,
                    None if new.contains(&bucket) => Effect::None,
                    None if new.len() < self.room => {
                        new.insert(bucket);
                        let entry = self.state.new_entry(bucket, now);
                        marks.opened.push((bucket, entry));
                        Effect::None
                    }
                    None => {
                        marks.unmarked = marks.unmarked.max(Some(bucket));
                        Effect::None
                    }
                },
            };
            last = Some((bucket, effect));
            if effect == Effect::Late {
                marks.late.push((facts.trace_id, bucket));
            }
        }
        if !marks.late.is_empty() {
            self.late(now, &mut marks);
        }
        marks
    }

    /// Tells new late traces from known ones, and reopens buckets that would have too many.
    #[cold]
    fn late(&self, now: u64, marks: &mut Marks) {
        marks.late.sort_unstable();
        marks.late.dedup();
        let known = &self.state.late;
        let (again, mut late): (Vec<_>, Vec<_>) = std::mem::take(&mut marks.late)
            .into_iter()
            .partition(|(id, _)| known.contains_key(id));
        marks.again = again.into_iter().map(|(id, _)| id).collect();
        let mut added: HashMap<Bucket, usize> = HashMap::new();
        for (_, bucket) in &late {
            *added.entry(*bucket).or_default() += 1;
        }
        let is_full = known.len() + late.len() > self.config.most_late;
        added.retain(|bucket, added| {
            let before = self.late.get(bucket).copied().unwrap_or_default();
            is_full || *added > self.config.late_a_write || before + *added > self.config.most_late
        });
        late.retain(|(_, bucket)| !added.contains_key(bucket));
        // A trace may have come with two buckets.
        late.dedup_by_key(|(id, _)| *id);
        marks.late = late;
        let reopened = added.into_keys().filter_map(|bucket| {
            let entry = self.state.buckets.get(&bucket)?;
            let entry = Entry {
                first_write: entry.first_write.min(now),
                opened: now,
                phase: Phase::Open,
            };
            Some((bucket, entry))
        });
        marks.opened.extend(reopened);
    }
}
