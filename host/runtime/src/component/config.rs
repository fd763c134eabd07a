//! The configuration of a plugin.

use std::time::Duration;

use super::Source;
use crate::sandbox::Grants;

/// One tenant's plugin: which, with which settings of its own, and within which limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PluginConfig {
    /// Where the component comes from.
    pub source: Source,
    /// Handed to the plugin's `open`, which refuses what it does not know.
    pub settings: Vec<(String, String)>,
    /// Its limits.
    pub limits: Limits,
    /// What it is granted besides its sandbox.
    pub grants: Grants,
}

/// Limits of a plugin and of the queue before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Linear memory and tables of one instance, in bytes. A plugin with readers of their own has it once for each.
    pub memory: u64,
    /// Time limit of one call.
    pub call_timeout: Duration,
    /// Exports that wait to be written, in bytes.
    pub queue_bytes: usize,
    /// Exports that wait to be written, and reads that wait to be answered, by number.
    pub queue_depth: usize,
    /// Bytes that the plugin may log in a second. The rest is dropped and counted.
    pub log_bytes: u64,
    /// Interval between calls of `maintain`, unless the last call left more to do.
    pub maintain_every: Duration,
    /// Delay before a plugin that failed again soon after its restart is started. Doubled each time, up to 30 s.
    pub restart_delay: Duration,
    /// The most instances that read beside the writer (plugins with `replicated` instancing).
    pub readers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            call_timeout: Duration::from_secs(10),
            queue_bytes: 64 << 20,
            queue_depth: 1024,
            log_bytes: 64 << 10,
            maintain_every: Duration::from_secs(1),
            restart_delay: Duration::from_millis(100),
            readers: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}
