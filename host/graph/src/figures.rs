//! Figures for metrics.

use std::ops::AddAssign;
use std::time::Duration;

/// Figures of one tenant, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Buckets that were written to and are not settled.
    pub open_buckets: u64,
    /// Time since the oldest of them was opened, or since some were written to for which there was no room; `None` if there is none.
    pub oldest_unsettled: Option<Duration>,
    /// Settled buckets that retention may have touched since.
    pub suspect_buckets: u64,
    /// Traces that have changed after their bucket was settled.
    pub late_traces: u64,
    /// Bytes of the records, uncompressed.
    pub bytes: u64,
    /// Time spent on work in the background, with reading and waiting for others. That of one tenant begins at zero when the tenant is opened.
    pub worked: Duration,
    /// True once nothing is left of which nothing is kept.
    pub is_backfilled: bool,
    /// Buckets whose calls are kept.
    pub settled_buckets: u64,
    /// Tenants whose data several hosts write, and on whose calls this one works.
    pub held_tenants: u64,
    /// True if nothing that is kept can be used now, so that every trace is judged.
    pub is_unusable: bool,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.open_buckets += other.open_buckets;
        self.oldest_unsettled = self.oldest_unsettled.max(other.oldest_unsettled);
        self.suspect_buckets += other.suspect_buckets;
        self.late_traces += other.late_traces;
        self.bytes += other.bytes;
        self.worked += other.worked;
        self.is_backfilled &= other.is_backfilled;
        self.settled_buckets += other.settled_buckets;
        self.held_tenants += other.held_tenants;
        self.is_unusable |= other.is_unusable;
    }
}
