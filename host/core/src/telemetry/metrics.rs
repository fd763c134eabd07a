//! The registry, and one method per event.

mod instruments;
mod labels;
mod statements;
mod storage;
mod tenants;
mod text;

use std::fmt;
use std::sync::Arc;

use larder_model::TenantName;
use larder_model::storage::Dropped;
use prometheus_client::encoding;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use self::labels::PluginLabels;
pub use self::tenants::TenantSeries;
pub use self::text::only_tenants;

use self::instruments::{IntGauge, float, powers_of_four, register, seconds};
use self::labels::{
    ConnectionLabels, DirectionLabels, ErrorLabels, ListLabels, OutcomeLabels, ReasonLabels,
    RefusedLabels, RpcLabels, RuleLabels, SettingLabels,
};
use self::statements::StatementCollector;
use self::storage::{DependencyMetrics, KvMetrics, StorageMetrics};
use self::tenants::TenantFamilies;
use super::descriptions;
use super::process::ProcessCollector;
use super::tenant_gauges::TenantGauges;
use super::{DependencyStatistics, KvStatistics, StatementStatistics};

/// All metrics of the server. Shared as an `Arc`; every method is cheap and may be called from any thread.
pub struct Metrics {
    registry: Registry,
    rpc: Family<RpcLabels, Histogram, fn() -> Histogram>,
    ingest_spans: Counter,
    ingest_bytes: Counter,
    ingest_refused: Family<ReasonLabels, Counter>,
    ingest_refused_requests: Family<ReasonLabels, Counter>,
    write_duration: Histogram,
    write_fragments: Histogram,
    queue_depth: IntGauge,
    queue_bytes: IntGauge,
    query_judged: Histogram,
    query_pages: Histogram,
    query_bytes: Histogram,
    query_incomplete: Family<ReasonLabels, Counter>,
    query_cut: Family<ListLabels, Counter>,
    storage: StorageMetrics,
    kv: KvMetrics,
    statements: StatementCollector,
    dependencies: DependencyMetrics,
    clock_jump: IntGauge,
    tenants_open: IntGauge,
    tenant_refused: Family<SettingLabels, Counter>,
    tenants: Arc<TenantFamilies>,
    plugin_ready: IntGauge,
    plugin_restarts: Family<ErrorLabels, Counter>,
    plugin_open_failures: Family<ErrorLabels, Counter>,
    plugin_breaches: Family<RuleLabels, Counter>,
    plugin_connections: Family<ConnectionLabels, Counter>,
    plugin_connections_refused: Family<RefusedLabels, Counter>,
    plugin_network: Family<DirectionLabels, Counter>,
    plugin_memory: IntGauge,
    access_refused: Family<ReasonLabels, Counter>,
    certificate_end: Family<SettingLabels, Gauge>,
    reloads: Family<OutcomeLabels, Counter>,
}

// === impl Metrics ===

