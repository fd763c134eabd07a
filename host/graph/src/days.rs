//! Sums of days: those of all records of neighbouring buckets, so that a query over weeks reads one head a day.
//!
//! They are made in the background, once the buckets of a day are settled and quiet. Whatever changes the entry of a bucket deletes the
//! sums of its day in the same commit. So sums that are there are those of the records that are there; a query uses them where it would
//! use each of these records.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use hashbrown::HashMap;
use larder_model::storage::{KeepChange, TimeRange};

use crate::bucket::{Bucket, Day};
use crate::config::{Config, nanos};
use crate::entries::{bucket_of, day_key};
use crate::inner::Inner;
use crate::state::{DaySums, Phase, State, Stored};

/// Records of a day from which on it costs less to read their sums.
const FEWEST_RECORDS: usize = 2;
/// Times that the wait for a day doubles.
const MOST_DOUBLINGS: u32 = 6;
/// Days whose changes may be remembered without reason.
const SLACK: usize = 64;

/// What is known of days in memory.
#[derive(Debug, Default)]
pub(crate) struct Days {
    /// The time since which changes are known.
    since: u64,
    changes: HashMap<Day, Changes>,
    /// Days whose sums cannot be read.
    pub(crate) damaged: BTreeSet<Day>,
    /// Groups of sums that nothing refers to any more.
    pub(crate) unused: Vec<String>,
}

/// Changes of the buckets of a day.
#[derive(Clone, Copy, Debug)]
struct Changes {
    /// The time of the first one since it has no sums, and of the last one.
    first: u64,
    last: u64,
    /// The number of times that sums were made in vain.
    in_vain: u32,
}

// === impl Days ===

impl Days {
    /// Knows nothing of what was before this time.
    pub(crate) fn since(now: u64) -> Self {
        Self {
            since: now,
            ..Self::default()
        }
    }

    fn changed(&mut self, day: Day, now: u64, had_sums: bool) {
        let changes = self.changes.entry(day).or_insert(Changes {
            first: now,
            last: now,
            in_vain: 0,
        });
        changes.last = now;
        if had_sums {
            changes.first = now;
            changes.in_vain = changes.in_vain.saturating_add(1);
        }
    }

    /// The clock has gone back to this time.
    pub(crate) fn went_back(&mut self, now: u64) {
        self.since = self.since.min(now);
        for changes in self.changes.values_mut() {
            changes.first = changes.first.min(now);
            changes.last = changes.last.min(now);
        }
    }

    /// The time at which the sums of a day are to be made that ends at `end`.
    fn due(&self, config: &Config, day: Day, end: u64) -> u64 {
        let quiet = nanos(config.day_quiet);
        let changes = self.changes.get(&day).copied().unwrap_or(Changes {
            first: self.since,
            last: self.since,
            in_vain: 0,
        });
        let longest = changes.first.max(end);
        let longest = longest.saturating_add(nanos(config.longest_day));
        let wait = quiet.saturating_mul(1 << changes.in_vain.min(MOST_DOUBLINGS));
        let is_quiet = changes.last.saturating_add(quiet);
        is_quiet
            .min(longest)
            .max(changes.first.saturating_add(wait))
    }
}

// === impl Inner ===

impl Inner {
    /// The days whose buckets these changes of the state are of.
    pub(crate) fn days_of(&self, config: &Config, changes: &[KeepChange]) -> BTreeSet<Day> {
        let series = self.state.series;
        let keys = changes.iter().map(|change| match change {
            KeepChange::Put(key, _) | KeepChange::Delete(key) => key,
        });
        let buckets = keys.filter_map(|key| bucket_of(key, series));
        buckets
            .map(|bucket| Day::of(bucket, config.day_buckets))
            .collect()
    }

    /// What deletes the sums that some days have.
    pub(crate) fn delete_days(&self, days: &BTreeSet<Day>) -> Vec<KeepChange> {
        let series = self.state.series;
        let some = days.iter().filter(|day| self.state.days.contains_key(*day));
        some.map(|day| KeepChange::Delete(day_key(series, *day)))
            .collect()
    }

