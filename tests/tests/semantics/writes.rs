//! `Export`: E1 to E9.

use larder_tests::otlp::{
    IntoValue as _, SpanRef, array, key_value, map, request, resource, service, span, spans_of,
};
use larder_tests::{Larder, Options, Plugin, Query, Scene, eventually};
use opentelemetry_proto::tonic::trace::v1::{TracesData, status::StatusCode};
use prost::Message as _;

/// E1: resource, scope and schema URLs stay with their spans, and the spans of a request keep their order.
async fn resources_scopes_and_schema_urls_are_kept(scene: Scene) {
    let id = scene.trace(1);
    let at = scene.at(0);
    let sent = request([
        scene
            .resource("a")
            .attribute("host", "h1")
            .attribute("nested", map([("k", array([1.5.into_value()]))]))
            .schema_url("https://example.com/resource/1")
            .scope("library", "1.2", [key_value("scoped", true)])
            .scope_schema_url("https://example.com/scope/1")
            .span(span(id, 2).at(at + 9).event("e", [key_value("x", 1)]))
            .span(span(id, 1).at(at).link(scene.trace(9), 8, []))
            .scope("another", "", [])
            .span(span(id, 3).at(at + 5)),
        resource().attribute("no", "name").span(span(id, 4).at(at)),
    ]);
    let bytes = sent.encode_to_vec();
    scene.client.export_bytes(bytes.clone()).await.unwrap();

    let read = scene.client.get_trace(id).await.data;
    let sent = TracesData::decode(&bytes[..]).unwrap();
    assert_same_spans(&sent, &read);
}

/// E2: duplicates are stored, never removed.
async fn a_span_written_twice_is_there_twice(scene: Scene) {
    let id = scene.trace(1);
    let twin = span(id, 1).at(scene.at(0));
    let both = [twin.clone(), twin.clone()];
    scene.store([scene.resource("a").spans(both)]).await;
    scene.store([scene.resource("a").span(twin)]).await;

    assert_eq!(scene.client.get_trace(id).await.span_ids(), [1, 1, 1]);
    assert_eq!(scene.find(scene.query()).await, [1]);
}

/// E3: Larder accepts what Jaeger accepts: no end, an end before the start, no parent, parents and links of zeros, and links to unknown
/// spans.
async fn odd_spans_are_stored_as_they_are(scene: Scene) {
    let id = scene.trace(1);
    let mut backwards = span(id, 1).at(scene.at(10));
    backwards.0.end_time_unix_nano = scene.at(0);
    let parent = span(id, 2).parent(0).at(scene.at(0));
    let mut link = span(id, 3).at(scene.at(0)).link([0; 16], 0, []);
    link = link.link([9; 16], 0, []).link([0; 16], 9, []);
    link.0.links[1].span_id.clear();
    link.0.links[2].trace_id.clear();
    let mut endless = span(id, 4).at(scene.at(0));
    endless.0.end_time_unix_nano = 0;
    let mut numbers = span(id, 5).at(scene.at(0)).status(StatusCode::Ok);
    numbers.0.kind = 77;
    numbers.0.status.as_mut().unwrap().code = -3;
    let spans = [backwards, parent, link, endless, numbers];
    scene
        .store([scene.resource("a").spans(spans.clone())])
        .await;

    let read = scene.client.get_trace(id).await;
    let sent: Vec<_> = spans.iter().map(|span| &span.0).collect();
    assert_eq!(read.spans(), sent);
    assert_eq!(scene.find(scene.query()).await, [1]);
}

/// E4, our choice: only the span with a trace id of zeros is refused.
async fn a_trace_id_of_zeros_is_refused_alone(scene: Scene) {
    let good = span(scene.trace(1), 1).at(scene.at(0));
    let zero = span([0; 16], 1).at(scene.at(0));
    let resource = scene.resource("a").span(zero).span(good);
    let answer = scene.client.export([resource]).await.unwrap();

    let partial = answer.partial_success.expect("a partial success");
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("trace id"), "{partial:?}");
    assert_eq!(scene.find(scene.query()).await, [1]);
    assert!(scene.client.get_traces([[0; 16]]).await.unwrap().is_empty());
}

