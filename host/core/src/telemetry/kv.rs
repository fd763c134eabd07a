//! The counters of a kv driver.

use std::time::Duration;

/// What a driver counts, for the operator's metrics. One that does not count leaves zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvStatistics {
    /// What all namespaces take up, compressed, less what has been reclaimed; in bytes.
    pub stored_bytes: u64,
    /// What the disk has left, where that is known; in bytes.
    pub free_bytes: Option<u64>,
    /// Calls refused because the disk or the tenant's quota was full.
    pub refused_for_space: u64,
    /// Syncs that brought something to disk.
    pub syncs: u64,
    /// The time that those syncs took.
    pub sync_time: Duration,
    /// Stored values that could not be read back; counted each time.
    pub damaged: u64,
}
