//! Spans are returned as written, by id and by a search for spans: each span byte for byte, with the bytes of its resource, its scope and
//! their schema URLs, including fields unknown to OTLP.

use bytes::Bytes;
use larder_proto::storage::v2::{FindSpansResponse, GetTraceParams, GetTracesRequest};
use larder_proto::testing::bytes_field;
use larder_proto::wire::{Fields, Value};
use larder_tests::otlp::{key_value, request, span};
use larder_tests::{Scene, SpanSearch, method};
use prost::Message as _;

/// A span's bytes and its context: the other fields of the resource and of the scope, in order.
#[derive(Debug, PartialEq)]
struct Found {
    resource: Vec<Vec<u8>>,
    scope: Vec<Vec<u8>>,
    span: Vec<u8>,
}

/// Returns the bodies of field `number`, and every other field as sent.
fn split(message: &[u8], number: u32) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut inner, mut rest) = (Vec::new(), Vec::new());
    for field in Fields::new(message) {
        let field = field.unwrap();
        match field.value {
            Value::Bytes(body) if field.number == number => inner.push(body.to_vec()),
            _ => rest.push(field.raw.to_vec()),
        }
    }
    (inner, rest)
}

/// Returns every span of one `TracesData`, or of several concatenated.
fn spans(data: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    for resource in split(data, 1).0 {
        let (scopes, resource) = split(&resource, 2);
        for scope in scopes {
            let (spans, scope) = split(&scope, 2);
            found.extend(spans.into_iter().map(|span| Found {
                resource: resource.clone(),
                scope: scope.clone(),
                span,
            }));
        }
    }
    found
}

async fn read(scene: &Scene, id: [u8; 16]) -> Vec<Found> {
    let query = vec![GetTraceParams {
        trace_id: id.to_vec(),
        ..GetTraceParams::default()
    }];
    let body = Bytes::from(GetTracesRequest { query }.encode_to_vec());
    let reply = scene.client.call().stream(method::GET_TRACES, body).await;
    reply.end.unwrap();
    spans(&reply.messages.concat())
}

/// Returns what a search for spans finds, in its order.
async fn find(scene: &Scene, search: &SpanSearch) -> Vec<Found> {
    let messages = scene.client.messages_of_spans(search).await.unwrap();
    let data = messages.into_iter().map(|message| {
        let message = FindSpansResponse::decode(message).unwrap();
        message.spans.unwrap().0
    });
    data.flat_map(|data| spans(&data)).collect()
}

/// Fields unknown to OTLP, of every wire type, at every level; and fields in an unusual order.
async fn unknown_fields_and_odd_orders_are_kept(scene: Scene) {
    let id = scene.trace(1);
    let varint = [0xa0, 0x3e, 0x05]; // field 996
    let fixed = [0xa5, 0x3e, 1, 2, 3, 4];
    let text = bytes_field(1001, b"unknown \xff bytes are no string");

    let mut span_bytes = [&varint[..], &text].concat();
    span_bytes.extend(
        span(id, 1)
            .name("n")
            .at(scene.at(0))
            .event("e", [])
            .0
            .encode_to_vec(),
    );
    // The name a second time (the last counts), and a status in two parts that merge.
    span_bytes.extend(bytes_field(5, b"renamed"));
    span_bytes.extend(bytes_field(15, &[0x18, 2]));
    span_bytes.extend(bytes_field(15, &bytes_field(2, b"why")));
    span_bytes.extend(fixed);

    let scope = [&bytes_field(1, b"lib")[..], &fixed, &bytes_field(2, b"1")].concat();
    let scope_spans = [
        bytes_field(3, b"https://example.com/scope"),
        bytes_field(2, &span_bytes),
        varint.to_vec(),
        bytes_field(1, &scope),
    ]
    .concat();
    let name = key_value("service.name", scene.service("a").as_str()).encode_to_vec();
    let resource = [&bytes_field(1, &name)[..], &text].concat();
    let resource_spans = [
        varint.to_vec(),
        bytes_field(2, &scope_spans),
        bytes_field(1, &resource),
        bytes_field(3, b"https://example.com/resource"),
    ]
    .concat();
    let sent = [varint.to_vec(), bytes_field(1, &resource_spans)].concat();
    let answer = scene.client.export_bytes(sent.clone()).await.unwrap();
    assert_eq!(answer.partial_success, None);

    assert_eq!(read(&scene, id).await, spans(&sent));
    assert_eq!(find(&scene, &scene.span_search()).await, spans(&sent));
    // It is interpreted as protobuf defines: the last name, the merged status, the service after its spans.
    let query = scene.query().service(scene.service("a"));
    let query = query.operation("renamed").attribute("error", "true");
    assert_eq!(
        scene
            .find(query.clone().attribute("scope.name", "lib"))
            .await,
        [1]
    );
    assert_eq!(scene.find(scene.query().operation("n")).await, [0; 0]);
}

