//! Comparisons of two references: V9.

use larder_tests::Scene;
use larder_tests::filter::{attr, attr_at, eq, exists, field, gt, gte, lt, lte, ne, not, some};
use larder_tests::otlp::{IntoValue, key_value, span};

use crate::ask::judges;

const WIDE: i64 = 9_007_199_254_740_992;

async fn attributes_are_compared_by_value(scene: Scene) {
    let attributes = [
        ("int", 5.into_value()),
        ("same", 5.into_value()),
        ("double", 5.0.into_value()),
        ("half", 5.5.into_value()),
        ("text", "5".into_value()),
        ("word", "a".into_value()),
        ("true", true.into_value()),
        ("yes", true.into_value()),
        ("false", false.into_value()),
        ("bytes", b"5"[..].into_value()),
        ("nan", f64::NAN.into_value()),
        ("wide", WIDE.into_value()),
        ("wider", (WIDE + 1).into_value()),
        ("wide double", 9_007_199_254_740_992.0.into_value()),
        ("most", i64::MAX.into_value()),
        ("2^63", 9_223_372_036_854_775_808.0.into_value()),
        ("infinity", f64::INFINITY.into_value()),
    ];
    let mut one = span(scene.trace(1), 1).at(scene.at(1));
    one.0.attributes = attributes.map(|(key, value)| key_value(key, value)).into();
    scene.store([scene.resource("a").span(one)]).await;
    let rows = [
        (eq(attr("int"), attr("same")), true),
        (ne(attr("int"), attr("same")), false),
        (eq(attr("int"), attr("double")), true),
        (lt(attr("int"), attr("half")), true),
        (gt(attr("half"), attr("int")), true),
        (gte(attr("int"), attr("half")), false),
        (eq(attr("wide"), attr("wide double")), true),
        (eq(attr("wider"), attr("wide double")), false),
        (gt(attr("wider"), attr("wide double")), true),
        (lt(attr("wide double"), attr("wider")), true),
        (ne(attr("wider"), attr("wide double")), true),
        (lt(attr("most"), attr("2^63")), true),
        (eq(attr("most"), attr("2^63")), false),
        (lt(attr("most"), attr("infinity")), true),
        (eq(attr("true"), attr("yes")), true),
        (ne(attr("true"), attr("false")), true),
        (lt(attr("false"), attr("true")), false),
        (gte(attr("true"), attr("yes")), false),
        // Of different types.
        (eq(attr("int"), attr("text")), false),
        (ne(attr("int"), attr("text")), true),
        (lt(attr("int"), attr("word")), false),
        (gt(attr("int"), attr("word")), false),
        (ne(attr("true"), attr("int")), true),
        (ne(attr("bytes"), attr("text")), true),
        (eq(attr("bytes"), attr("bytes")), false),
        (eq(attr("nan"), attr("nan")), false),
        (ne(attr("nan"), attr("int")), true),
        (lt(attr("text"), attr("word")), true),
        // One of them is absent.
        (eq(attr("int"), attr("missing")), false),
        (ne(attr("int"), attr("missing")), false),
        (ne(attr("missing"), attr("int")), false),
        (ne(attr("missing"), attr("missing")), false),
        (not(eq(attr("missing"), attr("missing"))), true),
    ];
    judges(&scene, rows).await;
}

