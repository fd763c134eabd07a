//! Absent values satisfy no predicate: V3, V11.

use larder_proto::expression::v1::{Call, Expression};
use larder_tests::Scene;
use larder_tests::filter::{
    and, attr, attr_at, eq, exists, field, gt, gte, in_list, int, list, lt, lte, ne, not, not_in,
    or, regex, string,
};
use larder_tests::otlp::{ResourceBuilder, resource, service, span};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use crate::ask::judges;

/// Returns every leaf that an operator can form with a reference to text.
fn leaves(absent: &Expression) -> Vec<Call> {
    let absent = || absent.clone();
    vec![
        exists(absent()),
        eq(absent(), "x"),
        ne(absent(), "x"),
        eq(absent(), string("")),
        ne(absent(), string("")),
        gt(absent(), "x"),
        lt(absent(), "x"),
        gte(absent(), "x"),
        lte(absent(), "x"),
        lte("x", absent()),
        in_list(absent(), "string", ["x", ""]),
        not_in(absent(), list("string", ["x"])),
        regex(absent(), ""),
        regex(absent(), ".*"),
        eq(absent(), absent()),
        ne(absent(), absent()),
        ne(absent(), field("span", "name")),
        ne(field("span", "name"), absent()),
    ]
}

async fn are_absent(scene: &Scene, absent: impl IntoIterator<Item = Expression>) {
    for absent in absent {
        let leaves = leaves(&absent);
        let negated = leaves.iter().map(|leaf| (not(leaf.clone()), true));
        let rows: Vec<_> = leaves
            .iter()
            .map(|leaf| (leaf.clone(), false))
            .chain(negated)
            .collect();
        judges(scene, rows).await;
    }
}

/// V3: no operator holds for an absent value; only a `not` around it does.
async fn no_leaf_holds_for_absent_values(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .attribute("k", "v")
        .event("e", [])
        .link([1; 16], 1, []);
    scene.store([scene.resource("a").span(one)]).await;
    let rows = [
        attr("missing"),
        attr_at("span", "missing"),
        attr_at("resource", "k"),
        attr_at("scope", "k"),
        attr_at("event", "k"),
        attr_at("link", "k"),
    ];
    are_absent(&scene, rows).await;
    let rows = [
        (ne(attr("missing"), int(1)), false),
        (not(eq(attr("missing"), int(1))), true),
        (not_in(attr("missing"), list("int", ["1"])), false),
        (not(not(ne(attr("missing"), "x"))), false),
        (or([ne(attr("missing"), "x"), eq(attr("k"), "v")]), true),
        (
            and([not(exists(attr("missing"))), eq(attr("k"), "v")]),
            true,
        ),
    ];
    judges(&scene, rows).await;
}

/// Builds a minimal span.
fn bare(scene: &Scene) -> ResourceBuilder {
    let one = span(scene.trace(1), 1).name("").at(scene.at(1));
    resource().scope("", "", []).span(one)
}

/// V11: these are absent when they are empty.
async fn empty_text_is_absent_in_some_fields(scene: Scene) {
    let mut bare = bare(&scene);
    let first = &mut bare.0.scope_spans[0].spans[0];
    *first = span(scene.trace(1), 1)
        .name("")
        .at(scene.at(1))
        .link([1; 16], 1, [])
        .status_message("")
        .0;
    scene.store([bare]).await;
    let rows = [
        field("span", "parentSpanID"),
        field("span", "traceState"),
        field("span", "statusMessage"),
        field("resource", "schemaURL"),
        field("scope", "name"),
        field("scope", "version"),
        field("scope", "schemaURL"),
        field("link", "traceState"),
    ];
    are_absent(&scene, rows).await;
}

/// V11: without events and links their fields have no values.
async fn fields_of_an_empty_collection_are_absent(scene: Scene) {
    scene.store([bare(&scene)]).await;
    let rows = [
        field("event", "name"),
        field("link", "traceID"),
        field("link", "spanID"),
        field("link", "traceState"),
    ];
    are_absent(&scene, rows).await;
    let rows = [
        (exists(field("event", "time")), false),
        (exists(field("event", "timeSinceStart")), false),
        (ne(field("event", "timeSinceStart"), "5s"), false),
        (
            not_in(field("event", "time"), list("", ["2026-08-16T18:56:20Z"])),
            false,
        ),
    ];
    judges(&scene, rows).await;
}

