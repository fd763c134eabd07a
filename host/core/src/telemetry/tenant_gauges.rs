//! Gauges that are summed over tenants at each scrape. A gauge that each tenant set by itself would show the last tenant's value.

use std::ops::AddAssign;

/// Gauges of one tenant, or their sum over tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantGauges {
    /// Tenants whose plugin is open.
    pub open: u64,
    /// Tenants whose plugin accepts calls.
    pub ready: u64,
    /// Unanswered writes.
    pub queue_depth: u64,
    /// Bytes of those writes.
    pub queue_bytes: u64,
    /// Bytes of linear memory of all instances.
    pub memory: u64,
    /// Traces stored now.
    pub traces: u64,
    /// Tenants whose plugin stores spans and does not count traces.
    pub traces_unknown: u64,
    /// Spans stored now.
    pub spans: u64,
    /// When the oldest of them was written, in nanoseconds since the Unix epoch.
    pub oldest_write: Option<u64>,
    /// Tenants whose plugin stores spans and does not tell when the oldest was written.
    pub oldest_write_unknown: u64,
    /// Bytes stored now, as the plugins measure them.
    pub bytes: u64,
}

impl AddAssign for TenantGauges {
    fn add_assign(&mut self, other: Self) {
        // Plugins report some of these, and may report any number.
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        add(&mut self.open, other.open);
        add(&mut self.ready, other.ready);
        add(&mut self.queue_depth, other.queue_depth);
        add(&mut self.queue_bytes, other.queue_bytes);
        add(&mut self.memory, other.memory);
        add(&mut self.traces, other.traces);
        add(&mut self.traces_unknown, other.traces_unknown);
        add(&mut self.spans, other.spans);
        let times = self.oldest_write.into_iter().chain(other.oldest_write);
        self.oldest_write = times.min();
        add(&mut self.oldest_write_unknown, other.oldest_write_unknown);
        add(&mut self.bytes, other.bytes);
    }
}
