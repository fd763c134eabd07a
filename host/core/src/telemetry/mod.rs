//! Metrics and logs of a running server.
//!
//! Architecture invariant: nothing here knows tonic, wasmtime or a kv driver. Callers report events to methods of [`Metrics`], and only
//! this module decides the names of metrics.

mod chain;
mod dependencies;
mod descriptions;
mod kv;
pub mod logs;
mod metrics;
mod process;
mod tenant_gauges;

pub use chain::Chain;
pub use dependencies::DependencyStatistics;
pub use descriptions::{METRICS, MetricDescription, MetricKind};
pub use kv::{KvStatistics, STATEMENT_BOUNDS, StatementStatistics};
pub use metrics::{Metrics, PluginLabels, TenantSeries, only_tenants};
pub use tenant_gauges::TenantGauges;
