//! Statistics of a kv driver, and of the statements that it sends to a store elsewhere.

use std::time::Duration;

/// Statistics of a driver, for the metrics. A driver that does not count leaves zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvStatistics {
    /// Compressed bytes of all namespaces, less reclaimed ones.
    pub stored_bytes: u64,
    /// Free bytes of the disk, if known.
    pub free_bytes: Option<u64>,
    /// Calls refused because the disk or the tenant's quota was full.
    pub refused_for_space: u64,
    /// Syncs that wrote something to disk.
    pub syncs: u64,
    /// Total time of those syncs.
    pub sync_time: Duration,
    /// Reads of stored values that failed.
    pub damaged: u64,
}

/// Upper bounds of the durations of statements that are counted apart, in microseconds.
pub const STATEMENT_BOUNDS: [u64; 17] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000,
    1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

/// What one kind of statement has cost since the start.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementStatistics {
    /// Name of the statement.
    pub name: &'static str,
    /// Times that the driver executed it, its own repetitions included.
    pub calls: u64,
    /// Times that this failed.
    pub errors: u64,
    /// Times that it was sent to another node within a call, after one had failed.
    pub retries: u64,
    /// Times that it was sent to another node within a call, as one was slow.
    pub speculative: u64,
    /// Time of all calls until their answer, in seconds.
    pub seconds: f64,
    /// Calls that took no longer than each of [`STATEMENT_BOUNDS`] and longer than the one before, and last those that took longer than all.
    pub buckets: [u64; STATEMENT_BOUNDS.len() + 1],
}
