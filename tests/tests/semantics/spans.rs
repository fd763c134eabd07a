//! `FindSpans`: what is found, in which order, and what is refused (RFC 0016).

use larder_oracle::Oracle;
use larder_tests::filter::{and, attr, eq, exists, field, gt, gte, instant, lte, not};
use larder_tests::otlp::{ResourceBuilder, SpanBuilder, SpanRef, span};
use larder_tests::status::error_info;
use larder_tests::{Plugin, Scene, SpanSearch, unset_timestamp};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost_types::Timestamp;
use tonic::{Code, Status};

/// Orders by each field, both ways, in mixed directions, and by all four.
const ORDERS: [&[(&str, &str)]; 14] = [
    &[],
    &[("startTime", "desc")],
    &[("startTime", "asc")],
    &[("duration", "")],
    &[("duration", "desc")],
    &[("traceID", "asc")],
    &[("traceID", "desc")],
    &[("spanID", "asc")],
    &[("spanID", "desc")],
    &[("duration", "desc"), ("startTime", "asc")],
    &[("startTime", "asc"), ("spanID", "desc")],
    &[("traceID", "desc"), ("startTime", "asc")],
    &[("spanID", "asc"), ("traceID", "desc"), ("duration", "asc")],
    &[
        ("duration", "asc"),
        ("spanID", "desc"),
        ("startTime", "desc"),
        ("traceID", "asc"),
    ],
];

pub(super) fn ordered(search: SpanSearch, order: &[(&str, &str)]) -> SpanSearch {
    let terms = order.iter();
    terms.fold(search, |search, (field, direction)| {
        search.order_by(field, direction)
    })
}

/// A few spans of a few traces, with ties in every field, one of them written twice; one ends before it starts.
pub(super) async fn written(scene: &Scene) -> Vec<ResourceSpans> {
    let backwards = |mut span: SpanBuilder| {
        span.0.end_time_unix_nano = span.0.start_time_unix_nano - 3;
        span
    };
    let one = |trace, id, start, lasting| {
        span(scene.trace(trace), id)
            .at(scene.at(start))
            .lasting(lasting)
    };
    let shop = || {
        scene
            .resource("shop")
            .attribute("pod", "p1")
            .schema_url("r/1")
            .scope("lib", "1.0", [])
            .scope_schema_url("s/1")
    };
    let exports: [Vec<ResourceBuilder>; 4] = [
        vec![
            shop().spans([
                one(1, 1, 100, 10).attribute("code", 500),
                one(1, 2, 110, 10),
            ]),
            scene.resource("bank").span(one(1, 3, 110, 20)),
        ],
        vec![
            scene
                .resource("bank")
                .spans([one(2, 1, 110, 10), one(2, 4, 90, 300)]),
        ],
        vec![shop().span(backwards(one(3, 1, 100, 0)))],
        vec![shop().spans([one(3, 2, 110, 10), one(3, 5, 400, 1).attribute("code", 404)])],
    ];
    let mut all = Vec::new();
    // The last one is written twice, as by a client that tries again.
    for export in exports.iter().chain(exports.last()) {
        scene.store(export.clone()).await;
        all.extend(export.iter().map(|resource| resource.0.clone()));
    }
    all
}

pub(super) fn expected(written: &[ResourceSpans], search: &SpanSearch) -> Vec<ResourceSpans> {
    let found = Oracle::new(written).find_spans(&search.0);
    found.into_iter().map(SpanRef::alone).collect()
}

/// Every order, in one page and in pages of one span: each span once, each copy once, with its own resource, scope and schema URLs.
async fn spans_come_in_the_order_asked_for(scene: Scene) {
    let written = written(&scene).await;
    let all = SpanSearch::within(scene.at(0), scene.at(1000));
    for order in ORDERS {
        let search = ordered(all.clone(), order);
        let expected = expected(&written, &search);
        assert_eq!(expected.len(), 10);
        for size in [1, 3, 10, 11] {
            let found = scene.client.pages_of_spans(&search, size).await;
            let pages = expected.len().div_ceil(size as usize);
            assert_eq!(
                found.len(),
                pages,
                "a page that ends at the last match has no token"
            );
            assert_eq!(found.concat(), expected, "{order:?}, {size} a page");
        }
    }
}

