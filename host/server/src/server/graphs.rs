//! The calls that are kept of each tenant's traces (`dependencies.kept`): those who count, those who ask, and the metrics.

use std::sync::Arc;
use std::time::Duration;

use larder_core::clock::TrustedClock;
use larder_core::fair::Scheduler;
use larder_core::telemetry::{DependencyStatistics, Metrics};
use larder_graph::{Config as GraphConfig, Graphs};
use larder_grpc::KeptOfTenants;
use larder_model::storage::Observers;
use larder_search::kept::Kept;

use crate::admin;
use crate::config::Config;

/// Traces that have changed wait for so many times `dependencies.settle_after` until they are counted anew, several at once.
const LATE_WAIT: u32 = 5;
/// Where several hosts write: the longest time between two looks at what the others have marked.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct KeptGraphs {
    graphs: Arc<Graphs>,
}

// === impl KeptGraphs ===

impl KeptGraphs {
    /// `None` if nothing is to be kept. `clock` is the one that marks writes.
    pub(super) fn new(
        config: &Config,
        clock: &Arc<TrustedClock>,
        metrics: &Arc<Metrics>,
        scheduler: &Arc<Scheduler>,
    ) -> Option<Arc<Self>> {
        let dependencies = &config.dependencies;
        if !dependencies.kept {
            return None;
        }
        let clock = Arc::clone(clock);
        let config = GraphConfig {
            clock: Arc::new(move || clock.mark()),
            quiet: dependencies.settle_after,
            late_wait: dependencies.settle_after.saturating_mul(LATE_WAIT),
            look: dependencies.settle_after.min(LONGEST_LOOK),
            ..GraphConfig::default()
        };
        Some(Arc::new(Self {
            graphs: Arc::new(Graphs::new(
                config,
                Arc::clone(metrics),
                Arc::clone(scheduler),
            )),
        }))
    }

    /// What is told of each tenant's writes.
    pub(super) fn observers(&self) -> Arc<dyn Observers> {
        Arc::clone(&self.graphs) as Arc<dyn Observers>
    }
}

impl KeptOfTenants for KeptGraphs {
    fn of(&self, tenant: &str) -> Option<Arc<dyn Kept>> {
        self.graphs.get(tenant)
    }
}

impl admin::Graphs for KeptGraphs {
    fn measure(&self, metrics: &Metrics) {
        let figures = self.graphs.all_figures();
        metrics.dependencies(&DependencyStatistics {
            open_buckets: figures.open_buckets,
            oldest_open: figures.oldest_unsettled.unwrap_or_default(),
            late_traces: figures.late_traces,
            kept_bytes: figures.bytes,
            settling: figures.worked,
            settled_buckets: figures.settled_buckets,
            held_tenants: figures.held_tenants,
            is_backfilled: figures.is_backfilled,
        });
    }
}
