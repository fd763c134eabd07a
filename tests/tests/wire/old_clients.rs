//! Clients before OTLP 0.15, which send their spans in `ResourceSpans.instrumentation_library_spans` (field 1000). The layout inside is
//! that of `scope_spans`.

use larder_proto::otlp::pdata;
use larder_proto::testing::bytes_field;
use larder_tests::otlp::span;
use larder_tests::{Scene, http};
use prost::Message as _;

/// The content of a `scope_spans` or an `instrumentation_library_spans`: a scope and spans.
fn scope_spans(scene: &Scene, trace: u64, ids: &[u64]) -> Vec<u8> {
    let mut content = bytes_field(1, &bytes_field(1, b"lib"));
    for id in ids {
        let one = span(scene.trace(trace), *id).at(scene.at(*id));
        content.extend(bytes_field(2, &one.0.encode_to_vec()));
    }
    content
}

/// A request of one resource with these fields.
fn request(scene: &Scene, fields: &[Vec<u8>]) -> Vec<u8> {
    let resource = scene.resource("old").0.resource.unwrap().encode_to_vec();
    bytes_field(1, &[bytes_field(1, &resource), fields.concat()].concat())
}

fn old(content: &[u8]) -> Vec<u8> {
    bytes_field(pdata::OLD_SCOPE_SPANS, content)
}

async fn spans_of_old_clients_are_stored(scene: Scene) {
    let fields = [
        old(&scope_spans(&scene, 1, &[1, 2])),
        old(&scope_spans(&scene, 1, &[3])),
    ];
    let answer = scene.client.export_bytes(request(&scene, &fields)).await;
    assert_eq!(answer.unwrap().partial_success, None);

    let trace = scene.client.get_trace(scene.trace(1)).await;
    assert_eq!(trace.span_ids(), [1, 2, 3]);
    let resource_spans = &trace.data.resource_spans[0];
    assert_eq!(
        resource_spans.scope_spans[0].scope.as_ref().unwrap().name,
        "lib"
    );
    let service = scene.query().service(scene.service("old"));
    assert_eq!(scene.find(service).await, [1]);
}

async fn an_invalid_span_of_an_old_client_is_refused_alone(scene: Scene) {
    let mut bad = span(scene.trace(1), 9).at(scene.at(0)).0;
    bad.parent_span_id = vec![1; 3];
    let mut content = scope_spans(&scene, 1, &[1]);
    content.extend(bytes_field(2, &bad.encode_to_vec()));
    let body = request(&scene, &[old(&content)]);
    let answer = scene.client.export_bytes(body).await.unwrap();
    assert_eq!(answer.partial_success.unwrap().rejected_spans, 1);
    assert_eq!(scene.client.get_trace(scene.trace(1)).await.span_ids(), [1]);
}

/// As for Jaeger only the new field counts; the spans in the old one are refused, and do not come back beside others.
async fn beside_the_new_field_the_old_one_is_refused(scene: Scene) {
    let larder = scene.larder();
    let counted = || {
        let name = "larder_ingest_refused_spans_total";
        http::count(&larder.metrics(), name, &["reason=\"superseded\""])
    };
    let before = counted();
    let new = bytes_field(2, &scope_spans(&scene, 1, &[1]));
    let fields = [old(&scope_spans(&scene, 2, &[7, 8])), new];
    let answer = scene.client.export_bytes(request(&scene, &fields)).await;
    let partial = answer.unwrap().partial_success.expect("a partial success");
    assert_eq!(partial.rejected_spans, 2);
    let why = partial.error_message;
    assert!(why.contains("instrumentation_library_spans"), "{why}");
    assert!(counted() >= before + 2);

    let trace = scene.client.get_trace(scene.trace(1)).await;
    assert_eq!(trace.span_ids(), [1]);
    let other = scene.client.get_traces([scene.trace(2)]).await.unwrap();
    assert!(other.is_empty());
}

larder_tests::every_plugin![
    spans_of_old_clients_are_stored,
    an_invalid_span_of_an_old_client_is_refused_alone,
    beside_the_new_field_the_old_one_is_refused,
];