/// The window is on the start alone, both ends included; the filter judges each span by itself.
async fn window_and_filter_judge_each_span(scene: Scene) {
    let written = written(&scene).await;
    let (from, to) = (scene.at(0), scene.at(1000));
    let shop = scene.service("shop");
    let start = || field("span", "startTime");
    let time = |offset| instant(scene.at(offset), 0);
    let of_shop = || eq(field("resource", "service"), shop.as_str());
    for search in [
        SpanSearch::within(scene.at(110), scene.at(110)),
        SpanSearch::within(scene.at(101), scene.at(399)),
        SpanSearch::within(from, to).filter(of_shop()),
        SpanSearch::within(from, to).filter(not(of_shop())),
        SpanSearch::within(from, to).filter(gte(attr("code"), "404")),
        SpanSearch::within(from, to).filter(and([of_shop(), exists(attr("code"))])),
        SpanSearch::within(from, to).filter(gte(field("span", "duration"), "20ns")),
        SpanSearch::within(from, to).filter(eq(field("span", "spanID"), "0000000000000001")),
        SpanSearch::within(from, to).filter(gt(start(), &*time(100))),
        SpanSearch::within(from, scene.at(110)).filter(gte(start(), &*time(100))),
        SpanSearch::within(from, to).filter(and([
            gte(start(), &*time(100)),
            lte(start(), &*time(110)),
            gte(field("span", "duration"), "10ns"),
        ])),
        SpanSearch::within(from, to).filter(not(eq(start(), &*time(110)))),
    ] {
        for order in [&ORDERS[0], &ORDERS[4], &ORDERS[2]] {
            let search = ordered(search.clone(), order);
            let (found, token) = scene.client.page_of_spans(&search).await.unwrap();
            let expected = expected(&written, &search);
            assert!(!expected.is_empty());
            assert_eq!((found, &*token), (expected, ""), "{search:?}");
        }
    }
    let nothing = SpanSearch::within(scene.at(500), scene.at(600));
    let (found, token) = scene.client.page_of_spans(&nothing).await.unwrap();
    assert_eq!((found.len(), &*token), (0, ""));
}

larder_tests::every_plugin_and_fixture![
    spans_come_in_the_order_asked_for,
    window_and_filter_judge_each_span
];

/// Asserts a refusal with `INVALID_ARGUMENT`, this reason of `ErrorInfo`, or none, and this text.
pub(super) fn assert_refused(refused: &Status, reason: Option<&str>, text: &str) {
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert_eq!(
        error_info(refused).map(|info| info.reason).as_deref(),
        reason,
        "{refused:?}"
    );
    assert!(refused.message().contains(text), "{text} in {refused:?}");
}

#[tokio::test]
async fn what_is_not_well_formed_is_refused_with_its_reason() {
    let scene = Scene::new(Plugin::Memory).await;
    let sound = || SpanSearch::within(scene.at(0), scene.at(9));
    let mut unset = sound();
    unset.0.start_time_min = Some(unset_timestamp());
    let required = "start_time_min and start_time_max are required";
    let mut late = sound();
    late.0.start_time_max = Some(Timestamp {
        seconds: 253_402_300_800,
        nanos: 0,
    });
    let unknown = sound().filter(eq(field("span", "nome"), "x"));
    let invalid_order = Some("ORDERING_INVALID");
    let invalid_page = Some("PAGINATION_INVALID");
    for (search, reason, text) in [
        (SpanSearch::default(), None, required),
        (unset, None, required),
        (
            late,
            None,
            "start_time_max must be a time between the years 1 and 9999",
        ),
        (
            SpanSearch::within(scene.at(9), scene.at(0)),
            None,
            "start_time_min must be before start_time_max",
        ),
        (
            unknown,
            Some("FILTER_INVALID"),
            "unknown built-in field \"nome\"",
        ),
        (
            sound().order_by("name", ""),
            invalid_order,
            "invalid span ordering: order_by[0] field \"name\" is unsupported",
        ),
        (
            sound().order_by("duration", "DESC"),
            invalid_order,
            "invalid span ordering: order_by[0] direction \"DESC\" is unsupported",
        ),
        (
            sound()
                .order_by("duration", "")
                .order_by("duration", "desc"),
            invalid_order,
            "invalid span ordering: order_by[1] repeats field \"duration\"",
        ),
        (
            sound().page(0, ""),
            invalid_page,
            "invalid pagination: page size is required",
        ),
        (
            sound().page(1, "not-a-token!"),
            invalid_page,
            "invalid pagination: page token is not valid base64",
        ),
    ] {
        let refused = scene.client.page_of_spans(&search).await.unwrap_err();
        assert_refused(&refused, reason, text);
    }
    let call = scene.client.call();
    let reply = call
        .stream(larder_tests::method::FIND_SPANS, Vec::new().into())
        .await;
    assert_refused(&reply.end.unwrap_err(), None, "missing query");
}
