//! Mutated requests of every RPC: bytes changed, removed and inserted, and fields of every number, wire type and length in the wrong
//! places. The server answers with a status of the table, and keeps running.

use std::cell::Cell;

use bytes::Bytes;
use larder_proto::storage::v2::{
    FindSpansRequest, FindTracesRequest, GetDependenciesRequest, GetOperationsRequest,
    GetTraceParams, GetTracesRequest,
};
use larder_proto::testing::bytes_field;
use larder_tests::filter::{attr, eq, exists, regex};
use larder_tests::otlp::{array, key_value, map, request, service, span};
use larder_tests::{Plugin, Query, Scene, SpanSearch, method, timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use prost::Message as _;
use tonic::Code;

/// The codes that the table allows for any request.
const TABLE: [Code; 5] = [
    Code::Ok,
    Code::InvalidArgument,
    Code::ResourceExhausted,
    Code::Unimplemented,
    Code::NotFound,
];

/// Returns one valid request of each RPC, with every field that it can have.
fn valid() -> Vec<(&'static str, Vec<u8>)> {
    let mut one = span([3; 16], 1)
        .at(1000)
        .lasting(5)
        .parent(2)
        .trace_state("a=b")
        .status_message("no")
        .attribute("list", array([key_value("x", 1).value.unwrap()]))
        .attribute("map", map([("k", key_value("x", 1.5).value.unwrap())]))
        .attribute("bytes", &b"\x00\xff"[..])
        .event("event", [key_value("e", true)])
        .link([4; 16], 3, [key_value("l", "v")]);
    one.0.flags = 1;
    one.0.dropped_links_count = 7;
    let resource = service("mutant")
        .schema_url("u")
        .scope("s", "1", [key_value("sc", 1)])
        .scope_schema_url("v")
        .span(one);
    let filter = larder_tests::filter::and([
        eq(attr("k"), "v"),
        exists(attr("l")),
        regex(attr("m"), "a.*"),
    ]);
    let query = Query::default()
        .service("mutant")
        .operation("o")
        .attribute("k", "v")
        .window(1, 2_000)
        .depth(7);
    let find = |query: Query| FindTracesRequest {
        query: Some(query.0),
    };
    let filter_of_spans = filter.clone();
    // A query has either fields or a filter.
    let filtered = find(Query::default().window(1, 2_000).filter(filter)).encode_to_vec();
    let find = find(query).encode_to_vec();
    let spans = SpanSearch::within(1, 2_000).filter(filter_of_spans);
    let spans = spans.order_by("duration", "desc").page(3, "");
    let spans = FindSpansRequest {
        query: Some(spans.0),
    };
    let get = GetTracesRequest {
        query: vec![GetTraceParams {
            trace_id: vec![3; 16],
            start_time: Some(timestamp(1)),
            end_time: Some(timestamp(2_000)),
        }],
    };
    let operations = GetOperationsRequest {
        service: "mutant".to_owned(),
        span_kind: "server".to_owned(),
    };
    let dependencies = GetDependenciesRequest {
        start_time: Some(timestamp(1)),
        end_time: Some(timestamp(2_000)),
    };
    vec![
        (method::EXPORT, request([resource]).encode_to_vec()),
        (method::GET_TRACES, get.encode_to_vec()),
        (method::FIND_TRACES, find.clone()),
        (method::FIND_TRACE_IDS, find.clone()),
        (method::FIND_TRACE_SUMMARIES, find),
        (method::FIND_TRACES, filtered.clone()),
        (method::FIND_TRACE_IDS, filtered),
        (method::FIND_SPANS, spans.encode_to_vec()),
        (method::GET_OPERATIONS, operations.encode_to_vec()),
        (method::GET_SERVICES, Vec::new()),
        (method::GET_DEPENDENCIES, dependencies.encode_to_vec()),
        (method::GET_CAPABILITIES, Vec::new()),
        ("/grpc.health.v1.Health/Check", vec![0x0a, 0]),
    ]
}

/// A change of some bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Set(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Truncate(prop::sample::Index),
    Append(Vec<u8>),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Insert(at, new) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Append(new) => bytes.extend(new),
            _ if bytes.is_empty() => {}
            Self::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Self::Remove(at, count) => {
                let at = at.index(bytes.len());
                let end = (at + count).min(bytes.len());
                bytes.drain(at..end);
            }
            Self::Truncate(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

/// Generates a field of any number and wire type, with any length prefix.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let content = vec(any::<u8>(), 0..12);
    (0..40_u64, 0..8_u64, any::<u64>(), content, any::<bool>()).prop_map(
        |(number, wire_type, length, content, honest)| {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(number << 3 | wire_type, &mut bytes);
            let length = if honest { content.len() as u64 } else { length };
            prost::encoding::encode_varint(length, &mut bytes);
            bytes.extend(content);
            bytes
        },
    )
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        2 => (at(), 1..9_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        3 => (at(), field()).prop_map(|(at, field)| Mutation::Insert(at, field)),
        1 => (at(), vec(any::<u8>(), 1..9)).prop_map(|(at, new)| Mutation::Insert(at, new)),
        1 => at().prop_map(Mutation::Truncate),
    ]
}

/// Nests messages deeper than any stack: values in values and filters in filters.
fn nested(levels: usize, field: u64) -> Vec<u8> {
    // Encodes from the innermost on, reversed.
    let mut reversed = Vec::new();
    for _ in 0..levels {
        let mut outer = Vec::new();
        prost::encoding::encode_varint(field << 3 | 2, &mut outer);
        prost::encoding::encode_varint(reversed.len() as u64, &mut outer);
        reversed.extend(outer.into_iter().rev());
    }
    reversed.reverse();
    reversed
}

#[test]
fn every_mutated_request_is_answered_by_the_table() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let scene = runtime.block_on(Scene::new(Plugin::Memory));
    let valid = valid();
    for (method, body) in &valid {
        let code = runtime.block_on(send(&scene, method, body.clone()));
        assert_eq!(code, Code::Ok, "{method}");
    }
    let cases = (prop::sample::select(valid), vec(mutation(), 1..5));
    let mut runner = TestRunner::new(Config {
        cases: 600,
        failure_persistence: None,
        ..Config::default()
    });
    let tested = runner.run(&cases, |((method, mut body), mutations)| {
        for mutation in &mutations {
            mutation.apply(&mut body);
        }
        let code = runtime.block_on(send(&scene, method, body));
        prop_assert!(TABLE.contains(&code), "{method}: {code:?}");
        Ok(())
    });
    tested.unwrap();
    runtime
        .block_on(scene.client.services())
        .expect("served as before");
}

