//! An invalid span is refused alone; the rest of its request is stored (E3). Strings that are not UTF-8 are replaced (E9).

use larder_tests::Scene;
use larder_tests::http;
use larder_tests::otlp::{ResourceBuilder, SpanBuilder, key_value, request, span};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use prost::Message as _;

/// Exports one invalid span beside two valid ones; returns the text with the reason.
async fn refused(scene: &Scene, bad: SpanBuilder) -> String {
    let good = |id| span(scene.trace(1), id).at(scene.at(0));
    let resource = scene.resource("a").span(good(1)).span(bad).span(good(2));
    let answer = scene.client.export([resource]).await.unwrap();
    let partial = answer.partial_success.expect("a partial success");
    assert_eq!(partial.rejected_spans, 1, "{partial:?}");
    assert_eq!(
        scene.client.get_trace(scene.trace(1)).await.span_ids(),
        [1, 2]
    );
    partial.error_message
}

fn metric(scene: &Scene) -> u64 {
    let larder = scene.larder();
    http::count(&larder.metrics(), "larder_ingest_refused_spans_total", &[])
}

/// Encodes with a marker string, and replaces it by bytes that are not UTF-8.
fn spoil(resource: ResourceBuilder) -> Vec<u8> {
    let mut body = request([resource]).encode_to_vec();
    let mark = body.windows(4).position(|four| four == b"MARK").unwrap();
    body[mark..mark + 4].copy_from_slice(b"\xff\xfe\x80\xc0");
    body
}

async fn a_trace_id_of_another_length_is_refused(scene: Scene) {
    for bytes in [vec![], vec![1; 15], vec![1; 17], vec![0; 16]] {
        let scene = scene.again();
        let mut bad = span(scene.trace(1), 9).at(scene.at(0));
        bad.0.trace_id = bytes;
        let before = metric(&scene);
        let why = refused(&scene, bad).await;
        assert!(why.contains("trace id"), "{why}");
        assert!(metric(&scene) > before);
    }
}

async fn a_span_id_of_another_length_or_of_zeros_is_refused(scene: Scene) {
    for bytes in [vec![], vec![1; 7], vec![1; 9], vec![0; 8]] {
        let scene = scene.again();
        let mut bad = span(scene.trace(1), 9).at(scene.at(0));
        bad.0.span_id = bytes;
        let why = refused(&scene, bad).await;
        assert!(why.contains("span id"), "{why}");
    }
}

/// Jaeger's client cannot decode an answer with such an id, so one span would hide all of its service.
async fn refused_alone(scene: &Scene, bad: SpanBuilder, reason: &str) -> String {
    let larder = scene.larder();
    let counted = || {
        let labels = [&format!("reason=\"{reason}\"")[..]];
        let name = "larder_ingest_refused_spans_total";
        http::count(&larder.metrics(), name, &labels)
    };
    // Other tests use the same server and its counter.
    let before = counted();
    let good = span(scene.trace(1), 1).at(scene.at(0));
    let resource = scene.resource("a").span(bad).span(good);
    let answer = scene.client.export([resource]).await.unwrap();
    let partial = answer.partial_success.expect("a partial success");
    assert_eq!(partial.rejected_spans, 1, "{partial:?}");
    assert!(counted() > before);

    // Each answer is decoded by the rules of Jaeger's client.
    let bad = scene.client.get_traces([scene.trace(2)]).await.unwrap();
    assert!(bad.is_empty());
    let good = scene.client.get_trace(scene.trace(1)).await;
    assert_eq!(good.span_ids(), [1]);
    let service = scene.query().service(scene.service("a"));
    for query in [service, scene.query()] {
        assert_eq!(scene.find(query).await, [1]);
    }
    partial.error_message
}

async fn a_parent_span_id_of_another_length_is_refused(scene: Scene) {
    for length in [1, 3, 7, 9, 16] {
        let scene = scene.again();
        let mut bad = span(scene.trace(2), 9).at(scene.at(0));
        bad.0.parent_span_id = vec![1; length];
        let why = refused_alone(&scene, bad, "parent_span_id").await;
        assert!(
            why.contains("a parent span id that is neither empty nor 8 bytes"),
            "{why}"
        );
    }
}

async fn a_link_with_an_id_of_another_length_is_refused(scene: Scene) {
    for (trace_id, span_id) in [(8, 8), (16, 4), (1, 0), (0, 16), (17, 8), (16, 9)] {
        let scene = scene.again();
        let mut bad = span(scene.trace(2), 9)
            .at(scene.at(0))
            .link(scene.trace(3), 3, [])
            .link([0; 16], 0, []);
        bad.0.links[1].trace_id = vec![1; trace_id];
        bad.0.links[1].span_id = vec![1; span_id];
        let why = refused_alone(&scene, bad, "link_id").await;
        assert!(
            why.contains("a link whose trace id is neither empty nor 16 bytes"),
            "{why}"
        );
    }
}

