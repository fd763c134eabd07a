//! Invalid constants, lists and types of values. `host/docs/rules.md`, "Refused filters".

use larder_proto::expression::v1::{Call, Expression};
use larder_tests::filter::{
    and, attr, boolean, double, eq, exists, field, gt, gte, int, is_in, list, lt, lte, ne, not,
    not_in, regex, string, typed, untyped,
};
use larder_tests::{Plugin, Scene};

use crate::ask::refuses;

/// The kinds of constants, as refusals name them.
const UNTYPED: &str = "an untyped constant";
const STRING: &str = "a string constant";
const INT: &str = "an integer constant";
const DOUBLE: &str = "a floating-point constant";
const BOOL: &str = "a boolean constant";
const ATTRIBUTE: &str = "an attribute reference";

/// Asserts that each is refused with the name of its operator, followed by these words.
async fn refused_by_operator(rows: impl IntoIterator<Item = (Call, impl AsRef<str>)>) {
    let rows = rows.into_iter().map(|(filter, text)| {
        let text = format!("operator {:?} {}", filter.op, text.as_ref());
        (filter, text)
    });
    refused(rows).await;
}

fn name() -> Expression {
    field("span", "name")
}

fn kind() -> Expression {
    field("span", "kind")
}

fn status() -> Expression {
    field("span", "status")
}

fn duration() -> Expression {
    field("span", "duration")
}

async fn refused(rows: impl IntoIterator<Item = (Call, impl AsRef<str>)>) {
    refuses(&Scene::new(Plugin::Memory).await, rows).await;
}

#[tokio::test]
async fn a_constant_is_of_the_type_that_it_declares() {
    let above = "9223372036854775808";
    let constants = [
        ("int", &["x", "", "1.0", "1_000", "0x10", " 1", above][..]),
        ("double", &["x", "", "1e400", "-nan", "0x10"]),
        ("bool", &["yes", "tRUE", "", "a\"b"]),
    ];
    let rows = constants.iter().flat_map(|(kind, values)| {
        values.iter().map(move |value| {
            let text = format!("filter constant {value:?} is not the {kind:?} it declares");
            (eq(attr("a"), typed(kind, value)), text)
        })
    });
    refused(rows).await;
}

/// Decoding comes first: the constant is parsed before its call is checked.
#[tokio::test]
async fn a_constant_of_an_unknown_type_is_refused() {
    let unknown = [
        (eq(attr("a"), typed("float", "1")), "1", "float"),
        (ne(attr("a"), typed("String", "1")), "1", "String"),
        (eq(duration(), typed("duration", "1s")), "1s", "duration"),
        (not(exists(typed("float", "1"))), "1", "float"),
    ];
    refused(unknown.map(|(filter, value, kind)| {
        let text = format!("filter constant {value:?} declares the unknown type {kind:?}");
        (filter, text)
    }))
    .await;
    let text = r#"filter constant "x" is not the "int" it declares"#;
    refused([(and([eq(attr("a"), typed("int", "x"))]), text)]).await;
}

#[tokio::test]
async fn values_of_different_kinds_are_not_compared() {
    let (start, since) = (field("span", "startTime"), field("event", "timeSinceStart"));
    let rows = [
        (eq(duration(), name()), "span.duration", "span.name"),
        (
            gt(start.clone(), duration()),
            "span.startTime",
            "span.duration",
        ),
        (ne(duration(), string("1s")), "span.duration", STRING),
        (eq(duration(), int(1)), "span.duration", INT),
        (gte(int(1), start), INT, "span.startTime"),
        (lt(since, double(1.5)), "event.timeSinceStart", DOUBLE),
        (eq(name(), boolean(true)), "span.name", BOOL),
        (eq(kind(), int(2)), "span.kind", INT),
        (eq(string("1"), int(1)), STRING, INT),
        (ne(boolean(true), double(1.0)), BOOL, DOUBLE),
        // Types are checked before order.
        (gt(kind(), boolean(true)), "span.kind", BOOL),
    ];
    let kinds = "which hold different kinds of value";
    let rows =
        rows.map(|(it, one, other)| (it, format!("compares {one} against {other}, {kinds}")));
    refused_by_operator(rows).await;
}

#[tokio::test]
async fn unordered_values_are_not_ordered() {
    let rows = [
        (gt(kind(), "server"), "span.kind"),
        (lt("server", kind()), "span.kind"),
        (gte(status(), string("ok")), "span.status"),
        (lte(name(), status()), "span.status"),
        (lt(attr("a"), kind()), "span.kind"),
        (gt(attr("a"), boolean(true)), BOOL),
        (lte(boolean(true), boolean(false)), BOOL),
        (lt(untyped("true"), boolean(false)), BOOL),
    ];
    refused_by_operator(rows.map(|(it, what)| (it, format!("has no ordering for {what}")))).await;
}

#[tokio::test]
async fn membership_needs_a_list_with_a_valid_type() {
    let second = |what: &str| format!("takes a list as its second argument, got {what}");
    refused_by_operator([
        (is_in(attr("a"), string("1")), second(STRING)),
        (is_in(attr("a"), "1"), second(UNTYPED)),
        (not_in(attr("a"), attr("b")), second(ATTRIBUTE)),
        (is_in(attr("a"), exists(attr("b"))), second("a predicate")),
    ])
    .await;
    let empty = "takes a list with at least one element";
    refused_by_operator([
        (is_in(attr("a"), list("string", [])), empty),
        (not_in(name(), list("", [])), empty),
        (not_in(attr("a"), list("", [])), empty),
        // The type is checked last.
        (is_in(attr("a"), list("float", [])), empty),
    ])
    .await;
    let (float, text) = (list("float", ["1"]), list("text", ["1"]));
    refused([
        (
            is_in(attr("a"), float),
            r#"unknown filter value type "float""#,
        ),
        (is_in(name(), text), r#"unknown filter value type "text""#),
    ])
    .await;
}

#[tokio::test]
async fn a_pattern_is_constant_text_against_text() {
    let (start, time) = (field("span", "startTime"), field("event", "time"));
    let since = field("event", "timeSinceStart");
    let no_text = [
        (regex(duration(), "1s"), "span.duration holds a duration"),
        (regex(since, "1s"), "event.timeSinceStart holds a duration"),
        (regex(start, "2026"), "span.startTime holds a timestamp"),
        (regex(time, string("2026")), "event.time holds a timestamp"),
        // The subject is checked first.
        (regex(duration(), int(1)), "span.duration holds a duration"),
    ];
    refused_by_operator(no_text.map(|(it, what)| (it, format!("matches text, and {what}")))).await;
    let no_pattern = [
        (regex(name(), int(1)), INT),
        (regex(name(), boolean(true)), BOOL),
        (regex(name(), attr("b")), ATTRIBUTE),
        (regex(name(), list("string", ["a"])), "a list"),
    ];
    let text = "takes a constant string as its pattern, got";
    refused_by_operator(no_pattern.map(|(it, what)| (it, format!("{text} {what}")))).await;
}
