//! A tenant's quotas: above them, only that tenant is refused, with a retry delay.

use larder_proto::storage::v2::FoundTraceId;
use larder_tests::http::{self, count};
use larder_tests::otlp::{ResourceBuilder, noise, service, span};
use larder_tests::status::{error_info, retry_info};
use larder_tests::{Client, Larder, Options, Plugin, Query, arm, eventually, patiently};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::{store, tenancy, traces};

/// Builds a trace of 200 spans.
fn many(number: u8) -> ResourceBuilder {
    let spans = (1..=200).map(|id| span([number; 16], id).at(1000 + u64::from(number)));
    service("a").spans(spans)
}

#[track_caller]
fn assert_refused(status: &Status, setting: &str) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains(setting), "{status:?}");
    let info = error_info(status).expect("ErrorInfo");
    assert_eq!(info.reason, "QUOTA_EXCEEDED");
    assert_eq!(info.metadata["setting"], setting);
    let delay = retry_info(status).and_then(|info| info.retry_delay);
    let delay = delay.expect("OTLP clients retry where there is a RetryInfo");
    assert!((delay.seconds, delay.nanos) > (0, 0), "{delay:?}");
}

fn refusals(larder: &Larder, setting: &str) -> u64 {
    let label = format!("setting=\"{setting}\"");
    let name = "larder_tenant_quota_refusals_total";
    count(&larder.metrics(), name, &[&label])
}

/// Exports until one is refused, which is soon: each of them uses up two seconds.
async fn flood(client: &Client) -> Status {
    for _ in 0..1000 {
        if let Err(refused) = client.export([many(1)]).await {
            return refused;
        }
    }
    panic!("nothing was refused");
}

#[tokio::test]
async fn spans_beyond_a_tenants_rate_are_refused_and_later_taken() {
    let larder = tenancy(Plugin::Memory)
        .config("tenancy: { overrides: { a: { limits: { spans_per_second: 100 } } } }")
        .start();
    let client = larder.client().await;
    let a = client.tenant("a");
    assert_refused(&flood(&a).await, "limits.spans_per_second");
    assert_ne!(refusals(&larder, "limits.spans_per_second"), 0);
    for number in 1..=20 {
        client.tenant("b").store([many(number)]).await;
    }
    assert_eq!(traces(&client, "a").await, [1], "reads go on");
    eventually("the next request to be taken", async || {
        a.export([many(2)]).await.ok()
    })
    .await;
    assert_eq!(traces(&client, "a").await, [2, 1]);
}

#[tokio::test]
async fn the_common_rate_applies_to_each_tenant_separately() {
    let larder = tenancy(Plugin::Memory)
        .environment("LARDER_LIMITS_SPANS_PER_SECOND", "100")
        .config("tenancy: { overrides: { free: { limits: { spans_per_second: null } } } }")
        .start();
    let client = larder.client().await;
    assert_refused(&flood(&client.tenant("a")).await, "limits.spans_per_second");
    client.tenant("b").store([many(1)]).await;
    assert_refused(&flood(&client.tenant("b")).await, "limits.spans_per_second");
    for number in 1..=20 {
        client.tenant("free").store([many(number)]).await;
    }
}

#[tokio::test]
async fn without_tenancy_the_one_tenant_is_held_to_it() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_LIMITS_SPANS_PER_SECOND", "100")
        .start();
    let refused = flood(&larder.client().await).await;
    assert_refused(&refused, "limits.spans_per_second");
}

#[tokio::test]
async fn a_tenant_at_its_kv_quota_cannot_write_and_the_others_can() {
    let larder = tenancy(Plugin::Kv)
        .config("tenancy: { overrides: { full: { kv: { quota: 1MiB } } } }")
        .start();
    let client = larder.client().await;
    let full = client.tenant("full");
    let large = |number: u8| {
        let filler = noise(u64::from(number), 200_000);
        let span = span([number; 16], 1).at(1000).attribute("filler", filler);
        service("a").span(span)
    };
    let mut stored = 0;
    let refused = loop {
        match full.export([large(stored + 1)]).await {
            Ok(_) => stored += 1,
            Err(refused) => break refused,
        }
        client.tenant("other").store([large(stored)]).await;
        assert!(stored < 40, "1 MiB is long full");
    };
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("`kv.quota`"), "{refused:?}");
    assert!(retry_info(&refused).is_some(), "{refused:?}");
    assert!(stored >= 4, "a MiB of text takes more of it: {stored}");
    for number in 41..=60 {
        client.tenant("other").store([large(number)]).await;
    }
    assert_eq!(traces(&client, "full").await.len(), usize::from(stored));
}