/// Absent ids, and ids of zeros, mean no parent and a link to no span; Jaeger decodes both.
async fn parents_and_links_that_jaeger_decodes_are_stored(scene: Scene) {
    let with = |id, parent: usize, trace_id: usize, span_id: usize| {
        let mut one = span(scene.trace(1), id)
            .at(scene.at(0))
            .link([0; 16], 0, []);
        one.0.parent_span_id = vec![0; parent];
        one.0.links[0].trace_id = vec![0; trace_id];
        one.0.links[0].span_id = vec![0; span_id];
        one
    };
    let sent = [
        with(1, 0, 0, 0),
        with(2, 8, 16, 8),
        with(3, 8, 0, 8),
        with(4, 0, 16, 0),
    ];
    let resource = scene.resource("a").spans(sent.clone());
    let answer = scene.client.export([resource]).await.unwrap();
    assert_eq!(answer.partial_success, None);
    let read = scene.client.get_trace(scene.trace(1)).await;
    assert_eq!(
        read.spans(),
        sent.iter().map(|span| &span.0).collect::<Vec<_>>()
    );
}

/// Puts the marker into a string of a span.
type Spoil = fn(SpanBuilder) -> SpanBuilder;

/// Returns the attributes by which replaced strings are marked.
fn marks(attributes: &[KeyValue]) -> Vec<KeyValue> {
    let is_mark = |key: &str| ["larder.replaced.strings", "invalid-span-name"].contains(&key);
    let attributes = attributes.iter();
    attributes
        .filter(|attribute| is_mark(&attribute.key))
        .cloned()
        .collect()
}

/// The bytes that are not UTF-8, each replaced.
const REPLACED: &str = "\u{fffd}\u{fffd}\u{fffd}\u{fffd}";

/// Every string of a span counts, at any depth. Its bytes that are not UTF-8 are replaced, and it is marked (E9).
async fn a_string_of_a_span_that_is_not_utf_8_is_replaced(scene: Scene) {
    use larder_tests::otlp::{IntoValue, array, map};
    let bare = |scene: &Scene| span(scene.trace(1), 9).at(scene.at(0));
    let places: [(&str, Spoil); 9] = [
        ("name", |span| span.name("MARK")),
        ("key", |span| span.attribute("MARK", 1)),
        ("value", |span| span.attribute("k", "MARK")),
        ("array", |span| {
            span.attribute("k", array(["MARK".into_value()]))
        }),
        ("map", |span| {
            span.attribute("k", map([("MARK", 1_i64.into_value())]))
        }),
        ("event", |span| span.event("MARK", [])),
        ("event's value", |span| {
            span.event("", [key_value("k", "MARK")])
        }),
        ("link's value", |span| {
            span.link([1; 16], 1, [key_value("k", "MARK")])
        }),
        ("trace state", |mut span| {
            "MARK".clone_into(&mut span.0.trace_state);
            span
        }),
    ];
    for (place, spoiled) in places {
        let scene = scene.again();
        let good = |id| span(scene.trace(1), id).at(scene.at(0));
        let bad = spoiled(bare(&scene));
        let resource = scene.resource("a").span(good(1)).span(bad).span(good(2));
        let body = spoil(resource.clone());
        let answer = scene.client.export_bytes(body).await.unwrap();
        assert_eq!(answer.partial_success, None, "{place}");

        let trace = scene.client.get_trace(scene.trace(1)).await;
        assert_eq!(trace.span_ids(), [1, 9, 2]);
        let read = trace.spans()[1];
        let mut expected = vec![key_value("larder.replaced.strings", 1)];
        if place == "name" {
            assert_eq!(read.name, REPLACED);
            let sent = &b"\xff\xfe\x80\xc0"[..];
            expected.insert(0, key_value("invalid-span-name", sent));
            let found = scene.query().operation(REPLACED);
            assert_eq!(scene.find(found).await, [1]);
        }
        assert_eq!(marks(&read.attributes), expected, "{place}");
        // Everything else is as it was sent.
        let mut unmarked = read.clone();
        unmarked.attributes.retain(|one| !expected.contains(one));
        let text = format!("{unmarked:?}").replace(REPLACED, "MARK");
        let sent = &resource.0.scope_spans[0].spans[1];
        assert_eq!(text, format!("{sent:?}"), "{place}");
    }
}

