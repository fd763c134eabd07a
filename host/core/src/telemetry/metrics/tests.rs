#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::telemetry::{METRICS, MetricKind, STATEMENT_BOUNDS};

/// A registry in which every event has happened once, each with distinct numbers, and the series of a tenant.
fn with_every_event() -> (Metrics, Arc<TenantSeries>) {
    let metrics = Metrics::new();
    let tenant = metrics.tenant(&TenantName::default_tenant());
    metrics.rpc("jaeger.storage.v2.TraceReader/FindTraces", "OK", 0.02);
    metrics.received(1_000, 470_000);
    metrics.refused("trace_id", 3);
    metrics.refused_request("malformed");
    metrics.quota_refused("limits.spans_per_second");
    metrics.access_refused("unauthenticated");
    metrics.certificate_end("grpc.tls.cert", Some(1_924_992_000));
    metrics.reloaded("taken");
    metrics.dropped(&Dropped {
        evicted_traces: 14,
        evicted_spans: 15,
        expired_traces: 16,
        expired_spans: 17,
    });
    let plugin = PluginLabels {
        tenant: "acme".into(),
        plugin: "kv".into(),
    };
    metrics.plugin_restarted(&plugin, "trap");
    metrics.opening_failed(&plugin, "deadline");
    metrics.contract_broken(&plugin, "floor_rose");
    metrics.plugin_connected(&plugin);
    metrics.plugin_connection_refused(&plugin, "authority");
    metrics.plugin_moved(&plugin, "transmit", 7);
    let gauges = TenantGauges {
        open: 3,
        ready: 2,
        queue_depth: 5,
        queue_bytes: 6_000,
        memory: 1 << 20,
        traces: 11,
        traces_unknown: 0,
        spans: 12,
        oldest_write: Some(1_790_000_000_250_000_000),
        oldest_write_unknown: 0,
        bytes: 13,
    };
    metrics.set_gauges(&gauges);
    metrics.dependencies(&DependencyStatistics {
        open_buckets: 19,
        oldest_open: Duration::from_millis(20_500),
        late_traces: 21,
        kept_bytes: 22,
        settling: Duration::from_millis(23_250),
        settled_buckets: 25,
        held_tenants: 26,
        is_backfilled: true,
    });
    metrics.dependencies_judged(24);
    let mut buckets = [0; STATEMENT_BOUNDS.len() + 1];
    (buckets[2], buckets[17]) = (24, 1);
    let called = StatementStatistics {
        name: "Get",
        calls: 25,
        errors: 26,
        retries: 27,
        speculative: 28,
        seconds: 29.5,
        buckets,
    };
    let uncalled = StatementStatistics {
        name: "Put",
        calls: 0,
        errors: 0,
        retries: 0,
        speculative: 0,
        seconds: 0.0,
        buckets: [0; STATEMENT_BOUNDS.len() + 1],
    };
    metrics.kv_statements(vec![called, uncalled]);
    metrics.write(135, 0.003);
    metrics.query(2_000, 4, 90_000);
    metrics.incomplete("link_id", 18);
    metrics.cut("operations");
    (metrics, tenant)
}

#[track_caller]
fn check(text: &str, line: &str) {
    assert!(
        text.lines().any(|sample| sample == line),
        "no {line} in\n{text}"
    );
}

