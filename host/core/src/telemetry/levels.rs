//! What rises and falls with each tenant, summed up when metrics are read: a gauge that each tenant set would show the last one's.

use std::ops::AddAssign;

/// The levels of one tenant, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Tenants whose plugin is open.
    pub open: u64,
    /// Tenants whose plugin takes calls.
    pub ready: u64,
    /// Writes that have not been answered yet.
    pub queue_depth: u64,
    /// Their bytes.
    pub queue_bytes: u64,
    /// Linear memory of all instances, in bytes.
    pub memory: u64,
    /// Traces stored now.
    pub traces: u64,
    /// Spans stored now.
    pub spans: u64,
    /// Bytes stored now, as plugins measure them.
    pub bytes: u64,
}

impl AddAssign for Levels {
    fn add_assign(&mut self, other: Self) {
        // Three of them are what a plugin says, which may be anything.
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        add(&mut self.open, other.open);
        add(&mut self.ready, other.ready);
        add(&mut self.queue_depth, other.queue_depth);
        add(&mut self.queue_bytes, other.queue_bytes);
        add(&mut self.memory, other.memory);
        add(&mut self.traces, other.traces);
        add(&mut self.spans, other.spans);
        add(&mut self.bytes, other.bytes);
    }
}
