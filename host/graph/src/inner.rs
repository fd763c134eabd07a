//! What changes: the state, and what is known of it in memory alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Batch, Dropped, Keep, Statistics, TraceId};

use crate::bucket::Bucket;
use crate::clock::WentBack;
use crate::config::Config;
use crate::days::Days;
use crate::entries::Loaded;
use crate::jobs::{Job, Retry};
use crate::marks::{Marker, Marks};
use crate::shared::unique;
use crate::state::{Entry, Phase, State};

/// The smallest step of a plugin's times of writing; times within it may be told as equal.
const TIME_STEP: u64 = 1_000_000_000;

/// What changes.
pub(crate) struct Inner {
    pub(crate) keep: Arc<dyn Keep>,
    /// That of `keep` when the state was read from it.
    pub(crate) generation: u64,
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
    /// The kind of the last job that was no upkeep.
    pub(crate) turn: Turn,
    /// The time when the clock was looked at last.
    pub(crate) clock: u64,
    /// A time that is no earlier than any of those of the entries.
    pub(crate) latest: u64,
    pub(crate) went_back: WentBack,
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
    /// What several hosts have marked that write to the data; `None` where there is one.
    pub(crate) blocked: Option<Blocked>,
}

/// What is neither settled nor taken in for now, as hosts may be writing to it at this moment.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    pub(crate) buckets: HashSet<Bucket>,
    pub(crate) late: HashSet<TraceId>,
}

/// A kind of work, of those that take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Late traces were taken in.
    Late,
    /// Anything else.
    Other,
}

// === impl Inner ===

impl Inner {
    /// A state of which nothing is known. `generation` is that of `keep`.
    pub(crate) fn new(keep: Arc<dyn Keep>, generation: u64) -> Self {
        Self {
            keep,
            generation,
            epoch: 0,
            state: State::unknown(unique()),
            is_head_saved: false,
            is_unreadable: false,
            written: HashMap::new(),
            late_counts: HashMap::new(),
            late_marks: HashMap::new(),
            turn: Turn::Other,
            clock: 0,
            latest: 0,
            went_back: WentBack::default(),
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
            blocked: None,
        }
    }

    /// Returns `true` if the bucket must not be settled now.
    pub(crate) fn is_blocked(&self, bucket: Bucket) -> bool {
        let blocked = self.blocked.as_ref();
        blocked.is_some_and(|it| it.buckets.contains(&bucket))
    }

    /// Returns `true` if the late trace must not be taken in now.
    pub(crate) fn is_late_blocked(&self, id: TraceId) -> bool {
        let blocked = self.blocked.as_ref();
        blocked.is_some_and(|it| it.late.contains(&id))
    }

    /// Returns `true` if older traces must not be looked for now: one may be on its way to where nothing tells of it afterwards.
    pub(crate) fn is_backfill_blocked(&self) -> bool {
        let Some(blocked) = &self.blocked else {
            return false;
        };
        let is_unmarked =
            |it: &Bucket| Some(*it) <= self.state.unmarked && !self.state.buckets.contains_key(it);
        blocked.buckets.iter().any(is_unmarked)
    }

    /// Begins with nothing, in a new place: nothing is stored any more.
    pub(crate) fn forget(&mut self, keep: Arc<dyn Keep>) {
        self.generation = keep.generation();
        self.keep = keep;
        self.replace(State {
            series: unique(),
            ..State::default()
        });
        self.is_unreadable = false;
        self.statistics = Some(Statistics::default());
        self.went_back = WentBack::default();
        self.remains.clear();
        self.has_orphans = false;
    }

    /// What the head holds.
    pub(crate) fn head(&self) -> (u64, Option<Bucket>, Option<Bucket>, u64) {
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
        } else if !self.has_statistics() {
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

    /// The changes of a write.
    pub(crate) fn marks(&mut self, config: &Config, now: u64, batches: &[&Batch]) -> Marks {
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

    /// Takes over the changes of a write, which are durable.
    pub(crate) fn apply(&mut self, marks: Marks, now: u64) {
        for id in marks.again {
            let number = self.next_number();
            if let Some(mark) = self.late_marks.get_mut(&id) {
                mark.0 = number;
            }
        }
        for (bucket, entry) in marks.opened {
            self.latest = self.latest.max(now);
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
    pub(crate) fn replace(&mut self, state: State) {
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

    /// Takes the state that was read in place of this one.
    pub(crate) fn install(&mut self, loaded: Loaded, now: u64) {
        let Loaded {
            mut state,
            remains,
            has_head,
            went_back,
            others: _,
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
        if self.blocked.is_none() {
            self.statistics = None;
        }
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
        let latest = buckets.values().map(Entry::latest).max();
        self.latest = self.latest.max(latest.unwrap_or(0));
        let unknown = || WentBack::unknown(self.latest, now);
        let went_back = went_back.unwrap_or_else(unknown);
        self.went_back = went_back.read_back(&self.went_back);
        // What was dropped may have been seen at a later time.
        self.clock = self.clock.max(now);
    }

    /// Compares the plugin's counters with those before. Returns `true` if something is gone.
    pub(crate) fn counted(&mut self, now: u64, statistics: &Statistics) -> bool {
        self.look_at_clock(now);
        let is_first = self.statistics.is_none();
        let before = self.statistics.replace(*statistics).unwrap_or_default();
        let has_dropped = statistics.dropped_since(&before) != Dropped::default();
        let (told, told_before) = (statistics.oldest_write, before.oldest_write);
        if told.is_none() {
            self.went_back.nothing_is_stored();
        }
        // Nothing of which the state tells the time was written later.
        let newest = now.max(self.latest);
        let drops = &mut self.state.drops;
        // A time that has not come is one of a clock that was ahead. What was written after that may be older.
        drops.oldest = told.map(|it| self.went_back.lowered(it).min(now));
        let was_unknown = drops.is_unknown;
        let bound = match told.map(|it| it.min(newest)) {
            // Of what was written at the same time some may be gone and some not.
            Some(oldest) if has_dropped => oldest.saturating_add(TIME_STEP),
            // It may be one of a clock that was ahead, for as long as that was.
            Some(_) if told == told_before => 0,
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
        // Where several hosts write, each tells what is gone with its marks.
        self.statistics.is_some() || self.blocked.is_some()
    }
}
