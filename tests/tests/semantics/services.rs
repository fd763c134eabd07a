//! `GetServices` and `GetOperations`: O1, O2.

use larder_tests::Scene;
use larder_tests::otlp::{resource, service, span};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

async fn operations(scene: &Scene, name: &str, kind: &str) -> Vec<(String, String)> {
    let service = scene.service(name);
    let operations = scene.client.operations(&service, kind).await.unwrap();
    let pairs = operations
        .into_iter()
        .map(|operation| (operation.name, operation.span_kind));
    pairs.collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = pairs
        .iter()
        .map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned()));
    owned.collect()
}

/// O1, Q4: every name without duplicates, sorted; what has no name is listed by one that says so.
async fn services_are_listed_once_and_sorted(scene: Scene) {
    for (number, name) in (1..).zip(["b", "a", "c", "a", "B"]) {
        let one = span(scene.trace(number), 1).at(scene.at(0));
        scene.store([scene.resource(name).span(one)]).await;
    }
    let one = span(scene.trace(9), 1).at(scene.at(0));
    scene
        .store([resource().span(one.clone()), service("").span(one)])
        .await;

    let all = scene.client.services().await.unwrap();
    assert!(all.is_sorted(), "{all:?}");
    assert!(!all.contains(&String::new()), "{all:?}");
    for name in ["missing-service-name", "empty-service-name"] {
        assert!(all.contains(&name.to_owned()), "{all:?}");
    }
    let own: Vec<String> = ["B", "a", "b", "c"].map(|name| scene.service(name)).into();
    let found: Vec<String> = all.into_iter().filter(|name| own.contains(name)).collect();
    assert_eq!(found, own);
}

/// O2: distinct pairs of name and kind, sorted; the kind in lower case, empty if it is unspecified.
async fn operations_are_distinct_pairs_of_name_and_kind(scene: Scene) {
    let kinds = [
        ("op-3", SpanKind::Server),
        ("op-1", SpanKind::Unspecified),
        ("op-4", SpanKind::Client),
        ("op-3", SpanKind::Server),
        ("op-3", SpanKind::Internal),
        ("", SpanKind::Producer),
        ("op-2", SpanKind::Consumer),
    ];
    for (number, (name, kind)) in (1..).zip(kinds) {
        let one = span(scene.trace(number), 1)
            .name(name)
            .at(scene.at(0))
            .kind(kind);
        scene.store([scene.resource("a").span(one)]).await;
    }
    let other = span(scene.trace(8), 1).name("other").at(scene.at(0));
    scene.store([scene.resource("b").span(other)]).await;

    let all = [
        ("empty-span-name", "producer"),
        ("op-1", ""),
        ("op-2", "consumer"),
        ("op-3", "internal"),
        ("op-3", "server"),
        ("op-4", "client"),
    ];
    assert_eq!(operations(&scene, "a", "").await, pairs(&all));
}

/// O2: the kind is an exact filter, and empty means all.
async fn a_kind_filters_operations(scene: Scene) {
    let spans = [
        span(scene.trace(1), 1).name("x").kind(SpanKind::Server),
        span(scene.trace(1), 2).name("y").kind(SpanKind::Client),
        span(scene.trace(1), 3).name("z"),
    ];
    let spans = spans.map(|span| span.at(scene.at(0)));
    scene.store([scene.resource("a").spans(spans)]).await;

    assert_eq!(
        operations(&scene, "a", "server").await,
        pairs(&[("x", "server")])
    );
    assert_eq!(
        operations(&scene, "a", "client").await,
        pairs(&[("y", "client")])
    );
    for kind in ["consumer", "SERVER", "unspecified", "nonsense"] {
        assert_eq!(operations(&scene, "a", kind).await, pairs(&[]), "{kind}");
    }
}

/// O2: an unknown service is no error.
async fn an_unknown_service_has_no_operations(scene: Scene) {
    assert_eq!(operations(&scene, "nobody", "").await, pairs(&[]));
    assert!(scene.client.operations("", "").await.unwrap().is_empty());
}

larder_tests::every_plugin_and_fixture![
    services_are_listed_once_and_sorted,
    operations_are_distinct_pairs_of_name_and_kind,
    a_kind_filters_operations,
    an_unknown_service_has_no_operations,
];
