//! Bounds of the state: of how many buckets something is kept. A client may write into any number of them.
//!
//! A bucket that is written to and for which there is no room gets no entry. It and all before it that have none are *unmarked* then: what
//! begins there is judged in each query, until backfilling has settled it. Where too many buckets are settled, those farthest from now
//! are forgotten, as if they had never been read, and backfilling rests until others have gone.

use std::collections::BTreeSet;

use crate::bucket::Bucket;
use crate::config::Config;
use crate::inner::Inner;
use crate::state::{Entry, Phase};

/// The part of the buckets that is forgotten at once, and that backfilling leaves room for.
const SLACK: usize = 8;

impl Config {
    /// Settled buckets that are left once there were too many.
    fn fewer_buckets(&self) -> usize {
        self.most_buckets - self.most_buckets / SLACK
    }
}

impl Inner {
    /// The number of buckets that may be opened.
    pub(crate) fn room(&self, config: &Config) -> usize {
        let most = config.most_buckets.saturating_add(config.most_open);
        let all = most.saturating_sub(self.state.buckets.len());
        all.min(config.most_open.saturating_sub(self.written.len()))
    }

    /// Notes that something begins in a bucket that gets no entry. It is durable with the next commit.
    pub(crate) fn leave_unmarked(&mut self, bucket: Bucket, now: u64) {
        let bucket = Some(bucket);
        self.left_unmarked = self.left_unmarked.max(bucket);
        if self.state.unmarked.is_none() {
            self.unmarked_since = now;
        }
        if self.state.unmarked < bucket {
            self.state.unmarked = bucket;
            self.is_head_saved = false;
        }
    }

    /// The entries of those of some buckets of which nothing is known, although something begins there. Those without room are unmarked.
    pub(crate) fn found_entries(
        &mut self,
        config: &Config,
        buckets: impl IntoIterator<Item = Bucket>,
        now: u64,
    ) -> Vec<(Bucket, Entry)> {
        let state = &self.state;
        let is_new = |it: &Bucket| !state.buckets.contains_key(it) && !state.is_unknown(*it);
        let new: BTreeSet<_> = buckets.into_iter().filter(is_new).collect();
        self.latest = self.latest.max(now);
        let mut found = Vec::new();
        let room = self.room(config);
        for bucket in new {
            if found.len() < room {
                found.push((bucket, self.state.found_entry(now)));
            } else {
                self.leave_unmarked(bucket, now);
            }
        }
        found
    }

    /// The bucket from which on backfilling goes down; `None` if it has nothing to do, or no room.
    pub(crate) fn backfills_from(&self, config: &Config) -> Option<Bucket> {
        let has_room = self.settled() < config.fewer_buckets().max(1);
        self.state
            .unmarked
            .or(self.state.frontier.filter(|_| has_room))
    }

    /// Moves the frontier, and what is unmarked, over buckets without traces: those up to `from` and after `to` that have no entry. They
    /// may have been left unmarked since somebody looked.
    pub(crate) fn move_frontier(&mut self, from: Bucket, to: Option<Bucket>) {
        let moved = |it: Option<Bucket>| {
            if it <= Some(from) { it.min(to) } else { it }
        };
        let state = &mut self.state;
        let marks = (state.frontier, state.unmarked);
        state.frontier = moved(state.frontier);
        state.unmarked = moved(state.unmarked).max(self.left_unmarked);
        if marks != (state.frontier, state.unmarked) {
            self.is_head_saved = false;
        }
    }

    /// Returns `true` if some settled buckets have to be forgotten.
    pub(crate) fn has_too_many(&self, config: &Config) -> bool {
        let buckets = &self.state.buckets;
        let is_settled = |it: &Entry| matches!(it.phase, Phase::Settled(_));
        self.settled() > config.most_buckets && buckets.values().any(is_settled)
    }

    /// The number of settled buckets, about.
    fn settled(&self) -> usize {
        self.state.buckets.len().saturating_sub(self.written.len())
    }

    /// The settled buckets to be forgotten, at most so many: those farthest from now.
    pub(crate) fn farthest(&self, config: &Config, now: u64, most: usize) -> Vec<Bucket> {
        let buckets = &self.state.buckets;
        let count = self.settled().saturating_sub(config.fewer_buckets());
        let now = Bucket::of(now);
        let settled = |(bucket, entry): (&Bucket, &Entry)| {
            matches!(entry.phase, Phase::Settled(_)).then_some(*bucket)
        };
        let mut before = buckets.range(..now).filter_map(settled).peekable();
        let mut after = buckets.range(now..).rev().filter_map(settled).peekable();
        let mut farthest = Vec::new();
        while farthest.len() < count.min(most) {
            let is_before = match (before.peek(), after.peek()) {
                (Some(before), Some(after)) => now.0 - before.0 >= after.0 - now.0,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            let next = if is_before {
                before.next()
            } else {
                after.next()
            };
            farthest.extend(next);
        }
        farthest
    }
}
