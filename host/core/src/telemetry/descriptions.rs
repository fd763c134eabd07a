//! The description of every exported metric. The registry takes names and help texts from here, and a test keeps the table of
//! `host/docs/metrics.md` equal to it.
//!
//! Names are the Prometheus form of OpenTelemetry's: dots become underscores, and the unit is the last word. Counters are listed
//! without the `_total` that the text format appends.

use prometheus_client::registry::Unit;

/// Kind of instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only rises. Starts at 0 with the server, or with the plugin if the meaning says so.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Buckets, a sum and a count.
    Histogram,
    /// Always 1. The labels carry the information.
    Info,
}

impl MetricKind {
    /// Name in the text format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// Description of one metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricDescription {
    /// Name with its unit, without `_total` or `_info`.
    pub name: &'static str,
    /// Kind of instrument.
    pub kind: MetricKind,
    /// Labels of each series, in order.
    pub labels: &'static [&'static str],
    /// Help text, without the full stop that the registry appends.
    pub meaning: &'static str,
}

impl MetricDescription {
    const fn new(
        name: &'static str,
        kind: MetricKind,
        labels: &'static [&'static str],
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            labels,
            meaning,
        }
    }

    /// The name without its unit, and the unit, as the registry expects them.
    pub(super) fn name_and_unit(&self) -> (&'static str, Option<Unit>) {
        for (suffix, unit) in [
            ("_seconds", Unit::Seconds),
            ("_bytes", Unit::Bytes),
            ("_spans", Unit::Other("spans".to_owned())),
            ("_traces", Unit::Other("traces".to_owned())),
        ] {
            if let Some(name) = self.name.strip_suffix(suffix) {
                return (name, Some(unit));
            }
        }
        (self.name, None)
    }

    /// The help text. The registry appends its full stop, but not for a collector, which this is for.
    pub(super) fn help(&self) -> String {
        format!("{}.", self.meaning)
    }
}

macro_rules! metrics {
    ($($id:ident = $name:literal, $kind:ident, [$($label:literal),*], $meaning:literal;)*) => {
        $(pub(super) const $id: MetricDescription = MetricDescription::new($name, MetricKind::$kind, &[$($label),*], $meaning);)*

        /// Every metric, in the order of the documentation.
        pub const METRICS: &[MetricDescription] = &[$($id),*];
    };
}

