//! A clock that goes back.
//!
//! Retention drops what was written first, and the plugin tells the time of the oldest write that is left. If the clock was ahead for a
//! while, what was written then has a later time than what came after it, and goes before. So once the clock has gone back, all that was
//! written before counts as written just before the next write at the latest, and times are in the order of the writes again. The plugin
//! goes on to tell the times that it was given.
//!
//! The clock may also go back while nothing runs. So what is known of it is durable before the write that shows it, and with it a time
//! that no write so far was later than.

use std::sync::Arc;

use larder_model::storage::KeepChange;

use crate::codec::{self, Damaged, Reading};
use crate::entries::{put_bucket, put_clock};
use crate::inner::Inner;
use crate::state::{Before, Entry, Phase};

/// The time by which a write may be told of later than it was begun, in nanoseconds, and more.
const TOLERANCE: u64 = 1_000_000_000;
/// Times that the clock went back which are told from each other.
const MOST_TIMES: usize = 16;
/// What is durable tells a time that is later by so much than the write that it is made durable with. So it costs a commit an hour.
const AHEAD: u64 = 3_600_000_000_000;

/// The times that writes had which count as earlier now, as the clock has gone back. Durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WentBack {
    /// The latest time of a write since the clock went back last, or a later one if this process has not written.
    newest: u64,
    /// No write has had a later time since the clock went back last.
    until: u64,
    /// The time of the first write after the clock went back, and the latest one before, of each time that it did.
    times: Vec<(u64, u64)>,
}

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
    /// are hardly any unless the clock has gone back.
    pub(crate) fn lower_durably(&mut self, now: u64) -> Vec<KeepChange> {
        let oldest = &mut self.state.drops.oldest;
        *oldest = oldest.map(|it| if it > now { now.saturating_sub(1) } else { it });
        let mut changes = Vec::new();
        let mut went_back = self.went_back.clone();
        if went_back.written(now) {
            changes.push(put_clock(&went_back));
        }
        if self.latest <= now {
            return changes;
        }
        let entries = self.state.buckets.iter();
        let later = entries.filter(|(_, entry)| entry.latest() > now && entry.is_durable());
        changes.extend(later.map(|(bucket, entry)| {
            let mut entry = entry.clone();
            entry.lower(now);
            put_bucket(self.state.series, *bucket, &entry)
        }));
        changes
    }

    /// Lowers the times that are later than this one, which is that of a write.
    pub(crate) fn lower(&mut self, now: u64) {
        self.went_back.written(now);
        if self.latest <= now {
            return;
        }
        self.latest = now;
        // No time is later, so this makes the same records suspect, and not all that come for as long as the clock was ahead.
        let before = now.saturating_add(1);
        if self.state.drops.before > before {
            self.state.drops.before = before;
            self.is_head_saved = false;
        }
        let is_later = |entry: &Entry| entry.latest() > now;
        if self.state.buckets.values().any(is_later) {
            let entries = self.state.buckets_mut().values_mut();
            entries.for_each(|entry| entry.lower(now));
        }
    }
}

// === impl WentBack ===

impl WentBack {
    /// Nothing is known of the clock but the latest of the times that are kept, and the time.
    pub(crate) fn unknown(latest: u64, now: u64) -> Self {
        let until = latest.max(now).saturating_add(AHEAD);
        Self {
            newest: until,
            until,
            times: Vec::new(),
        }
    }

    /// What is known of the clock cannot be read back: it may have gone back from any time.
    pub(crate) fn damaged() -> Self {
        Self {
            newest: u64::MAX,
            until: u64::MAX,
            times: Vec::new(),
        }
    }

    /// Goes on with what was read back. What this process knows of a later time stays true.
    pub(crate) fn read_back(self, before: &Self) -> Self {
        Self {
            newest: self.newest.max(before.newest),
            ..self
        }
    }

    /// Nothing is stored. So if this process has not written, it does not matter when the ones before it have.
    pub(crate) fn nothing_is_stored(&mut self) {
        if self.newest == self.until {
            self.newest = 0;
        }
    }

    /// Notes the time of a write. Returns `true` if that has to be durable before the write.
    fn written(&mut self, now: u64) -> bool {
        let before = std::mem::replace(&mut self.newest, now);
        let is_later = now > self.until;
        if is_later {
            self.until = now.saturating_add(AHEAD);
        }
        if before <= now {
            return is_later;
        }
        let is_known = |it: &(u64, u64)| it.0 <= now && before <= it.1;
        if self.times.iter().any(is_known) {
            return is_later;
        }
        let mut latest = before;
        for (first, last) in &mut self.times {
            *first = now.min(*first);
            latest = latest.max(*last);
        }
        if self.times.len() < MOST_TIMES {
            self.times.push((now, before));
        } else {
            let first = self.times.iter().map(|it| it.0).min();
            self.times = vec![(first.unwrap_or(now), latest)];
        }
        self.until = self.until.min(now.saturating_add(AHEAD));
        true
    }

