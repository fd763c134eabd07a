//! The registry, and one method for each thing that happens.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_model::storage::Dropped;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::KvStatistics;
use super::described::{self as told, Described};
use super::levels::Levels;
use super::process::Process;

/// Upper bounds of durations in seconds: OpenTelemetry's for `rpc.server.call.duration`, and three below, as an Export is
/// faster than its lowest.
const SECONDS: [f64; 17] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

type Level = Gauge<u64, AtomicU64>;

/// All metrics of the server. Shared as an `Arc`; every method is cheap and may be called from any thread.
pub struct Metrics {
    registry: Registry,
    rpc: Family<RpcLabels, Histogram, fn() -> Histogram>,
    ingest_spans: Counter,
    ingest_bytes: Counter,
    ingest_refused: Family<ReasonLabels, Counter>,
    write_duration: Histogram,
    write_fragments: Histogram,
    queue_depth: Level,
    queue_bytes: Level,
    query_judged: Histogram,
    query_pages: Histogram,
    query_bytes: Histogram,
    query_incomplete: Family<ReasonLabels, Counter>,
    storage: Storage,
    kv: Kv,
    tenants_open: Level,
    tenant_refused: Family<SettingLabels, Counter>,
    plugin_ready: Level,
    plugin_restarts: Family<ErrorLabels, Counter>,
    plugin_open_failures: Family<ErrorLabels, Counter>,
    plugin_breaches: Family<RuleLabels, Counter>,
    plugin_memory: Level,
    reloads: Family<OutcomeLabels, Counter>,
}

#[derive(Default)]
struct Storage {
    traces: Level,
    spans: Level,
    bytes: Level,
    evicted_traces: Counter,
    evicted_spans: Counter,
    expired_traces: Counter,
    expired_spans: Counter,
}

#[derive(Default)]
struct Kv {
    stored: Level,
    free: Level,
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

/// Whose plugin a series is about. There are no more than there may be tenants, of those whose plugins have failed, until an operator
/// purges some and others come.
#[derive(Clone, Debug)]
pub struct Whose {
    /// The name of the tenant.
    pub tenant: Arc<str>,
    /// What the plugin calls itself.
    pub plugin: Arc<str>,
}

// === impl Metrics ===

impl Metrics {
    /// A registry of its own, so that two servers in one process (as in tests) do not count together.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let on = &mut registry;
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        on.register(told::BUILD.name, told::BUILD.meaning, version);
        on.register_collector(Box::new(Process::new()));
        Self {
            rpc: register(
                on,
                told::RPC_DURATION,
                Family::new_with_constructor(seconds),
            ),
            ingest_spans: register(on, told::INGEST_SPANS, Counter::default()),
            ingest_bytes: register(on, told::INGEST_BYTES, Counter::default()),
            ingest_refused: register(on, told::INGEST_REFUSED, Family::default()),
            write_duration: register(on, told::WRITE_DURATION, seconds()),
            write_fragments: register(on, told::WRITE_FRAGMENTS, powers_of_four(1.0, 9)),
            queue_depth: register(on, told::QUEUE_DEPTH, Level::default()),
            queue_bytes: register(on, told::QUEUE_BYTES, Level::default()),
            query_judged: register(on, told::QUERY_JUDGED, powers_of_four(1.0, 14)),
            query_pages: register(on, told::QUERY_PAGES, powers_of_four(1.0, 7)),
            query_bytes: register(on, told::QUERY_BYTES, powers_of_four(1024.0, 12)),
            query_incomplete: register(on, told::QUERY_INCOMPLETE, Family::default()),
            storage: Storage::register(on),
            kv: Kv::register(on),
            tenants_open: register(on, told::TENANTS_OPEN, Level::default()),
            tenant_refused: register(on, told::TENANT_REFUSED, Family::default()),
            plugin_ready: register(on, told::PLUGIN_READY, Level::default()),
            plugin_restarts: register(on, told::PLUGIN_RESTARTS, Family::default()),
            plugin_open_failures: register(on, told::PLUGIN_OPEN_FAILURES, Family::default()),
            plugin_breaches: register(on, told::PLUGIN_BREACHES, Family::default()),
            plugin_memory: register(on, told::PLUGIN_MEMORY, Level::default()),
            reloads: register(on, told::RELOADS, Family::default()),
            registry,
        }
    }

    /// A gRPC call ended. `method` is the full name without the leading slash (`jaeger.storage.v2.TraceReader/FindTraces`) of
    /// a method that exists, `code` the name of the status code (`OK`).
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

    /// A call was refused because its tenant was at a quota.
    pub fn quota_refused(&self, setting: &'static str) {
        let labels = SettingLabels { setting };
        self.tenant_refused.get_or_create(&labels).inc();
    }

    /// A plugin says that it has dropped something since it was asked last.
    pub fn dropped(&self, dropped: &Dropped) {
        let storage = &self.storage;
        storage.evicted_traces.inc_by(dropped.evicted_traces);
        storage.evicted_spans.inc_by(dropped.evicted_spans);
        storage.expired_traces.inc_by(dropped.expired_traces);
        storage.expired_spans.inc_by(dropped.expired_spans);
    }

