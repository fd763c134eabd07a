//! Lists without a declared type beside attributes: each element is read anew for each value. V7, V13.

use larder_tests::Scene;
use larder_tests::filter::{attr, attr_at, eq, field, in_list, list, not, not_in, or, some};
use larder_tests::otlp::{IntoValue, key_value, span};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

use crate::ask::{finds, judges};
use crate::comparisons::{equals, store};

async fn an_element_is_read_as_the_stored_type(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .attribute("code", 500)
        .attribute("text", "x")
        .attribute("ok", true)
        .attribute("ratio", 1.5)
        .attribute("raw", &b"a"[..])
        .attribute("none", AnyValue { value: None });
    scene.store([scene.resource("a").span(one)]).await;
    let has = |key, values: [&'static str; 2]| in_list(attr(key), "", values);
    let rows = [
        (in_list(attr("code"), "", ["500.0"]), true),
        (has("code", ["abc", "5e2"]), true),
        (has("code", ["501", "x"]), false),
        (in_list(attr("ok"), "", ["1"]), true),
        (has("ok", ["x", "0"]), false),
        (in_list(attr("ratio"), "", ["1.50"]), true),
        (has("ratio", ["1", "2"]), false),
        (in_list(attr("text"), "", ["X"]), false),
        (has("text", ["a", "x"]), true),
        // The text of its bytes in base64, and as they are.
        (in_list(attr("raw"), "", ["a", "YQ==", ""]), false),
        (not_in(attr("raw"), list("", ["a"])), true),
        (in_list(attr("none"), "", [""]), false),
        (not_in(attr("none"), list("", ["a"])), true),
        (not_in(attr("code"), list("", ["abc"])), true),
        (not_in(attr("code"), list("", ["500.0"])), false),
        (not_in(attr("missing"), list("", ["a"])), false),
        (not(in_list(attr("missing"), "", ["a"])), true),
        // One list for values of several types.
        (in_list(attr("code"), "", ["500", "true", "x"]), true),
        (in_list(attr("ok"), "", ["500", "true", "x"]), true),
        (in_list(attr("text"), "", ["500", "true", "x"]), true),
        (in_list(attr("ratio"), "", ["500", "true", "x"]), false),
    ];
    judges(&scene, rows).await;
}

/// The list finds what `eq` with one of its elements finds.
async fn a_list_finds_what_its_elements_find(scene: Scene) {
    let values = [
        "500".into_value(),
        500.into_value(),
        500.0.into_value(),
        "500.0".into_value(),
        "true".into_value(),
        true.into_value(),
        false.into_value(),
        (-0.0).into_value(),
        0.into_value(),
        f64::NAN.into_value(),
        i64::MIN.into_value(),
        (-9_223_372_036_854_775_808.0).into_value(),
        9_007_199_254_740_993_i64.into_value(),
        9_007_199_254_740_992.0.into_value(),
        f64::INFINITY.into_value(),
        "".into_value(),
    ];
    let all = store(&scene, values).await;
    let rows = [
        ("500", vec![1, 2, 3]),
        ("500.0", vec![2, 3, 4]),
        ("5e2", vec![2, 3]),
        ("true", vec![5, 6]),
        ("T", vec![6]),
        ("0", vec![7, 8, 9]),
        ("-0", vec![8, 9]),
        ("nan", vec![]),
        ("inf", vec![15]),
        ("", vec![16]),
        // As an integer exactly, as a double the nearest.
        ("-9223372036854775807", vec![12]),
        ("-9223372036854775808", vec![11, 12]),
        ("-9223372036854775809", vec![11, 12]),
        ("9007199254740993", vec![13, 14]),
        ("9007199254740993.0", vec![14]),
        ("9007199254740992", vec![14]),
    ];
    equals(&scene, &all, "", rows).await;
}

/// V4: of several values one that is among the elements is enough, and `not_in` asks that none is.
async fn of_several_values_one_is_enough(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .attribute("k", "s")
        .event("e", [key_value("k", 1)])
        .event("f", [key_value("k", true)])
        .link([1; 16], 1, [key_value("k", 2.5)]);
    let resource = scene.resource("a").attribute("k", 5).span(one);
    scene.store([resource]).await;
    let event = || attr_at("event", "k");
    let rows = [
        (in_list(attr("k"), "", ["s", "x"]), true),
        (in_list(attr("k"), "", ["5.0"]), true),
        (in_list(attr("k"), "", ["1", "true"]), false),
        (not_in(attr("k"), list("", ["x", "5.0"])), false),
        (not_in(attr("k"), list("", ["x", "6"])), true),
        (in_list(attr_at("span", "k"), "", ["5"]), false),
        (in_list(attr_at("resource", "k"), "", ["5"]), true),
        (in_list(attr("resource.k"), "", ["5e0"]), true),
        (in_list(event(), "", ["t"]), true),
        (in_list(event(), "", ["1e0"]), true),
        (not_in(event(), list("", ["2", "f"])), true),
        (not_in(event(), list("", ["2", "T"])), false),
        (some("event", not_in(event(), list("", ["T"]))), true),
        (some("event", in_list(event(), "", ["2", "0"])), false),
        (in_list(attr_at("link", "k"), "", ["2.50"]), true),
        (in_list(attr_at("scope", "k"), "", ["s", "5"]), false),
    ];
    judges(&scene, rows).await;
}

/// V14: `error` is a bool; the other keys that stand for fields are text, and not only the words of the field.
async fn keys_of_fields_take_untyped_lists(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .kind(SpanKind::Server)
        .status(StatusCode::Error);
    let resource = scene.resource("a").scope("lib", "", []);
    scene.store([resource.span(one)]).await;
    let many: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let many = |last| many.iter().map(String::as_str).chain([last]);
    for level in ["", "span"] {
        let at = |key| attr_at(level, key);
        let rows = [
            (in_list(at("error"), "", ["x", "1"]), true),
            (in_list(at("error"), "", ["x", "0"]), false),
            (not_in(at("error"), list("", ["x", "0"])), true),
            (not_in(at("error"), list("", ["x", "True"])), false),
            (in_list(at("span.kind"), "", ["x", "server"]), true),
            (in_list(at("span.kind"), "", ["x", "SERVER"]), false),
            (not_in(at("span.kind"), list("", ["x", "client"])), true),
            (in_list(at("span.kind"), "", many("server")), true),
            (in_list(at("span.kind"), "", many("client")), false),
            (not_in(at("span.status"), list("", many("error"))), false),
            (in_list(at("scope.name"), "", ["1", "lib"]), true),
            (in_list(at("scope.version"), "", ["", "1"]), false),
            (not_in(at("scope.version"), list("", ["1"])), false),
        ];
        judges(&scene, rows).await;
    }
}

/// The terms of a long list are not asked for; what it finds is the same.
async fn a_long_list_is_a_list(scene: Scene) {
    let values = [
        "4999".into_value(),
        4999.into_value(),
        4999.0.into_value(),
        5000.into_value(),
        true.into_value(),
        b"4999"[..].into_value(),
    ];
    store(&scene, values).await;
    let texts: Vec<String> = (2..5000).map(|number| number.to_string()).collect();
    let texts = || texts.iter().map(String::as_str);
    let k = || attr("k");
    let rows = [
        (in_list(k(), "", texts()), vec![1, 2, 3]),
        (in_list(k(), "", texts().chain(["1"])), vec![1, 2, 3, 5]),
        (not_in(k(), list("", texts())), vec![4, 5, 6]),
        (
            or([in_list(k(), "", texts()), eq(field("span", "name"), "x")]),
            vec![1, 2, 3],
        ),
    ];
    finds(&scene, rows).await;
}

larder_tests::every_plugin![
    an_element_is_read_as_the_stored_type,
    a_list_finds_what_its_elements_find,
    of_several_values_one_is_enough,
    keys_of_fields_take_untyped_lists,
    a_long_list_is_a_list,
];
