//! Bounds of fragments, by which a search skips tables and segments without a match.

use larder_plugin::{DurationRange, TimeRange};

use crate::codec::{Damaged, Input, put_varint};
use crate::table::Row;

/// Ranges that cover all fragments of one or several tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// From the earliest start to the latest.
    pub(crate) starts: TimeRange,
    /// The earliest of the fragments' latest starts.
    pub(crate) oldest: u64,
    pub(crate) durations: DurationRange,
}

/// Returns `to - from`, or 0 if that is negative.
pub(crate) fn spread(from: u64, to: u64) -> u64 {
    to.saturating_sub(from)
}

// === impl Bounds ===

impl Bounds {
    /// The bounds of no fragments.
    pub(crate) const NONE: Self = Self {
        starts: TimeRange {
            start: u64::MAX,
            end: 0,
        },
        oldest: u64::MAX,
        durations: DurationRange {
            shortest: u64::MAX,
            longest: 0,
        },
    };

    /// Extends the bounds by a fragment.
    pub(crate) fn add(&mut self, row: &Row) {
        self.join(&Self {
            starts: row.starts,
            oldest: row.starts.end,
            durations: row.durations,
        });
    }

    /// Extends the bounds to cover `other`.
    pub(crate) fn join(&mut self, other: &Self) {
        self.starts.start = self.starts.start.min(other.starts.start);
        self.starts.end = self.starts.end.max(other.starts.end);
        self.oldest = self.oldest.min(other.oldest);
        self.durations.shortest = self.durations.shortest.min(other.durations.shortest);
        self.durations.longest = self.durations.longest.max(other.durations.longest);
    }

    /// Returns true if a fragment within the bounds can overlap both ranges.
    pub(crate) fn overlap(&self, starts: &TimeRange, durations: &DurationRange) -> bool {
        self.starts.overlaps(starts) && self.durations.overlaps(durations)
    }

    /// Appends the bounds.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.starts.start);
        put_varint(out, spread(self.starts.start, self.starts.end));
        put_varint(out, spread(self.starts.start, self.oldest));
        put_varint(out, self.durations.shortest);
        put_varint(out, spread(self.durations.shortest, self.durations.longest));
    }

    /// Reads bounds that [`Bounds::encode`] wrote.
    pub(crate) fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
        let start = input.varint()?;
        let end = start.saturating_add(input.varint()?);
        let oldest = start.saturating_add(input.varint()?);
        let shortest = input.varint()?;
        let longest = shortest.saturating_add(input.varint()?);
        Ok(Self {
            starts: TimeRange { start, end },
            oldest,
            durations: DurationRange { shortest, longest },
        })
    }
}