/// An invalid string of a resource or a scope is replaced there.
async fn a_string_of_a_resource_or_scope_is_replaced(scene: Scene) {
    let of = |number, id| span(scene.trace(number), id).at(scene.at(id));
    let resource = scene.resource("a").attribute("k", "MARK");
    let resource = resource.scope("lib", "MARK", []).span(of(1, 1));
    let mut body = spoil(resource);
    let mark = body.windows(4).position(|four| four == b"MARK").unwrap();
    body[mark..mark + 4].copy_from_slice(b"\xff\xfe\x80\xc0");
    let answer = scene.client.export_bytes(body).await.unwrap();
    assert_eq!(answer.partial_success, None);

    let trace = scene.client.get_trace(scene.trace(1)).await;
    let read = &trace.data.resource_spans[0];
    let expected = [key_value("larder.replaced.strings", 1)];
    let resource = read.resource.as_ref().unwrap();
    assert_eq!(marks(&resource.attributes), expected);
    let scope = read.scope_spans[0].scope.as_ref().unwrap();
    assert_eq!(scope.version, REPLACED);
    assert_eq!(marks(&scope.attributes), expected);
    assert_eq!(marks(&trace.spans()[0].attributes), []);
    let by_value = scene.query().attribute("k", REPLACED);
    assert_eq!(scene.find(by_value).await, [1]);

    // A service is listed by the name that it is answered with.
    let body = spoil(larder_tests::otlp::service(scene.service("MARK")).span(of(2, 1)));
    scene.client.export_bytes(body).await.unwrap();
    let name = scene.service(REPLACED);
    let services = scene.client.services().await.unwrap();
    assert!(services.contains(&name), "{services:?}");
    assert_eq!(scene.find(scene.query().service(name)).await, [2]);
}

/// A span that exceeds `limits.max_span_bytes` with its resource and scope is refused; one that just fits is stored.
async fn a_span_over_the_limit_is_refused(scene: Scene) {
    let filled = |scene: &Scene, id, bytes| {
        span(scene.trace(1), id)
            .at(scene.at(0))
            .attribute("filler", "x".repeat(bytes))
    };
    let large = filled(&scene, 9, 16_800_000);
    let why = refused(&scene, large).await;
    assert!(why.contains("max_span_bytes"), "{why}");
    assert!(why.contains("more than 16777216 bytes"), "{why}");

    let scene = scene.again();
    let fits = filled(&scene, 1, 16_700_000);
    scene.store([scene.resource("a").span(fits)]).await;
    assert_eq!(scene.client.get_trace(scene.trace(1)).await.span_ids(), [1]);

    // The resource counts too.
    let scene = scene.again();
    let heavy = scene
        .resource("a")
        .attribute("filler", "y".repeat(9_000_000));
    let resource = heavy
        .span(filled(&scene, 1, 9_000_000))
        .span(filled(&scene, 2, 10));
    let answer = scene.client.export([resource]).await.unwrap();
    assert_eq!(answer.partial_success.unwrap().rejected_spans, 1);
    assert_eq!(scene.client.get_trace(scene.trace(1)).await.span_ids(), [2]);
}

/// If there are several reasons, each is counted, and the text names at least the first.
async fn all_spans_of_a_request_may_be_refused(scene: Scene) {
    let mut no_trace = span(scene.trace(1), 1).at(scene.at(0));
    no_trace.0.trace_id.clear();
    let mut no_span = span(scene.trace(1), 1).at(scene.at(0));
    no_span.0.span_id.clear();
    let resource = scene.resource("a").span(no_trace).span(no_span);
    let answer = scene.client.export([resource]).await.unwrap();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert!(partial.error_message.contains("trace id"), "{partial:?}");
    assert!(scene.find(scene.query()).await.is_empty());
    let services = scene.client.services().await.unwrap();
    assert!(
        !services.contains(&scene.service("a")),
        "a service without spans"
    );
}

larder_tests::every_plugin![
    a_trace_id_of_another_length_is_refused,
    a_span_id_of_another_length_or_of_zeros_is_refused,
    a_parent_span_id_of_another_length_is_refused,
    a_link_with_an_id_of_another_length_is_refused,
    parents_and_links_that_jaeger_decodes_are_stored,
    a_string_of_a_span_that_is_not_utf_8_is_replaced,
    a_string_of_a_resource_or_scope_is_replaced,
    a_span_over_the_limit_is_refused,
    all_spans_of_a_request_may_be_refused,
];
