//! Where a fragment is, and its place in the order of a search.

use std::cmp::Ordering;

/// A fragment's handle: the number of its segment and its place in it. Handles grow in the order of writing, and none is ever
/// given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handle(u64);

/// The place of a fragment in the order in which a search gives sightings: by its latest start, and by its handle where those
/// are equal. The order does not depend on the window of the search, which only cuts `newest` at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The fragment's latest span start, nanoseconds.
    pub(crate) end: u64,
    /// The fragment.
    pub(crate) handle: Handle,
}

const ORDINAL_BITS: u32 = 16;

// === impl Handle ===

impl Handle {
    /// The fragment at `ordinal` of the segment with this number.
    pub(crate) fn new(segment: u64, ordinal: u16) -> Self {
        Self(segment << ORDINAL_BITS | u64::from(ordinal))
    }

    /// The handle that [`Handle::number`] gave; any other number is the handle of nothing.
    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// As the host sees it.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The number of its segment.
    pub(crate) fn segment(self) -> u64 {
        self.0 >> ORDINAL_BITS
    }

    /// Its place in its segment.
    pub(crate) fn ordinal(self) -> u16 {
        let [.., high, low] = self.0.to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// The next one in the same segment.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

// === impl Key ===

impl Key {
    /// For sorting newest first.
    pub(crate) fn newest_first(&self, other: &Self) -> Ordering {
        other.cmp(self)
    }
}
