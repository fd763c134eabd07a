//! The windows of time that dependencies are asked of.

use larder_oracle::corpus::Corpus;
use larder_oracle::otlp::spans_of;

use crate::question::Question;
use crate::searches::Search;

/// The names of the searches, in the order of the table.
pub(crate) const NAMES: [&str; 4] = [
    "dependencies of an hour",
    "dependencies of a day",
    "dependencies, half of the time",
    "dependencies, all of it",
];
/// The stretches of time of which Larder keeps calls, in nanoseconds.
pub(super) const BUCKET: u64 = 300 * 1_000_000_000;
pub(super) const HOUR: u64 = 3_600_000_000_000;

/// Returns a search for each window. The hour and the day end with the newest span. Half of the time begins and ends in the middle of a
/// bucket, so that some traces of these two buckets are in it and others are not.
pub(super) fn searches(corpus: &Corpus) -> Vec<Search> {
    let (from, to) = corpus.window();
    let newest = newest(corpus);
    let before = |time: u64| (newest.saturating_sub(time), newest);
    let windows = [
        before(HOUR),
        before(24 * HOUR),
        half(from, newest),
        (from - 1, to),
    ];
    let searches = NAMES.into_iter().zip(windows);
    searches
        .map(|(name, (from, to))| Search::new(name, Question::Dependencies(from, to)))
        .collect()
}

/// Returns the last end of a span of the last request.
pub(super) fn newest(corpus: &Corpus) -> u64 {
    let (message, _) = corpus.message(corpus.requests().saturating_sub(1));
    let spans = spans_of(&message.resource_spans);
    spans
        .map(|one| one.span.end_time_unix_nano)
        .max()
        .unwrap_or_default()
}

/// Returns about the middle half of this time.
fn half(from: u64, to: u64) -> (u64, u64) {
    let quarter = to.saturating_sub(from) / 4;
    let (start, end) = (from + quarter, to - quarter);
    let (in_first, in_last) = (middle(start), middle(end));
    // A short time may lie in one bucket.
    if in_first < in_last {
        (in_first, in_last)
    } else {
        (start, end)
    }
}

/// Returns the middle of the bucket of this time.
fn middle(time: u64) -> u64 {
    time - time % BUCKET + BUCKET / 2
}
