//! Handles, which locate fragments, and the order of search results.

use std::cmp::Ordering;

/// A fragment's handle: the number of its segment and its position there. Handles ascend in the order of writes and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handle(u64);

/// The position of a fragment in the order of search results: by its latest start, then by its handle. The window of a search does
/// not change the order; it only caps the `newest` of a sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Latest start of the fragment's spans, nanoseconds.
    pub(crate) end: u64,
    /// The fragment.
    pub(crate) handle: Handle,
}

const ORDINAL_BITS: u32 = 16;

// === impl Handle ===

impl Handle {
    /// Makes the handle of the fragment at `ordinal` of the segment with this number.
    pub(crate) fn new(segment: u64, ordinal: u16) -> Self {
        Self(segment << ORDINAL_BITS | u64::from(ordinal))
    }

    /// Parses a number that [`Handle::number`] gave. Other numbers make handles without a fragment.
    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number by which the host knows it.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// Returns the number of its segment.
    pub(crate) fn segment(self) -> u64 {
        self.0 >> ORDINAL_BITS
    }

    /// Returns its position in its segment.
    pub(crate) fn ordinal(self) -> u16 {
        let [.., high, low] = self.0.to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// Returns the next handle in the same segment.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

// === impl Key ===

impl Key {
    /// Compares for sorting newest first.
    pub(crate) fn newest_first(&self, other: &Self) -> Ordering {
        other.cmp(self)
    }
}
