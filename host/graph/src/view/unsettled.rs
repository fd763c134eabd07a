//! The times in which nothing, or not everything, is kept.

use larder_model::storage::TimeRange;

use crate::bucket::Bucket;
use crate::state::{Before, Phase, Settling, State};

/// The starts of spans whose traces have to be judged, for the traces within a window.
pub(super) fn unsettled(state: &State, window: TimeRange) -> Vec<TimeRange> {
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
