//! Statistics of the calls that are kept of traces, for `GetDependencies`.

use std::time::Duration;

/// Sums over all open tenants, but for what has been spent since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DependencyStatistics {
    /// Stretches of time that were written to, and of whose traces the calls are not kept yet.
    pub open_buckets: u64,
    /// For how long the first of them has waited; zero if there is none.
    pub oldest_open: Duration,
    /// Traces with spans that came later, and are judged by each query.
    pub late_traces: u64,
    /// Bytes of what is kept, before compression.
    pub kept_bytes: u64,
    /// Time spent on judging traces to keep their calls, with reading them and waiting for others, since the start.
    pub settling: Duration,
    /// Stretches whose calls are kept.
    pub settled_buckets: u64,
    /// Tenants of a shared store on whose calls this host works.
    pub held_tenants: u64,
    /// True once the calls of everything that was stored before are kept.
    pub is_backfilled: bool,
}
