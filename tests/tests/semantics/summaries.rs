//! `FindTraceSummaries`: F1 to F4.

use larder_proto::storage::v2::{ServiceSummary, TraceSummary};
use larder_tests::otlp::{resource, span};
use larder_tests::{Query, Scene, timestamp};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

async fn only(scene: &Scene, query: &Query) -> TraceSummary {
    let mut found = scene.client.find_trace_summaries(query).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn service(name: String, spans: i32, errors: i32) -> ServiceSummary {
    ServiceSummary {
        name,
        span_count: spans,
        error_span_count: errors,
    }
}

/// F1, F2, F3: selected like `FindTraces`, computed over all spans of the trace.
async fn a_summary_is_of_all_spans_of_the_trace(scene: Scene) {
    let id = scene.trace(1);
    let of = |number: u64, from, to| span(id, number).at(scene.at(from)).lasting(to - from);
    scene
        .store([
            scene
                .resource("web")
                .span(of(1, 100, 300).name("root"))
                .span(of(2, 150, 160).parent(1).status(StatusCode::Error)),
            scene
                .resource("db")
                .span(of(3, 155, 420).parent(2).name("query")),
            resource().span(of(4, 90, 95).parent(1).status(StatusCode::Error)),
        ])
        .await;
    let orphan = of(5, 200, 210).parent(99).status(StatusCode::Ok);
    scene.store([scene.resource("db").span(orphan)]).await;

    let expected = TraceSummary {
        trace_id: id.to_vec(),
        root_service_name: scene.service("web"),
        root_operation_name: "root".to_owned(),
        min_start_time_unix_nano: scene.at(90),
        max_end_time_unix_nano: scene.at(420),
        span_count: 5,
        error_span_count: 2,
        orphan_span_count: 1,
        services: vec![
            service(scene.service("db"), 2, 0),
            service("missing-service-name".to_owned(), 1, 1),
            service(scene.service("web"), 2, 1),
        ],
    };
    assert_eq!(
        only(&scene, &scene.query().operation("query")).await,
        expected
    );
    assert_eq!(only(&scene, &scene.query()).await, expected);
}

/// F1: depth and order are those of `FindTraces`.
async fn summaries_keep_the_order_and_the_depth_of_the_search(scene: Scene) {
    for (number, offset) in [(1, 20), (2, 40), (3, 30), (4, 10)] {
        let one = span(scene.trace(number), 1).at(scene.at(offset));
        scene.store([scene.resource("a").span(one)]).await;
    }
    let query = scene.query().depth(3);
    let found = scene.client.find_trace_summaries(&query).await.unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|found| found.trace_id[..].try_into().unwrap())
        .collect();
    assert_eq!(scene.numbers(&found), [2, 3, 1]);
}

/// F2: of several spans without a parent, the earliest is the root; of those with the same start, the first written.
async fn the_root_is_the_earliest_span_without_a_parent(scene: Scene) {
    let id = scene.trace(1);
    let spans = [("late", 50), ("early", 20), ("twin", 20)];
    for (number, (name, offset)) in (1..).zip(spans) {
        let one = span(id, number).name(name).at(scene.at(offset));
        scene.store([scene.resource(name).span(one)]).await;
    }
    let child = span(id, 9).parent(1).at(scene.at(0));
    scene.store([scene.resource("child").span(child)]).await;

    let summary = only(&scene, &scene.query()).await;
    assert_eq!(summary.root_operation_name, "early");
    assert_eq!(summary.root_service_name, scene.service("early"));
}

/// F2: without a root both names are empty, and each span with a missing parent is an orphan.
async fn a_trace_without_a_root_has_no_root_names(scene: Scene) {
    let id = scene.trace(1);
    let spans = [
        span(id, 1).parent(7).at(scene.at(0)),
        span(id, 2).parent(1).at(scene.at(0)),
        span(id, 3).parent(3 << 56).at(scene.at(0)),
        span(id, 4).parent(7).at(scene.at(0)),
    ];
    scene.store([scene.resource("a").spans(spans)]).await;

    let summary = only(&scene, &scene.query()).await;
    assert_eq!(summary.root_service_name, "");
    assert_eq!(summary.root_operation_name, "");
    assert_eq!(summary.orphan_span_count, 3);
    assert_eq!(summary.span_count, 4);
}

/// F3: copies that are equal in every byte of span, resource and scope count once, whenever they come; `GetTraces` gives them all.
async fn copies_are_counted_once(scene: Scene) {
    let id = scene.trace(1);
    let root = span(id, 1).at(scene.at(5)).status(StatusCode::Error);
    let child = span(id, 2).parent(1).at(scene.at(5));
    for _ in 0..2 {
        let resources = [
            scene.resource("a").spans([root.clone(), root.clone()]),
            scene.resource("b").span(child.clone()),
        ];
        scene.store(resources).await;
    }
    let summary = only(&scene, &scene.query()).await;
    assert_eq!((summary.span_count, summary.error_span_count), (2, 1));
    assert_eq!(summary.orphan_span_count, 0);
    let services = [
        service(scene.service("a"), 1, 1),
        service(scene.service("b"), 1, 0),
    ];
    assert_eq!(summary.services, services);
    let (start, end) = (timestamp(scene.at(0)), timestamp(scene.at(9)));
    let calls = scene.client.dependencies(Some(start), Some(end)).await;
    assert_eq!(calls.unwrap()[0].call_count, 1);
    assert_eq!(scene.client.get_trace(id).await.spans().len(), 6);
}

/// F3: spans that share an id and differ, if only in their resource or scope, count each time.
async fn spans_that_differ_are_counted_each_time(scene: Scene) {
    let id = scene.trace(1);
    let orphan = || span(id, 1).parent(9).at(scene.at(5));
    scene
        .store([
            scene.resource("a").span(orphan()),
            scene.resource("a").attribute("host", 1).span(orphan()),
            scene.resource("a").scope("lib", "", []).span(orphan()),
            scene.resource("a").span(orphan().attribute("retry", 1)),
            scene.resource("a").span(orphan()),
        ])
        .await;
    let summary = only(&scene, &scene.query()).await;
    assert_eq!((summary.span_count, summary.orphan_span_count), (4, 4));
}

/// F4: supported, also if nothing is found.
async fn summaries_are_supported(scene: Scene) {
    let unknown = scene.query().service(scene.service("nobody"));
    let found = scene.client.find_trace_summaries(&unknown).await;
    assert_eq!(found.expect("never UNIMPLEMENTED"), []);
}

larder_tests::every_plugin_and_fixture![
    a_summary_is_of_all_spans_of_the_trace,
    summaries_keep_the_order_and_the_depth_of_the_search,
    the_root_is_the_earliest_span_without_a_parent,
    a_trace_without_a_root_has_no_root_names,
    copies_are_counted_once,
    spans_that_differ_are_counted_each_time,
    summaries_are_supported,
];