    /// Appends what is durable of it.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        codec::put(bytes, self.until);
        codec::put_len(bytes, self.times.len());
        for (first, last) in &self.times {
            codec::put(bytes, *first);
            codec::put(bytes, *last);
        }
    }

    /// Reads what [`WentBack::encode`] has written.
    pub(crate) fn decode(mut reading: Reading<'_>) -> Result<Self, Damaged> {
        let until = reading.number()?;
        let times = (0..reading.count()?).map(|_| Ok((reading.number()?, reading.number()?)));
        let times = times.collect::<Result<_, _>>()?;
        reading.end()?;
        Ok(Self {
            newest: until,
            until,
            times,
        })
    }

    /// The time, or an earlier one, that the oldest write counts as which is stored, of which the plugin tells this time.
    pub(crate) fn lowered(&mut self, told: u64) -> u64 {
        // Nothing is left of what was written before the clock went back.
        self.times.retain(|(_, last)| told <= *last);
        let times = self.times.iter().filter(|(first, _)| *first <= told);
        let lowered = times.map(|(first, _)| first.saturating_sub(1)).min();
        lowered.unwrap_or(told)
    }
}

// === impl Entry ===

impl Entry {
    /// The latest time that it tells.
    pub(crate) fn latest(&self) -> u64 {
        let needs_write = self.record().map_or(0, |it| it.needs_write);
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
        if let Some(record) = self.record_mut().filter(|it| it.needs_write > now) {
            Arc::make_mut(record).needs_write = before;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// What a process that starts now goes on with.
    fn restarted(went_back: &WentBack) -> WentBack {
        let mut bytes = Vec::new();
        went_back.encode(&mut bytes);
        WentBack::decode(Reading::of(&bytes)).unwrap()
    }

    #[test]
    fn the_clock_may_go_back_between_two_processes() {
        let mut went_back = WentBack::default();
        assert!(went_back.written(AHEAD), "the first write");
        assert!(!went_back.written(AHEAD + 100));
        assert!(!went_back.written(2 * AHEAD));
        let mut went_back = restarted(&went_back);
        // Nobody knows whether it has gone back.
        assert!(went_back.written(AHEAD + 50));
        for _ in 0..2 {
            assert_eq!(went_back.lowered(AHEAD + 40), AHEAD + 40);
            assert_eq!(went_back.lowered(AHEAD + 60), AHEAD + 49);
            assert_eq!(went_back.lowered(2 * AHEAD), AHEAD + 49);
            went_back = restarted(&went_back);
        }
        // A later start tells nothing new.
        assert!(!went_back.written(AHEAD + 200));
        assert_eq!(went_back.lowered(2 * AHEAD + 1), 2 * AHEAD + 1);
    }

    #[test]
    fn the_first_write_of_all_does_not_show_that_the_clock_went_back() {
        let mut went_back = WentBack::unknown(0, AHEAD);
        went_back.nothing_is_stored();
        assert!(!went_back.written(AHEAD));
        went_back.nothing_is_stored();
        assert!(went_back.written(AHEAD - 1));
        assert_eq!(went_back.lowered(AHEAD), AHEAD - 2);
    }

    #[test]
    fn what_was_lost_of_the_clock_counts_as_anything() {
        let mut went_back = WentBack::damaged();
        assert!(went_back.written(50));
        let mut went_back = restarted(&went_back);
        assert_eq!(went_back.lowered(u64::MAX), 49);
        assert!(!went_back.written(AHEAD));
    }

    #[test]
    fn a_clock_that_is_no_longer_ahead_costs_a_commit_an_hour_again() {
        let mut went_back = WentBack::unknown(0, 100 * AHEAD);
        assert!(!went_back.written(101 * AHEAD));
        assert!(went_back.written(AHEAD));
        assert!(!went_back.written(2 * AHEAD));
        assert!(went_back.written(2 * AHEAD + 1));
        assert!(!went_back.written(3 * AHEAD + 1));
    }

    #[test]
    fn a_time_of_a_clock_that_was_ahead_counts_as_one_before_all_writes_after_it() {
        let mut went_back = WentBack::default();
        for now in [100, 50, 60, 40, 200, 150] {
            went_back.written(now);
        }
        // What was written at 100 is older than what was written at 50, and so at 40.
        for (told, lowered) in [(30, 30), (40, 39), (60, 39), (100, 39), (150, 149)] {
            assert_eq!(went_back.lowered(told), lowered);
        }
        assert_eq!(went_back.lowered(201), 201);
        assert_eq!(went_back.lowered(60), 60, "nothing is left from before");
    }

    #[test]
    fn a_clock_that_goes_back_any_number_of_times_takes_no_more_memory() {
        let mut went_back = WentBack::default();
        for time in 1..1000 {
            went_back.written(10 * time);
            went_back.written(10 * time - 5);
        }
        assert!(went_back.times.len() <= MOST_TIMES);
        assert_eq!(went_back.lowered(9_900), 4);
    }
}
