//! The stamp of a log, by which other hosts see that it has changed, without reading it.
//!
//! | bytes | contents |
//! |---|---|
//! | 1 | the version, 1 |
//! | 8 | XXH3 of all that follows, in little-endian order as all numbers here |
//! | 8 | the series: a number that each process draws when it reads the log |
//! | 8 | the number of the next entry |
//! | 8 | how often entries were removed in this series |

use std::hash::{BuildHasher as _, RandomState};

use xxhash_rust::xxh3::xxh3_64;

use crate::entry::Unreadable;

const VERSION: u8 = 1;

/// See the module. It changes with each commit that has entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Within a series, entries with smaller numbers than `next` do not change: they are removed, after what counts of them has been written
    /// again.
    pub(crate) series: u64,
    pub(crate) next: u64,
    pub(crate) cleaned: u64,
}

/// A number that no other process has drawn.
pub(crate) fn unique() -> u64 {
    RandomState::new().hash_one(0)
}

// === impl Stamp ===

impl Stamp {
    pub(crate) fn encode(self) -> Vec<u8> {
        let numbers = [self.series, self.next, self.cleaned];
        let numbers = numbers.map(u64::to_le_bytes).concat();
        let hash = xxh3_64(&numbers).to_le_bytes();
        [&[VERSION][..], &hash, &numbers].concat()
    }

    pub(crate) fn decode(stamp: &[u8]) -> Result<Self, Unreadable> {
        let (version, rest) = stamp.split_first().ok_or(Unreadable::Damaged)?;
        if *version > VERSION {
            return Err(Unreadable::Newer(*version));
        }
        let (hash, mut numbers) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
        if *version != VERSION || xxh3_64(numbers) != u64::from_le_bytes(*hash) {
            return Err(Unreadable::Damaged);
        }
        let mut number = || {
            let (number, rest) = numbers.split_first_chunk().ok_or(Unreadable::Damaged)?;
            numbers = rest;
            Ok(u64::from_le_bytes(*number))
        };
        Ok(Self {
            series: number()?,
            next: number()?,
            cleaned: number()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn a_stamp_is_read_back_and_damage_is_told() {
        let stamp = Stamp {
            series: u64::MAX,
            next: 7,
            cleaned: 2,
        };
        let bytes = stamp.encode();
        assert_eq!(Stamp::decode(&bytes), Ok(stamp));
        for at in 1..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Stamp::decode(&damaged), Err(Unreadable::Damaged));
            assert_eq!(Stamp::decode(&bytes[..at]), Err(Unreadable::Damaged));
        }
        let mut newer = bytes.clone();
        newer[0] = 2;
        assert_eq!(Stamp::decode(&newer), Err(Unreadable::Newer(2)));
        assert_eq!(Stamp::decode(&[]), Err(Unreadable::Damaged));
    }
}
