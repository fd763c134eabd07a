//! The depth of nested calls. `host/docs/rules.md`, "Refused filters".

use bytes::Bytes;
use larder_proto::expression::v1::Call;
use larder_tests::filter::{and, attr, call, exists, field, not, or, some};
use larder_tests::otlp::span;
use larder_tests::{Plugin, Scene, method};
use prost::encoding::encode_varint;
use tonic::Code;

use crate::ask::{ask, refuses};

fn there() -> Call {
    exists(field("span", "name"))
}

fn negated(times: usize) -> Call {
    (0..times).fold(there(), |inner, _| not(inner))
}

#[tokio::test]
async fn calls_nest_twenty_deep_and_no_deeper() {
    let scene = Scene::new(Plugin::Memory).await;
    let text = "filter nests calls more than 20 deep";
    refuses(
        &scene,
        [
            (negated(20), text),
            (negated(40), text),
            (some("event", negated(19)), text),
            (some("event", some("link", negated(18))), text),
            (and([there(), negated(19)]), text),
            // The depth is checked before errors inside.
            (not(call("bogus", [eq_of(negated(19))])), text),
        ],
    )
    .await;
    for filter in [
        negated(19),
        some("link", negated(18)),
        and([negated(18), negated(18)]),
    ] {
        let query = scene.query().filter(filter);
        assert_eq!(ask(&scene, &query).await.unwrap(), [0; 0]);
    }
}

fn eq_of(predicate: Call) -> larder_proto::expression::v1::Expression {
    let mut holder = not(predicate);
    holder.args.remove(0)
}

/// The number of arguments is not limited.
#[tokio::test]
async fn a_call_may_have_thousands_of_arguments() {
    let scene = Scene::new(Plugin::Memory).await;
    let one = span(scene.trace(1), 1).at(scene.at(1));
    scene.client.store([scene.resource("a").span(one)]).await;
    let absent = || exists(attr("missing"));
    let many = std::iter::repeat_with(absent).take(5_000);
    let filter = or(many.chain([there()]));
    assert_eq!(
        ask(&scene, &scene.query().filter(filter)).await.unwrap(),
        [1]
    );
    let filter = or(std::iter::repeat_with(absent).take(5_000));
    assert_eq!(
        ask(&scene, &scene.query().filter(filter)).await.unwrap(),
        [0; 0]
    );
}

/// Encodes a length-delimited field.
fn wrapped(tag: u8, inner: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    encode_varint(u64::try_from(inner.len()).unwrap(), &mut bytes);
    bytes.extend(inner);
    bytes
}

/// Each RPC refuses it while decoding, and the server keeps running.
#[tokio::test]
async fn thousands_of_levels_are_refused_and_the_server_keeps_running() {
    let scene = Scene::new(Plugin::Memory).await;
    let op = wrapped(0x0a, b"not");
    let mut call = op.clone();
    for _ in 0..10_000 {
        let argument = wrapped(0x12, &wrapped(0x32, &call));
        call = [op.clone(), argument].concat();
    }
    let request = Bytes::from(wrapped(0x0a, &wrapped(0x4a, &call)));
    for method in [
        method::FIND_TRACES,
        method::FIND_TRACE_IDS,
        method::FIND_TRACE_SUMMARIES,
    ] {
        let reply = scene.client.call().stream(method, request.clone()).await;
        let refused = reply.end.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::InvalidArgument,
            "{method}: {refused:?}"
        );
    }
    scene.client.services().await.expect("served as before");
}
