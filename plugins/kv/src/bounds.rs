//! What fragments lie between: enough to know that none of them can match.

use larder_plugin::{DurationRange, TimeRange};

use crate::codec::{Damaged, Input, put_varint};
use crate::table::Row;

/// What all fragments of a table, or of several, lie between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The earliest start of all, and the latest.
    pub(crate) starts: TimeRange,
    /// The earliest of the fragments' latest starts.
    pub(crate) oldest: u64,
    pub(crate) durations: DurationRange,
}

/// How far one number is above another; 0 if it is not.
pub(crate) fn spread(from: u64, to: u64) -> u64 {
    to.saturating_sub(from)
}

// === impl Bounds ===

impl Bounds {
    /// Of nothing.
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

    /// Takes in a fragment.
    pub(crate) fn add(&mut self, row: &Row) {
        self.join(&Self {
            starts: row.starts,
            oldest: row.starts.end,
            durations: row.durations,
        });
    }

    /// Takes in all that another one does.
    pub(crate) fn join(&mut self, other: &Self) {
        self.starts.start = self.starts.start.min(other.starts.start);
        self.starts.end = self.starts.end.max(other.starts.end);
        self.oldest = self.oldest.min(other.oldest);
        self.durations.shortest = self.durations.shortest.min(other.durations.shortest);
        self.durations.longest = self.durations.longest.max(other.durations.longest);
    }

    /// Whether a fragment within them may be in both ranges.
    pub(crate) fn overlap(&self, starts: &TimeRange, durations: &DurationRange) -> bool {
        self.starts.overlaps(starts) && self.durations.overlaps(durations)
    }

    /// Appends them.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.starts.start);
        put_varint(out, spread(self.starts.start, self.starts.end));
        put_varint(out, spread(self.starts.start, self.oldest));
        put_varint(out, self.durations.shortest);
        put_varint(out, spread(self.durations.shortest, self.durations.longest));
    }

    /// What [`Bounds::encode`] wrote.
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