#[test]
fn every_event_is_exported_under_its_name_and_labels() {
    let text = with_every_event().0.encode();
    let rpc = r#"rpc_system_name="grpc",rpc_method="jaeger.storage.v2.TraceReader/FindTraces",rpc_response_status_code="OK""#;
    for line in [
        &format!("rpc_server_call_duration_seconds_count{{{rpc}}} 1"),
        &format!(r#"rpc_server_call_duration_seconds_bucket{{le="0.025",{rpc}}} 1"#),
        "larder_ingest_spans_total 1000",
        "larder_ingest_bytes_total 470000",
        r#"larder_ingest_refused_spans_total{reason="trace_id"} 3"#,
        r#"larder_ingest_refused_requests_total{reason="malformed"} 1"#,
        "larder_write_duration_seconds_sum 0.003",
        "larder_write_fragments_sum 135.0",
        "larder_write_queue_depth 5",
        "larder_write_queue_bytes 6000",
        "larder_query_judged_spans_sum 2000.0",
        "larder_query_pages_sum 4.0",
        "larder_query_read_bytes_sum 90000.0",
        r#"larder_query_incomplete_spans_total{reason="link_id"} 18"#,
        r#"larder_query_cut_answers_total{list="operations"} 1"#,
        "larder_storage_traces 11",
        "larder_storage_spans 12",
        "larder_storage_oldest_write_timestamp_seconds 1790000000.25",
        "larder_storage_bytes 13",
        "larder_storage_evicted_traces_total 14",
        "larder_storage_evicted_spans_total 15",
        "larder_storage_expired_traces_total 16",
        "larder_storage_expired_spans_total 17",
        r#"larder_kv_statement_calls_total{statement="Get"} 25"#,
        r#"larder_kv_statement_calls_total{statement="Put"} 0"#,
        r#"larder_kv_statement_errors_total{statement="Get"} 26"#,
        r#"larder_kv_statement_retries_total{statement="Get"} 27"#,
        r#"larder_kv_statement_speculative_executions_total{statement="Get"} 28"#,
        r#"larder_kv_statement_duration_seconds_bucket{le="0.001",statement="Get"} 0"#,
        r#"larder_kv_statement_duration_seconds_bucket{le="0.0025",statement="Get"} 24"#,
        r#"larder_kv_statement_duration_seconds_bucket{le="10.0",statement="Get"} 24"#,
        r#"larder_kv_statement_duration_seconds_bucket{le="+Inf",statement="Get"} 25"#,
        r#"larder_kv_statement_duration_seconds_sum{statement="Get"} 29.5"#,
        r#"larder_kv_statement_duration_seconds_count{statement="Get"} 25"#,
        "larder_dependencies_open_buckets 19",
        "larder_dependencies_oldest_open_seconds 20.5",
        "larder_dependencies_late_traces 21",
        "larder_dependencies_judged_traces_total 24",
        "larder_dependencies_kept_bytes 22",
        "larder_dependencies_settling_seconds_total 23.25",
        "larder_dependencies_settled_buckets 25",
        "larder_dependencies_held_tenants 26",
        "larder_dependencies_backfilled 1",
        "larder_tenants_open 3",
        r#"larder_tenant_quota_refusals_total{setting="limits.spans_per_second"} 1"#,
        "larder_plugin_ready 2",
        r#"larder_plugin_restarts_total{tenant="acme",plugin="kv",error_type="trap"} 1"#,
        r#"larder_plugin_open_failures_total{tenant="acme",plugin="kv",error_type="deadline"} 1"#,
        r#"larder_plugin_contract_breaches_total{tenant="acme",plugin="kv",rule="floor_rose"} 1"#,
        "larder_plugin_memory_bytes 1048576",
        r#"larder_tls_certificate_not_after_timestamp_seconds{setting="grpc.tls.cert"} 1924992000"#,
        concat!(
            "larder_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
    ] {
        check(&text, line);
    }
}

#[test]
fn exported_metrics_match_their_descriptions_in_kind_and_help() {
    let text = with_every_event().0.encode();
    let exported: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let described: BTreeMap<&str, &str> = METRICS
        .iter()
        .map(|metric| (metric.name, metric.kind.as_str()))
        .collect();
    assert_eq!(exported, described);
    for metric in METRICS {
        check(
            &text,
            &format!("# HELP {} {}.", metric.name, metric.meaning),
        );
    }
}

#[test]
fn series_have_the_labels_that_are_described() {
    let text = with_every_event().0.encode();
    for metric in METRICS {
        let sample = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .find(|line| line.starts_with(metric.name))
            .unwrap();
        let labels: BTreeSet<&str> = sample
            .split_once('{')
            .map_or("", |(_, labels)| labels.rsplit_once('}').unwrap().0)
            .split(',')
            .filter_map(|label| Some(label.split_once('=')?.0))
            .collect();
        let described: BTreeSet<&str> = metric.labels.iter().copied().collect();
        assert_eq!(labels, described, "{sample}");
    }
}

#[test]
fn dropped_spans_of_tenants_add_up() {
    let (metrics, _tenant) = with_every_event();
    metrics.dropped(&Dropped {
        evicted_spans: 5,
        ..Dropped::default()
    });
    check(&metrics.encode(), "larder_storage_evicted_spans_total 20");
}

#[test]
fn gauges_of_tenants_are_summed_without_wrapping() {
    let one = TenantGauges {
        open: 1,
        spans: u64::MAX,
        memory: 3,
        ..TenantGauges::default()
    };
    let mut sum = one;
    sum += one;
    assert_eq!((sum.open, sum.spans, sum.memory), (2, u64::MAX, 6));
}

#[test]
fn stored_traces_are_absent_where_a_plugin_does_not_count_them() {
    let (metrics, _tenant) = with_every_event();
    let sample = "larder_storage_traces 0";
    let some = TenantGauges {
        spans: 5,
        traces_unknown: 1,
        ..TenantGauges::default()
    };
    metrics.set_gauges(&some);
    for text in [metrics.encode(), metrics.encode_plain()] {
        assert!(!text.contains("\nlarder_storage_traces "), "{text}");
        check(&text, "larder_storage_spans 5");
    }
    metrics.set_gauges(&TenantGauges::default());
    check(&metrics.encode(), sample);
}

#[test]
fn the_oldest_write_is_that_of_all_tenants_or_absent() {
    let (metrics, _tenant) = with_every_event();
    let at = |seconds: u64| TenantGauges {
        spans: 1,
        oldest_write: Some(seconds * 1_000_000_000),
        ..TenantGauges::default()
    };
    let mut sum = TenantGauges::default();
    for seconds in [20, 10, 30] {
        sum += at(seconds);
    }
    metrics.set_gauges(&sum);
    let name = "larder_storage_oldest_write_timestamp_seconds";
    check(&metrics.encode(), &format!("{name} 10.0"));
    sum += TenantGauges {
        spans: 1,
        oldest_write_unknown: 1,
        ..TenantGauges::default()
    };
    for absent in [sum, TenantGauges::default()] {
        metrics.set_gauges(&absent);
        let text = metrics.encode();
        assert!(!text.contains(name), "{text}");
    }
}

#[test]
fn statements_are_absent_for_a_driver_that_sends_none() {
    let (metrics, _tenant) = with_every_event();
    metrics.kv_statements(Vec::new());
    let text = metrics.encode();
    assert!(!text.contains("larder_kv_statement"), "{text}");
}

#[test]
fn two_registries_do_not_share_counters() {
    let (one, other) = (Metrics::new(), Metrics::new());
    one.received(1, 1);
    check(&other.encode(), "larder_ingest_spans_total 0");
}

#[test]
fn the_open_metrics_format_has_units_and_an_end_mark() {
    let text = with_every_event().0.encode();
    check(&text, "# UNIT larder_ingest_bytes bytes");
    check(&text, "# TYPE larder_ingest_bytes counter");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn the_plain_format_names_counters_as_their_samples() {
    let text = with_every_event().0.encode_plain();
    check(&text, "# TYPE larder_ingest_bytes_total counter");
    check(&text, "# TYPE larder_build_info gauge");
    check(&text, "# TYPE larder_storage_spans gauge");
    check(&text, "# TYPE rpc_server_call_duration_seconds histogram");
    assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
}

#[test]
fn no_description_has_the_suffix_that_the_format_appends() {
    for metric in METRICS {
        assert!(!metric.name.ends_with("_total"), "{}", metric.name);
        assert_eq!(
            metric.kind == MetricKind::Info,
            metric.name == "larder_build"
        );
    }
}
