//! The metrics of a tenant: what they count, how many there are, and who sees them.

use larder_tests::http::{self, count, samples};
use larder_tests::otlp::{service, span};
use larder_tests::{Home, Larder, Options, Plugin, Query, Tokens, eventually, token};

use super::{store, tenancy};

/// The metrics of a tenant.
const ALL: [&str; 7] = [
    "larder_tenant_accepted_spans_total",
    "larder_tenant_refused_spans_total",
    "larder_tenant_refused_calls_total",
    "larder_tenant_queries_total",
    "larder_tenant_open",
    "larder_tenant_stored_bytes",
    "larder_tenant_memory_bytes",
];

/// Returns the sample of a tenant, if there is one.
fn sample(metrics: &str, name: &str, tenant: &str) -> Option<u64> {
    let labels = format!("tenant=\"{tenant}\"");
    let samples = samples(metrics, name);
    let value = samples.iter().find(|(set, _)| *set == labels)?.1;
    Some(value.parse().expect("a number"))
}

#[tokio::test]
async fn each_tenant_is_counted_by_itself() {
    let larder = tenancy(Plugin::Memory)
        .config("tenancy: { overrides: { slow: { limits: { spans_per_second: 1 } } } }")
        .start();
    let client = larder.client().await;
    let (a, slow) = (client.tenant("a"), client.tenant("slow"));
    let spans = (1..=5).map(|id| span([1; 16], id).at(id));
    a.store([service("x").spans(spans)]).await;
    let good = span([2; 16], 1).at(1);
    let mut bad = span([2; 16], 2).at(1);
    bad.0.span_id.clear();
    a.export([service("x").span(good).span(bad)]).await.unwrap();
    a.services().await.unwrap();
    a.find_trace_ids(&Query::default()).await.unwrap();
    // A minute's worth at once: the rate is exceeded from then on.
    let spans = (1..=60).map(|id| span([3; 16], id).at(id));
    slow.store([service("x").spans(spans)]).await;
    let one = span([4; 16], 1).at(1);
    slow.export([service("x").span(one)]).await.unwrap_err();

    let metrics = larder.metrics();
    for (tenant, numbers) in [("a", [6, 1, 0, 2, 1]), ("slow", [60, 0, 1, 0, 1])] {
        for (name, number) in ALL.into_iter().zip(numbers) {
            let told = sample(&metrics, name, tenant);
            assert_eq!(told, Some(number), "{name} of {tenant}");
        }
        let memory = sample(&metrics, "larder_tenant_memory_bytes", tenant);
        assert!(memory > Some(0), "{metrics}");
    }
    eventually("the plugin's own measure", async || {
        let metrics = larder.metrics();
        (sample(&metrics, "larder_tenant_stored_bytes", "a") > Some(0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn shares_of_a_request_are_counted_for_their_tenants() {
    let larder = tenancy(Plugin::Memory)
        .environment("LARDER_TENANCY_RESOURCE_ATTRIBUTE", "tenant")
        .config("tenancy: { overrides: { slow: { limits: { spans_per_second: 1 } } } }")
        .start();
    let of = |tenant: &str, number: u8, spans: u64| {
        let spans = (1..=spans).map(|id| span([number; 16], id).at(id));
        service("x").attribute("tenant", tenant).spans(spans)
    };
    let client = larder.client().await;
    client.store([of("a", 1, 2), of("slow", 2, 60)]).await;
    let again = [of("a", 3, 4), of("slow", 4, 5)];
    client.export(again).await.unwrap();
    let metrics = larder.metrics();
    for (name, tenant, number) in [
        ("larder_tenant_accepted_spans_total", "a", 6),
        ("larder_tenant_refused_spans_total", "a", 0),
        ("larder_tenant_accepted_spans_total", "slow", 60),
        ("larder_tenant_refused_spans_total", "slow", 5),
        ("larder_tenant_refused_calls_total", "slow", 1),
    ] {
        let told = sample(&metrics, name, tenant);
        assert_eq!(told, Some(number), "{name} of {tenant}");
    }
}

/// Those that the configuration names are there before their first call, and get the series first.
#[tokio::test]
async fn a_number_of_tenants_has_own_series_and_the_others_share_theirs() {
    let names: Vec<String> = (0..258).map(|number| format!("t{number:03}")).collect();
    let larder = tenancy(Plugin::Memory)
        .environment("LARDER_TENANCY_TENANTS", &names.join(","))
        .start();
    let client = larder.client().await;
    for tenant in ["t000", "t256", "t257"] {
        store(&client, tenant, 1).await;
    }
    let metrics = larder.metrics();
    for name in ALL {
        assert_eq!(samples(&metrics, name).len(), 257, "{name}");
        assert!(sample(&metrics, name, "t255").is_some(), "{name}");
        assert!(sample(&metrics, name, "t256").is_none(), "{name}");
    }
    for (tenant, number) in [("t000", 1), ("t255", 0), ("(other)", 2)] {
        for name in ["larder_tenant_accepted_spans_total", "larder_tenant_open"] {
            let told = sample(&metrics, name, tenant);
            assert_eq!(told, Some(number), "{name} of {tenant}");
        }
    }
}

#[tokio::test]
async fn series_go_with_a_purged_tenant() {
    let larder = tenancy(Plugin::Memory).purge().start();
    let client = larder.client().await;
    for tenant in ["gone", "kept"] {
        store(&client, tenant, 1).await;
    }
    assert_eq!(larder.post("/purge?tenant=gone").status, 200);
    // A task that looks at all tenants may hold it for a moment.
    eventually("the series to go", async || {
        (!larder.metrics().contains("\"gone\"")).then_some(())
    })
    .await;
    let metrics = larder.metrics();
    let kept = sample(&metrics, "larder_tenant_accepted_spans_total", "kept");
    assert_eq!(kept, Some(1));
    store(&client, "gone", 2).await;
    let metrics = larder.metrics();
    let again = sample(&metrics, "larder_tenant_accepted_spans_total", "gone");
    assert_eq!(again, Some(1));
}

/// An operator sees what an evicted tenant stores, and what is stored before any call.
#[tokio::test]
async fn stored_bytes_are_told_of_tenants_that_are_not_open() {
    let home = Home::new();
    let larder = tenancy(Plugin::Kv)
        .environment("LARDER_TENANCY_IDLE_TIMEOUT", "50ms")
        .start_in(&home);
    store(&larder.client().await, "a", 1).await;
    let told = |larder: &Larder| {
        let metrics = larder.metrics();
        let open = sample(&metrics, "larder_tenant_open", "a");
        (
            open,
            sample(&metrics, "larder_tenant_stored_bytes", "a") > Some(0),
        )
    };
    eventually("the tenant to be evicted", async || {
        (told(&larder) == (Some(0), true)).then_some(())
    })
    .await;
    larder.signal("TERM");
    assert!(larder.wait().0.success());
    let larder = tenancy(Plugin::Kv).start_in(&home);
    assert_eq!(told(&larder), (Some(0), true));
}

#[tokio::test]
async fn a_token_sees_the_series_of_its_tenants_alone() {
    let home = Home::new();
    let (scraper, scraper_line) = token("prometheus", None, "metrics");
    let (admin, admin_line) = token("operator", None, "admin,write");
    let (of_a, of_a_line) = token("scraper of a", Some("a"), "metrics");
    let (admin_of_a, admin_of_a_line) = token("operator of a", Some("a"), "admin");
    let lines: [&str; 4] = [&scraper_line, &admin_line, &of_a_line, &admin_of_a_line];
    let larder = tenancy(Plugin::Memory)
        .tokens(&Tokens::new(&home, &lines))
        .start_in(&home);
    let client = larder.client().await.token(&admin);
    for tenant in ["a", "secret"] {
        store(&client, tenant, 1).await;
    }
    for (token, sees_all) in [
        (&scraper, true),
        (&admin, true),
        (&of_a, false),
        (&admin_of_a, false),
    ] {
        let told = http::request(larder.admin(), ("GET", "/metrics"), Some(token), "");
        assert_eq!(told.status, 200, "{told:?}");
        for name in ALL {
            assert!(sample(&told.body, name, "a").is_some(), "{name}");
        }
        assert_eq!(told.body.contains("secret"), sees_all, "{}", told.body);
        assert_eq!(count(&told.body, "larder_tenants_open", &[]), 2);
    }
}

/// Dashboards need no other queries for a server of one tenant.
#[tokio::test]
async fn without_tenancy_there_are_the_series_of_the_default_tenant() {
    let larder = Options::new(Plugin::Memory).start();
    let metrics = larder.metrics();
    for name in ALL {
        let samples = samples(&metrics, name);
        let tenants: Vec<&str> = samples.iter().map(|(labels, _)| *labels).collect();
        assert_eq!(tenants, ["tenant=\"default\""], "{name}");
    }
}
