//! Comparisons of two constants, opaque values, and fields in lists: V9, V10, V13.

use larder_tests::Scene;
use larder_tests::filter::{
    attr, boolean, double, eq, exists, field, gt, gte, in_list, int, list, lt, lte, ne, not_in,
    regex, string, typed, untyped,
};
use larder_tests::otlp::{IntoValue, array, key_value, map, span};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::ask::{finds, judges};

/// V9: two constants are compared once; then every span matches, or none does.
async fn two_constants_are_compared(scene: Scene) {
    let one = span(scene.trace(1), 1).at(scene.at(1));
    scene.store([scene.resource("a").span(one)]).await;
    let rows = [
        (eq(int(1), int(1)), true),
        (lt(int(1), int(2)), true),
        (gt(int(1), int(2)), false),
        (ne(int(1), int(1)), false),
        (eq(string("a"), string("a")), true),
        (lt(string("a"), string("b")), true),
        (eq(boolean(true), boolean(true)), true),
        (ne(boolean(true), boolean(false)), true),
        // Typed constants are not converted.
        (eq(int(1), double(1.0)), false),
        (ne(int(1), double(1.0)), true),
        (lt(int(1), double(2.0)), false),
        (eq(double(0.0), double(-0.0)), true),
        (eq(double(f64::NAN), double(f64::NAN)), false),
        (ne(double(f64::NAN), double(f64::NAN)), true),
        // Two constants without declared types are compared as text.
        (eq(untyped("1"), untyped("1")), true),
        (eq(untyped("1"), untyped("1.0")), false),
        (lt(untyped("10"), untyped("9")), true),
        (gte(untyped(""), untyped("")), true),
        // A constant without a declared type is parsed exactly as the type of the other.
        (eq(untyped("1"), int(1)), true),
        (eq(int(1), untyped("+1")), true),
        (eq(untyped("1.0"), int(1)), false),
        (ne(untyped("1.0"), int(1)), true),
        (lt(untyped("0.5"), int(1)), false),
        (gt(int(1), untyped("0.5")), false),
        (lt(untyped("0.5"), double(1.0)), true),
        (eq(untyped("1"), double(1.0)), true),
        (gt(untyped("9"), int(10)), false),
        (eq(untyped("T"), boolean(true)), true),
        (eq(untyped("yes"), boolean(true)), false),
        (ne(untyped("yes"), boolean(true)), true),
        (eq(untyped("1"), string("1")), true),
        (lt(untyped("10"), string("9")), true),
        (eq(untyped("abc"), int(1)), false),
        (ne(untyped("abc"), int(1)), true),
        (lte(typed("int", "+01"), int(1)), true),
        (eq(typed("double", "1e0"), double(1.0)), true),
        (eq(typed("bool", "T"), boolean(true)), true),
    ];
    judges(&scene, rows).await;
}

/// Two constants do not depend on the span, so every span matches.
async fn two_equal_constants_match_all(scene: Scene) {
    let at = |number| span(scene.trace(number), 1).at(scene.at(number));
    scene
        .store([scene.resource("a").span(at(1)).span(at(2))])
        .await;
    let rows = [
        (eq(int(1), int(1)), vec![2, 1]),
        (eq(int(1), int(2)), vec![]),
    ];
    finds(&scene, rows).await;
}

/// V10: bytes, arrays, maps, and attributes without a value are present, but neither equal to anything nor ordered.
async fn opaque_values_are_there_and_that_is_all(scene: Scene) {
    let mut valueless = key_value("k", "");
    valueless.value = None;
    let values = [
        b"\x01\x02\x03"[..].into_value(),
        b""[..].into_value(),
        array(["a".into_value()]),
        array([]),
        map([("a", "b".into_value())]),
        AnyValue { value: None },
    ];
    for (number, value) in (1..).zip(values) {
        let one = span(scene.trace(number), 1)
            .at(scene.at(1000 - number))
            .attribute("k", value);
        scene.store([scene.resource("a").span(one)]).await;
    }
    let mut last = span(scene.trace(7), 1).at(scene.at(1000 - 7));
    last.0.attributes.push(valueless);
    scene.store([scene.resource("a").span(last)]).await;

    let all = || vec![1, 2, 3, 4, 5, 6, 7];
    let k = || attr("k");
    let rows = [
        (exists(k()), all()),
        (ne(k(), "a"), all()),
        (ne(k(), ""), all()),
        (ne(k(), string("AQID")), all()),
        (ne(k(), int(1)), all()),
        (ne(k(), double(1.0)), all()),
        (ne(k(), boolean(false)), all()),
        (ne(k(), k()), all()),
        (not_in(k(), list("string", ["a", "", "AQID"])), all()),
        (not_in(k(), list("bool", ["false"])), all()),
        (eq(k(), "AQID"), vec![]),
        (eq(k(), ""), vec![]),
        (eq(k(), string("")), vec![]),
        (eq(k(), r#"["a"]"#), vec![]),
        (eq(k(), k()), vec![]),
        (eq(k(), field("span", "name")), vec![]),
        (ne(k(), field("span", "name")), all()),
        (gte(k(), ""), vec![]),
        (lte(k(), "zzz"), vec![]),
        (lt(k(), int(5)), vec![]),
        (lte(k(), k()), vec![]),
        (in_list(k(), "string", ["a", "", "AQID"]), vec![]),
        (in_list(k(), "int", ["0", "1"]), vec![]),
        (regex(k(), ""), vec![]),
        (regex(k(), "a|Q"), vec![]),
    ];
    finds(&scene, rows).await;
}

/// V13: a list beside a field is parsed as the field's type.
async fn a_list_beside_a_field_is_read_as_the_field(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .name("1")
        .at(scene.at(1_000))
        .lasting(1_500_000)
        .kind(SpanKind::Client)
        .event_at("e", scene.at(900), [])
        .event_at("f", scene.at(1_250), []);
    scene.store([scene.resource("a").span(one)]).await;
    let span_field = |name| field("span", name);
    let since = || field("event", "timeSinceStart");
    let rows = [
        (in_list(span_field("name"), "", ["0", "1"]), true),
        (in_list(span_field("name"), "string", ["0", "1"]), true),
        (in_list(span_field("name"), "", ["1.0", "01"]), false),
        (not_in(span_field("name"), list("", ["1.0"])), true),
        (in_list(span_field("kind"), "string", ["client"]), true),
        (
            in_list(span_field("kind"), "", ["server", "producer"]),
            false,
        ),
        (
            not_in(span_field("kind"), list("", ["server", "producer"])),
            true,
        ),
        (in_list(span_field("status"), "", ["ok", "unset"]), true),
        (in_list(span_field("duration"), "", ["1s", "1.5ms"]), true),
        (in_list(span_field("duration"), "", ["1500us", "1s"]), true),
        (not_in(span_field("duration"), list("", ["1500us"])), false),
        (
            not_in(span_field("duration"), list("", ["1ms", "1501us"])),
            true,
        ),
        (in_list(since(), "", ["-100ns"]), true),
        (in_list(since(), "", ["100ns"]), false),
        (in_list(since(), "", ["0.25us"]), true),
        (not_in(since(), list("", ["250ns", "5s"])), false),
        (not_in(since(), list("", ["5s"])), true),
        (gt(since(), "249ns"), true),
        (lt(since(), "-99ns"), true),
    ];
    judges(&scene, rows).await;
}

larder_tests::every_plugin![
    two_constants_are_compared,
    two_equal_constants_match_all,
    opaque_values_are_there_and_that_is_all,
    a_list_beside_a_field_is_read_as_the_field,
];
