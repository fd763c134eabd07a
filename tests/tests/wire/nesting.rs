//! Values nested in each other: 64 levels of arrays and maps are stored wherever an attribute may stand; deeper ones refuse the spans that
//! hold them, and no others (E3).

use larder_proto::otlp::{AnyValue, KeyValue, Span, TracesData, entries, pdata, values};
use larder_proto::storage::v2::{GetTraceParams, GetTracesRequest};
use larder_proto::testing::bytes_field;
use larder_tests::otlp::span;
use larder_tests::{Scene, http, method};
use prost::Message as _;
use tonic::Code;

/// Maximum levels of maps and of arrays that Jaeger's client decodes.
const DECODED: [usize; 2] = [32, 49];

/// An attribute `deep` of `levels` maps or arrays within each other, encoded.
fn attribute(levels: usize, is_map: bool) -> Vec<u8> {
    let value = (0..levels).fold(bytes_field(1, b"core"), |value, _| {
        if is_map {
            let entry = [bytes_field(1, b"k"), bytes_field(2, &value)].concat();
            bytes_field(6, &bytes_field(1, &entry))
        } else {
            bytes_field(5, &bytes_field(1, &value))
        }
    });
    [bytes_field(1, b"deep"), bytes_field(2, &value)].concat()
}

const PLACES: [&str; 5] = ["span", "event", "link", "scope", "resource"];

/// A request with a span of trace 1 around the attribute, and with a good span of trace 2.
fn request(scene: &Scene, attribute: &[u8], place: &str) -> Vec<u8> {
    let of = |number| {
        span(scene.trace(number), number)
            .at(scene.at(0))
            .0
            .encode_to_vec()
    };
    let resource = scene.resource("deep").0.resource.unwrap().encode_to_vec();
    let with = |at: &str, number, message: Vec<u8>| {
        if place == at {
            [message, bytes_field(number, attribute)].concat()
        } else {
            message
        }
    };
    let event = bytes_field(11, &with("event", 3, Vec::new()));
    let link = bytes_field(13, &with("link", 4, Vec::new()));
    let bad = [with("span", 9, of(1)), event, link].concat();
    let scope = bytes_field(1, &with("scope", 3, bytes_field(1, b"lib")));
    let scope_spans = [scope, bytes_field(2, &bad)].concat();
    let bad = [
        bytes_field(1, &with("resource", 1, resource.clone())),
        bytes_field(2, &scope_spans),
    ];
    let good = [
        bytes_field(1, &resource),
        bytes_field(2, &bytes_field(2, &of(2))),
    ];
    [
        bytes_field(1, &bad.concat()),
        bytes_field(1, &good.concat()),
    ]
    .concat()
}

/// The only message of trace 1, if it is stored.
async fn stored(scene: &Scene) -> Option<Vec<u8>> {
    let query = vec![GetTraceParams {
        trace_id: scene.trace(1).to_vec(),
        ..GetTraceParams::default()
    }];
    let body = GetTracesRequest { query }.encode_to_vec();
    let reply = scene
        .client
        .call()
        .stream(method::GET_TRACES, body.into())
        .await;
    reply.end.unwrap();
    assert!(reply.messages.len() < 2);
    let message = reply.messages.first()?;
    assert!(pdata::decodes(message), "Jaeger cannot read it");
    Some(message.to_vec())
}

/// All attributes of a message with one span.
fn attributes(message: &[u8]) -> Vec<(String, KeyValue<'_>)> {
    let resource_spans = TracesData::new(message)
        .resource_spans()
        .next()
        .unwrap()
        .unwrap();
    let scope_spans = resource_spans.scope_spans().next().unwrap().unwrap();
    let one: Span<'_> = scope_spans.spans().next().unwrap().unwrap();
    let all = resource_spans.resource.attributes();
    let all = all
        .chain(scope_spans.scope.attributes())
        .chain(one.attributes());
    let events = one.events().flat_map(|event| event.unwrap().attributes());
    let links = one.links().flat_map(|link| link.unwrap().attributes());
    all.chain(events)
        .chain(links)
        .map(Result::unwrap)
        .map(|attribute| {
            (
                String::from_utf8(attribute.key.to_vec()).unwrap(),
                attribute,
            )
        })
        .collect()
}

