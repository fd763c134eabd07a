//! The calls that are kept of each tenant's traces (`dependencies.kept`): those who count, those who ask, and the metrics.

use std::sync::Arc;

use larder_core::clock::TrustedClock;
use larder_core::telemetry::{DependencyStatistics, Metrics};
use larder_graph::{Config as GraphConfig, Graphs};
use larder_grpc::KeptOfTenants;
use larder_model::storage::Observers;
use larder_search::kept::Kept;

use crate::admin;
use crate::config::Config;

/// Traces that have changed wait for so many times `dependencies.settle_after` until they are counted anew, several at once.
const LATE_WAIT: u32 = 5;

/// See the module. Clones share everything.
#[derive(Clone)]
pub(super) struct KeptGraphs(Arc<Graphs>);

// === impl KeptGraphs ===

impl KeptGraphs {
    /// `None` if nothing is to be kept. `clock` is the one that marks writes.
    pub(super) fn new(config: &Config, clock: &Arc<TrustedClock>) -> Option<Self> {
        let dependencies = &config.dependencies;
        dependencies.kept.then(|| {
            let clock = Arc::clone(clock);
            Self(Arc::new(Graphs::new(GraphConfig {
                clock: Arc::new(move || clock.mark()),
                quiet: dependencies.settle_after,
                late_wait: dependencies.settle_after.saturating_mul(LATE_WAIT),
                ..GraphConfig::default()
            })))
        })
    }

    /// What is told of each tenant's writes.
    pub(super) fn observers(&self) -> Arc<dyn Observers> {
        Arc::clone(&self.0) as Arc<dyn Observers>
    }
}

impl KeptOfTenants for KeptGraphs {
    fn of(&self, tenant: &str) -> Option<Arc<dyn Kept>> {
        let graph = self.0.get(tenant)?;
        Some(graph)
    }
}

impl admin::Graphs for KeptGraphs {
    fn measure(&self, metrics: &Metrics) {
        let figures = self.0.figures();
        metrics.dependencies(&DependencyStatistics {
            open_buckets: figures.open_buckets,
            oldest_open: figures.oldest_open,
            late_traces: figures.late_traces,
            kept_bytes: figures.kept_bytes,
            settling: figures.settling,
        });
    }
}