metrics! {
    RPC_DURATION = "rpc_server_call_duration_seconds", Histogram, ["rpc_system_name", "rpc_method", "rpc_response_status_code"],
        "How long each gRPC call took, streams to their end";
    INGEST_SPANS = "larder_ingest_spans", Counter, [],
        "Spans that arrived in Export requests, refused ones included";
    INGEST_BYTES = "larder_ingest_bytes", Counter, [],
        "Bytes of Export requests, after decompression";
    INGEST_REFUSED = "larder_ingest_refused_spans", Counter, ["reason"],
        "Spans refused by partial_success, by reason";
    INGEST_REFUSED_REQUESTS = "larder_ingest_refused_requests", Counter, ["reason"],
        "Export requests of which nothing was stored because they are no OTLP (`malformed`), by reason";
    WRITE_DURATION = "larder_write_duration_seconds", Histogram, [],
        "How long the plugin took to store a batch";
    WRITE_FRAGMENTS = "larder_write_fragments", Histogram, [],
        "Fragments in a stored batch";
    QUEUE_DEPTH = "larder_write_queue_depth", Gauge, [],
        "Export requests that wait to be stored";
    QUEUE_BYTES = "larder_write_queue_bytes", Gauge, [],
        "Bytes that wait to be stored";
    QUERY_JUDGED = "larder_query_judged_spans", Histogram, [],
        "Spans judged to answer a query";
    QUERY_PAGES = "larder_query_pages", Histogram, [],
        "Pages asked of the plugin to answer a query";
    QUERY_BYTES = "larder_query_read_bytes", Histogram, [],
        "Bytes read from the plugin to answer a query";
    QUERY_INCOMPLETE = "larder_query_incomplete_spans", Counter, ["reason"],
        "Spans answered without their parent's id (`parent_span_id`) or a link (`link_id`) that an older version stored and Jaeger cannot decode, or with the innermost parts of a value as text (`nesting`), by reason";
    QUERY_CUT = "larder_query_cut_answers", Counter, ["list"],
        "Answers that a limit cut: a list of `services`, `operations`, `trace_ids` or `dependencies`, or large `values`, at `grpc.max_message_bytes`; `search_depth` at `limits.max_search_depth`";
    STORAGE_TRACES = "larder_storage_traces", Gauge, [],
        "Traces stored now; absent where the plugin of a tenant stores spans and does not count traces, as `kv`";
    STORAGE_SPANS = "larder_storage_spans", Gauge, [],
        "Spans stored now";
    STORAGE_BYTES = "larder_storage_bytes", Gauge, [],
        "Bytes stored now, as the plugin measures them against its own limit";
    OLDEST_WRITE = "larder_storage_oldest_write_timestamp_seconds", Gauge, [],
        "When the oldest span that is stored was written, in seconds since the Unix epoch, over open tenants, in a store that hosts share of those that this host has written; absent where none is stored, or where the plugin of one stores spans and does not tell";
    EVICTED_TRACES = "larder_storage_evicted_traces", Counter, [],
        "Traces dropped to stay within a limit";
    EVICTED_SPANS = "larder_storage_evicted_spans", Counter, [],
        "Spans dropped to stay within a limit, also of traces whose beginning stays";
    EXPIRED_TRACES = "larder_storage_expired_traces", Counter, [],
        "Traces dropped because of their age";
    EXPIRED_SPANS = "larder_storage_expired_spans", Counter, [],
        "Spans dropped because of their age";
    KV_STORED = "larder_kv_stored_bytes", Gauge, [],
        "Bytes stored in kv, compressed, less what has been reclaimed";
    KV_FREE = "larder_kv_disk_free_bytes", Gauge, [],
        "Bytes free on the disk of the data directory";
    KV_REFUSED = "larder_kv_refused_for_space", Counter, [],
        "Writes to kv refused because the disk or a tenant's quota was full";
    KV_SYNCS = "larder_kv_syncs", Counter, [],
        "Syncs that brought writes to disk";
    KV_SYNC_TIME = "larder_kv_sync_seconds", Counter, [],
        "The time those syncs took";
    KV_DAMAGED = "larder_kv_damaged", Counter, [],
        "Times that something stored in kv could not be read back";
    KV_CALLS = "larder_kv_statement_calls", Counter, ["statement"],
        "Statements that the driver `cassandra` executed, its own repetitions included; a batch counts once, under the name of its condition";
    KV_ERRORS = "larder_kv_statement_errors", Counter, ["statement"],
        "Those that failed, also where a repetition succeeded";
    KV_RETRIES = "larder_kv_statement_retries", Counter, ["statement"],
        "Times that a read was sent to another node within its call because one had failed";
    KV_SPECULATIVE = "larder_kv_statement_speculative_executions", Counter, ["statement"],
        "Times that a read was sent to another node within its call because one was slow (`kv.cassandra.speculative_after`)";
    KV_DURATION = "larder_kv_statement_duration_seconds", Histogram, ["statement"],
        "How long those calls took until they were answered or failed; absent for a statement that was not called";
    DEPENDENCIES_OPEN = "larder_dependencies_open_buckets", Gauge, [],
        "Stretches of five minutes, over open tenants, that were written to and of whose traces the calls are not kept yet, so that a request for dependencies judges them";
    DEPENDENCIES_OLDEST = "larder_dependencies_oldest_open_seconds", Gauge, [],
        "How long the first of those stretches has waited; 0 if there is none";
    DEPENDENCIES_LATE = "larder_dependencies_late_traces", Gauge, [],
        "Traces, over open tenants, that got a span after their calls were kept, and that each request for dependencies judges until they are kept anew";
    DEPENDENCIES_JUDGED = "larder_dependencies_judged_traces", Counter, [],
        "Traces that were judged to answer requests for dependencies, as their calls were not kept, or not for the traces as they are now";
    DEPENDENCIES_KEPT = "larder_dependencies_kept_bytes", Gauge, [],
        "Bytes of the calls that are kept for requests for dependencies, over open tenants, before compression";
    DEPENDENCIES_SETTLING = "larder_dependencies_settling_seconds", Counter, [],
        "The time that judging traces in the background took, to keep their calls, with reading them and waiting for others";
    DEPENDENCIES_SETTLED = "larder_dependencies_settled_buckets", Gauge, [],
        "Stretches of five minutes, over open tenants, whose calls are kept";
    DEPENDENCIES_HELD = "larder_dependencies_held_tenants", Gauge, [],
        "Open tenants of a store that hosts share whose calls this host keeps for all of them; 0 where the store is not shared";
    DEPENDENCIES_BACKFILLED = "larder_dependencies_backfilled", Gauge, [],
        "1 once the calls of all that open tenants had stored without keeping them are kept, else 0";
    CLOCK_JUMP = "larder_clock_jump_seconds", Gauge, [],
        "How far the system's clock is from the time that retention believes, after a jump; 0 while it is believed";
    TENANTS_OPEN = "larder_tenants_open", Gauge, [],
        "Tenants whose plugin is open; without tenancy there is one";
    TENANT_REFUSED = "larder_tenant_quota_refusals", Counter, ["setting"],
        "Calls refused because their tenant was at its `limits.spans_per_second`, `limits.concurrent_queries` or `limits.query_queue_bytes`";
    TENANT_ACCEPTED = "larder_tenant_accepted_spans", Counter, ["tenant"],
        "Spans of the tenant that were stored and acknowledged";
    TENANT_REFUSED_SPANS = "larder_tenant_refused_spans", Counter, ["tenant"],
        "Spans of the tenant that were refused by partial_success";
    TENANT_REFUSED_CALLS = "larder_tenant_refused_calls", Counter, ["tenant"],
        "Calls of the tenant refused because it was at a limit that `larder_tenant_quota_refusals` names";
    TENANT_QUERIES = "larder_tenant_queries", Counter, ["tenant"],
        "Queries of the tenant that were begun";
    TENANT_OPEN = "larder_tenant_open", Gauge, ["tenant"],
        "1 while the tenant's plugin is open, else 0";
    TENANT_STORED = "larder_tenant_stored_bytes", Gauge, ["tenant"],
        "Bytes that the tenant stores: in kv, also while its plugin is not open, or as its plugin measures them if it does not use kv";
    TENANT_MEMORY = "larder_tenant_memory_bytes", Gauge, ["tenant"],
        "Linear memory of the tenant's plugin";
    PLUGIN_READY = "larder_plugin_ready", Gauge, [],
        "Open tenants whose plugin answers; the others' is restarted or stopped";
    PLUGIN_RESTARTS = "larder_plugin_restarts", Counter, ["tenant", "plugin", "error_type"],
        "Times the plugin was dropped and started afresh, by what it did";
    PLUGIN_OPEN_FAILURES = "larder_plugin_open_failures", Counter, ["tenant", "plugin", "error_type"],
        "Times a tenant's call could not open its plugin, by what that did";
    PLUGIN_BREACHES = "larder_plugin_contract_breaches", Counter, ["tenant", "plugin", "rule"],
        "Answers of the plugin that broke the contract, by the rule broken";
    PLUGIN_CONNECTIONS = "larder_plugin_connections", Counter, ["tenant", "plugin"],
        "Connections that the plugin was granted and has made";
    PLUGIN_CONNECTIONS_REFUSED = "larder_plugin_connections_refused", Counter, ["tenant", "plugin", "reason"],
        "Connections, names and bytes that the plugin was refused, by the reason";
    PLUGIN_NETWORK = "larder_plugin_network_bytes", Counter, ["tenant", "plugin", "network_io_direction"],
        "What the plugin has sent and received on its connections";
    PLUGIN_MEMORY = "larder_plugin_memory_bytes", Gauge, [],
        "Linear memory of the plugin, of all tenants";
    ACCESS_REFUSED = "larder_access_refusals", Counter, ["reason"],
        "Calls refused for their bearer token, on every port: `unauthenticated` (none, or an unknown one) or `permission_denied` (without the right, or for other tenants)";
    CERTIFICATE_END = "larder_tls_certificate_not_after_timestamp_seconds", Gauge, ["setting"],
        "When the certificates of `grpc.tls.cert` or `admin.tls.cert` end, the first of those in the file, in seconds since the Unix epoch";
    RELOADS = "larder_reloads", Counter, ["outcome"],
        "Times the configuration was read again, by what came of it: `taken`, `unchanged`, `partial` (something needs a restart, or a tenant's plugin could not be replaced) or `refused`";
    BUILD = "larder_build", Info, ["version"],
        "The version of this server";
    PROCESS_MEMORY = "process_resident_memory_bytes", Gauge, [],
        "Resident memory of the server, plugins included (Linux only)";
    PROCESS_CPU = "process_cpu_seconds", Counter, [],
        "User and system CPU time of the server (Linux only)";
    PROCESS_START = "process_start_time_seconds", Gauge, [],
        "When the server started, in seconds since the Unix epoch";
}
