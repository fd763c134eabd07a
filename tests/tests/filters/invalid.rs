//! The structure of filters: operators, arguments, references, nesting. Jaeger's exact words of refusals are in
//! `host/docs/rules.md`, "Refused filters".

use larder_proto::expression::v1::Call;
use larder_tests::filter::{
    FIELDS, and, attr, attr_at, boolean, call, double, eq, exists, field, fulltext, gt, int, is_in,
    list, ne, nested, not, not_in, nothing, or, phrase, regex, some, string, untyped,
};
use larder_tests::{Plugin, Scene};

use crate::ask::{ask, refuses};

fn there() -> Call {
    exists(field("span", "name"))
}

async fn refused(rows: impl IntoIterator<Item = (Call, impl AsRef<str>)>) {
    refuses(&Scene::new(Plugin::Memory).await, rows).await;
}

#[tokio::test]
async fn an_argument_with_no_term_is_refused_before_anything_else() {
    let text = "filter argument is empty: exactly one of attr, field, nested, scalar, list or call must be set";
    refused([
        (exists(nothing()), text),
        (eq(attr("a"), nothing()), text),
        (call("and", [nothing()]), text),
        (and([there(), not(exists(nothing()))]), text),
        (call("bogus", [nothing()]), text),
        (some("event", exists(nothing())), text),
    ])
    .await;
}

#[tokio::test]
async fn an_unknown_operator_is_refused() {
    let rows = [
        (call("x", []), "x"),
        (call("EQ", [attr("a"), untyped("1")]), "EQ"),
        (Call::default(), ""),
        (and([there(), Call::default()]), ""),
        (not(call("like", [attr("a")])), "like"),
        (call("a\"b\n", []), "a\"b\n"),
    ];
    refused(rows.map(|(filter, op)| (filter, format!("unknown filter operator {op:?}")))).await;
}

#[tokio::test]
async fn and_and_or_take_two_arguments_or_more() {
    let rows = [
        (and([]), 0),
        (and([there()]), 1),
        (or([there()]), 1),
        (call("or", [attr("a")]), 1),
    ];
    refused(rows.map(|(it, got)| {
        let text = format!(
            "operator {:?} takes at least two arguments, got {got}",
            it.op
        );
        (it, text)
    }))
    .await;
}

#[tokio::test]
async fn the_other_operators_check_their_number_of_arguments() {
    let scene = Scene::new(Plugin::Memory).await;
    let arities = [
        ("not", 1),
        ("exists", 1),
        ("eq", 2),
        ("ne", 2),
        ("gt", 2),
        ("lt", 2),
        ("gte", 2),
        ("lte", 2),
        ("regex", 2),
        ("in", 2),
        ("not_in", 2),
        ("some", 2),
        ("phrase", 2),
        ("fulltext", 2),
    ];
    let mut rows = Vec::new();
    for (op, arity) in arities {
        for got in [0, 1, 2, 3] {
            if got != arity {
                let text = format!("operator {op:?} takes {arity} argument(s), got {got}");
                rows.push((call(op, vec![attr("a"); got]), text));
            }
        }
    }
    assert_eq!(rows.len(), 42);
    refuses(&scene, rows).await;
}

#[tokio::test]
async fn only_predicates_can_be_combined() {
    let (name, event) = (field("span", "name"), nested("event"));
    let rows = [
        (
            call("and", [attr("a"), attr("b")]),
            "an attribute reference",
        ),
        (
            call("and", [untyped("a"), untyped("b")]),
            "an untyped constant",
        ),
        (call("or", [name, string("b")]), "a field reference"),
        (call("or", [event, string("b")]), "a collection reference"),
        (call("not", [string("a")]), "a string constant"),
        (call("not", [int(1)]), "an integer constant"),
        (call("not", [double(1.5)]), "a floating-point constant"),
        (call("not", [boolean(true)]), "a boolean constant"),
        (call("not", [list("int", ["1"])]), "a list"),
    ];
    refused(rows.map(|(it, what)| {
        let text = format!(
            "operator {:?} takes predicates as arguments, got {what}",
            it.op
        );
        (it, text)
    }))
    .await;
}

