//! A clock that goes back.
//!
//! Retention drops what was written first, and the plugin tells the time of the oldest write that is left. If the clock was ahead for a
//! while, what was written then has a later time than what came after it, and goes before. So once the clock has gone back, all that was
//! written before counts as written just before the next write at the latest, and times are in the order of the writes again.

use std::sync::Arc;

use larder_model::storage::KeepChange;

use crate::entries::put_bucket;
use crate::inner::Inner;
use crate::state::{Before, Entry, Phase, Record, Settling};

/// The time by which a write may be told of later than it was begun, in nanoseconds, and more.
const TOLERANCE: u64 = 1_000_000_000;

// === impl Inner ===

impl Inner {
    /// Looks at the clock. If it has gone back, work in the background does not wait for a time that is far now.
    pub(crate) fn look_at_clock(&mut self, now: u64) {
        let before = std::mem::replace(&mut self.clock, now);
        if before <= now.saturating_add(TOLERANCE) {
            return;
        }
        for written in self.written.values_mut() {
            *written = now.min(*written);
        }
        for (_, since) in self.late_marks.values_mut() {
            *since = now.min(*since);
        }
        let times = [
            &mut self.dropped,
            &mut self.first_dropped,
            &mut self.unmarked_since,
        ];
        for time in times {
            *time = now.min(*time);
        }
        self.days.went_back(now);
        self.retries.clear();
    }

    /// The changes that make it durable that nothing was written later than a write that comes now. [`Inner::lower`] follows them. There
    /// are none unless the clock has gone back.
    pub(crate) fn lower_durably(&mut self, now: u64) -> Vec<KeepChange> {
        let oldest = &mut self.state.drops.oldest;
        *oldest = oldest.map(|it| it.min(now));
        if self.latest <= now {
            return Vec::new();
        }
        let entries = self.state.buckets.iter();
        let later = entries.filter(|(_, entry)| entry.latest() > now && entry.is_durable());
        let changes = later.map(|(bucket, entry)| {
            let mut entry = entry.clone();
            entry.lower(now);
            put_bucket(self.state.series, *bucket, &entry)
        });
        changes.collect()
    }

    /// Lowers the times that are later than this one.
    pub(crate) fn lower(&mut self, now: u64) {
        if self.latest <= now {
            return;
        }
        self.latest = now;
        let is_later = |entry: &Entry| entry.latest() > now;
        if self.state.buckets.values().any(is_later) {
            let entries = self.state.buckets_mut().values_mut();
            entries.for_each(|entry| entry.lower(now));
        }
    }
}

// === impl Entry ===

impl Entry {
    /// The latest time that it tells.
    pub(crate) fn latest(&self) -> u64 {
        let needs_write = self.last_record().map_or(0, |it| it.needs_write);
        self.first_write.max(self.opened).max(needs_write)
    }

    /// Lowers times that are later than this one, to one before it.
    fn lower(&mut self, now: u64) {
        let before = now.saturating_sub(1);
        for time in [&mut self.first_write, &mut self.opened] {
            if *time > now {
                *time = before;
            }
        }
        let (Phase::Settled(record)
        | Phase::Settling(Settling {
            before: Before::Settled(record),
            ..
        })) = &mut self.phase
        else {
            return;
        };
        if record.needs_write > now {
            Arc::make_mut(record).needs_write = before;
        }
    }

    /// The record, also while it is made anew.
    fn last_record(&self) -> Option<&Arc<Record>> {
        match &self.phase {
            Phase::Settled(record)
            | Phase::Settling(Settling {
                before: Before::Settled(record),
                ..
            }) => Some(record),
            Phase::Open | Phase::Settling(_) => None,
        }
    }

    /// False if it is in memory alone, while the bucket is settled for the first time.
    fn is_durable(&self) -> bool {
        match &self.phase {
            Phase::Settling(settling) => {
                !matches!(settling.before, Before::Unknown | Before::Unmarked)
            }
            Phase::Open | Phase::Settled(_) => true,
        }
    }
}