    /// What all open tenants come to at this moment.
    pub fn levels(&self, now: &Levels) {
        self.tenants_open.set(now.open);
        self.plugin_ready.set(now.ready);
        self.queue_depth.set(now.queue_depth);
        self.queue_bytes.set(now.queue_bytes);
        self.plugin_memory.set(now.memory);
        self.storage.traces.set(now.traces);
        self.storage.spans.set(now.spans);
        self.storage.bytes.set(now.bytes);
    }

    /// What the kv driver counts.
    pub fn kv(&self, now: &KvStatistics) {
        self.kv.set(now);
    }

    /// The plugin was dropped and is started afresh. `error_type` is what it did: `trap`, `deadline`, ...
    pub fn plugin_restarted(&self, whose: &Whose, error_type: &'static str) {
        let labels = ErrorLabels::new(whose, error_type);
        self.plugin_restarts.get_or_create(&labels).inc();
    }

    /// A tenant's plugin could not be opened. `error_type` is what it did: `trap`, `deadline`, ...
    pub fn opening_failed(&self, whose: &Whose, error_type: &'static str) {
        let labels = ErrorLabels::new(whose, error_type);
        self.plugin_open_failures.get_or_create(&labels).inc();
    }

    /// An answer of the plugin broke the contract. `rule` is a word of ours, never one of the guest's.
    pub fn contract_broken(&self, whose: &Whose, rule: &str) {
        let Whose { tenant, plugin } = whose.clone();
        let labels = RuleLabels {
            tenant,
            plugin,
            rule: rule.to_owned(),
        };
        self.plugin_breaches.get_or_create(&labels).inc();
    }

    /// The configuration was read again. `outcome` is what came of it: `taken`, `refused`, ...
    pub fn reloaded(&self, outcome: &'static str) {
        self.reloads.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// The plugin stored a batch.
    pub fn write(&self, fragments: usize, seconds: f64) {
        self.write_fragments.observe(float(wide(fragments)));
        self.write_duration.observe(seconds);
    }

    /// A query ended: the spans it judged, the pages it asked for and the bytes it read.
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

    /// All metrics in the `OpenMetrics` text format (`application/openmetrics-text; version=1.0.0`).
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // A string takes all that is written, so there is no error to handle.
        text::encode(&mut text, &self.registry).unwrap_or_default();
        text
    }

    /// All metrics in the older Prometheus text format (`text/plain; version=0.0.4`), which names a counter in its comments as
    /// it does in its samples, and knows neither units nor an end mark.
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
    fn new(whose: &Whose, error_type: &'static str) -> Self {
        let Whose { tenant, plugin } = whose.clone();
        Self {
            tenant,
            plugin,
            error_type,
        }
    }
}

// === impl Storage ===

impl Storage {
    fn register(on: &mut Registry) -> Self {
        Self {
            traces: register(on, told::STORAGE_TRACES, Level::default()),
            spans: register(on, told::STORAGE_SPANS, Level::default()),
            bytes: register(on, told::STORAGE_BYTES, Level::default()),
            evicted_traces: register(on, told::EVICTED_TRACES, Counter::default()),
            evicted_spans: register(on, told::EVICTED_SPANS, Counter::default()),
            expired_traces: register(on, told::EXPIRED_TRACES, Counter::default()),
            expired_spans: register(on, told::EXPIRED_SPANS, Counter::default()),
        }
    }
}

// === impl Kv ===

impl Kv {
    fn register(on: &mut Registry) -> Self {
        Self {
            stored: register(on, told::KV_STORED, Level::default()),
            free: register(on, told::KV_FREE, Level::default()),
            refused: register(on, told::KV_REFUSED, Counter::default()),
            syncs: register(on, told::KV_SYNCS, Counter::default()),
            sync_time: register(on, told::KV_SYNC_TIME, Counter::default()),
            damaged: register(on, told::KV_DAMAGED, Counter::default()),
        }
    }

    fn set(&self, now: &KvStatistics) {
        self.stored.set(now.stored_bytes);
        self.free.set(now.free_bytes.unwrap_or_default());
        let seconds = now.sync_time.as_secs_f64();
        // The driver counts, so its numbers are taken over.
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

/// Registers a metric under its one description, and hands it back.
fn register<M: Metric + Clone>(on: &mut Registry, described: Described, metric: M) -> M {
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

/// A `HELP name text` or `TYPE name kind` as version 0.0.4 wants it, where it differs.
fn with_plain_name(comment: &str) -> Option<String> {
    let (keyword, rest) = comment.split_once(' ')?;
    let (name, text) = rest.split_once(' ')?;
    let told = told::METRICS.iter().find(|metric| metric.name == name)?;
    match (told.kind, keyword) {
        (told::Kind::Counter, _) => Some(format!("# {keyword} {name}_total {text}")),
        (told::Kind::Info, "TYPE") => Some(format!("# TYPE {name}_info gauge")),
        (told::Kind::Info, _) => Some(format!("# {keyword} {name}_info {text}")),
        (told::Kind::Gauge | told::Kind::Histogram, _) => None,
    }
}

#[cfg(test)]
mod tests;