/// Q4: a service name that is empty or not a string is told by another name; the attribute stays what it is.
async fn a_service_name_that_is_no_text_has_a_name(scene: Scene) {
    let names = [(1, service(7)), (2, service("")), (3, service(true))];
    for (number, name) in names.into_iter().chain([(4, resource())]) {
        let one = span(scene.trace(number), 1).name("").at(scene.at(number));
        scene.store([name.span(one)]).await;
    }
    let is = |name: &str| eq(field("resource", "service"), name);
    let rows = [
        (exists(field("resource", "service")), vec![4, 3, 2, 1]),
        (ne(field("resource", "service"), "x"), vec![4, 3, 2, 1]),
        (is("service-name-wrong-type"), vec![3, 1]),
        (is("empty-service-name"), vec![2]),
        (is("missing-service-name"), vec![4]),
        (
            eq(field("span", "name"), "empty-span-name"),
            vec![4, 3, 2, 1],
        ),
        (eq(field("span", "name"), string("")), vec![]),
        (exists(attr("service.name")), vec![3, 2, 1]),
        (eq(attr("service.name"), "7"), vec![1]),
        (eq(attr_at("resource", "service.name"), ""), vec![2]),
    ];
    crate::ask::finds(&scene, rows).await;
}

/// V11: these always have a value, even if it is empty or zero.
async fn some_fields_are_present_even_when_empty(scene: Scene) {
    let mut bare = bare(&scene);
    let first = &mut bare.0.scope_spans[0].spans[0];
    *first = span(scene.trace(1), 1)
        .name("")
        .at(scene.at(1))
        .event("", [])
        .link([0; 16], 0, [])
        .0;
    first.links[0].trace_id.clear();
    first.links[0].span_id.clear();
    scene.store([bare]).await;
    let fields = [
        ("span", "traceID"),
        ("span", "spanID"),
        ("span", "name"),
        ("span", "kind"),
        ("span", "status"),
        ("span", "startTime"),
        ("span", "endTime"),
        ("span", "duration"),
        ("event", "name"),
        ("event", "time"),
        ("event", "timeSinceStart"),
        ("link", "traceID"),
        ("link", "spanID"),
    ];
    judges(
        &scene,
        fields.map(|(level, name)| (exists(field(level, name)), true)),
    )
    .await;
    let rows = [
        (eq(field("span", "name"), "empty-span-name"), true),
        (eq(field("span", "name"), ""), false),
        (ne(field("span", "name"), ""), true),
        (ne(field("span", "name"), "x"), true),
        (regex(field("span", "name"), ""), true),
        (eq(field("event", "name"), ""), true),
        (eq(field("link", "traceID"), ""), true),
        (eq(field("link", "spanID"), ""), true),
        (eq(field("span", "kind"), "unspecified"), true),
        (eq(field("span", "status"), "unset"), true),
        (eq(field("span", "duration"), "0"), true),
        (eq(field("event", "timeSinceStart"), "0"), true),
    ];
    judges(&scene, rows).await;
}

/// Resource spans without a resource, and scope spans without a scope, behave as if both were empty.
async fn a_span_without_resource_and_scope_is_judged_too(scene: Scene) {
    let one = span(scene.trace(1), 1).at(scene.at(1)).attribute("k", 1);
    let without = ResourceBuilder(ResourceSpans::default()).span(one);
    scene.store([without]).await;
    let rows = [
        (eq(attr("k"), "1"), true),
        (
            eq(field("resource", "service"), "missing-service-name"),
            true,
        ),
        (exists(field("scope", "name")), false),
        (exists(attr_at("scope", "k")), false),
        (exists(attr_at("resource", "k")), false),
    ];
    judges(&scene, rows).await;
}

larder_tests::every_plugin![
    no_leaf_holds_for_absent_values,
    empty_text_is_absent_in_some_fields,
    fields_of_an_empty_collection_are_absent,
    a_service_name_that_is_no_text_has_a_name,
    some_fields_are_present_even_when_empty,
    a_span_without_resource_and_scope_is_judged_too,
];
