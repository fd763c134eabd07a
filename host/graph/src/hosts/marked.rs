//! What a host has marked, as its process knows it, and what its writes and what hosts keep together change of that.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Batch, Error, Keep, KeepChange, TraceId};

use super::followed::Together;
use super::marks::{
    HostMarks, Late, Open, STAMP, Stamp, damaged, decode_stamp, late_key, open_key, put_late,
    put_open,
};
use crate::bucket::Bucket;
use crate::config::{Config, nanos};
use crate::entries::scan_all;
use crate::shared::unique;
use crate::state::Phase;

/// Changes that are committed at once: fewer bytes than a commit may have.
pub(super) const CHANGES: usize = 1536;

/// See the module.
pub(super) struct Marked {
    pub(super) keep: Arc<dyn Keep>,
    /// That of `keep` when the marks were read from it. `None` if they have to be read.
    pub(super) generation: Option<u64>,
    pub(super) marks: HostMarks,
    pub(super) stamp: Stamp,
    /// The time of the last write into each open bucket.
    written: HashMap<Bucket, u64>,
    /// True if upkeep was under way when another one began.
    pub(super) was_interrupted: bool,
    /// What hosts keep together, as it was last seen.
    pub(super) together: Option<Arc<Together>>,
}

/// The marks that a write needs, in the order in which they are committed.
///
/// Those of each commit have a number of their own: a holder that has seen some of them has not taken the others.
#[derive(Debug, Default)]
pub(super) struct NewMarks {
    opens: Vec<(Bucket, Open)>,
    late: Vec<((TraceId, Bucket), Late)>,
}

/// Marks that are covered by what hosts keep together.
#[derive(Debug, Default)]
pub(super) struct Covered {
    buckets: Vec<Bucket>,
    ids: Vec<(TraceId, Bucket)>,
}

// === impl Marked ===

impl Marked {
    /// Nothing that was read.
    pub(super) fn new(keep: Arc<dyn Keep>) -> Self {
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

    /// True if the marks are those that are durable.
    pub(super) fn is_read(&self) -> bool {
        self.generation == Some(self.keep.generation())
    }

    /// Takes what was read at a generation of the place and a time. A process that begins has a stamp of its own, with numbers above all that
    /// were ever marked.
    pub(super) fn take(&mut self, generation: u64, (marks, stamp): (HostMarks, Stamp), now: u64) {
        self.generation = Some(generation);
        self.written = marks.opens.keys().map(|it| (*it, now)).collect();
        self.stamp = Stamp {
            process: unique(),
            next: stamp.next.max(marks.greatest_number()) + 1,
            latest: stamp.latest,
        };
        self.was_interrupted |= marks.drops.is_under_way;
        self.marks = marks;
    }

    /// Begins with these marks: nothing is written into a bucket.
    pub(super) fn begin(&mut self, marks: HostMarks) {
        self.written.clear();
        self.was_interrupted = false;
        self.marks = marks;
    }

    /// The marks that a write needs. Those of late traces are made anew each time, so that the holder can tell whether one was written to since.
    pub(super) fn new_marks(&mut self, config: &Config, now: u64, batches: &[&Batch]) -> NewMarks {
        let mut opens: HashSet<Bucket> = HashSet::new();
        let mut late_of: HashMap<Bucket, HashSet<TraceId>> = HashMap::new();
        let facts = batches.iter().flat_map(|batch| batch.facts());
        for (facts, _) in facts {
            let bucket = Bucket::of(facts.starts.start);
            if self.marks.opens.contains_key(&bucket) {
                self.written.insert(bucket, now);
            } else if opens.contains(&bucket) {
            } else if self.is_closed(bucket)
                || self.marks.opens.len() + opens.len() >= config.most_open
            {
                late_of.entry(bucket).or_default().insert(facts.trace_id);
            } else {
                opens.insert(bucket);
            }
        }
        let mut late: Vec<(TraceId, Bucket)> = Vec::new();
        for (bucket, ids) in late_of {
            let is_many = ids.len() > config.late_a_write;
            if is_many && self.marks.opens.len() + opens.len() < config.most_open {
                opens.insert(bucket);
            } else {
                late.extend(ids.into_iter().map(|id| (id, bucket)));
            }
        }
        self.numbered(now, opens, late)
    }

    fn numbered(&self, now: u64, opens: HashSet<Bucket>, late: Vec<(TraceId, Bucket)>) -> NewMarks {
        let mut numbers = (self.stamp.next..).flat_map(|it| std::iter::repeat_n(it, CHANGES));
        let mut number = || numbers.next().unwrap_or(u64::MAX);
        let opens = opens.into_iter().map(|bucket| {
            let number = number();
            (bucket, Open { number, at: now })
        });
        let opens = opens.collect();
        let late = late.into_iter().map(|of| {
            let known = self.marks.late.get(&of);
            let at = known.map_or(now, |it| it.at.min(now));
            let number = number();
            (of, Late { number, at })
        });
        NewMarks {
            opens,
            late: late.collect(),
        }
    }

    /// Takes marks that have become durable.
    pub(super) fn add(&mut self, new: NewMarks, now: u64) {
        for (bucket, open) in new.opens {
            self.written.insert(bucket, now);
            self.marks.opens.insert(bucket, open);
        }
        self.marks.late.extend(new.late);
    }

    /// The marks that what hosts keep together covers.
    pub(super) fn covered(
        &self,
        (config, is_adopted): (&Config, bool),
        together: &Together,
        now: u64,
    ) -> Covered {
        let Some(head) = self.marks.head else {
            return Covered::default();
        };
        let quiet = nanos(config.quiet);
        let longest = nanos(config.longest_open);
        let holding = &together.holding;
        let is_ready = |bucket: &Bucket, open: &Open| {
            let written = self.written.get(bucket).copied().unwrap_or_default();
            is_adopted
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

    /// Takes note that marks have been removed.
    pub(super) fn remove(&mut self, covered: &Covered) {
        for bucket in &covered.buckets {
            self.marks.opens.remove(bucket);
            self.written.remove(bucket);
        }
        for id in &covered.ids {
            self.marks.late.remove(id);
        }
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
}

// === impl NewMarks ===

impl NewMarks {
    pub(super) fn is_empty(&self) -> bool {
        self.opens.is_empty() && self.late.is_empty()
    }

    pub(super) fn changes(&self) -> Vec<KeepChange> {
        let opens = self.opens.iter();
        let opens = opens.map(|(bucket, open)| put_open(*bucket, *open));
        let late = self.late.iter().map(|(of, late)| put_late(*of, *late));
        opens.chain(late).collect()
    }
}

// === impl Covered ===

impl Covered {
    pub(super) fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.ids.is_empty()
    }

    /// The removal of the marks.
    pub(super) fn changes(&self) -> Vec<KeepChange> {
        let buckets = self.buckets.iter().map(|it| open_key(*it));
        let keys = buckets.chain(self.ids.iter().map(|it| late_key(*it)));
        keys.map(KeepChange::Delete).collect()
    }
}

/// Reads marks.
pub(super) async fn read(keep: &dyn Keep) -> Result<(HostMarks, Stamp), Error> {
    let (mut marks, mut stamp) = (HostMarks::default(), Stamp::default());
    for (key, value) in scan_all(keep).await? {
        marks.read(&key, &value).map_err(damaged)?;
        if key == STAMP {
            stamp = decode_stamp(&value).map_err(damaged)?;
        }
    }
    Ok((marks, stamp))
}