    /// Notes that buckets of these days have changed, and that their sums are deleted.
    pub(crate) fn days_changed(&mut self, days: BTreeSet<Day>, config: &Config, now: u64) {
        for day in days {
            let had_sums = self.forget_day(day);
            self.days.changed(day, now, had_sums);
        }
        let buckets = &self.state.buckets;
        let changes = &mut self.days.changes;
        if changes.len() > buckets.len() + SLACK {
            let has_entries = |day: &Day| {
                let mut entries = buckets.range(day.buckets(config.day_buckets));
                entries.next().is_some()
            };
            changes.retain(|day, _| has_entries(day));
        }
    }

    /// Forgets the sums of a day, which are deleted. Returns `true` if it had some.
    pub(crate) fn forget_day(&mut self, day: Day) -> bool {
        self.days.damaged.remove(&day);
        if !self.state.days.contains_key(&day) {
            return false;
        }
        let sums = self.state.days_mut().remove(&day);
        self.days.unused.extend(sums.map(|it| it.stored.group));
        true
    }

    /// The days whose sums are to be made, each with the time at which.
    pub(crate) fn days_to_make(&self, config: &Config) -> Vec<(Day, u64)> {
        let mut days = Vec::new();
        let mut next = Bucket(0);
        while let Some((bucket, _)) = self.state.buckets.range(next..).next() {
            let day = Day::of(*bucket, config.day_buckets);
            let buckets = day.buckets(config.day_buckets);
            let end = buckets.end().range().end;
            next = Bucket(buckets.end().0.saturating_add(1));
            if !self.state.days.contains_key(&day) && self.is_whole(config, day) {
                days.push((day, self.days.due(config, day, end)));
            }
            if next <= *bucket {
                break;
            }
        }
        days
    }

    /// Returns `true` if all buckets of a day are settled, and enough of them have records.
    fn is_whole(&self, config: &Config, day: Day) -> bool {
        let buckets = day.buckets(config.day_buckets);
        // Where backfilling goes on, there may be more.
        let is_known = self.state.last_unknown() < Some(*buckets.start())
            || self.backfills_from(config).is_none();
        let entries = self.state.buckets.range(buckets.clone());
        let records = entries.filter(|(_, entry)| entry.group().is_some());
        is_known && self.state.is_sound(buckets) && records.count() >= FEWEST_RECORDS
    }

    /// The records of a day, if sums can be made of them.
    pub(crate) fn day_records(&self, config: &Config, day: Day) -> Option<Vec<(Bucket, Stored)>> {
        if !self.is_whole(config, day) {
            return None;
        }
        let entries = self.state.buckets.range(day.buckets(config.day_buckets));
        let records = entries.filter_map(|(bucket, it)| Some((*bucket, it.group()?.clone())));
        Some(records.collect())
    }
}

// === impl State ===

impl State {
    /// Returns `true` if those of some buckets that have entries are settled, and retention has not touched their records.
    fn is_sound(&self, buckets: RangeInclusive<Bucket>) -> bool {
        let mut entries = self.buckets.range(buckets).map(|it| it.1);
        entries.all(
            |it| matches!(&it.phase, Phase::Settled(record) if !record.is_suspect(&self.drops)),
        )
    }

    /// The days whose traces all lie within a window, and whose records may all be used.
    pub(crate) fn days_within(&self, config: &Config, window: TimeRange) -> Vec<(Day, DaySums)> {
        let (first, last) = (Bucket::of(window.start), Bucket::of(window.end));
        let day = |bucket| Day::of(bucket, config.day_buckets);
        let days = self.days.range(day(first)..=day(last));
        let is_within = |day: Day, sums: &DaySums| {
            let buckets = day.buckets(config.day_buckets);
            first < *buckets.start()
                && *buckets.end() < last
                && sums.last <= window.end
                && self.is_sound(buckets)
        };
        days.filter(|(day, sums)| is_within(**day, sums))
            .map(|(day, sums)| (*day, sums.clone()))
            .collect()
    }
}
