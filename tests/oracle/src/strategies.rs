//! Random exports, queries and filters as proptest strategies. They share a small vocabulary, so that queries often match.
//!
//! Times are offsets and traces are numbers until they are moved to a [`Place`]. So many cases can share a server, and a failing case
//! shrinks independently of its place.

mod broken;
mod exports;
mod fields;
mod filters;
mod leaves;
mod queries;
mod vocabulary;

pub use broken::broken;
pub use exports::{Written, written};
pub use queries::{Question, SpanQuestion, Window, filtered, legacy, span_search};
pub use vocabulary::{LATEST, TRACES};

/// The position of a case in a store.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The first half of every trace id.
    pub trace: u64,
    /// The time of offset 0, in nanoseconds since the epoch. Spans start from there up to [`LATEST`] later.
    pub start: u64,
}

impl Place {
    /// Returns the id of a trace by its number.
    pub fn trace(self, number: u64) -> [u8; 16] {
        (u128::from(self.trace) << 64 | u128::from(number)).to_be_bytes()
    }

    /// Returns the time of an offset, in nanoseconds since the epoch.
    pub fn at(self, offset: u64) -> u64 {
        self.start + offset
    }
}
