//! Methods of the contract's types.

use crate::bindings::larder::storage::kv;
use crate::{DurationRange, Error, Fragment, Search, Term, TimeRange, TraceId};

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self {
        start: 0,
        end: u64::MAX,
    };

    /// Returns true if the ranges have a point in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

impl DurationRange {
    /// Every duration.
    pub const ALL: Self = Self {
        shortest: 0,
        longest: u64::MAX,
    };

    /// Returns true if the ranges have a duration in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.shortest <= other.longest && other.shortest <= self.longest
    }
}

impl Search {
    /// Returns a search that matches everything.
    pub fn all() -> Self {
        Self {
            starts: TimeRange::ALL,
            durations: DurationRange::ALL,
            clauses: Vec::new(),
        }
    }

    /// Returns true if this fragment may hold a match: its ranges overlap and it has a term of every clause.
    pub fn admits(&self, fragment: &Fragment<'_>) -> bool {
        self.starts.overlaps(&fragment.starts)
            && self.durations.overlaps(&fragment.durations)
            && self.admits_terms(fragment.terms)
    }

    /// Returns true if `terms`, ascending, has one of every clause.
    pub fn admits_terms(&self, terms: &[Term]) -> bool {
        self.clauses
            .iter()
            .all(|clause| clause.iter().any(|term| terms.binary_search(term).is_ok()))
    }

    /// Returns the `newest` of a sighting of this fragment: no matching span of it starts later.
    pub fn newest(&self, starts: &TimeRange) -> u64 {
        starts.end.min(self.starts.end)
    }
}

impl From<u128> for TraceId {
    fn from(id: u128) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the two halves are what is wanted"
        )]
        Self {
            high: (id >> 64) as u64,
            low: id as u64,
        }
    }
}

impl From<TraceId> for u128 {
    fn from(id: TraceId) -> Self {
        Self::from(id.high) << 64 | Self::from(id.low)
    }
}

/// Maps a failed `kv` call, so that a plugin can use `?`.
impl From<kv::Error> for Error {
    fn from(error: kv::Error) -> Self {
        match error {
            kv::Error::Unavailable(text) | kv::Error::OutcomeUnknown(text) => {
                Self::Unavailable(text)
            }
            kv::Error::Fenced => Self::Unavailable("another writer has taken over".to_owned()),
            kv::Error::QuotaExceeded(text) => Self::ResourceExhausted(text),
            kv::Error::DataLoss(text) => Self::DataLoss(text),
            kv::Error::TooLarge(text) | kv::Error::Other(text) => Self::Other(text),
        }
    }
}
