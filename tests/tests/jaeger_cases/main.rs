//! Jaeger's acceptance tests of a storage (A4), as far as they run without Jaeger: its 25 searches over its fixtures, services and
//! operations, the large trace, duplicates, summaries and the search across services. Through real gRPC, on `memory` and `minimal`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod fixtures;
mod queries;

use std::collections::BTreeSet;

use fixtures::{Fixture, START, fixtures};
use larder_tests::otlp::{SpanRef, request, span, spans_of};
use larder_tests::{Query, Scene};

/// Writes every fixture, each in its own Export. Repeated writes only add duplicates, which do not affect these searches.
async fn load(scene: &Scene) -> Vec<Fixture> {
    let fixtures = fixtures();
    for fixture in &fixtures {
        scene.store(fixture.resources.clone()).await;
    }
    fixtures
}

/// Each search finds its fixtures and no other, and each trace found has all spans of its fixture.
async fn each_search_finds_exactly_its_fixtures(scene: Scene) {
    let fixtures = load(&scene).await;
    for case in queries::cases() {
        let found = scene.client.find_traces(&case.query).await.unwrap();
        let names: BTreeSet<&str> = found
            .iter()
            .map(|trace| {
                let fixture = fixtures.iter().find(|fixture| fixture.trace == trace.id);
                let fixture = fixture.unwrap_or_else(|| panic!("{}: {:?}", case.caption, trace.id));
                let written = fixture.resources.iter().map(|built| &built.0);
                for SpanRef { span, .. } in spans_of(written) {
                    assert!(trace.spans().contains(&span), "{}: {span:?}", case.caption);
                }
                fixture.name
            })
            .collect();
        let expected: BTreeSet<&str> = case.expected.iter().copied().collect();
        assert_eq!(names, expected, "{}", case.caption);
        assert_eq!(scene.client.find(&case.query).await.len(), expected.len());
    }
}

/// The services of the example trace, and the operations of one of them by kind.
async fn services_and_operations_are_those_of_the_example_trace(scene: Scene) {
    load(&scene).await;
    let services = scene.client.services().await.unwrap();
    for number in 1..=3 {
        let name = format!("example-service-{number}");
        assert!(services.contains(&name), "{services:?}");
    }
    let pairs = async |service: &str, kind: &str| -> Vec<(String, String)> {
        let found = scene.client.operations(service, kind).await.unwrap();
        found
            .into_iter()
            .map(|found| (found.name, found.span_kind))
            .collect()
    };
    let own = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    let all = [
        own("example-operation-1", ""),
        own("example-operation-3", "server"),
        own("example-operation-4", "client"),
    ];
    assert_eq!(pairs("example-service-1", "").await, all);
    assert_eq!(pairs("example-service-1", "server").await, all[1..2]);
    assert_eq!(
        pairs("example-service-2", "").await,
        [own("example-operation-2", "")]
    );
    assert_eq!(pairs("example-service-2", "server").await, []);
}

/// A trace of 10,008 spans is returned completely, in messages that Jaeger's client accepts.
async fn a_trace_of_10_008_spans_comes_whole(scene: Scene) {
    let id = scene.trace(1);
    let spans: Vec<_> = (1..=10_008)
        .map(|number| {
            let one = span(id, number)
                .name("large")
                .at(scene.at(number * 1000))
                .lasting(500);
            one.attribute("number", number.cast_signed())
                .attribute("filler", "z".repeat(400))
        })
        .collect();
    for chunk in spans.chunks(1000) {
        let resource = scene.resource("large").spans(chunk.to_vec());
        scene.store([resource]).await;
    }
    let trace = scene.client.get_trace(id).await;
    let all: Vec<u64> = (1..=10_008).collect();
    assert_eq!(trace.span_ids(), all);
    assert!(trace.messages > 1);
    let found = scene
        .client
        .find_traces(&scene.query().service(scene.service("large")))
        .await;
    assert_eq!(found.unwrap()[0].span_ids(), all);
}

/// A trace of 200 spans, four copies of each of 50, is returned with all of them, and its summary counts copies once.
async fn duplicates_come_back(scene: Scene) {
    let id = scene.trace(1);
    let spans = (0..200).map(|number| span(id, number % 50 + 1).at(scene.at(number % 50)));
    scene.store([scene.resource("doubles").spans(spans)]).await;
    let trace = scene.client.get_trace(id).await;
    assert_eq!(trace.span_ids().len(), 200);
    let summaries = scene
        .client
        .find_trace_summaries(&scene.query())
        .await
        .unwrap();
    assert_eq!(summaries[0].span_count, 50);
}

/// Traces of any service are found by the window alone.
async fn a_search_without_a_service_crosses_services(scene: Scene) {
    for (number, name) in (1..).zip(["cross-a", "cross-b", "cross-c"]) {
        let one = span(scene.trace(number), 1)
            .at(scene.at(number))
            .attribute("crossing", true);
        scene.store([scene.resource(name).span(one)]).await;
    }
    let query = scene.query().attribute("crossing", "true");
    assert_eq!(scene.find(query).await, [3, 2, 1]);
}

/// Summaries of the example trace and of the one with an error and an orphan count what is in them.
async fn summaries_count_what_the_fixtures_hold(scene: Scene) {
    load(&scene).await;
    let query = Query::default()
        .service("example-service-1")
        .window(START, START);
    let found = scene
        .client
        .find_trace_summaries(&query.depth(1000))
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    let names: Vec<&str> = found[0]
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "example-service-1",
            "example-service-2",
            "example-service-3"
        ]
    );
    assert_eq!(found[0].root_service_name, "example-service-2");
    assert_eq!(found[0].root_operation_name, "example-operation-2");
    assert_eq!(found[0].min_start_time_unix_nano, START);
    assert_eq!(found[0].max_end_time_unix_nano, START + 100_000);
    assert_eq!(found[0].orphan_span_count, 0);
}

larder_tests::every_plugin![
    each_search_finds_exactly_its_fixtures,
    services_and_operations_are_those_of_the_example_trace,
    a_trace_of_10_008_spans_comes_whole,
    duplicates_come_back,
    a_search_without_a_service_crosses_services,
    summaries_count_what_the_fixtures_hold,
];

#[test]
fn the_fixtures_are_as_many_as_jaeger_s_and_encode() {
    assert_eq!(fixtures().len(), 32);
    assert_eq!(queries::cases().len(), 25);
    let all = request(fixtures().into_iter().flat_map(|fixture| fixture.resources));
    assert!(prost::Message::encoded_len(&all) > 0);
}
