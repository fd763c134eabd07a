//! The tenant header, with Jaeger's semantics and texts, on every RPC.

use larder_tests::{Client, Plugin, method};
use tonic::{Code, Status};

use super::{store, tenancy, traces};

/// Calls every RPC with an empty request, and returns the results.
pub(crate) async fn every_rpc(client: &Client) -> Vec<(&'static str, Result<(), Status>)> {
    let mut ends = Vec::new();
    for unary in [
        method::EXPORT,
        method::GET_SERVICES,
        method::GET_OPERATIONS,
        method::FIND_TRACE_IDS,
        method::GET_DEPENDENCIES,
        method::GET_CAPABILITIES,
    ] {
        let answer = client.call().unary(unary, Vec::new().into()).await;
        ends.push((unary, answer.map(drop)));
    }
    for stream in [
        method::GET_TRACES,
        method::FIND_TRACES,
        method::FIND_TRACE_SUMMARIES,
        method::FIND_SPANS,
    ] {
        let reply = client.call().stream(stream, Vec::new().into()).await;
        ends.push((stream, reply.end));
    }
    ends
}

#[track_caller]
fn refused(ends: Vec<(&'static str, Result<(), Status>)>, code: Code, text: &str) {
    assert_eq!(ends.len(), 10);
    for (method, end) in ends {
        let status = end.expect_err(method);
        assert_eq!((status.code(), status.message()), (code, text), "{method}");
    }
}

/// Asserts that each call was admitted: an empty request may still be invalid for other reasons.
#[track_caller]
pub(crate) fn admitted(ends: Vec<(&'static str, Result<(), Status>)>) {
    for (method, end) in ends {
        let code = end.err().map_or(Code::Ok, |status| status.code());
        assert!(
            matches!(code, Code::Ok | Code::InvalidArgument),
            "{method}: {code:?}"
        );
    }
}

#[tokio::test]
async fn each_rpc_refuses_a_request_without_one_known_tenant() {
    let larder = tenancy(Plugin::Memory)
        .environment("LARDER_TENANCY_TENANTS", "acme,globex")
        .start();
    let client = larder.client().await;
    let missing = every_rpc(&client).await;
    refused(missing, Code::Unauthenticated, "missing tenant header");
    let twice = client.tenant("acme").tenant("acme");
    let extra = every_rpc(&twice).await;
    refused(extra, Code::PermissionDenied, "extra tenant header");
    for name in ["initech", "ACME", "../acme", ""] {
        let unknown = every_rpc(&client.tenant(name)).await;
        refused(unknown, Code::PermissionDenied, "unknown tenant");
    }
    admitted(every_rpc(&client.tenant("globex")).await);
}

#[tokio::test]
async fn without_a_list_any_safe_name_is_a_tenant_up_to_a_number() {
    let larder = tenancy(Plugin::Memory)
        .environment("LARDER_TENANCY_MAX_TENANTS", "2")
        .start();
    let client = larder.client().await;
    for name in ["..", "a b", "-a", "a/b", &"a".repeat(64)] {
        let unknown = every_rpc(&client.tenant(name)).await;
        refused(unknown, Code::PermissionDenied, "unknown tenant");
    }
    for name in ["a", "b"] {
        admitted(every_rpc(&client.tenant(name)).await);
    }
    let refused = client.tenant("c").services().await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("tenancy.max_tenants"));
    admitted(every_rpc(&client.tenant("a")).await);
}

#[tokio::test]
async fn health_needs_no_tenant_and_the_server_is_ready() {
    let larder = tenancy(Plugin::Memory).start();
    assert_eq!(larder.get("/readyz").status, 200);
    let channel = larder.client().await.channel();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let asked = tonic_health::pb::HealthCheckRequest::default();
    let status = health.check(asked).await.unwrap().into_inner().status;
    assert_eq!(status, 1, "SERVING");
}

#[tokio::test]
async fn the_header_has_the_name_that_is_configured() {
    let larder = tenancy(Plugin::Memory)
        .environment("LARDER_TENANCY_HEADER", "X-Scope-OrgID")
        .start();
    let client = larder.client().await;
    let other = every_rpc(&client.tenant("a")).await;
    refused(other, Code::Unauthenticated, "missing tenant header");
    admitted(every_rpc(&client.with_header("x-scope-orgid", "a")).await);
}

#[tokio::test]
async fn a_listener_may_have_a_default_tenant() {
    let larder = tenancy(Plugin::Memory)
        .environment("LARDER_TENANCY_WRITER_DEFAULT", "pipeline")
        .writer_port()
        .start();
    let client = larder.client().await;
    let writer = Client::connect(larder.writer()).await;
    let one = larder_tests::otlp::span([7; 16], 1).at(5);
    writer
        .store([larder_tests::otlp::service("a").span(one)])
        .await;
    assert_eq!(traces(&client, "pipeline").await, [7]);
    let missing = every_rpc(&client).await;
    refused(missing, Code::Unauthenticated, "missing tenant header");
    store(&writer, "other", 8).await;
    assert_eq!(traces(&client, "other").await, [8]);
}

/// Without tenancy the header is ignored, and stored data belongs to the tenant `default`.
#[tokio::test]
async fn data_from_before_tenancy_belongs_to_the_default_tenant() {
    let home = larder_tests::Home::new();
    let larder = larder_tests::Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    store(&client, "a", 1).await;
    assert_eq!(traces(&client, "b").await, [1]);
    larder.signal("TERM");
    assert!(larder.wait().0.success());

    let larder = tenancy(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    assert_eq!(traces(&client, "default").await, [1]);
    assert!(traces(&client, "a").await.is_empty());
}
