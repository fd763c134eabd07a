//! The registry, and one method per event.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use larder_model::storage::Dropped;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::KvStatistics;
use super::descriptions::{self, MetricDescription};
use super::process::ProcessCollector;
use super::tenant_gauges::TenantGauges;

/// Upper bounds of durations in seconds: OpenTelemetry's for `rpc.server.call.duration`, and three lower ones, as an Export is
/// faster than its lowest.
const SECONDS: [f64; 17] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

type IntGauge = Gauge<u64, AtomicU64>;

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
    clock_jump: IntGauge,
    tenants_open: IntGauge,
    tenant_refused: Family<SettingLabels, Counter>,
    plugin_ready: IntGauge,
    plugin_restarts: Family<ErrorLabels, Counter>,
    plugin_open_failures: Family<ErrorLabels, Counter>,
    plugin_breaches: Family<RuleLabels, Counter>,
    plugin_memory: IntGauge,
    access_refused: Family<ReasonLabels, Counter>,
    reloads: Family<OutcomeLabels, Counter>,
}

#[derive(Default)]
struct StorageMetrics {
    traces: IntGauge,
    /// True if a plugin does not count its traces. The gauge is then left out.
    traces_unknown: AtomicBool,
    spans: IntGauge,
    bytes: IntGauge,
    evicted_traces: Counter,
    evicted_spans: Counter,
    expired_traces: Counter,
    expired_spans: Counter,
}

