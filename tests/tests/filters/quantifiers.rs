//! `some` binds one event or one link: V5.

use larder_tests::Scene;
use larder_tests::filter::{and, attr, attr_at, eq, exists, field, gt, lt, ne, not, or, some};
use larder_tests::otlp::{key_value, span};

use crate::ask::{finds, judges};

/// Stores a span with two events and two links; no single event or link has all attributes.
async fn store(scene: &Scene) {
    let start = scene.at(1000);
    let one = span(scene.trace(1), 1)
        .at(start)
        .attribute("x", 1)
        .attribute("both", "l1")
        .event_at("e1", start + 10, [key_value("x", 1), key_value("to", "l1")])
        .event_at(
            "e2",
            start + 20,
            [key_value("x", 2), key_value("to", "none")],
        )
        .link([1; 16], 1, [key_value("x", 3), key_value("name", "l1")])
        .link([2; 16], 2, [key_value("y", 4), key_value("name", "l2")]);
    scene.store([scene.resource("a").span(one)]).await;
}

async fn references_inside_bind_to_one_element(scene: Scene) {
    store(&scene).await;
    let name = |text| eq(field("event", "name"), text);
    let x = |text| eq(attr_at("event", "x"), text);
    let rows = [
        (and([name("e1"), x("2")]), true),
        (some("event", and([name("e1"), x("2")])), false),
        (some("event", and([name("e1"), x("1")])), true),
        (
            some(
                "event",
                and([name("e2"), gt(field("event", "timeSinceStart"), "15ns")]),
            ),
            true,
        ),
        (
            some(
                "event",
                and([name("e1"), gt(field("event", "timeSinceStart"), "15ns")]),
            ),
            false,
        ),
        (some("event", not(name("e1"))), true),
        (some("event", ne(field("event", "name"), "e1")), true),
        (some("event", exists(attr_at("event", "x"))), true),
        (some("event", exists(attr_at("event", "y"))), false),
        (some("event", not(exists(attr_at("event", "x")))), false),
        (some("link", not(exists(attr_at("link", "x")))), true),
        (
            some(
                "link",
                and([exists(attr_at("link", "x")), exists(attr_at("link", "y"))]),
            ),
            false,
        ),
        (
            and([exists(attr_at("link", "x")), exists(attr_at("link", "y"))]),
            true,
        ),
        (
            some("link", eq(field("link", "spanID"), "0000000000000002")),
            true,
        ),
        (
            and([some("event", name("e1")), some("event", name("e2"))]),
            true,
        ),
    ];
    judges(&scene, rows).await;
}

/// References to other levels use the enclosing span; the other collection means any of its elements, as outside.
async fn references_to_other_levels_are_the_span_s(scene: Scene) {
    store(&scene).await;
    let rows = [
        (some("event", eq(attr("x"), "1")), true),
        (
            some(
                "event",
                and([
                    eq(attr_at("span", "x"), "1"),
                    eq(attr_at("event", "x"), "2"),
                ]),
            ),
            true,
        ),
        (
            some("event", eq(attr_at("event", "x"), attr_at("span", "x"))),
            true,
        ),
        (
            some(
                "event",
                and([
                    eq(field("event", "name"), "e2"),
                    eq(attr_at("event", "x"), attr("x")),
                ]),
            ),
            false,
        ),
        (some("event", exists(attr_at("link", "y"))), true),
        (
            some(
                "event",
                and([exists(attr_at("link", "x")), exists(attr_at("link", "y"))]),
            ),
            true,
        ),
        (
            some(
                "event",
                gt(field("event", "time"), field("span", "startTime")),
            ),
            true,
        ),
        (
            some(
                "event",
                gt(field("event", "time"), field("span", "endTime")),
            ),
            true,
        ),
        (
            some(
                "event",
                lt(field("event", "time"), field("span", "startTime")),
            ),
            false,
        ),
    ];
    judges(&scene, rows).await;
}

/// A `some` of links nested in a `some` of events, and vice versa.
async fn some_of_links_stands_inside_some_of_events(scene: Scene) {
    store(&scene).await;
    let same = || eq(attr_at("event", "to"), attr_at("link", "name"));
    let second = || eq(attr_at("link", "name"), "l2");
    let rows = [
        (some("event", some("link", same())), true),
        (some("link", some("event", same())), true),
        (some("event", some("link", and([same(), second()]))), false),
        (
            some("event", and([some("link", same()), some("link", second())])),
            true,
        ),
        (some("event", and([same(), second()])), true),
        (
            some(
                "event",
                some(
                    "link",
                    and([same(), eq(attr_at("link", "name"), attr("both"))]),
                ),
            ),
            true,
        ),
        (
            some(
                "event",
                and([eq(field("event", "name"), "e2"), some("link", same())]),
            ),
            false,
        ),
        (some("event", not(some("link", same()))), true),
    ];
    judges(&scene, rows).await;
}

/// On an empty collection `some` is false, and "every", that is not some not, is true.
async fn of_an_empty_collection_some_is_false_and_every_is_true(scene: Scene) {
    let at = |number| span(scene.trace(number), 1).at(scene.at(number));
    scene
        .store([scene
            .resource("a")
            .span(at(1))
            .span(at(2).event("x", []).event("x", []))
            .span(at(3).event("x", []).event("y", []))
            .span(at(4).link([1; 16], 1, []))])
        .await;
    let named = |text| eq(field("event", "name"), text);
    let every = |predicate| not(some("event", not(predicate)));
    let always = || exists(field("span", "name"));
    let rows = [
        (some("event", named("x")), vec![3, 2]),
        (every(named("x")), vec![4, 2, 1]),
        (every(or([named("x"), named("y")])), vec![4, 3, 2, 1]),
        (and([every(named("x")), some("event", named("x"))]), vec![2]),
        (some("event", always()), vec![3, 2]),
        (some("link", always()), vec![4]),
        (not(some("link", always())), vec![3, 2, 1]),
        (some("event", not(always())), vec![]),
        (some("event", some("link", always())), vec![]),
    ];
    finds(&scene, rows).await;
}

larder_tests::every_plugin![
    references_inside_bind_to_one_element,
    references_to_other_levels_are_the_span_s,
    some_of_links_stands_inside_some_of_events,
    of_an_empty_collection_some_is_false_and_every_is_true,
];