#[tokio::test]
async fn deeply_nested_messages_are_answered() {
    let scene = Scene::new(Plugin::Memory).await;
    for (method, _) in valid() {
        for field in 1..16 {
            for levels in [50, 101, 5_000] {
                let code = send(&scene, method, nested(levels, field)).await;
                assert!(
                    TABLE.contains(&code),
                    "{method} {levels} of {field}: {code:?}"
                );
            }
        }
    }
    scene.client.services().await.expect("served as before");
}

/// The number of parts of a request that are mutated, one at a time.
const PARTS: usize = 8;

/// Encodes a request with two spans of a trace and all fields, in an unusual order. One span is intact; one part of the other, or a header
/// around it, is mutated. The lengths around that part are corrected, so that most of these requests are accepted.
fn spoilt(scene: &Scene, part: usize, mutations: &[Mutation]) -> Vec<u8> {
    let spoil = |place: usize, mut bytes: Vec<u8>| {
        for mutation in mutations.iter().filter(|_| part == place) {
            mutation.apply(&mut bytes);
        }
        bytes
    };
    let id = scene.trace(1);
    let full = span(id, 1).at(scene.at(0)).parent(2).trace_state("a=b");
    let full = full.event("event", [key_value("e", true)]);
    let full = full.link([4; 16], 3, [key_value("l", "v")]);
    let mut full = full.status_message("no").attribute("k", "v").0;
    let attribute = spoil(0, full.attributes.remove(0).encode_to_vec());
    let event = spoil(1, full.events.remove(0).encode_to_vec());
    let link = spoil(2, full.links.remove(0).encode_to_vec());
    let status = spoil(3, full.status.take().unwrap().encode_to_vec());
    let mut bad = full.encode_to_vec();
    for (number, part) in [(9, attribute), (11, event), (13, link), (15, status)] {
        bad.extend(bytes_field(number, &part));
    }
    let bad = spoil(4, bad);
    let good = span(id, 2).at(scene.at(0)).0.encode_to_vec();
    let resource = scene.resource("mutant").0.resource.unwrap();
    let resource = bytes_field(1, &spoil(5, resource.encode_to_vec()));
    let scope = bytes_field(1, &spoil(6, bytes_field(1, b"lib")));
    let scope_spans = [scope, bytes_field(2, &bad)].concat();
    let headed = [resource, bytes_field(2, &scope_spans)].concat();
    let mut body = bytes_field(1, &spoil(7, headed));
    body.extend(bytes_field(1, &bytes_field(2, &bytes_field(2, &good))));
    body
}

