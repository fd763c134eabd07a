//! The state: which buckets are settled, which traces have changed since, and what retention has taken. Small, in memory, and durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use larder_model::storage::TraceId;

use crate::bucket::{Bucket, Day};

/// The state at one moment. Cheap to clone, so that a query keeps the one it began with.
///
/// Of each trace that is stored, at any moment when no write is under way, one of these is true:
/// 1. It is in `late`.
/// 2. One of its spans starts in a bucket that is open or is being settled, or at or before `unmarked` in a bucket without an entry.
/// 3. It begins at or before the frontier, in a bucket without an entry, and has no row.
/// 4. It begins in a settled bucket whose record has its calls, and has no row elsewhere. One without calls and within one bucket needs
///    no row.
/// 5. Retention has taken some of it, and the records are suspect that have a row of it, or in whose buckets a span of it starts.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// Part of each key: entries of another series are remains.
    pub(crate) series: u64,
    /// Buckets up to this one that have no entry may hold traces of which nothing is kept.
    pub(crate) frontier: Option<Bucket>,
    /// Buckets up to this one that have no entry may have been written to like open ones: there was no room for entries of theirs.
    pub(crate) unmarked: Option<Bucket>,
    /// The others have no trace whose fragments begin there.
    pub(crate) buckets: Arc<BTreeMap<Bucket, Entry>>,
    /// Traces that may have changed after a bucket of theirs was settled, with the bucket that was written to.
    pub(crate) late: Arc<HashMap<TraceId, Bucket>>,
    pub(crate) drops: Drops,
    /// Days whose sums are those of all their buckets' records, as these are now.
    pub(crate) days: Arc<BTreeMap<Day, DaySums>>,
}

/// A bucket.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Nothing that is stored and begins here was written before this time.
    pub(crate) first_write: u64,
    /// The time of the first write since it was opened.
    pub(crate) opened: u64,
    pub(crate) phase: Phase,
}

/// Progress of a bucket.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Something was written into it that no record has.
    Open,
    /// It is being read. What is written into it now is late.
    Settling(Settling),
    /// The record has the traces that begin in it.
    Settled(Arc<Record>),
}

/// A bucket that is being settled.
#[derive(Clone, Debug)]
pub(crate) struct Settling {
    /// Tells this settling from others.
    pub(crate) number: u64,
    pub(crate) before: Before,
}

/// The phase of a bucket before it was being settled.
#[derive(Clone, Debug)]
pub(crate) enum Before {
    /// It had no entry, and lies at the frontier.
    Unknown,
    /// It had no entry, and may have been written to all the same.
    Unmarked,
    Open,
    /// Its record was suspect.
    Settled(Arc<Record>),
}

/// The record of a settled bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The group with its values; `None` if it has no rows.
    pub(crate) group: Option<Stored>,
    /// Everything that the traces are made of with spans in the bucket, or with rows in the record, was written at this time or later.
    pub(crate) needs_write: u64,
    /// The number of drops that had been seen when it was made.
    pub(crate) drops: u64,
}

/// The sums of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DaySums {
    /// The group with a head, and the rows of all records.
    pub(crate) stored: Stored,
    /// The last end of all traces.
    pub(crate) last: u64,
}

/// Where a record is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) group: String,
    pub(crate) head_parts: u32,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// What retention has taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Drops {
    /// Number of times that something was seen to be gone.
    pub(crate) number: u64,
    /// Something written before this time may be gone.
    pub(crate) before: u64,
    /// The time of the oldest write that is stored, as far as the plugin knows.
    pub(crate) oldest: Option<u64>,
    /// Something is gone, and nobody knows what.
    pub(crate) is_unknown: bool,
}

// === impl State ===

impl State {
    /// The state of a store of which nothing is known, down to the first bucket.
    pub(crate) fn unknown(series: u64) -> Self {
        Self {
            series,
            frontier: Some(Bucket::LAST),
            ..Self::default()
        }
    }

    /// The entries, to be changed.
    pub(crate) fn buckets_mut(&mut self) -> &mut BTreeMap<Bucket, Entry> {
        Arc::make_mut(&mut self.buckets)
    }

    /// The days, to be changed.
    pub(crate) fn days_mut(&mut self) -> &mut BTreeMap<Day, DaySums> {
        Arc::make_mut(&mut self.days)
    }

    /// The late traces, to be changed.
    pub(crate) fn late_mut(&mut self) -> &mut HashMap<TraceId, Bucket> {
        Arc::make_mut(&mut self.late)
    }

    /// The last bucket that may hold traces without having an entry.
    pub(crate) fn last_unknown(&self) -> Option<Bucket> {
        self.frontier.max(self.unmarked)
    }

    /// Returns `true` if the bucket has no entry and may hold traces all the same.
    pub(crate) fn is_unknown(&self, bucket: Bucket) -> bool {
        Some(bucket) <= self.last_unknown() && !self.buckets.contains_key(&bucket)
    }

