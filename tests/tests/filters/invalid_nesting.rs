//! The depth of nested calls. `host/docs/rules.md`, "Refused filters".

use bytes::Bytes;
use larder_proto::expression::v1::Call;
use larder_proto::testing::bytes_field;
use larder_tests::filter::{and, attr, call, exists, field, not, or, some};
use larder_tests::otlp::span;
use larder_tests::{Plugin, Scene, method};
use tonic::Code;

use crate::ask::{ask, judges, refuses};

fn there() -> Call {
    exists(field("span", "name"))
}

fn negated(times: usize) -> Call {
    (0..times).fold(there(), |inner, _| not(inner))
}

#[tokio::test]
async fn calls_nest_twenty_deep_and_no_deeper() {
    let scene = Scene::new(Plugin::Memory).await;
    let one = span(scene.trace(1), 1).at(scene.at(1));
    scene.store([scene.resource("a").span(one)]).await;
    let text = "filter nests calls more than 20 deep";
    let rows = [
        (negated(20), text),
        (negated(40), text),
        (some("event", negated(19)), text),
        (some("event", some("link", negated(18))), text),
        (and([there(), negated(19)]), text),
        // The depth is checked before errors inside.
        (not(call("bogus", [eq_of(negated(19))])), text),
    ];
    refuses(&scene, rows).await;
    let rows = [
        (negated(18), true),
        (negated(19), false),
        (some("link", negated(18)), false),
        (and([negated(18), negated(18)]), true),
    ];
    judges(&scene, rows).await;
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
    scene.store([scene.resource("a").span(one)]).await;
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

/// Each RPC refuses it while decoding, and the server keeps running.
#[tokio::test]
async fn thousands_of_levels_are_refused_and_the_server_keeps_running() {
    let scene = Scene::new(Plugin::Memory).await;
    let op = bytes_field(1, b"not");
    let mut call = op.clone();
    for _ in 0..10_000 {
        let argument = bytes_field(2, &bytes_field(6, &call));
        call = [op.clone(), argument].concat();
    }
    let request = Bytes::from(bytes_field(1, &bytes_field(9, &call)));
    let of_spans = Bytes::from(bytes_field(1, &bytes_field(3, &call)));
    for method in [
        method::FIND_TRACES,
        method::FIND_TRACE_IDS,
        method::FIND_TRACE_SUMMARIES,
        method::FIND_SPANS,
    ] {
        let request = match method {
            method::FIND_SPANS => of_spans.clone(),
            _ => request.clone(),
        };
        let reply = scene.client.call().stream(method, request).await;
        let refused = reply.end.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::InvalidArgument,
            "{method}: {refused:?}"
        );
    }
    scene.client.services().await.expect("served as before");
}