#[tokio::test]
async fn some_takes_a_collection_and_a_predicate() {
    let some_of = |first, second| call("some", [first, second]);
    let predicate = || {
        let [_, predicate] = <[_; 2]>::try_from(some("event", there()).args).unwrap();
        predicate
    };
    refused([
        (some_of(attr("a"), predicate()), r#"operator "some" takes a collection reference as its first argument, got an attribute reference"#),
        (some_of(field("event", "name"), predicate()), r#"operator "some" takes a collection reference as its first argument, got a field reference"#),
        (some_of(predicate(), nested("event")), r#"operator "some" takes a collection reference as its first argument, got a predicate"#),
        (some("span", there()), r#"operator "some" quantifies over "event" or "link", got level "span""#),
        (some("", there()), r#"operator "some" quantifies over "event" or "link", got level """#),
        (some("events", there()), r#"operator "some" quantifies over "event" or "link", got level "events""#),
        (some_of(nested("event"), attr("a")), r#"operator "some" takes a predicate as its second argument, got an attribute reference"#),
        (some_of(nested("link"), boolean(true)), r#"operator "some" takes a predicate as its second argument, got a boolean constant"#),
    ])
    .await;
}

#[tokio::test]
async fn some_does_not_go_through_one_collection_inside_itself() {
    let event = r#"operator "some" is already quantifying over "event", and this version does not define what a nested one would bind"#;
    let link = r#"operator "some" is already quantifying over "link", and this version does not define what a nested one would bind"#;
    refused([
        (some("event", some("event", there())), event),
        (
            some("link", and([there(), not(some("link", there()))])),
            link,
        ),
        (some("event", some("link", some("event", there()))), event),
    ])
    .await;
}

#[tokio::test]
async fn a_collection_is_nowhere_but_in_some() {
    let text = r#"a collection reference is only the first argument of "some""#;
    refused([
        (exists(nested("event")), text),
        (eq(nested("event"), "a"), text),
        (gt("a", nested("link")), text),
        (is_in(nested("event"), list("int", ["1"])), text),
        (not_in(nested("event"), list("int", ["1"])), text),
        (regex(nested("event"), "a"), text),
        (phrase(nested("event"), ["a"]), text),
        (fulltext(nested("link"), ["a"]), text),
    ])
    .await;
}

#[tokio::test]
async fn exists_in_and_regex_are_about_a_reference() {
    let one = || list("int", ["1"]);
    let rows = [
        (exists(string("a")), "a string constant"),
        (exists(one()), "a list"),
        (is_in(untyped("a"), one()), "an untyped constant"),
        (not_in(int(1), one()), "an integer constant"),
        (regex(string("a"), "a"), "a string constant"),
        (regex(there(), "a"), "a predicate"),
    ];
    refused(rows.map(|(it, what)| {
        let text = format!("operator {:?} takes a reference, got {what}", it.op);
        (it, text)
    }))
    .await;
}

#[tokio::test]
async fn a_comparison_is_of_references_and_constants() {
    let rows = [
        (eq(attr("a"), there()), "a predicate"),
        (gt(there(), attr("a")), "a predicate"),
        (ne(attr("a"), list("int", ["1"])), "a list"),
    ];
    refused(rows.map(|(it, what)| {
        let text = format!(
            "operator {:?} compares a reference or a constant, got {what}",
            it.op
        );
        (it, text)
    }))
    .await;
}

#[tokio::test]
async fn a_reference_names_something_that_there_may_be() {
    refused([
        (exists(attr("")), "attribute reference has no key"),
        (exists(attr_at("span", "")), "attribute reference has no key"),
        (exists(attr_at("trace", "a")), r#"unknown filter level "trace""#),
        (exists(attr_at("trace", "")), r#"unknown filter level "trace""#),
        (eq("1", attr_at("Span", "a")), r#"unknown filter level "Span""#),
        (exists(field("", "name")), "field reference has no level, and a built-in field belongs to one"),
        (exists(field("", "")), "field reference has no level, and a built-in field belongs to one"),
        (exists(field("trace", "name")), r#"unknown filter level "trace""#),
        (exists(field("span", "")), "field reference has no name"),
        (
            exists(field("span", "x")),
            r#"unknown built-in field "x" at the "span" level; name an attribute to match a tag of that name instead"#,
        ),
        (
            gt(field("link", "name"), "a"),
            r#"unknown built-in field "name" at the "link" level; name an attribute to match a tag of that name instead"#,
        ),
        (
            regex(field("resource", "Service"), "a"),
            r#"unknown built-in field "Service" at the "resource" level; name an attribute to match a tag of that name instead"#,
        ),
    ])
    .await;
}

/// Every built-in field can be referenced.
#[tokio::test]
async fn every_built_in_field_is_known() {
    let scene = Scene::new(Plugin::Memory).await;
    for (level, name) in FIELDS {
        let query = scene.query().filter(exists(field(level, name)));
        assert_eq!(ask(&scene, &query).await.expect(name), [0; 0]);
    }
}