/// Starts six queries of tenant `a` that never end, where one may run and four have room to wait. Returns once one is refused.
async fn saturated() -> (Larder, Client, JoinSet<Result<Vec<FoundTraceId>, Status>>) {
    let larder = tenancy(Plugin::HostileExclusive)
        .environment("LARDER_LIMITS_CALL_TIMEOUT", "1h")
        .environment("LARDER_LIMITS_QUERY_TIMEOUT", "1h")
        .config("tenancy: { overrides: { a: { limits: { concurrent_queries: 1, query_queue_bytes: 80KiB } } } }")
        .start();
    let client = larder.client().await;
    for tenant in ["a", "b"] {
        store(&client, tenant, 1).await;
    }
    arm(&client.tenant("a"), "spin at find").await;
    let mut queries = JoinSet::new();
    for _ in 0..6 {
        let client = client.tenant("a");
        queries.spawn(async move { client.find_trace_ids(&Query::default()).await });
    }
    let first = patiently("a refusal", queries.join_next()).await.unwrap();
    let refused = first.unwrap().unwrap_err();
    assert_refused(&refused, "limits.query_queue_bytes");
    (larder, client, queries)
}

/// Of six queries that never end one runs, four wait, and one is refused at once: its request has no room to wait.
#[tokio::test]
async fn queries_beyond_a_tenants_number_are_refused_and_the_others_answered() {
    let (larder, client, mut queries) = saturated().await;
    assert_eq!(refusals(&larder, "limits.query_queue_bytes"), 1);
    assert_eq!(traces(&client, "b").await, [1]);
    assert_eq!(queries.len(), 5);
    assert!(queries.try_join_next().is_none(), "one runs, and four wait");
}

/// `/explain` counts as a query: with one running and no room to wait it is refused at once, and another tenant's is not.
#[tokio::test]
async fn an_explanation_beyond_a_tenants_number_of_queries_is_refused() {
    let (larder, _client, _queries) = saturated().await;
    let explain = |tenant: &str| {
        let call = ("POST", &*format!("/explain?tenant={tenant}"));
        http::request(larder.admin(), call, None, r#"{"search_depth": 1}"#)
    };
    let refused = explain("a");
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(
        refused.body.contains("limits.query_queue_bytes"),
        "{refused:?}"
    );
    assert_eq!(refusals(&larder, "limits.query_queue_bytes"), 2);
    assert_eq!(explain("b").status, 200);
}

/// Only concurrent queries are limited: successive ones are answered, and so is a waiting one.
#[tokio::test]
async fn a_query_that_waits_is_answered_when_another_ends() {
    let larder = tenancy(Plugin::Memory)
        .config("tenancy: { overrides: { a: { limits: { concurrent_queries: 2 } } } }")
        .start();
    let client = larder.client().await;
    store(&client, "a", 1).await;
    for _ in 0..20 {
        let four = (0..4).map(|_| client.tenant("a"));
        let mut queries: JoinSet<_> = four
            .map(|client| async move { client.services().await })
            .collect();
        while let Some(answer) = queries.join_next().await {
            assert_eq!(answer.unwrap().unwrap(), ["a"]);
        }
    }
    assert_eq!(refusals(&larder, "limits.concurrent_queries"), 0);
}

/// Repeating the whole request would store the other tenants' spans twice, so it must not look retryable.
#[tokio::test]
async fn a_request_for_several_tenants_loses_only_spans_beyond_a_rate() {
    let larder = tenancy(Plugin::Memory)
        .environment("LARDER_TENANCY_RESOURCE_ATTRIBUTE", "tenant.id")
        .config("tenancy: { overrides: { a: { limits: { spans_per_second: 1 } } } }")
        .start();
    let client = larder.client().await;
    let of = |tenant: &str, number| many(number).attribute("tenant.id", tenant);
    // It is 199 seconds over its rate from here on.
    client.store([of("a", 1), of("b", 2)]).await;
    let answer = client.export([of("a", 3), of("b", 4)]).await.unwrap();
    let refused = answer.partial_success.unwrap();
    assert_eq!(refused.rejected_spans, 200, "{refused:?}");
    let told = "limits.spans_per_second";
    assert!(refused.error_message.contains(told), "{refused:?}");
    assert_eq!(traces(&client, "a").await, [1]);
    assert_eq!(traces(&client, "b").await, [4, 2]);
    assert_eq!(refusals(&larder, told), 1);
}