/// Interleaved traces of one request are separated, each with the bytes of its context, and each scope's spans in their order.
async fn interleaved_traces_are_separated_with_their_context(scene: Scene) {
    let of = |number: u64, id: u64| {
        span(scene.trace(number), id)
            .at(scene.at(id))
            .attribute("k", id.cast_signed())
            .event("e", [key_value("x", "y")])
            .link([3; 16], 4, [key_value("l", 1.5)])
    };
    let sent = request((1..7_u64).map(|number| {
        scene
            .resource("a")
            .attribute("nr", number.cast_signed())
            .schema_url("https://example.com/r")
            .scope("one", "1", [key_value("s", true)])
            .spans((0..9).map(|id| of(id % 3 + 1, number * 100 + id)))
            .scope("two", "", [])
            .scope_schema_url("https://example.com/s")
            .spans((10..15).map(|id| of(id % 3 + 1, number * 100 + id)))
    }))
    .encode_to_vec();
    scene.client.export_bytes(sent.clone()).await.unwrap();

    for number in [1, 2, 3] {
        let id = scene.trace(number);
        let mut tag = vec![0x0a, 16];
        tag.extend(id);
        let own: Vec<Found> = spans(&sent)
            .into_iter()
            .filter(|found| found.span.starts_with(&tag))
            .collect();
        assert!(!own.is_empty());
        assert_eq!(read(&scene, id).await, own, "trace {number}");
    }
    // The span ids rise in the order sent, so neighbours are of several traces, and share what they shared.
    let search = scene.span_search().order_by("spanID", "asc");
    assert_eq!(find(&scene, &search).await, spans(&sent));
}

/// A search for spans joins neighbours of one resource and scope. It does not join those that differ in an unknown field alone.
async fn spans_that_differ_in_unknown_fields_keep_their_own(scene: Scene) {
    let name = key_value("service.name", scene.service("a").as_str()).encode_to_vec();
    let mut sent = Vec::new();
    // The first two have no unknown field, and each of the others has one, at another level.
    for id in 1..=7 {
        let unknown = |level: u64| {
            if id == level + 2 {
                bytes_field(1001, b"unknown")
            } else {
                Vec::new()
            }
        };
        let of_trace = span(scene.trace(id % 2 + 1), id).at(scene.at(id));
        let one = [of_trace.0.encode_to_vec(), unknown(1)].concat();
        let scope = [bytes_field(1, b"lib"), unknown(2)].concat();
        let scope_spans = [bytes_field(1, &scope), unknown(3), bytes_field(2, &one)].concat();
        let resource = [bytes_field(1, &name), unknown(4)].concat();
        let resource_spans = [
            bytes_field(1, &resource),
            unknown(5),
            bytes_field(2, &scope_spans),
        ]
        .concat();
        sent.extend(bytes_field(1, &resource_spans));
    }
    scene.client.export_bytes(sent.clone()).await.unwrap();
    let mut expected = spans(&sent);
    for direction in ["asc", "desc"] {
        let search = scene.span_search().order_by("startTime", direction);
        assert_eq!(find(&scene, &search).await, expected, "{direction}");
        expected.reverse();
    }
}

larder_tests::every_plugin![
    unknown_fields_and_odd_orders_are_kept,
    interleaved_traces_are_separated_with_their_context,
    spans_that_differ_in_unknown_fields_keep_their_own,
];