#[derive(Default)]
struct KvMetrics {
    stored: IntGauge,
    free: IntGauge,
    refused: Counter,
    syncs: Counter,
    sync_time: Counter<f64, AtomicU64>,
    damaged: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
#[expect(clippy::struct_field_names, reason = "the labels of OpenTelemetry")]
struct RpcLabels {
    rpc_system_name: &'static str,
    rpc_method: String,
    rpc_response_status_code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListLabels {
    list: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SettingLabels {
    setting: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    tenant: Arc<str>,
    plugin: Arc<str>,
    error_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    tenant: Arc<str>,
    plugin: Arc<str>,
    rule: String,
}

/// Labels of a series about one tenant's plugin. Such series exist only for tenants whose plugin has failed, so the maximum number of
/// tenants bounds them until an operator purges tenants and new ones come.
#[derive(Clone, Debug)]
pub struct PluginLabels {
    /// The name of the tenant.
    pub tenant: Arc<str>,
    /// The plugin's own name.
    pub plugin: Arc<str>,
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
            clock_jump: register(on, descriptions::CLOCK_JUMP, IntGauge::default()),
            tenants_open: register(on, descriptions::TENANTS_OPEN, IntGauge::default()),
            tenant_refused: register(on, descriptions::TENANT_REFUSED, Family::default()),
            plugin_ready: register(on, descriptions::PLUGIN_READY, IntGauge::default()),
            plugin_restarts: register(on, descriptions::PLUGIN_RESTARTS, Family::default()),
            plugin_open_failures: register(
                on,
                descriptions::PLUGIN_OPEN_FAILURES,
                Family::default(),
            ),
            plugin_breaches: register(on, descriptions::PLUGIN_BREACHES, Family::default()),
            plugin_memory: register(on, descriptions::PLUGIN_MEMORY, IntGauge::default()),
            access_refused: register(on, descriptions::ACCESS_REFUSED, Family::default()),
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
        let storage = &self.storage;
        storage.evicted_traces.inc_by(dropped.evicted_traces);
        storage.evicted_spans.inc_by(dropped.evicted_spans);
        storage.expired_traces.inc_by(dropped.expired_traces);
        storage.expired_spans.inc_by(dropped.expired_spans);
    }

    /// Sets the gauges that are summed over all open tenants.
    pub fn set_gauges(&self, now: &TenantGauges) {
        self.tenants_open.set(now.open);
        self.plugin_ready.set(now.ready);
        self.queue_depth.set(now.queue_depth);
        self.queue_bytes.set(now.queue_bytes);
        self.plugin_memory.set(now.memory);
        self.storage.traces.set(now.traces);
        let unknown = now.traces_unknown > 0;
        self.storage
            .traces_unknown
            .store(unknown, Ordering::Relaxed);
        self.storage.spans.set(now.spans);
        self.storage.bytes.set(now.bytes);
    }

    /// The size of a jump of the system's clock that retention does not believe yet, in seconds; 0 if there is none.
    pub fn clock_jump(&self, seconds: u64) {
        self.clock_jump.set(seconds);
    }

    /// Takes over the statistics of the kv driver.
    pub fn kv(&self, now: &KvStatistics) {
        self.kv.set(now);
    }

    /// The plugin was dropped and is restarted. `error_type` is the cause: `trap`, `deadline`, ...
    pub fn plugin_restarted(&self, plugin: &PluginLabels, error_type: &'static str) {
        let labels = ErrorLabels::new(plugin, error_type);
        self.plugin_restarts.get_or_create(&labels).inc();
    }

    /// A tenant's plugin could not be opened. `error_type` is the cause: `trap`, `deadline`, ...
    pub fn opening_failed(&self, plugin: &PluginLabels, error_type: &'static str) {
        let labels = ErrorLabels::new(plugin, error_type);
        self.plugin_open_failures.get_or_create(&labels).inc();
    }

    /// An answer of the plugin broke the contract. `rule` is the host's name of the rule, never a text of the guest's.
    pub fn contract_broken(&self, plugin: &PluginLabels, rule: &str) {
        let PluginLabels { tenant, plugin } = plugin.clone();
        let labels = RuleLabels {
            tenant,
            plugin,
            rule: rule.to_owned(),
        };
        self.plugin_breaches.get_or_create(&labels).inc();
    }

    /// A call was refused for its token. `reason` is `unauthenticated` or `permission_denied`.
    pub fn access_refused(&self, reason: &'static str) {
        let labels = ReasonLabels { reason };
        self.access_refused.get_or_create(&labels).inc();
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
        text::encode(&mut text, &self.registry).unwrap_or_default();
        if self.storage.traces_unknown.load(Ordering::Relaxed) {
            // A plugin that does not count its traces would make the sum too small.
            let sample = format!("{} ", descriptions::STORAGE_TRACES.name);
            let lines = text.split_inclusive('\n');
            return lines.filter(|line| !line.starts_with(&sample)).collect();
        }
        text
    }

    /// All metrics in the older Prometheus text format (`text/plain; version=0.0.4`). There a counter has the same name in comments and
    /// samples, and there are no units and no end mark.
    pub fn encode_plain(&self) -> String {
        let mut plain = String::new();
        for line in self.encode().lines() {
            if line.starts_with("# UNIT ") || line == "# EOF" {
                continue;
            }
            match line.strip_prefix("# ").and_then(with_plain_name) {
                Some(comment) => plain.push_str(&comment),
                None => plain.push_str(line),
            }
            plain.push('\n');
        }
        plain
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

// === impl ErrorLabels ===

impl ErrorLabels {
    fn new(plugin: &PluginLabels, error_type: &'static str) -> Self {
        let PluginLabels { tenant, plugin } = plugin.clone();
        Self {
            tenant,
            plugin,
            error_type,
        }
    }
}

// === impl StorageMetrics ===

impl StorageMetrics {
    fn register(on: &mut Registry) -> Self {
        Self {
            traces: register(on, descriptions::STORAGE_TRACES, IntGauge::default()),
            traces_unknown: AtomicBool::new(false),
            spans: register(on, descriptions::STORAGE_SPANS, IntGauge::default()),
            bytes: register(on, descriptions::STORAGE_BYTES, IntGauge::default()),
            evicted_traces: register(on, descriptions::EVICTED_TRACES, Counter::default()),
            evicted_spans: register(on, descriptions::EVICTED_SPANS, Counter::default()),
            expired_traces: register(on, descriptions::EXPIRED_TRACES, Counter::default()),
            expired_spans: register(on, descriptions::EXPIRED_SPANS, Counter::default()),
        }
    }
}

// === impl KvMetrics ===

impl KvMetrics {
    fn register(on: &mut Registry) -> Self {
        Self {
            stored: register(on, descriptions::KV_STORED, IntGauge::default()),
            free: register(on, descriptions::KV_FREE, IntGauge::default()),
            refused: register(on, descriptions::KV_REFUSED, Counter::default()),
            syncs: register(on, descriptions::KV_SYNCS, Counter::default()),
            sync_time: register(on, descriptions::KV_SYNC_TIME, Counter::default()),
            damaged: register(on, descriptions::KV_DAMAGED, Counter::default()),
        }
    }

    fn set(&self, now: &KvStatistics) {
        self.stored.set(now.stored_bytes);
        self.free.set(now.free_bytes.unwrap_or_default());
        let seconds = now.sync_time.as_secs_f64();
        // The driver counts, so its totals replace ours.
        for (counter, value) in [
            (self.refused.inner(), now.refused_for_space),
            (self.syncs.inner(), now.syncs),
            (self.sync_time.inner(), seconds.to_bits()),
            (self.damaged.inner(), now.damaged),
        ] {
            counter.store(value, Ordering::Relaxed);
        }
    }
}

/// Registers a metric under its description and returns it.
fn register<M: Metric + Clone>(on: &mut Registry, described: MetricDescription, metric: M) -> M {
    match described.name_and_unit() {
        (name, Some(unit)) => {
            on.register_with_unit(name, described.meaning, unit, metric.clone());
        }
        (name, None) => on.register(name, described.meaning, metric.clone()),
    }
    metric
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

fn powers_of_four(from: f64, buckets: u16) -> Histogram {
    Histogram::new(exponential_buckets(from, 4.0, buckets))
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a histogram's sum is a double: counts beyond 2^53 may lose their last bits"
)]
fn float(number: u64) -> f64 {
    number as f64
}

/// A `HELP name text` or `TYPE name kind` in the form of version 0.0.4, if it differs.
fn with_plain_name(comment: &str) -> Option<String> {
    let (keyword, rest) = comment.split_once(' ')?;
    let (name, text) = rest.split_once(' ')?;
    let metric = descriptions::METRICS
        .iter()
        .find(|metric| metric.name == name)?;
    match (metric.kind, keyword) {
        (descriptions::MetricKind::Counter, _) => Some(format!("# {keyword} {name}_total {text}")),
        (descriptions::MetricKind::Info, "TYPE") => Some(format!("# TYPE {name}_info gauge")),
        (descriptions::MetricKind::Info, _) => Some(format!("# {keyword} {name}_info {text}")),
        (descriptions::MetricKind::Gauge | descriptions::MetricKind::Histogram, _) => None,
    }
}

#[cfg(test)]
mod tests;
