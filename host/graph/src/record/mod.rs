//! Records: the calls of the traces of one settled bucket. Write-once; a change makes a new record.
//!
//! A record is a group of values: a *head* with names and sums, the *sums* with errors and durations, and *pages* of rows, one row a trace.
//! A query adds up the sums of whole records and whole pages, and reads the rows of the pages at the ends of its window.
//! Rows of traces that end in their bucket are sorted by their first start, and the others, in pages of their own, by their last end, so
//! that the end of a window lies within few pages of each.
//!
//! The sums of a day are a group with a head alone: that of all records of the day, with one page that is nowhere.
//!
//! A value larger than 4 MiB is cut into parts.

mod build;
mod head;
mod page;
mod stored;
mod sums;
mod totals;

#[cfg(test)]
mod tests;

pub(crate) use build::{Encoded, Rows};
pub(crate) use head::{Extent, Head, PageHead};
pub(crate) use page::{Page, Row, calls};
pub(crate) use stored::{Damage, load_head, load_pages};
pub(crate) use totals::Totals;

/// Bytes of a part of a value.
const PART: usize = 4 << 20;

/// The values of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Head,
    Sums,
    Page(u32),
}

/// A call within a record: the number of its edge, and its class.
pub(crate) type EdgeCall = (u32, u8);

// === impl Value ===

impl Value {
    /// The number that seeds the checksum.
    fn number(self) -> u64 {
        match self {
            Self::Head => 0,
            Self::Sums => 1,
            Self::Page(page) => 2 + u64::from(page),
        }
    }

    /// The name of a part of it.
    pub(crate) fn name(self, part: u32) -> Vec<u8> {
        let (kind, number) = match self {
            Self::Head => (b'h', 0),
            Self::Sums => (b's', 0),
            Self::Page(page) => (b'p', page),
        };
        let mut name = vec![kind];
        name.extend_from_slice(&number.to_be_bytes());
        name.extend_from_slice(&part.to_be_bytes());
        name
    }
}
