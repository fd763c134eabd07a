//! The metrics of the calls that a server keeps of its traces, and the wait until it has them all.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::admin;

/// What a server tells of the calls that it keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Kept {
    /// Stretches of time whose calls it does not keep yet.
    open_buckets: f64,
    /// Traces that have changed since their calls were kept.
    late_traces: f64,
    /// The time that keeping has taken since the server's start, in seconds.
    pub(super) settling_seconds: f64,
    /// Bytes that it keeps.
    pub(super) bytes: f64,
}

// === impl Kept ===

impl Kept {
    /// Reads the metrics; `None` if the server keeps nothing.
    pub(super) fn read(metrics: &str) -> Option<Self> {
        let sum = |name| admin::sum(metrics, name);
        Some(Self {
            open_buckets: sum("larder_dependencies_open_buckets")?,
            late_traces: sum("larder_dependencies_late_traces").unwrap_or_default(),
            // A counter.
            settling_seconds: sum("larder_dependencies_settling_seconds_total").unwrap_or_default(),
            bytes: sum("larder_dependencies_kept_bytes").unwrap_or_default(),
        })
    }

    /// True if every trace's calls are kept.
    fn is_settled(self) -> bool {
        self.open_buckets <= 0.0 && self.late_traces <= 0.0
    }
}

/// Asks a server's admin port now; `None` if the server keeps nothing.
pub(super) async fn of(admin: &str) -> Result<Option<Kept>> {
    Ok(Kept::read(&admin::metrics(admin).await?))
}

/// Asks every `pause` until all is settled. Fails if that takes longer than `longest`. Does not wait for a server that keeps nothing.
pub(super) async fn settled(
    admin: &str,
    pause: Duration,
    longest: Duration,
) -> Result<Option<Kept>> {
    let started = Instant::now();
    loop {
        let Some(kept) = of(admin).await? else {
            return Ok(None);
        };
        if kept.is_settled() {
            return Ok(Some(kept));
        }
        ensure!(
            started.elapsed() < longest,
            "after {} s, {} stretches of time and {} late traces have not settled; --settle-timeout takes more seconds",
            longest.as_secs(),
            kept.open_buckets,
            kept.late_traces
        );
        tokio::time::sleep(pause).await;
    }
}
