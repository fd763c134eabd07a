//! Helpers for the tests of all drivers.

use super::{Change, Entry, Key, Scan};

pub(super) fn put(sort: &str, value: impl Into<Vec<u8>>) -> Change {
    Change::Put(Entry {
        sort: sort.into(),
        value: value.into(),
    })
}

pub(super) fn key(partition: &str, sort: &str) -> Key {
    Key {
        partition: partition.into(),
        sort: sort.into(),
    }
}

/// A scan of a whole partition, on one page.
pub(super) fn all() -> Scan {
    Scan {
        start: Vec::new(),
        end: None,
        descending: false,
        max_entries: u32::MAX,
        max_bytes: u32::MAX,
    }
}
