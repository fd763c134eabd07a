#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::telemetry::{METRICS, MetricKind, Metrics, PluginLabels, only_tenants};

fn name(text: &str) -> TenantName {
    text.parse().unwrap()
}

/// As many tenants as have series of their own.
fn fill(metrics: &Metrics) -> Vec<Arc<TenantSeries>> {
    let tenants = (0..MOST).map(|number| metrics.tenant(&name(&format!("t{number}"))));
    tenants.collect()
}

#[track_caller]
fn check(metrics: &Metrics, line: &str) {
    let text = metrics.encode();
    assert!(text.lines().any(|sample| sample == line), "{line}: {text}");
}

#[test]
fn series_of_a_tenant_begin_at_zero_and_count_its_events() {
    let metrics = Metrics::new();
    let series = metrics.tenant(&name("acme"));
    for metric in METRICS.iter().filter(|it| it.labels == ["tenant"]) {
        let total = match metric.kind {
            MetricKind::Counter => "_total",
            _ => "",
        };
        let line = format!("{}{total}{{tenant=\"acme\"}} 0", metric.name);
        check(&metrics, &line);
    }
    series.written(7, 2);
    metrics.tenant(&name("acme")).written(1, 0);
    series.query_begun();
    series.call_refused();
    let gauges = TenantGauges {
        open: 1,
        bytes: 5,
        memory: 6,
        ..TenantGauges::default()
    };
    metrics.set_tenants(&[(Arc::clone(&series), gauges)]);
    for line in [
        r#"larder_tenant_accepted_spans_total{tenant="acme"} 8"#,
        r#"larder_tenant_refused_spans_total{tenant="acme"} 2"#,
        r#"larder_tenant_queries_total{tenant="acme"} 1"#,
        r#"larder_tenant_refused_calls_total{tenant="acme"} 1"#,
        r#"larder_tenant_open{tenant="acme"} 1"#,
        r#"larder_tenant_stored_bytes{tenant="acme"} 5"#,
        r#"larder_tenant_memory_bytes{tenant="acme"} 6"#,
    ] {
        check(&metrics, line);
    }
    drop(series);
    assert!(!metrics.encode().contains("acme"));
}

#[test]
fn tenants_beyond_the_bound_share_series() {
    let metrics = Metrics::new();
    let mut all = fill(&metrics);
    assert!(!metrics.encode().contains("(other)"));
    let others = ["x", "y"].map(|tenant| metrics.tenant(&name(tenant)));
    for series in &others {
        series.written(3, 1);
    }
    let open = TenantGauges {
        open: 1,
        bytes: 10,
        ..TenantGauges::default()
    };
    all.extend(others);
    let gauges: Vec<_> = all.iter().map(|it| (Arc::clone(it), open)).collect();
    metrics.set_tenants(&gauges);
    for line in [
        r#"larder_tenant_accepted_spans_total{tenant="(other)"} 6"#,
        r#"larder_tenant_refused_spans_total{tenant="(other)"} 2"#,
        r#"larder_tenant_open{tenant="(other)"} 2"#,
        r#"larder_tenant_stored_bytes{tenant="(other)"} 20"#,
        r#"larder_tenant_stored_bytes{tenant="t0"} 10"#,
    ] {
        check(&metrics, line);
    }
    let text = metrics.encode();
    let samples = text
        .lines()
        .filter(|line| line.starts_with("larder_tenant_open{"));
    assert_eq!(samples.count(), MOST + 1);
}

#[test]
fn a_place_is_free_once_its_tenant_is_gone() {
    let metrics = Metrics::new();
    let mut all = fill(&metrics);
    drop(all.swap_remove(0));
    let next = metrics.tenant(&name("next"));
    next.written(1, 0);
    check(
        &metrics,
        r#"larder_tenant_accepted_spans_total{tenant="next"} 1"#,
    );
    assert!(!metrics.encode().contains(r#"tenant="t0""#));
}

/// The series of failed plugins are as bounded as the others.
#[test]
fn failures_of_tenants_beyond_the_bound_are_counted_together() {
    let metrics = Metrics::new();
    let _all = fill(&metrics);
    for tenant in ["t7", "x", "y"] {
        let plugin = PluginLabels {
            tenant: tenant.into(),
            plugin: "kv".into(),
        };
        metrics.plugin_restarted(&plugin, "trap");
        metrics.contract_broken(&plugin, "floor_rose");
    }
    for line in [
        r#"larder_plugin_restarts_total{tenant="t7",plugin="kv",error_type="trap"} 1"#,
        r#"larder_plugin_restarts_total{tenant="(other)",plugin="kv",error_type="trap"} 2"#,
        r#"larder_plugin_contract_breaches_total{tenant="(other)",plugin="kv",rule="floor_rose"} 2"#,
    ] {
        check(&metrics, line);
    }
}

#[test]
fn a_caller_sees_the_tenants_that_it_may_see_and_every_sum() {
    let metrics = Metrics::new();
    let _all = fill(&metrics);
    let _other = metrics.tenant(&name("beyond"));
    let liar = PluginLabels {
        tenant: "t1".into(),
        plugin: r#"x",tenant="t2"#.into(),
    };
    metrics.plugin_restarted(&liar, "trap");
    let all = metrics.encode();
    let seen = only_tenants(&all, |tenant| tenant == "t2");
    for kept in [
        r#"larder_tenant_open{tenant="t2"} 0"#,
        r#"larder_tenant_open{tenant="(other)"} 0"#,
        "larder_ingest_spans_total 0",
        "# EOF",
    ] {
        assert!(seen.lines().any(|line| line == kept), "{kept}: {seen}");
    }
    assert!(!seen.contains("t1\""), "{seen}");
    assert_eq!(only_tenants(&all, |_| true), all);
}