/// The number of levels of a value, and the text inside.
fn levels(value: &AnyValue<'_>) -> (usize, String) {
    let inner = match value {
        AnyValue::Array(array) => levels(&values(array).next().unwrap().unwrap().unwrap()),
        AnyValue::KvList(map) => levels(&entries(map).next().unwrap().unwrap().value.unwrap()),
        AnyValue::String(text) => return (0, String::from_utf8(text.to_vec()).unwrap()),
        other => panic!("{other:?}"),
    };
    (inner.0 + 1, inner.1)
}

async fn values_of_64_levels_are_stored_and_answered(scene: Scene) {
    for place in PLACES {
        for (is_map, decoded) in [true, false].into_iter().zip(DECODED) {
            for count in [decoded, decoded + 1, 64] {
                let scene = scene.again();
                let body = request(&scene, &attribute(count, is_map), place);
                let answer = scene.client.export_bytes(body).await.unwrap();
                assert_eq!(answer.partial_success, None, "{place}: {count} levels");

                let message = stored(&scene).await.unwrap();
                let found = attributes(&message);
                let (_, deep) = found.iter().find(|(key, _)| key == "deep").unwrap();
                let (found_levels, text) = levels(deep.value.as_ref().unwrap());
                assert_eq!(found_levels, count.min(decoded), "{place}: {count} levels");
                let mark = found
                    .iter()
                    .find(|(key, _)| key == "larder.flattened.values");
                if count == decoded {
                    assert_eq!((&*text, mark), ("core", None));
                } else {
                    // What Jaeger cannot decode is answered as the text that a search compares.
                    assert!(text.contains("\"core\""), "{text}");
                    let value = mark.unwrap().1.value.clone();
                    assert_eq!(value, Some(AnyValue::Int(1)));
                }
                assert_eq!(scene.client.get_trace(scene.trace(2)).await.span_ids(), [2]);
                let service = scene.query().service(scene.service("deep"));
                assert_eq!(
                    scene.client.find_trace_ids(&service).await.unwrap().len(),
                    2
                );
            }
        }
    }
}

async fn values_of_65_levels_refuse_their_spans_alone(scene: Scene) {
    let larder = scene.larder();
    let counted = || {
        let name = "larder_ingest_refused_spans_total";
        http::count(&larder.metrics(), name, &["reason=\"nesting\""])
    };
    for place in PLACES {
        for count in [65, 300] {
            for is_map in [true, false] {
                let scene = scene.again();
                let before = counted();
                let body = request(&scene, &attribute(count, is_map), place);
                let answer = scene.client.export_bytes(body).await.unwrap();
                let partial = answer.partial_success.expect("a partial success");
                assert_eq!(partial.rejected_spans, 1, "{place}: {count} levels");
                let why = partial.error_message;
                assert!(why.contains("more than 64 nested arrays and maps"), "{why}");
                assert!(counted() > before);
                assert_eq!(stored(&scene).await, None);
                assert_eq!(scene.client.get_trace(scene.trace(2)).await.span_ids(), [2]);
            }
        }
    }
}

async fn a_request_that_is_refused_whole_is_logged_and_counted(scene: Scene) {
    let larder = scene.larder();
    let counted = || {
        let name = "larder_ingest_refused_requests_total";
        http::count(&larder.metrics(), name, &["reason=\"malformed\""])
    };
    let before = counted();
    let mut body = request(&scene, &attribute(1, true), "span");
    body.pop();
    let refused = scene.client.export_bytes(body).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(counted() > before);
    larder.wait_for_line("refused whole Export requests").await;
}

larder_tests::every_plugin![
    values_of_64_levels_are_stored_and_answered,
    values_of_65_levels_refuse_their_spans_alone,
    a_request_that_is_refused_whole_is_logged_and_counted,
];
