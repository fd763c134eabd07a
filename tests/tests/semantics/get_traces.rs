//! `GetTraces`: G1 to G3, W2, W5.

use larder_proto::storage::v2::{GetTraceParams, GetTracesRequest};
use larder_tests::otlp::span;
use larder_tests::{Scene, merge, method, timestamp};
use prost::Message as _;

/// W2: a shorter id is padded with zeros on the right, a longer one is truncated; neither is an error.
async fn an_id_of_another_length_is_padded_or_cut(scene: Scene) {
    let mut id = scene.trace(0);
    id[14..].fill(0);
    id[13] |= 1;
    let one = scene.resource("a").span(span(id, 1).at(scene.at(0)));
    scene.store([one]).await;

    let short = scene.client.get_traces([&id[..14]]).await.unwrap();
    assert_eq!(short.len(), 1);
    assert_eq!(short[0].id, id);

    let mut long = id.to_vec();
    long.extend([7; 9]);
    let long = scene.client.get_traces([long]).await.unwrap();
    assert_eq!(long.len(), 1);
    assert_eq!(long[0].id, id);
}

/// W5, G1: an unknown id is no error.
async fn an_unknown_id_brings_an_empty_answer(scene: Scene) {
    assert!(
        scene
            .client
            .get_traces([scene.trace(1)])
            .await
            .unwrap()
            .is_empty()
    );
    assert!(scene.client.get_traces([b""]).await.unwrap().is_empty());
    let none: [[u8; 16]; 0] = [];
    assert!(scene.client.get_traces(none).await.unwrap().is_empty());
}

/// G1: unknown ids are skipped, and the others are returned.
async fn unknown_ids_are_skipped(scene: Scene) {
    for number in [1, 3] {
        let known = span(scene.trace(number), 1).at(scene.at(0));
        scene.store([scene.resource("a").span(known)]).await;
    }
    let asked = [2, 1, 4, 3].map(|number| scene.trace(number));
    let found = scene.client.get_traces(asked).await.unwrap();
    let mut found: Vec<_> = found.iter().map(|trace| trace.id).collect();
    found.sort_unstable();
    assert_eq!(scene.numbers(&found), [1, 3]);
}

/// G1: start and end are only hints; they exclude no span.
async fn the_time_hints_drop_no_span(scene: Scene) {
    let spans = [0, 500].map(|offset| span(scene.trace(1), offset + 1).at(scene.at(offset)));
    scene.store([scene.resource("a").spans(spans)]).await;

    for (start, end) in [(0, 1), (400, 600), (900, 100)] {
        let query = GetTraceParams {
            trace_id: scene.trace(1).to_vec(),
            start_time: Some(timestamp(scene.at(start))),
            end_time: Some(timestamp(scene.at(end))),
        };
        let request = GetTracesRequest { query: vec![query] };
        let call = scene.client.call();
        let reply = call.stream(method::GET_TRACES, request.encode_to_vec().into());
        let traces = merge(&reply.await.messages);
        assert_eq!(traces.len(), 1, "hints {start} to {end}");
        assert_eq!(traces[0].span_ids(), [1, 501], "hints {start} to {end}");
    }
}

/// G2, our choice: it is returned once.
async fn an_id_asked_for_twice_comes_once(scene: Scene) {
    let id = scene.trace(1);
    let one = span(id, 1).at(scene.at(0));
    scene.store([scene.resource("a").span(one)]).await;

    let found = scene.client.get_traces([id, id]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].span_ids(), [1]);
}

/// G3: all spans ever stored for the id, in the order written, whatever their times.
async fn a_trace_is_all_its_spans_in_the_order_written(scene: Scene) {
    let id = scene.trace(1);
    let far = 900_000_000_000;
    for (number, offset) in [(3, far), (1, 0), (2, far / 2), (1, 7)] {
        let one = span(id, number).at(scene.at(offset));
        scene.store([scene.resource("a").span(one)]).await;
    }
    assert_eq!(scene.client.get_trace(id).await.span_ids(), [3, 1, 2, 1]);
}

larder_tests::every_plugin_and_fixture![
    an_id_of_another_length_is_padded_or_cut,
    an_unknown_id_brings_an_empty_answer,
    unknown_ids_are_skipped,
    the_time_hints_drop_no_span,
    an_id_asked_for_twice_comes_once,
    a_trace_is_all_its_spans_in_the_order_written,
];
