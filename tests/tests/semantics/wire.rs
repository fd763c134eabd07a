//! Splitting of answers, and errors: W5 to W8. (W1 is in `find`, W2 in `get_traces`, W3 and W4 in `find_attributes`.)

use larder_proto::storage::v2::{FindTracesRequest, GetTracesRequest};
use larder_tests::otlp::{request, span};
use larder_tests::{Query, Scene, method};
use prost::Message as _;
use tonic::Code;

/// W6: interleaved traces are returned one after the other; every message has one trace. (`merge` checks each message.)
async fn the_messages_of_a_trace_are_consecutive(scene: Scene) {
    // About 6 MB a trace, in four writes each, so that each must be split and merged.
    let filler = "x".repeat(1_500_000);
    for turn in 1..=4 {
        for number in [1, 2, 3] {
            let one = span(scene.trace(number), turn).at(scene.at(turn * 10 + number));
            let one = one.attribute("filler", filler.as_str());
            scene.store([scene.resource("a").span(one)]).await;
        }
    }
    let found = scene.client.find_traces(&scene.query()).await.unwrap();
    let ids: Vec<_> = found.iter().map(|trace| trace.id).collect();
    assert_eq!(scene.numbers(&ids), [3, 2, 1]);
    for trace in &found {
        assert_eq!(trace.span_ids(), [1, 2, 3, 4]);
        assert!(trace.messages >= 2, "6 MB in one message");
    }
    let got = scene.client.get_traces(ids).await.unwrap();
    assert_eq!(got.len(), 3);
}

/// W7: a request may exceed 4 MiB; answers are split below it, also within one write and within one resource.
async fn a_request_may_exceed_the_size_of_an_answer(scene: Scene) {
    let spans = (1..=9000).map(|number| {
        let one = span(scene.trace(1), number).at(scene.at(number));
        one.attribute("filler", "y".repeat(1000))
    });
    let body = request([scene.resource("a").spans(spans)]).encode_to_vec();
    assert!(body.len() > 9_000_000);
    scene.client.export_bytes(body).await.unwrap();

    let trace = scene.client.get_trace(scene.trace(1)).await;
    assert!(trace.messages >= 3);
    assert!(trace.span_ids().into_iter().eq(1..=9000));
}

/// A request without a query is the same as one with an empty query.
async fn a_request_without_its_query_is_an_empty_query(scene: Scene) {
    let one = span(scene.trace(1), 1).at(scene.at(0));
    scene.store([scene.resource("a").span(one)]).await;
    for method in [method::FIND_TRACES, method::FIND_TRACE_SUMMARIES] {
        let body = FindTracesRequest { query: None }.encode_to_vec();
        let reply = scene.client.call().stream(method, body.into()).await;
        reply.end.expect("no error");
        assert!(!reply.messages.is_empty(), "{method}");
    }
}

/// W8: invalid timestamps are refused.
async fn times_that_are_no_times_are_invalid_arguments(scene: Scene) {
    let mut query = Query::default();
    query.0.start_time_min = Some(prost_types::Timestamp {
        seconds: 5,
        nanos: -1,
    });
    let refused = scene.client.find_traces(&query).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");

    let mut query = Query::default();
    query.0.duration_max = Some(prost_types::Duration {
        seconds: 1,
        nanos: -1,
    });
    let refused = scene.client.find_traces(&query).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
}

/// W5: no ids give no messages.
async fn no_ids_bring_no_messages(scene: Scene) {
    let body = GetTracesRequest::default().encode_to_vec();
    let reply = scene
        .client
        .call()
        .stream(method::GET_TRACES, body.into())
        .await;
    assert!(reply.messages.is_empty());
    reply.end.expect("no error");
}

larder_tests::every_plugin_and_fixture![
    the_messages_of_a_trace_are_consecutive,
    a_request_may_exceed_the_size_of_an_answer,
    a_request_without_its_query_is_an_empty_query,
    times_that_are_no_times_are_invalid_arguments,
    no_ids_bring_no_messages,
];