/// E5: what is missing is listed and found by a name of Jaeger's sanitizers, and comes back as it was sent.
async fn missing_names_are_listed_and_not_filled_in(scene: Scene) {
    let id = scene.trace(1);
    let nameless = span(id, 1).name("").at(scene.at(0));
    let sent = request([resource().span(nameless)]);
    let bytes = sent.encode_to_vec();
    scene.client.export_bytes(bytes.clone()).await.unwrap();

    let read = scene.client.get_trace(id).await.data;
    assert_same_spans(&TracesData::decode(&bytes[..]).unwrap(), &read);
    let missing = "missing-service-name";
    let query = || scene.query().service(missing);
    assert_eq!(scene.find(scene.query()).await, [1]);
    assert_eq!(scene.find(query()).await, [1]);
    let by_name = query().operation("empty-span-name");
    assert_eq!(scene.find(by_name.clone()).await, [1]);
    assert_eq!(scene.find(query().operation("other")).await, [0; 0]);
    let services = scene.client.services().await.unwrap();
    assert!(!services.contains(&String::new()), "{services:?}");
    assert!(services.iter().any(|name| name == missing), "{services:?}");
    let operations = scene.client.operations(missing, "").await.unwrap();
    let is_listed = |name| operations.iter().any(|operation| operation.name == name);
    assert!(is_listed("empty-span-name") && !is_listed(""));
    let summaries = scene.client.find_trace_summaries(&by_name).await.unwrap();
    assert_eq!(summaries[0].root_service_name, missing);
    assert_eq!(summaries[0].root_operation_name, "empty-span-name");
}

/// E6: an acknowledged Export is visible to every read at once.
async fn a_write_is_visible_when_it_is_acknowledged(scene: Scene) {
    for number in 1..=20 {
        let one = span(scene.trace(number), number)
            .name(&format!("op-{number}"))
            .at(scene.at(number));
        scene.store([scene.resource("a").span(one)]).await;

        assert_eq!(scene.find(scene.query().depth(1)).await, [number]);
        assert_eq!(
            scene.client.get_trace(scene.trace(number)).await.span_ids(),
            [number]
        );
        let operations = scene.client.operations(&scene.service("a"), "").await;
        assert_eq!(operations.unwrap().len(), usize::try_from(number).unwrap());
    }
}

/// Each span with its resource and its scope, in order.
fn assert_same_spans(sent: &TracesData, read: &TracesData) {
    let flat = |data: &TracesData| -> Vec<_> {
        spans_of(&data.resource_spans).map(SpanRef::alone).collect()
    };
    assert_eq!(flat(sent), flat(read));
}

larder_tests::every_plugin_and_fixture![
    resources_scopes_and_schema_urls_are_kept,
    a_span_written_twice_is_there_twice,
    odd_spans_are_stored_as_they_are,
    a_trace_id_of_zeros_is_refused_alone,
    missing_names_are_listed_and_not_filled_in,
    a_write_is_visible_when_it_is_acknowledged,
];

/// E7 and O1, our choice: the trace that was written first is evicted first, new spans of a known trace do not change its age, and
/// services and operations are dropped with their data. Only `memory` has such a limit.
#[tokio::test]
async fn memory_forgets_the_oldest_trace_and_its_service() {
    let larder = Options::new(Plugin::Memory)
        .setting("max_traces", "3")
        .start();
    let client = larder.client().await;
    let write = async |number: u8| {
        let one = span([number; 16], 1)
            .name(&format!("op-{number}"))
            .at(u64::from(number));
        client
            .store([service(format!("s{number}").as_str()).span(one)])
            .await;
    };
    for number in [1, 2, 3, 1, 4] {
        write(number).await;
    }

    assert_eq!(client.services().await.unwrap(), ["s2", "s3", "s4"]);
    assert!(client.operations("s1", "").await.unwrap().is_empty());
    assert!(client.get_traces([[1; 16]]).await.unwrap().is_empty());
    let all = client.find(&Query::default()).await;
    assert_eq!(all, [[4; 16], [3; 16], [2; 16]]);
    assert_evicted(&larder, 1).await;
}

async fn assert_evicted(larder: &Larder, traces: u64) {
    eventually("the plugin's counts", async || {
        let counts = &larder.get("/plugin").json()["statistics"];
        (counts["traces"] == 3 && counts["evicted_traces"] == traces).then_some(())
    })
    .await;
}