async fn fields_are_compared_with_fields_of_their_domain(scene: Scene) {
    let trace = scene.trace(1);
    let one = span(trace, 7)
        .name("server")
        .at(scene.at(1_000))
        .lasting(500)
        .event_at("server", scene.at(1_200), [])
        .event_at("late", scene.at(9_000), [])
        .link(trace, 9, []);
    scene
        .store([scene.resource("a").scope("server", "", []).span(one)])
        .await;
    let (start, end) = (|| field("span", "startTime"), || field("span", "endTime"));
    let time = || field("event", "time");
    let rows = [
        (lt(start(), end()), true),
        (gte(start(), end()), false),
        (ne(start(), end()), true),
        (eq(start(), start()), true),
        (gt(time(), end()), true),
        (lt(time(), end()), true),
        (some("event", gt(time(), end())), true),
        (not(some("event", not(lt(time(), end())))), false),
        (
            lt(field("event", "timeSinceStart"), field("span", "duration")),
            true,
        ),
        (
            gt(field("event", "timeSinceStart"), field("span", "duration")),
            true,
        ),
        (
            eq(field("event", "timeSinceStart"), field("span", "duration")),
            false,
        ),
        (eq(field("link", "traceID"), field("span", "traceID")), true),
        (eq(field("link", "spanID"), field("span", "spanID")), false),
        (gt(field("link", "spanID"), field("span", "spanID")), true),
        (eq(field("span", "name"), field("scope", "name")), true),
        (eq(field("span", "name"), field("event", "name")), true),
        (ne(field("span", "name"), field("event", "name")), false),
        (ne(field("span", "name"), field("scope", "version")), false),
        (
            ne(field("span", "parentSpanID"), field("span", "spanID")),
            false,
        ),
        // Words are text.
        (eq(field("span", "kind"), field("span", "name")), false),
        (ne(field("span", "kind"), field("span", "name")), true),
        (eq(field("span", "status"), field("span", "kind")), false),
    ];
    judges(&scene, rows).await;
}

async fn fields_are_compared_with_attributes(scene: Scene) {
    let one = span(scene.trace(1), 7)
        .name("GET")
        .at(scene.at(1_000))
        .lasting(500)
        .attribute("name", "GET")
        .attribute("kind", "unspecified")
        .attribute("number", 7)
        .event("GET", [key_value("of", "GET")]);
    scene.store([scene.resource("a").span(one)]).await;
    let rows = [
        (eq(field("span", "name"), attr("name")), true),
        (eq(attr("name"), field("span", "name")), true),
        (ne(attr("number"), field("span", "name")), true),
        (eq(attr("number"), field("span", "name")), false),
        (eq(attr("kind"), field("span", "kind")), true),
        (ne(attr("kind"), field("span", "status")), true),
        (lte(attr("name"), field("span", "name")), true),
        (lt(attr("name"), field("span", "name")), false),
        (eq(attr("missing"), field("span", "name")), false),
        (ne(attr("missing"), field("span", "name")), false),
        (
            some("event", eq(attr_at("event", "of"), field("event", "name"))),
            true,
        ),
        (
            some("event", eq(attr_at("event", "of"), field("span", "name"))),
            true,
        ),
        // Text is never a duration or an instant, even if it parses as one.
        (eq(attr("name"), field("span", "duration")), false),
        (ne(attr("name"), field("span", "duration")), true),
        (lt(attr("name"), field("span", "startTime")), false),
        (exists(attr("number")), true),
    ];
    judges(&scene, rows).await;
}

/// As in Jaeger's evaluator, which represents durations and instants as integers of nanoseconds. Constants are never compared this way:
/// a typed one is refused, and an untyped one is parsed as the field's type.
async fn a_number_beside_a_time_is_nanoseconds(scene: Scene) {
    let start = scene.at(1_000);
    let one = span(scene.trace(1), 7)
        .at(start)
        .lasting(500)
        .attribute("nanos", 500)
        .attribute("double", 500.5)
        .attribute("start", i64::try_from(start).unwrap())
        .attribute("text", "500ns");
    scene.store([scene.resource("a").span(one)]).await;
    let rows = [
        (eq(attr("nanos"), field("span", "duration")), true),
        (eq(field("span", "duration"), attr("nanos")), true),
        (gt(attr("double"), field("span", "duration")), true),
        (eq(attr("start"), field("span", "startTime")), true),
        (lt(attr("start"), field("span", "endTime")), true),
        (eq(attr("text"), field("span", "duration")), false),
    ];
    judges(&scene, rows).await;
}

larder_tests::every_plugin![
    attributes_are_compared_by_value,
    fields_are_compared_with_fields_of_their_domain,
    fields_are_compared_with_attributes,
    a_number_beside_a_time_is_nanoseconds,
];
