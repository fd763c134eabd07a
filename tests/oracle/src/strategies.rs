//! Random exports, queries and filters as proptest strategies, over one small vocabulary, so that they often meet.
//!
//! Times are offsets and traces are numbers until they are put into a [`Place`]: so many cases can share a server, and a failing one
//! shrinks wherever it stands.

mod broken;
mod exports;
mod fields;
mod filters;
mod leaves;
mod queries;
mod vocabulary;

pub use broken::broken;
pub use exports::{Written, written};
pub use queries::{Question, Window, filtered, legacy};
pub use vocabulary::{LATEST, TRACES};

/// Where a case lies in a store.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The first half of every trace id.
    pub trace: u64,
    /// The time of offset 0, in nanoseconds since the epoch. Spans begin from there to [`LATEST`] later.
    pub start: u64,
}

impl Place {
    /// The id of a trace by its number.
    pub fn trace(self, number: u64) -> [u8; 16] {
        (u128::from(self.trace) << 64 | u128::from(number)).to_be_bytes()
    }

    /// The time of an offset, in nanoseconds since the epoch.
    pub fn at(self, offset: u64) -> u64 {
        self.start + offset
    }
}
