//! Valid requests of every RPC, spoilt: bytes changed, taken out and put in, and fields of every number, wire type and length put where
//! they do not belong. The server answers with a status of the table, and goes on.

use bytes::Bytes;
use larder_proto::storage::v2::{
    FindTracesRequest, GetDependenciesRequest, GetOperationsRequest, GetTraceParams,
    GetTracesRequest,
};
use larder_tests::filter::{attr, eq, exists, regex};
use larder_tests::otlp::{array, key_value, map, request, service, span};
use larder_tests::{Plugin, Query, Scene, method, timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use prost::Message as _;
use tonic::Code;

/// What the table has for a request, whatever is in it.
const TABLE: [Code; 5] = [
    Code::Ok,
    Code::InvalidArgument,
    Code::ResourceExhausted,
    Code::Unimplemented,
    Code::NotFound,
];

/// One valid request of each RPC, with every field that it can have.
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
    // A query has either fields or a filter.
    let filtered = find(Query::default().window(1, 2_000).filter(filter)).encode_to_vec();
    let find = find(query).encode_to_vec();
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
        (method::GET_OPERATIONS, operations.encode_to_vec()),
        (method::GET_SERVICES, Vec::new()),
        (method::GET_DEPENDENCIES, dependencies.encode_to_vec()),
        (method::GET_CAPABILITIES, Vec::new()),
        ("/grpc.health.v1.Health/Check", vec![0x0a, 0]),
    ]
}

/// One change to some bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Set(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Truncate(prop::sample::Index),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Insert(at, new) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, new.iter().copied());
            }
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

/// A field of any number and wire type, with a length that may say anything.
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

/// Deep messages in messages: values in values and filters in filters, deeper than anybody's stack.
fn nested(levels: usize, field: u64) -> Vec<u8> {
    // From the innermost on, back to front.
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
fn whatever_is_sent_is_answered_by_the_table() {
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
async fn messages_nested_without_end_are_answered() {
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

async fn send(scene: &Scene, method: &'static str, body: Vec<u8>) -> Code {
    let call = scene.client.call();
    match call.stream(method, Bytes::from(body)).await.end {
        Ok(()) => Code::Ok,
        Err(status) => status.code(),
    }
}
