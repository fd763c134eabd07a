//! Pages of `FindSpans`: what their tokens belong to, and what they outlive (RFC 0014).

mod copies;

use std::cmp::Reverse;
use std::ops::RangeInclusive;

use larder_tests::filter::{and, eq, exists, field, or};
use larder_tests::otlp::{SpanRef, service, span, spans_of};
use larder_tests::status::error_info;
use larder_tests::{Client, Home, Options, Plugin, Scene, SpanSearch};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use tonic::Code;

async fn store(client: &Client, numbers: impl IntoIterator<Item = u8>) {
    for number in numbers {
        let one = span([number; 16], 1)
            .at(u64::from(number) * 10)
            .lasting(number.into());
        client.store([service("a").span(one)]).await;
    }
}

/// Returns the first byte of the trace id of each span.
pub(super) fn numbers(spans: &[ResourceSpans]) -> Vec<u8> {
    let span = |one: &ResourceSpans| one.scope_spans[0].spans[0].trace_id[0];
    spans.iter().map(span).collect()
}

/// A token is good for every spelling of its query and its order, and for nothing else.
#[tokio::test]
async fn a_token_belongs_to_its_query_by_meaning() {
    let larder = Options::new(Plugin::Memory).start();
    let client = larder.client().await;
    store(&client, 1..=5).await;
    let of_a = || eq(field("resource", "service"), "a");
    let named = || exists(field("span", "name"));
    let search = || SpanSearch::within(0, 100).filter(and([of_a(), named()]));
    let (spans, token) = client.page_of_spans(&search().page(2, "")).await.unwrap();
    assert_eq!(numbers(&spans), [5, 4]);
    let default = |direction| search().order_by("startTime", direction);
    let all = default("desc")
        .order_by("traceID", "asc")
        .order_by("spanID", "");
    let reordered = SpanSearch::within(0, 100).filter(and([named(), of_a()]));
    for same in [search(), default("desc"), all, reordered] {
        let (spans, next) = client
            .page_of_spans(&same.clone().page(1, &token))
            .await
            .unwrap();
        assert_eq!(numbers(&spans), [3], "{same:?}");
        assert_ne!(next, "");
        let (spans, next) = client.page_of_spans(&same.page(3, &token)).await.unwrap();
        assert_eq!((numbers(&spans), &*next), (vec![3, 2, 1], ""));
    }
    for other in [
        default("asc"),
        search().order_by("duration", "desc"),
        SpanSearch::within(0, 101).filter(and([of_a(), named()])),
        SpanSearch::within(0, 100).filter(or([of_a(), named()])),
        SpanSearch::within(0, 100),
    ] {
        let refused = client
            .page_of_spans(&other.page(2, &token))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert_eq!(error_info(&refused).unwrap().reason, "PAGINATION_INVALID");
        assert!(refused.message().contains("different query"), "{refused:?}");
    }
}

/// A walk goes on after a restart, and after writes on both sides of its position.
#[tokio::test]
async fn a_walk_outlives_restarts_and_writes() {
    for (field, direction, expected) in [
        ("startTime", "desc", [9, 7, 6, 5, 4, 3, 1]),
        ("startTime", "asc", [1, 3, 4, 5, 7, 8, 9]),
        ("duration", "desc", [9, 7, 6, 5, 4, 3, 1]),
        ("traceID", "asc", [1, 3, 4, 5, 7, 8, 9]),
    ] {
        let home = Home::new();
        let search = SpanSearch::within(0, 100).order_by(field, direction);
        let larder = Options::new(Plugin::Kv).start_in(&home);
        let client = larder.client().await;
        store(&client, [1, 3, 5, 7, 9]).await;
        let mut visited = Vec::new();
        let (spans, token) = client
            .page_of_spans(&search.clone().page(2, ""))
            .await
            .unwrap();
        visited.extend(numbers(&spans));
        larder.kill();

        let larder = Options::new(Plugin::Kv).start_in(&home);
        let client = larder.client().await;
        // One of them is behind the position, one before it, in either direction; one between the two.
        store(
            &client,
            if expected[0] == 9 {
                [8, 6, 4]
            } else {
                [2, 4, 8]
            },
        )
        .await;
        let rest = search.page(100, &token);
        let (spans, token) = client.page_of_spans(&rest).await.unwrap();
        assert_eq!(token, "");
        visited.extend(numbers(&spans));
        assert_eq!(visited, expected, "{field} {direction}");
    }
}

/// A page has as many spans as were asked for, however large they are, in messages that the client takes.
#[tokio::test]
async fn a_large_page_comes_in_messages_below_the_limit() {
    let scene = Scene::new(Plugin::Kv).await;
    let one = |trace: u64, id| {
        let one = span(scene.trace(trace), id).at(scene.at(trace * 100 + id));
        one.attribute("filler", "y".repeat(1000))
    };
    for trace in 1..=12 {
        let spans = (1..=900).map(|id| one(trace, id));
        scene.store([scene.resource("a").spans(spans)]).await;
    }
    let search = SpanSearch::within(scene.at(0), scene.at(5000));
    let search = search.order_by("spanID", "asc");
    // More than 10,000 are clamped.
    let (page, token) = scene
        .client
        .page_of_spans(&search.clone().page(1 << 20, ""))
        .await
        .unwrap();
    assert_eq!(page.len(), 10_000);
    let (rest, token) = scene
        .client
        .page_of_spans(&search.page(1 << 20, &token))
        .await
        .unwrap();
    assert_eq!((rest.len(), &*token), (800, ""));
    let ids = page.iter().chain(&rest).map(|one| {
        let span = &one.scope_spans[0].spans[0];
        // Of equal ids the newest comes first, which has the greatest trace id here.
        (span.span_id.clone(), Reverse(span.trace_id.clone()))
    });
    let ids: Vec<_> = ids.collect();
    assert!(ids.is_sorted());
}

/// Without pagination a page has as many spans as a search for traces has traces by default, and its token leads to the rest.
async fn without_pagination_a_page_has_100_spans(scene: Scene) {
    let spans = (1..=150).map(|id| span(scene.trace(id % 7), id).at(scene.at(id)));
    scene.store([scene.resource("a").spans(spans)]).await;
    let ids = |spans: &[ResourceSpans]| -> Vec<u64> {
        let id = |one: SpanRef<'_>| u64::from_be_bytes(one.span.span_id[..].try_into().unwrap());
        spans_of(spans).map(id).collect()
    };
    let newest_first = |ids: RangeInclusive<u64>| -> Vec<u64> { ids.rev().collect() };
    let search = scene.span_search();
    let (spans, token) = scene.client.page_of_spans(&search).await.unwrap();
    assert_eq!(ids(&spans), newest_first(51..=150));
    let rest = search.page(100, &token);
    let (spans, token) = scene.client.page_of_spans(&rest).await.unwrap();
    assert_eq!(ids(&spans), newest_first(1..=50));
    assert_eq!(token, "");
    // Of a hundred spans nothing is left.
    let hundred = SpanSearch::within(scene.at(21), scene.at(120));
    let (spans, token) = scene.client.page_of_spans(&hundred).await.unwrap();
    assert_eq!(ids(&spans), newest_first(21..=120));
    assert_eq!(token, "");
}

larder_tests::every_plugin![without_pagination_a_page_has_100_spans];
