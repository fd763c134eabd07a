//! Buckets of time, by which what is kept is cut.

use std::ops::RangeInclusive;

use larder_model::storage::TimeRange;

/// Length of a bucket, in nanoseconds.
const LENGTH: u64 = 300_000_000_000;

/// Five minutes of time, by their number since the Unix epoch. A trace belongs to the bucket of its first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Bucket(pub(crate) u32);

/// Neighbouring buckets whose sums are kept together, by their number since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Day(pub(crate) u32);

// === impl Bucket ===

impl Bucket {
    /// The last bucket that a time can be in.
    pub(crate) const LAST: Self = Self::of(u64::MAX);

    /// The bucket of a time. There are fewer than 2^26.
    pub(crate) const fn of(time: u64) -> Self {
        Self((time / LENGTH) as u32)
    }

    /// The times in the bucket.
    pub(crate) fn range(self) -> TimeRange {
        self.to(self)
    }

    /// The times from this bucket to another.
    pub(crate) fn to(self, last: Self) -> TimeRange {
        TimeRange {
            start: u64::from(self.0) * LENGTH,
            end: (u64::from(last.0) * LENGTH).saturating_add(LENGTH - 1),
        }
    }

    /// The bucket before this one.
    pub(crate) fn before(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

// === impl Day ===

impl Day {
    /// The day of a bucket, where a day has so many.
    pub(crate) fn of(bucket: Bucket, buckets: u32) -> Self {
        Self(bucket.0 / buckets.max(1))
    }

    /// The buckets of a day, where it has so many.
    pub(crate) fn buckets(self, buckets: u32) -> RangeInclusive<Bucket> {
        let first = self.0.saturating_mul(buckets);
        let last = first.saturating_add(buckets.saturating_sub(1));
        Bucket(first).min(Bucket::LAST)..=Bucket(last).min(Bucket::LAST)
    }
}
