//! The levels of references: V1, V2, V4.

use larder_tests::Scene;
use larder_tests::filter::{
    and, attr, attr_at, eq, exists, field, gt, in_list, list, ne, not, not_in, or, regex, string,
};
use larder_tests::otlp::{key_value, span};

use crate::ask::{finds, finds_spans, judges};

/// V1: one span, with its own resource and scope, satisfies the whole filter; the trace is found once, and each such span.
async fn one_span_satisfies_all(scene: Scene) {
    let at = |number, id| span(scene.trace(number), id).at(scene.at(number));
    scene
        .store([
            scene
                .resource("a")
                .attribute("r", 1)
                .scope("lib", "", [])
                .span(at(1, 1).attribute("x", 1).attribute("y", 2))
                .span(at(2, 1).attribute("x", 1))
                .span(at(2, 2).attribute("y", 2))
                .span(at(3, 1).attribute("x", 1)),
            scene
                .resource("b")
                .scope("other", "", [])
                .span(at(3, 2).attribute("y", 2))
                .span(at(3, 3).attribute("y", 2)),
        ])
        .await;
    let (x, y, r) = (
        || eq(attr("x"), "1"),
        || eq(attr("y"), "2"),
        || eq(attr("r"), "1"),
    );
    let rows = [
        (and([x(), y()]), vec![1], vec![1]),
        (or([x(), y()]), vec![3, 2, 1], vec![3, 3, 3, 2, 2, 1]),
        (and([x(), r()]), vec![3, 2, 1], vec![3, 2, 1]),
        (and([y(), r()]), vec![2, 1], vec![2, 1]),
        (and([y(), not(r())]), vec![3], vec![3, 3]),
        (
            and([y(), eq(field("scope", "name"), "other")]),
            vec![3],
            vec![3, 3],
        ),
        (and([y(), x(), r()]), vec![1], vec![1]),
        (and([x(), not(y())]), vec![3, 2], vec![3, 2]),
        (not(or([x(), y()])), vec![], vec![]),
        (
            and([eq(field("resource", "service"), &*scene.service("b")), y()]),
            vec![3],
            vec![3, 3],
        ),
    ];
    finds_spans(&scene, rows).await;
}

/// V2: a key without a level refers to the span and its resource, and to no other level.
async fn a_key_without_a_level_is_of_the_span_or_its_resource(scene: Scene) {
    let at = |number| span(scene.trace(number), 1).at(scene.at(number));
    let kv = || key_value("key", "v");
    scene
        .store([
            scene
                .resource("a")
                .span(at(1).attribute("key", "v"))
                .span(at(4).event("e", [kv()]))
                .span(at(5).link([9; 16], 1, [kv()])),
            scene.resource("a").attribute("key", "v").span(at(2)),
            scene.resource("a").scope("s", "", [kv()]).span(at(3)),
        ])
        .await;
    let rows = [
        (eq(attr("key"), "v"), vec![2, 1]),
        (exists(attr("key")), vec![2, 1]),
        (eq(attr_at("span", "key"), "v"), vec![1]),
        (eq(attr_at("resource", "key"), "v"), vec![2]),
        (eq(attr_at("scope", "key"), "v"), vec![3]),
        (eq(attr_at("event", "key"), "v"), vec![4]),
        (eq(attr_at("link", "key"), "v"), vec![5]),
        (not(exists(attr("key"))), vec![5, 4, 3]),
        (not(exists(attr_at("event", "key"))), vec![5, 3, 2, 1]),
        (exists(attr("Key")), vec![]),
    ];
    finds(&scene, rows).await;
}

/// V4: of several values one match is enough; for `ne` and `not_in` none may be equal.
async fn a_key_on_the_span_and_its_resource_has_both_values(scene: Scene) {
    let one = span(scene.trace(1), 1).at(scene.at(1)).attribute("k", "s");
    let resource = scene.resource("a").attribute("k", 5).span(one);
    scene.store([resource]).await;
    let rows = [
        (eq(attr("k"), "s"), true),
        (eq(attr("k"), "5"), true),
        (eq(attr("k"), "x"), false),
        (ne(attr("k"), "s"), false),
        (ne(attr("k"), "5"), false),
        (ne(attr("k"), "x"), true),
        (gt(attr("k"), "4"), true),
        (gt(attr("k"), "r"), true),
        (in_list(attr("k"), "string", ["a", "s"]), true),
        (in_list(attr("k"), "int", ["5"]), true),
        (not_in(attr("k"), list("string", ["a", "s"])), false),
        (not_in(attr("k"), list("int", ["6"])), true),
        (regex(attr("k"), "s"), true),
        (eq(attr_at("span", "k"), "5"), false),
        (ne(attr_at("span", "k"), "5"), true),
        (ne(attr_at("resource", "k"), string("s")), true),
    ];
    judges(&scene, rows).await;
}

/// V4: the same holds for events and links outside of `some`.
async fn events_and_links_have_a_value_each(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .event("a", [key_value("k", 1)])
        .event("b", [key_value("k", "x")])
        .event("c", [])
        .link([1; 16], 1, [key_value("k", true)])
        .link([2; 16], 2, []);
    scene.store([scene.resource("a").span(one)]).await;
    let (event, link) = (|| attr_at("event", "k"), || attr_at("link", "k"));
    let name = || field("event", "name");
    let rows = [
        (eq(event(), "1"), true),
        (eq(event(), "x"), true),
        (ne(event(), "x"), false),
        (ne(event(), "y"), true),
        (exists(event()), true),
        (not_in(event(), list("int", ["1", "2"])), false),
        (not_in(event(), list("int", ["2"])), true),
        (eq(link(), "true"), true),
        (ne(link(), "false"), true),
        (eq(name(), "c"), true),
        (ne(name(), "c"), false),
        (ne(name(), "d"), true),
        (gt(name(), "b"), true),
        (gt(name(), "c"), false),
        (
            eq(field("link", "traceID"), "02020202020202020202020202020202"),
            true,
        ),
        (ne(field("link", "spanID"), "0000000000000001"), false),
    ];
    judges(&scene, rows).await;
}

/// Of equal keys in one map the first counts.
async fn the_first_of_equal_keys_counts(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .attribute("k", "first")
        .attribute("k", "second")
        .event("e", [key_value("k", 1), key_value("k", 2)]);
    scene.store([scene.resource("a").span(one)]).await;
    let rows = [
        (eq(attr("k"), "first"), true),
        (eq(attr("k"), "second"), false),
        (ne(attr("k"), "second"), true),
        (eq(attr_at("event", "k"), "1"), true),
        (eq(attr_at("event", "k"), "2"), false),
    ];
    judges(&scene, rows).await;
}

larder_tests::every_plugin![
    one_span_satisfies_all,
    a_key_without_a_level_is_of_the_span_or_its_resource,
    a_key_on_the_span_and_its_resource_has_both_values,
    events_and_links_have_a_value_each,
    the_first_of_equal_keys_counts,
];
