//! How far the calls of a window are kept, for those who explain an answer.

use larder_model::storage::TimeRange;
use larder_search::kept::Coverage;

use crate::bucket::Bucket;
use crate::shared::Shared;
use crate::state::Phase;

impl Shared {
    /// See [`Kept::coverage`](larder_search::kept::Kept::coverage).
    pub(crate) fn coverage(&self, window: TimeRange) -> Coverage {
        let (state, unusable) = {
            let inner = self.inner.lock();
            (inner.state.clone(), inner.unusable())
        };
        let (first, last) = (Bucket::of(window.start), Bucket::of(window.end));
        let mut coverage = Coverage {
            late_traces: state.late.len() as u64,
            unusable,
            ..Coverage::default()
        };
        // Those at or before the frontier, within the window.
        let mut entries = 0;
        for (bucket, entry) in state.buckets.iter() {
            let is_within = (first..=last).contains(bucket);
            entries += u64::from(is_within && Some(*bucket) <= state.last_unknown());
            if entry.is_open() {
                coverage.open_buckets += 1;
            } else if entry.suspect(&state.drops).is_some() {
                coverage.suspect_buckets += u64::from(*bucket <= last);
            } else if matches!(entry.phase, Phase::Settled(_)) {
                coverage.settled_buckets += u64::from(is_within);
            } else {
                coverage.unknown_buckets += u64::from(is_within);
            }
        }
        // Before the frontier, buckets without an entry are unknown too.
        let frontier = state.last_unknown();
        if let Some(frontier) = frontier.filter(|frontier| first <= *frontier) {
            let buckets = u64::from(frontier.min(last).0 - first.0) + 1;
            coverage.unknown_buckets += buckets - entries;
        }
        coverage
    }
}