/// Generates one more field at the end of a message: a group, or one of any length that OTLP might use for an id.
fn one_more() -> impl Strategy<Value = Mutation> {
    let bytes =
        (1..18_u32, vec(any::<u8>(), 0..20)).prop_map(|(number, id)| bytes_field(number, &id));
    let group = (17..20_u8, vec(any::<bool>(), 0..3)).prop_map(|(number, inside)| {
        let key = |wire_type: u8| [(number << 3 | wire_type) | 0x80, 1];
        let inside = inside.into_iter().flat_map(|is| [0x08, u8::from(is)]);
        [&key(3)[..], &inside.collect::<Vec<_>>(), &key(4)].concat()
    });
    prop_oneof![3 => bytes, 1 => group].prop_map(Mutation::Append)
}

/// Jaeger's client rejects a whole message if it cannot decode one field.
#[test]
fn no_accepted_mutated_span_hides_another_from_jaeger() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let scene = runtime.block_on(Scene::new(Plugin::Memory));
    let mutation = prop_oneof![2 => one_more(), 1 => mutation()];
    let cases = (0..PARTS, vec(mutation, 1..3));
    let mut runner = TestRunner::new(Config {
        cases: 600,
        failure_persistence: None,
        ..Config::default()
    });
    let (taken, refused) = (Cell::new(0), Cell::new(0));
    let tested = runner.run(&cases, |(part, mutations)| {
        let scene = scene.again();
        let body = spoilt(&scene, part, &mutations);
        let Ok(answer) = runtime.block_on(scene.client.export_bytes(body)) else {
            return Ok(());
        };
        taken.set(taken.get() + 1);
        refused.set(refused.get() + i32::from(answer.partial_success.is_some()));
        // Every message is decoded by the rules of Jaeger's client.
        let trace = runtime.block_on(scene.client.get_trace(scene.trace(1)));
        prop_assert!(trace.span_ids().contains(&2));
        Ok(())
    });
    tested.unwrap();
    assert!(taken.get() > 200, "{} were no requests", 600 - taken.get());
    assert!(refused.get() > 20, "{} were refused in part", refused.get());
    let everything = Query::default().depth(10_000);
    let found = runtime.block_on(scene.client.find_traces(&everything));
    assert!(found.unwrap().len() > 200);
}

async fn send(scene: &Scene, method: &'static str, body: Vec<u8>) -> Code {
    let call = scene.client.call();
    match call.stream(method, Bytes::from(body)).await.end {
        Ok(()) => Code::Ok,
        Err(status) => status.code(),
    }
}
