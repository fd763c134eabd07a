//! `/metrics`: the documented metrics exist, under OpenTelemetry's names, and count correctly.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use larder_tests::http::{self, count};
use larder_tests::otlp::{service, span};
use larder_tests::{Home, Larder, Options, Plugin, Query, eventually, method, with_plugins};

/// Without the counters of plugin failures, which appear with the first failure.
const NAMES: [&str; 21] = [
    "rpc_server_call_duration_seconds",
    "larder_ingest_spans_total",
    "larder_ingest_bytes_total",
    "larder_ingest_refused_spans_total",
    "larder_write_duration_seconds",
    "larder_write_fragments",
    "larder_write_queue_depth",
    "larder_write_queue_bytes",
    "larder_query_judged_spans",
    "larder_query_pages",
    "larder_query_read_bytes",
    "larder_storage_traces",
    "larder_storage_spans",
    "larder_storage_bytes",
    "larder_storage_evicted_traces_total",
    "larder_storage_evicted_spans_total",
    "larder_storage_expired_traces_total",
    "larder_storage_expired_spans_total",
    "larder_plugin_ready",
    "larder_plugin_memory_bytes",
    "process_resident_memory_bytes",
];

#[tokio::test]
async fn every_metric_that_is_promised_is_described() {
    let larder = Options::new(Plugin::Memory).start();
    // Metrics with a label per kind of event appear with the first event.
    let client = larder.client().await;
    let refused = span([0; 16], 1).at(5);
    client.export([service("a").span(refused)]).await.unwrap();
    let response = larder.get("/metrics");
    assert_eq!(response.status, 200);
    assert!(
        response
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    let described: BTreeSet<&str> = response
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    for name in NAMES {
        assert!(described.contains(name), "{name} is not in {described:?}");
    }
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let larder = Options::new(Plugin::Memory).start();
    let client = larder.client().await;
    let spans = (1..=7).map(|id| span([1; 16], id).at(id));
    client.store([service("a").spans(spans)]).await;
    let mut bad = span([2; 16], 1).at(5);
    bad.0.span_id.clear();
    client.export([service("a").span(bad)]).await.unwrap();
    client
        .find_traces(&Query::default().service("a"))
        .await
        .unwrap();
    client.dependencies(None, None).await.unwrap_err();
    let malformed = || Bytes::from_static(b"\x0a");
    let call = client.call();
    call.unary(method::EXPORT, malformed()).await.unwrap_err();
    let reply = call.stream(method::GET_TRACES, malformed()).await;
    reply.end.unwrap_err();
    for unknown in ["/jaeger.storage.v2.TraceReader/Guess", "/a.Guess/Guess"] {
        call.unary(unknown, Bytes::new()).await.unwrap_err();
    }

    let metrics = larder.metrics();
    let calls = |method: &str, code: &str| {
        let labels = [
            format!("rpc_method=\"{method}\""),
            format!("rpc_response_status_code=\"{code}\""),
            "rpc_system_name=\"grpc\"".to_owned(),
        ];
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        count(&metrics, "rpc_server_call_duration_seconds_count", &labels)
    };
    let export = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
    assert_eq!(calls(export, "OK"), 2);
    assert_eq!(calls("jaeger.storage.v2.TraceReader/FindTraces", "OK"), 1);
    let dependencies = "jaeger.storage.v2.DependencyReader/GetDependencies";
    assert_eq!(calls(dependencies, "INVALID_ARGUMENT"), 1);
    assert_eq!(calls(export, "INVALID_ARGUMENT"), 1);
    let get = "jaeger.storage.v2.TraceReader/GetTraces";
    assert_eq!(calls(get, "INVALID_ARGUMENT"), 1);
    // Callers cannot invent label values.
    assert_eq!(calls("_OTHER", "UNIMPLEMENTED"), 2);
    assert!(!metrics.contains("Guess"), "{metrics}");

    assert_eq!(count(&metrics, "larder_ingest_spans_total", &[]), 8);
    assert!(count(&metrics, "larder_ingest_bytes_total", &[]) > 100);
    assert_eq!(count(&metrics, "larder_ingest_refused_spans_total", &[]), 1);
    let reasons = http::samples(&metrics, "larder_ingest_refused_spans_total");
    let counted = |labels: &str| labels.contains("reason=\"span_id\"");
    for (labels, value) in &reasons {
        assert_eq!(*value != "0", counted(labels), "{reasons:?}");
    }
    assert_eq!(
        count(&metrics, "larder_write_duration_seconds_count", &[]),
        1
    );
    assert!(count(&metrics, "larder_query_judged_spans_count", &[]) > 0);
    assert_eq!(count(&metrics, "larder_plugin_ready", &[]), 1);
    assert_eq!(count(&metrics, "larder_write_queue_depth", &[]), 0);

    eventually("the plugin's counts", async || {
        let metrics = larder.metrics();
        let spans = count(&metrics, "larder_storage_spans", &[]);
        let traces = count(&metrics, "larder_storage_traces", &[]);
        ((spans, traces) == (7, 1)).then_some(())
    })
    .await;
    assert!(count(&larder.metrics(), "larder_storage_bytes", &[]) > 0);
}

/// A rate over a series that appears with its first event misses that event.
#[tokio::test]
async fn counters_with_labels_begin_at_zero() {
    let larder = Options::new(Plugin::Kv).start();
    let metrics = larder.metrics();
    for (name, label, values) in [
        (
            "larder_ingest_refused_spans_total",
            "reason",
            &["trace_id", "utf8", "too_large", "plugin_trap"][..],
        ),
        (
            "larder_query_incomplete_spans_total",
            "reason",
            &["parent_span_id", "link_id", "nesting"][..],
        ),
        (
            "larder_ingest_refused_requests_total",
            "reason",
            &["malformed"][..],
        ),
        (
            "larder_query_cut_answers_total",
            "list",
            &[
                "services",
                "operations",
                "trace_ids",
                "dependencies",
                "search_depth",
            ][..],
        ),
        (
            "larder_access_refusals_total",
            "reason",
            &["unauthenticated", "permission_denied"][..],
        ),
        (
            "larder_reloads_total",
            "outcome",
            &["taken", "unchanged", "partial", "refused"][..],
        ),
        (
            "larder_tenant_quota_refusals_total",
            "setting",
            &[
                "limits.spans_per_second",
                "limits.concurrent_queries",
                "limits.query_queue_bytes",
            ][..],
        ),
    ] {
        let samples = http::samples(&metrics, name);
        for value in values {
            let label = format!("{label}=\"{value}\"");
            assert!(
                samples.iter().any(|(labels, _)| labels.contains(&label)),
                "{name} {label}: {samples:?}"
            );
        }
        assert_eq!(count(&metrics, name, &[]), 0, "{samples:?}");
    }
}

/// Returns the time of the oldest write, in seconds, if it is told.
fn oldest_write(larder: &Larder) -> Option<f64> {
    let metrics = larder.metrics();
    let name = "larder_storage_oldest_write_timestamp_seconds";
    let samples = http::samples(&metrics, name);
    samples.first().map(|(_, value)| value.parse().unwrap())
}

async fn stored(larder: &Larder, spans: u64) {
    eventually("the plugin's counts", async || {
        let told = count(&larder.metrics(), "larder_storage_spans", &[]);
        (told == spans).then_some(())
    })
    .await;
}

/// By the time of writing, as spans may start at any time: these start in 1970.
async fn the_oldest_write_is_told(plugin: Plugin) {
    let home = Home::new();
    let started = SystemTime::now();
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let larder = Options::new(plugin).purge().start_in(&home);
    assert_eq!(oldest_write(&larder), None, "nothing is stored");
    let client = larder.client().await;
    let one = |number: u8| service("a").span(span([number; 16], 1).at(5));
    client.store([one(1)]).await;
    stored(&larder, 1).await;
    let first = oldest_write(&larder).unwrap();
    // `memory` keeps whole seconds.
    assert!(first >= seconds(started) - 1.0, "{first}");
    assert!(first <= seconds(SystemTime::now()), "{first}");
    client.store([one(2)]).await;
    stored(&larder, 2).await;
    assert_eq!(oldest_write(&larder), Some(first));

    let larder = if plugin == Plugin::Kv {
        larder.signal("TERM");
        assert!(larder.wait().0.success());
        let larder = Options::new(plugin).purge().start_in(&home);
        stored(&larder, 2).await;
        assert_eq!(oldest_write(&larder), Some(first));
        larder
    } else {
        larder
    };
    assert_eq!(larder.post("/purge").status, 200);
    eventually("the oldest write to go", async || {
        oldest_write(&larder).is_none().then_some(())
    })
    .await;
}

with_plugins!(the_oldest_write_is_told: kv = Kv, memory = Memory);

/// `kv` does not count traces.
#[tokio::test]
async fn stored_traces_are_true_or_absent() {
    let larder = Options::new(Plugin::Kv).start();
    larder
        .client()
        .await
        .store([service("a").span(span([1; 16], 1).at(5))])
        .await;
    eventually("the plugin's counts", async || {
        let metrics = larder.metrics();
        let traces = http::samples(&metrics, "larder_storage_traces");
        (count(&metrics, "larder_storage_spans", &[]) == 1 && traces.is_empty()).then_some(())
    })
    .await;
}