    /// The last bucket without an entry, up to this one.
    pub(crate) fn last_without_entry(&self, last: Bucket) -> Option<Bucket> {
        let mut without = Some(last);
        for bucket in self.buckets.range(..=last).rev().map(|it| *it.0) {
            if without != Some(bucket) {
                break;
            }
            without = bucket.before();
        }
        without
    }

    /// The first of the buckets without an entry that come before this one without others between.
    pub(crate) fn first_without_entry(&self, last: Bucket) -> Bucket {
        let before = self.buckets.range(..last).next_back();
        before.map_or(Bucket(0), |(bucket, _)| Bucket(bucket.0 + 1))
    }

    /// The runs of buckets without entries, from one bucket to another.
    pub(crate) fn gaps(&self, first: Bucket, last: Bucket) -> Vec<(Bucket, Bucket)> {
        let mut gaps = Vec::new();
        if first > last {
            return gaps;
        }
        let mut next = first;
        for (bucket, _) in self.buckets.range(first..=last) {
            if let Some(before) = bucket.before().filter(|it| next <= *it) {
                gaps.push((next, before));
            }
            next = Bucket(bucket.0 + 1);
        }
        if next <= last {
            gaps.push((next, last));
        }
        gaps
    }

    /// The entry and the record of a bucket that is settled.
    pub(crate) fn settled(&self, bucket: Bucket) -> Option<(&Entry, &Arc<Record>)> {
        let entry = self.buckets.get(&bucket)?;
        match &entry.phase {
            Phase::Settled(record) => Some((entry, record)),
            Phase::Open | Phase::Settling(_) => None,
        }
    }

    /// The record of a bucket that is settled.
    pub(crate) fn record(&self, bucket: Bucket) -> Option<&Arc<Record>> {
        Some(self.settled(bucket)?.1)
    }

    /// The entry of a bucket that is written to for the first time.
    pub(crate) fn new_entry(&self, bucket: Bucket, now: u64) -> Entry {
        if self.is_unknown(bucket) {
            return self.found_entry(now);
        }
        Entry {
            first_write: now,
            opened: now,
            phase: Phase::Open,
        }
    }

    /// The entry of a bucket in which something begins that was written at a time that nobody knows.
    pub(crate) fn found_entry(&self, now: u64) -> Entry {
        Entry {
            first_write: self.drops.oldest.unwrap_or(0).min(now),
            opened: now,
            phase: Phase::Open,
        }
    }

    /// The earliest time of a write of anything that begins in one of these buckets. Nothing older is stored than `oldest`.
    pub(crate) fn first_write(
        &self,
        buckets: impl IntoIterator<Item = Bucket>,
        oldest: u64,
    ) -> u64 {
        let times = buckets.into_iter().filter_map(|bucket| {
            if self.is_unknown(bucket) {
                return Some(0);
            }
            // Without an entry no fragment begins there.
            self.buckets.get(&bucket).map(|entry| entry.first_write)
        });
        times.min().unwrap_or(u64::MAX).max(oldest)
    }
}

// === impl Entry ===

impl Entry {
    /// The record with rows of its traces, if retention may have taken some of what they were made of.
    pub(crate) fn suspect(&self, drops: &Drops) -> Option<&Arc<Record>> {
        match &self.phase {
            Phase::Settled(record) if record.is_suspect(drops) => Some(record),
            Phase::Settling(Settling {
                before: Before::Settled(record),
                ..
            }) => Some(record),
            Phase::Open | Phase::Settled(_) | Phase::Settling(_) => None,
        }
    }

    /// Returns `true` if it was written to after its record was made, if it has one.
    pub(crate) fn is_open(&self) -> bool {
        match &self.phase {
            Phase::Open => true,
            Phase::Settling(settling) => {
                matches!(settling.before, Before::Open | Before::Unmarked)
            }
            Phase::Settled(_) => false,
        }
    }

    /// The record, also while it is made anew.
    pub(crate) fn record(&self) -> Option<&Arc<Record>> {
        match &self.phase {
            Phase::Settled(record)
            | Phase::Settling(Settling {
                before: Before::Settled(record),
                ..
            }) => Some(record),
            Phase::Open | Phase::Settling(_) => None,
        }
    }

    /// The same, to be changed.
    pub(crate) fn record_mut(&mut self) -> Option<&mut Arc<Record>> {
        match &mut self.phase {
            Phase::Settled(record)
            | Phase::Settling(Settling {
                before: Before::Settled(record),
                ..
            }) => Some(record),
            Phase::Open | Phase::Settling(_) => None,
        }
    }

    /// The group that it refers to.
    pub(crate) fn group(&self) -> Option<&Stored> {
        self.record()?.group.as_ref()
    }
}

// === impl Record ===

impl Record {
    /// Returns `true` if retention may have taken some of what its traces were made of.
    pub(crate) fn is_suspect(&self, drops: &Drops) -> bool {
        self.drops < drops.number && self.needs_write < drops.before
    }
}