impl Metrics {
    /// A separate registry, so that two servers in one process (as in tests) do not share counters.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let on = &mut registry;
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        on.register(
            descriptions::BUILD.name,
            descriptions::BUILD.meaning,
            version,
        );
        on.register_collector(Box::new(ProcessCollector::new()));
        let statements = StatementCollector::default();
        on.register_collector(Box::new(statements.clone()));
        let metrics = Self {
            rpc: register(
                on,
                descriptions::RPC_DURATION,
                Family::new_with_constructor(seconds),
            ),
            ingest_spans: register(on, descriptions::INGEST_SPANS, Counter::default()),
            ingest_bytes: register(on, descriptions::INGEST_BYTES, Counter::default()),
            ingest_refused: register(on, descriptions::INGEST_REFUSED, Family::default()),
            ingest_refused_requests: register(
                on,
                descriptions::INGEST_REFUSED_REQUESTS,
                Family::default(),
            ),
            write_duration: register(on, descriptions::WRITE_DURATION, seconds()),
            write_fragments: register(on, descriptions::WRITE_FRAGMENTS, powers_of_four(1.0, 9)),
            queue_depth: register(on, descriptions::QUEUE_DEPTH, IntGauge::default()),
            queue_bytes: register(on, descriptions::QUEUE_BYTES, IntGauge::default()),
            query_judged: register(on, descriptions::QUERY_JUDGED, powers_of_four(1.0, 14)),
            query_pages: register(on, descriptions::QUERY_PAGES, powers_of_four(1.0, 7)),
            query_bytes: register(on, descriptions::QUERY_BYTES, powers_of_four(1024.0, 12)),
            query_incomplete: register(on, descriptions::QUERY_INCOMPLETE, Family::default()),
            query_cut: register(on, descriptions::QUERY_CUT, Family::default()),
            storage: StorageMetrics::register(on),
            kv: KvMetrics::register(on),
            statements,
            dependencies: DependencyMetrics::register(on),
            clock_jump: register(on, descriptions::CLOCK_JUMP, IntGauge::default()),
            tenants_open: register(on, descriptions::TENANTS_OPEN, IntGauge::default()),
            tenant_refused: register(on, descriptions::TENANT_REFUSED, Family::default()),
            tenants: TenantFamilies::register(on),
            plugin_ready: register(on, descriptions::PLUGIN_READY, IntGauge::default()),
            plugin_restarts: register(on, descriptions::PLUGIN_RESTARTS, Family::default()),
            plugin_open_failures: register(
                on,
                descriptions::PLUGIN_OPEN_FAILURES,
                Family::default(),
            ),
            plugin_breaches: register(on, descriptions::PLUGIN_BREACHES, Family::default()),
            plugin_connections: register(on, descriptions::PLUGIN_CONNECTIONS, Family::default()),
            plugin_connections_refused: register(
                on,
                descriptions::PLUGIN_CONNECTIONS_REFUSED,
                Family::default(),
            ),
            plugin_network: register(on, descriptions::PLUGIN_NETWORK, Family::default()),
            plugin_memory: register(on, descriptions::PLUGIN_MEMORY, IntGauge::default()),
            access_refused: register(on, descriptions::ACCESS_REFUSED, Family::default()),
            certificate_end: register(on, descriptions::CERTIFICATE_END, Family::default()),
            reloads: register(on, descriptions::RELOADS, Family::default()),
            registry,
        };
        metrics.start_from_zero();
        metrics
    }

    /// Makes the series of counters with labels that are known. A rate over a series that appears with its first event misses that event.
    fn start_from_zero(&self) {
        for reason in ["unauthenticated", "permission_denied"] {
            drop(self.access_refused.get_or_create(&ReasonLabels { reason }));
        }
        for reason in ["parent_span_id", "link_id", "nesting"] {
            drop(
                self.query_incomplete
                    .get_or_create(&ReasonLabels { reason }),
            );
        }
        let of_requests = ReasonLabels {
            reason: "malformed",
        };
        drop(self.ingest_refused_requests.get_or_create(&of_requests));
        for list in [
            "services",
            "operations",
            "trace_ids",
            "dependencies",
            "search_depth",
            "values",
        ] {
            drop(self.query_cut.get_or_create(&ListLabels { list }));
        }
        for outcome in ["taken", "unchanged", "partial", "refused"] {
            drop(self.reloads.get_or_create(&OutcomeLabels { outcome }));
        }
        for setting in [
            "limits.spans_per_second",
            "limits.concurrent_queries",
            "limits.query_queue_bytes",
        ] {
            drop(
                self.tenant_refused
                    .get_or_create(&SettingLabels { setting }),
            );
        }
    }

    /// A gRPC call ended. `method` is the full name of an existing method without the leading slash
    /// (`jaeger.storage.v2.TraceReader/FindTraces`), `code` the name of the status code (`OK`).
    pub fn rpc(&self, method: &str, code: &str, seconds: f64) {
        let labels = RpcLabels {
            rpc_system_name: "grpc",
            rpc_method: method.to_owned(),
            rpc_response_status_code: code.to_owned(),
        };
        self.rpc.get_or_create(&labels).observe(seconds);
    }

    /// An Export request arrived: its spans, refused ones included, and its bytes after decompression.
    pub fn received(&self, spans: u64, bytes: u64) {
        self.ingest_spans.inc_by(spans);
        self.ingest_bytes.inc_by(bytes);
    }

    /// Spans were refused by `partial_success` (E3).
    pub fn refused(&self, reason: &'static str, spans: u64) {
        let labels = ReasonLabels { reason };
        self.ingest_refused.get_or_create(&labels).inc_by(spans);
    }

    /// An Export request was refused whole.
    pub fn refused_request(&self, reason: &'static str) {
        let labels = ReasonLabels { reason };
        self.ingest_refused_requests.get_or_create(&labels).inc();
    }

    /// A call was refused because its tenant was at a quota.
    pub fn quota_refused(&self, setting: &'static str) {
        let labels = SettingLabels { setting };
        self.tenant_refused.get_or_create(&labels).inc();
    }

    /// A plugin has evicted or expired traces since it was last asked.
    pub fn dropped(&self, dropped: &Dropped) {
        self.storage.dropped(dropped);
    }

    /// Sets the gauges that are summed over all open tenants.
    pub fn set_gauges(&self, now: &TenantGauges) {
        self.tenants_open.set(now.open);
        self.plugin_ready.set(now.ready);
        self.queue_depth.set(now.queue_depth);
        self.queue_bytes.set(now.queue_bytes);
        self.plugin_memory.set(now.memory);
        self.storage.set(now);
    }

    /// The series of a tenant. They are removed when the last `Arc` is dropped.
    pub fn tenant(&self, tenant: &TenantName) -> Arc<TenantSeries> {
        self.tenants.of(tenant)
    }

    /// Sets the gauges of tenants.
    pub fn set_tenants(&self, tenants: &[(Arc<TenantSeries>, TenantGauges)]) {
        self.tenants.set(tenants);
    }

    /// The size of a jump of the system's clock that retention does not believe yet, in seconds; 0 if there is none.
    pub fn clock_jump(&self, seconds: u64) {
        self.clock_jump.set(seconds);
    }

    /// Takes over the statistics of the kv driver.
    pub fn kv(&self, now: &KvStatistics) {
        self.kv.set(now);
    }

    /// Takes over the statistics of the statements that the kv driver sends. Empty for a driver that sends none.
    pub fn kv_statements(&self, now: Vec<StatementStatistics>) {
        self.statements.set(now);
    }

    /// Takes over the statistics of the calls that are kept of traces.
    pub fn dependencies(&self, now: &DependencyStatistics) {
        self.dependencies.set(now);
    }

    /// Traces were judged to answer a query for dependencies.
    pub fn dependencies_judged(&self, traces: u64) {
        self.dependencies.judged(traces);
    }

    /// The plugin was dropped and is restarted. `error_type` is the cause: `trap`, `deadline`, ...
    pub fn plugin_restarted(&self, plugin: &PluginLabels, error_type: &'static str) {
        let labels = self.error_labels(plugin, error_type);
        self.plugin_restarts.get_or_create(&labels).inc();
    }

    /// A tenant's plugin could not be opened. `error_type` is the cause: `trap`, `deadline`, ...
    pub fn opening_failed(&self, plugin: &PluginLabels, error_type: &'static str) {
        let labels = self.error_labels(plugin, error_type);
        self.plugin_open_failures.get_or_create(&labels).inc();
    }

    /// An answer of the plugin broke the contract. `rule` is the host's name of the rule, never a text of the guest's.
    pub fn contract_broken(&self, plugin: &PluginLabels, rule: &str) {
        let labels = RuleLabels {
            tenant: self.tenants.label(&plugin.tenant),
            plugin: Arc::clone(&plugin.plugin),
            rule: rule.to_owned(),
        };
        self.plugin_breaches.get_or_create(&labels).inc();
    }

    /// A plugin has made a connection that it is granted.
    pub fn plugin_connected(&self, plugin: &PluginLabels) {
        let labels = ConnectionLabels {
            tenant: self.tenants.label(&plugin.tenant),
            plugin: Arc::clone(&plugin.plugin),
        };
        self.plugin_connections.get_or_create(&labels).inc();
    }

    /// A plugin was refused something of the network.
    pub fn plugin_connection_refused(&self, plugin: &PluginLabels, reason: &'static str) {
        let labels = RefusedLabels {
            tenant: self.tenants.label(&plugin.tenant),
            plugin: Arc::clone(&plugin.plugin),
            reason,
        };
        self.plugin_connections_refused.get_or_create(&labels).inc();
    }

    /// A plugin has sent or received bytes. `direction` is `transmit` or `receive`.
    pub fn plugin_moved(&self, plugin: &PluginLabels, direction: &'static str, bytes: u64) {
        let labels = DirectionLabels {
            tenant: self.tenants.label(&plugin.tenant),
            plugin: Arc::clone(&plugin.plugin),
            network_io_direction: direction,
        };
        self.plugin_network.get_or_create(&labels).inc_by(bytes);
    }

    fn error_labels(&self, plugin: &PluginLabels, error_type: &'static str) -> ErrorLabels {
        ErrorLabels {
            tenant: self.tenants.label(&plugin.tenant),
            plugin: Arc::clone(&plugin.plugin),
            error_type,
        }
    }

    /// A call was refused for its token. `reason` is `unauthenticated` or `permission_denied`.
    pub fn access_refused(&self, reason: &'static str) {
        let labels = ReasonLabels { reason };
        self.access_refused.get_or_create(&labels).inc();
    }

    /// When the certificates of a file end, in seconds since the Unix epoch; `None` if that cannot be read. `setting` names the file.
    pub fn certificate_end(&self, setting: &'static str, seconds: Option<i64>) {
        let labels = SettingLabels { setting };
        match seconds {
            Some(seconds) => {
                self.certificate_end.get_or_create(&labels).set(seconds);
            }
            None => {
                self.certificate_end.remove(&labels);
            }
        }
    }

    /// The configuration was reloaded. `outcome` is `taken`, `unchanged`, `partial` or `refused`.
    pub fn reloaded(&self, outcome: &'static str) {
        self.reloads.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// The plugin stored a batch.
    pub fn write(&self, fragments: usize, seconds: f64) {
        self.write_fragments.observe(float(wide(fragments)));
        self.write_duration.observe(seconds);
    }

    /// A query ended: spans judged, pages requested, bytes read.
    pub fn query(&self, judged_spans: u64, pages: u64, bytes: u64) {
        self.query_judged.observe(float(judged_spans));
        self.query_pages.observe(float(pages));
        self.query_bytes.observe(float(bytes));
    }

    /// Spans were answered without their parent's span id (`parent_span_id`) or without a link (`link_id`), which Jaeger cannot decode.
    pub fn incomplete(&self, reason: &'static str, spans: u64) {
        if spans > 0 {
            let labels = ReasonLabels { reason };
            self.query_incomplete.get_or_create(&labels).inc_by(spans);
        }
    }

    /// A limit cut a list of an answer: `services`, `operations`, ...
    pub fn cut(&self, list: &'static str) {
        self.query_cut.get_or_create(&ListLabels { list }).inc();
    }

    /// All metrics in the `OpenMetrics` text format (`application/openmetrics-text; version=1.0.0`).
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        encoding::text::encode(&mut text, &self.registry).unwrap_or_default();
        text
    }

    /// All metrics in the older Prometheus text format (`text/plain; version=0.0.4`). There a counter has the same name in comments and
    /// samples, and there are no units and no end mark.
    pub fn encode_plain(&self) -> String {
        text::plain(&self.encode())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
