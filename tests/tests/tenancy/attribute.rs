//! Writers without a header: each resource of a request names its tenant.

use larder_tests::otlp::{ResourceBuilder, resource, service, span};
use larder_tests::{Client, Home, Options, Plugin, Query, Tokens, method, token};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
use tonic::Code;

use super::{tenancy, traces};

fn options(plugin: Plugin) -> Options {
    tenancy(plugin).environment("LARDER_TENANCY_RESOURCE_ATTRIBUTE", "tenant.id")
}

/// Builds a span of trace `number`, of a resource without a tenant.
fn without_tenant(number: u8) -> ResourceBuilder {
    let one = span([number; 16], u64::from(number)).at(1000 + u64::from(number));
    service(format!("service {number}")).span(one)
}

pub(super) fn of(tenant: &str, number: u8) -> ResourceBuilder {
    without_tenant(number).attribute("tenant.id", tenant)
}

/// Returns the partial success of an accepted Export.
pub(super) async fn refused(
    client: &Client,
    resources: Vec<ResourceBuilder>,
) -> ExportTracePartialSuccess {
    let answer = client
        .export(resources)
        .await
        .expect("an Export that works");
    answer.partial_success.unwrap_or_default()
}

#[track_caller]
fn says(refused: &ExportTracePartialSuccess, spans: i64, words: &[&str]) {
    assert_eq!(refused.rejected_spans, spans, "{refused:?}");
    let text = &refused.error_message;
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

async fn each_tenant_gets_its_own_of_one_request(plugin: Plugin) {
    let larder = options(plugin).purge().start();
    let client = larder.client().await;
    let sent = vec![
        of("a", 1),
        of("b", 2),
        without_tenant(3),
        of("a", 4),
        of("no/name", 5),
        of("c", 6),
        without_tenant(7).attribute("tenant.id", 7),
        without_tenant(8)
            .attribute("tenant.id", "a")
            .attribute("tenant.id", "a"),
    ];
    let refused = refused(&client, sent.clone()).await;
    says(
        &refused,
        4,
        &[
            "refused 1 span: missing tenant attribute",
            "refused 2 spans: unknown tenant",
            "\"no/name\"",
            "refused 1 span: extra tenant attribute",
            "\"tenant.id\"",
        ],
    );
    for (tenant, numbers) in [
        ("a", &[4, 1][..]),
        ("b", &[2]),
        ("c", &[6]),
        ("default", &[]),
    ] {
        assert_eq!(traces(&client, tenant).await, numbers, "{tenant}");
        let mut services: Vec<String> = numbers.iter().map(|it| format!("service {it}")).collect();
        services.sort();
        let mut found = client.tenant(tenant).services().await.unwrap();
        found.sort();
        assert_eq!(found, services, "{tenant}");
    }
    // As sent, including the attribute.
    let trace = client.tenant("b").get_trace([2; 16]).await;
    assert_eq!(trace.data.resource_spans, [sent[1].0.clone()]);

    assert_eq!(larder.post("/purge?tenant=a").status, 200);
    assert!(traces(&client, "a").await.is_empty());
    assert_eq!(traces(&client, "b").await, [2]);
    assert_eq!(traces(&client, "c").await, [6]);
    let tenants = larder.get("/tenants").json();
    let names = tenants.as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c", "default"], "nobody else was made");
    let metrics = larder.metrics();
    for (reason, spans) in [
        ("tenant_missing", 1),
        ("tenant_unknown", 2),
        ("tenant_extra", 1),
    ] {
        let label = format!("reason=\"{reason}\"");
        let counted =
            larder_tests::http::count(&metrics, "larder_ingest_refused_spans_total", &[&label]);
        assert_eq!(counted, spans, "{reason}");
    }
    larder.line("refused spans");
}

larder_tests::with_plugins!(each_tenant_gets_its_own_of_one_request: kv = Kv, memory = Memory);

/// Tenants that are open when the Export is walked give way to others of it only once they have their spans.
#[tokio::test]
async fn an_export_of_more_tenants_than_may_be_open_is_stored() {
    let larder = options(Plugin::Kv)
        .environment("LARDER_TENANCY_MAX_OPEN", "4")
        .start();
    let client = larder.client().await;
    let open = ["a", "b", "c", "d"];
    for tenant in open {
        refused(&client, vec![of(tenant, 1)]).await;
    }
    let others: Vec<String> = (0..9).map(|number| format!("other-{number}")).collect();
    let all = others.iter().map(String::as_str).chain(open);
    let sent = all.map(|tenant| of(tenant, 2)).collect();
    let refused = refused(&client, sent).await;
    assert_eq!(refused, ExportTracePartialSuccess::default());
    for tenant in open {
        assert_eq!(traces(&client, tenant).await, [2, 1], "{tenant}");
    }
    for tenant in &others {
        assert_eq!(traces(&client, tenant).await, [2], "{tenant}");
    }
}

#[tokio::test]
async fn the_header_takes_precedence_over_resources() {
    let larder = options(Plugin::Memory).start();
    let client = larder.client().await;
    let sent = vec![of("a", 1), of("no/name", 2), without_tenant(3)];
    client.tenant("b").store(sent).await;
    assert_eq!(traces(&client, "b").await, [3, 2, 1]);
    assert!(traces(&client, "a").await.is_empty());
    let twice = client.tenant("b").tenant("b").export([of("a", 4)]).await;
    assert_eq!(twice.unwrap_err().message(), "extra tenant header");
    // Only Exports may omit it.
    let services = client.services().await.unwrap_err();
    assert_eq!(services.message(), "missing tenant header");
}

#[tokio::test]
async fn resources_without_a_tenant_belong_to_the_listeners_default_tenant() {
    let larder = options(Plugin::Memory)
        .environment("LARDER_TENANCY_TENANTS", "a,main,pipeline")
        .environment("LARDER_TENANCY_DEFAULT", "main")
        .environment("LARDER_TENANCY_WRITER_DEFAULT", "pipeline")
        .writer_port()
        .start();
    let client = larder.client().await;
    let writer = Client::connect(larder.writer()).await;
    for (port, number) in [(&client, 1), (&writer, 2)] {
        let sent = vec![of("a", number + 2), without_tenant(number), of("b", 9)];
        let refused = refused(port, sent).await;
        says(&refused, 1, &["unknown tenant", "\"b\""]);
    }
    assert_eq!(traces(&client, "main").await, [1]);
    assert_eq!(traces(&client, "pipeline").await, [2]);
    assert_eq!(traces(&client, "a").await, [4, 3]);
}

#[tokio::test]
async fn a_token_does_not_write_for_other_tenants_by_the_attribute() {
    let home = Home::new();
    let (a, a_line) = token("of a", Some("a"), "write");
    let (reader, reader_line) = token("reader", None, "read");
    let tokens = Tokens::new(&home, &[&a_line, &reader_line]);
    let larder = options(Plugin::Memory)
        .tokens(&tokens)
        .environment("LARDER_TENANCY_DEFAULT", "main")
        .start_in(&home);
    let plain = larder.client().await;
    let with = |token: &str| plain.token(token);

    let refused = refused(
        &with(&a),
        vec![of("b", 1), of("a", 2), without_tenant(3), of("b", 4)],
    )
    .await;
    says(
        &refused,
        3,
        &["refused 3 spans: token \"of a\" is not for tenant \"b\""],
    );
    for (client, code) in [
        (&with(&reader), Code::PermissionDenied),
        (&plain, Code::Unauthenticated),
    ] {
        for sent in [vec![], vec![of("a", 5)], vec![of("no/name", 5)]] {
            let status = client.export(sent).await.unwrap_err();
            assert_eq!(status.code(), code, "{status:?}");
        }
    }
    let reads = with(&reader);
    assert_eq!(traces(&reads, "a").await, [2]);
    for tenant in ["b", "main"] {
        assert!(traces(&reads, tenant).await.is_empty(), "{tenant}");
    }
}

#[tokio::test]
async fn a_request_with_too_many_tenants_loses_only_the_excess() {
    let larder = options(Plugin::Memory)
        .environment("LARDER_TENANCY_MAX_TENANTS", "2")
        .start();
    let client = larder.client().await;
    // `default` is not a tenant's name here, and unknown before its first use.
    let refused = refused(
        &client,
        vec![of("a", 1), of("b", 2), of("c", 3), of("a", 4)],
    )
    .await;
    says(&refused, 1, &["tenancy.max_tenants"]);
    assert_eq!(traces(&client, "a").await, [4, 1]);
    assert_eq!(traces(&client, "b").await, [2]);
}

/// The parts that work are stored; a client that repeats the request loses nothing, and duplicates those.
#[tokio::test]
async fn a_failing_tenant_makes_the_whole_request_retryable() {
    let larder = options(Plugin::HostileExclusive).start();
    let client = larder.client().await;
    let trap = resource()
        .attribute("tenant.id", "bad")
        .attribute("service.name", "die")
        .span(span([9; 16], 9).at(5));
    let sent = vec![of("quiet", 1), trap, of("last", 2)];
    let status = client.export(sent).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().contains("tenant `bad`"), "{status:?}");
    assert_eq!(traces(&client, "quiet").await, [1]);
    assert_eq!(traces(&client, "last").await, [2]);

    client.store([of("quiet", 1), of("last", 2)]).await;
    let twice = client.tenant("quiet").get_trace([1; 16]).await;
    assert_eq!(twice.spans().len(), 2);
}

#[tokio::test]
async fn a_malformed_request_is_not_stored_in_part() {
    let larder = options(Plugin::Memory).start();
    let client = larder.client().await;
    let mut request = prost::Message::encode_to_vec(&larder_tests::otlp::request([of("a", 1)]));
    // Another resource, whose scope is one byte that is not a message.
    request.extend([0x0a, 3, 0x12, 1, 0xff]);
    let status = client.export_bytes(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(client.tenant("a").find(&Query::default()).await.is_empty());
    let empty = client.call().unary(method::EXPORT, Vec::new().into()).await;
    assert!(empty.is_ok());
}
