//! Statistics of a kv driver.

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
