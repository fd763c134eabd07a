//! Constants, lists and kinds of value that a filter cannot have. `host/docs/rules.md`, "Refused filters".

use larder_proto::expression::v1::Call;
use larder_tests::filter::{
    and, attr, boolean, double, eq, exists, field, gt, gte, int, is_in, list, lt, lte, ne, not,
    not_in, regex, string, typed, untyped,
};
use larder_tests::{Plugin, Scene};

use crate::ask::refuses;

async fn refused<const N: usize>(rows: [(Call, &str); N]) {
    refuses(&Scene::new(Plugin::Memory).await, rows).await;
}

#[tokio::test]
async fn a_constant_is_of_the_type_that_it_declares() {
    let constant = |kind, value| eq(attr("a"), typed(kind, value));
    refused([
        (
            constant("int", "x"),
            r#"filter constant "x" is not the "int" it declares"#,
        ),
        (
            constant("int", ""),
            r#"filter constant "" is not the "int" it declares"#,
        ),
        (
            constant("int", "1.0"),
            r#"filter constant "1.0" is not the "int" it declares"#,
        ),
        (
            constant("int", "1_000"),
            r#"filter constant "1_000" is not the "int" it declares"#,
        ),
        (
            constant("int", "0x10"),
            r#"filter constant "0x10" is not the "int" it declares"#,
        ),
        (
            constant("int", " 1"),
            r#"filter constant " 1" is not the "int" it declares"#,
        ),
        (
            constant("int", "9223372036854775808"),
            r#"filter constant "9223372036854775808" is not the "int" it declares"#,
        ),
        (
            constant("double", "x"),
            r#"filter constant "x" is not the "double" it declares"#,
        ),
        (
            constant("double", ""),
            r#"filter constant "" is not the "double" it declares"#,
        ),
        (
            constant("double", "1e400"),
            r#"filter constant "1e400" is not the "double" it declares"#,
        ),
        (
            constant("double", "-nan"),
            r#"filter constant "-nan" is not the "double" it declares"#,
        ),
        (
            constant("double", "0x10"),
            r#"filter constant "0x10" is not the "double" it declares"#,
        ),
        (
            constant("bool", "yes"),
            r#"filter constant "yes" is not the "bool" it declares"#,
        ),
        (
            constant("bool", "tRUE"),
            r#"filter constant "tRUE" is not the "bool" it declares"#,
        ),
        (
            constant("bool", ""),
            r#"filter constant "" is not the "bool" it declares"#,
        ),
        (
            constant("bool", "a\"b"),
            r#"filter constant "a\"b" is not the "bool" it declares"#,
        ),
    ])
    .await;
}

/// Decoding comes first: the constant is read before its call is looked at.
#[tokio::test]
async fn a_constant_of_an_unknown_type_is_refused() {
    refused([
        (
            eq(attr("a"), typed("float", "1")),
            r#"filter constant "1" declares the unknown type "float""#,
        ),
        (
            ne(attr("a"), typed("String", "1")),
            r#"filter constant "1" declares the unknown type "String""#,
        ),
        (
            eq(field("span", "duration"), typed("duration", "1s")),
            r#"filter constant "1s" declares the unknown type "duration""#,
        ),
        (
            not(exists(typed("float", "1"))),
            r#"filter constant "1" declares the unknown type "float""#,
        ),
        (
            and([eq(attr("a"), typed("int", "x"))]),
            r#"filter constant "x" is not the "int" it declares"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn values_of_different_kinds_are_not_compared() {
    let duration = || field("span", "duration");
    let start = || field("span", "startTime");
    let name = || field("span", "name");
    refused([
        (eq(duration(), name()), r#"operator "eq" compares span.duration against span.name, which hold different kinds of value"#),
        (gt(start(), duration()), r#"operator "gt" compares span.startTime against span.duration, which hold different kinds of value"#),
        (ne(duration(), string("1s")), r#"operator "ne" compares span.duration against a string constant, which hold different kinds of value"#),
        (eq(duration(), int(1)), r#"operator "eq" compares span.duration against an integer constant, which hold different kinds of value"#),
        (gte(int(1), start()), r#"operator "gte" compares an integer constant against span.startTime, which hold different kinds of value"#),
        (
            lt(field("event", "timeSinceStart"), double(1.5)),
            r#"operator "lt" compares event.timeSinceStart against a floating-point constant, which hold different kinds of value"#,
        ),
        (eq(name(), boolean(true)), r#"operator "eq" compares span.name against a boolean constant, which hold different kinds of value"#),
        (eq(field("span", "kind"), int(2)), r#"operator "eq" compares span.kind against an integer constant, which hold different kinds of value"#),
        (eq(string("1"), int(1)), r#"operator "eq" compares a string constant against an integer constant, which hold different kinds of value"#),
        (ne(boolean(true), double(1.0)), r#"operator "ne" compares a boolean constant against a floating-point constant, which hold different kinds of value"#),
        // Domains come before order.
        (gt(field("span", "kind"), boolean(true)), r#"operator "gt" compares span.kind against a boolean constant, which hold different kinds of value"#),
    ])
    .await;
}

#[tokio::test]
async fn what_has_no_order_is_not_ordered() {
    refused([
        (
            gt(field("span", "kind"), "server"),
            r#"operator "gt" has no ordering for span.kind"#,
        ),
        (
            lt("server", field("span", "kind")),
            r#"operator "lt" has no ordering for span.kind"#,
        ),
        (
            gte(field("span", "status"), string("ok")),
            r#"operator "gte" has no ordering for span.status"#,
        ),
        (
            lte(field("span", "name"), field("span", "status")),
            r#"operator "lte" has no ordering for span.status"#,
        ),
        (
            lt(attr("a"), field("span", "kind")),
            r#"operator "lt" has no ordering for span.kind"#,
        ),
        (
            gt(attr("a"), boolean(true)),
            r#"operator "gt" has no ordering for a boolean constant"#,
        ),
        (
            lte(boolean(true), boolean(false)),
            r#"operator "lte" has no ordering for a boolean constant"#,
        ),
        (
            lt(untyped("true"), boolean(false)),
            r#"operator "lt" has no ordering for a boolean constant"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn membership_is_in_a_list_that_says_what_it_holds() {
    let unsaid =
        "takes a list that declares its element type when it is compared against an attribute";
    let (unsaid_in, unsaid_not_in) = (
        format!(r#"operator "in" {unsaid}"#),
        format!(r#"operator "not_in" {unsaid}"#),
    );
    refused([
        (
            is_in(attr("a"), string("1")),
            r#"operator "in" takes a list as its second argument, got a string constant"#,
        ),
        (
            is_in(attr("a"), "1"),
            r#"operator "in" takes a list as its second argument, got an untyped constant"#,
        ),
        (
            not_in(attr("a"), attr("b")),
            r#"operator "not_in" takes a list as its second argument, got an attribute reference"#,
        ),
        (
            is_in(attr("a"), exists(attr("b"))),
            r#"operator "in" takes a list as its second argument, got a predicate"#,
        ),
        (
            is_in(attr("a"), list("string", [])),
            r#"operator "in" takes a list with at least one element"#,
        ),
        (
            not_in(field("span", "name"), list("", [])),
            r#"operator "not_in" takes a list with at least one element"#,
        ),
        (
            is_in(attr("a"), list("float", ["1"])),
            r#"unknown filter value type "float""#,
        ),
        (
            is_in(field("span", "name"), list("text", ["1"])),
            r#"unknown filter value type "text""#,
        ),
        (is_in(attr("a"), list("", ["1"])), &unsaid_in),
        (not_in(attr("error"), list("", ["true"])), &unsaid_not_in),
    ])
    .await;
}

#[tokio::test]
async fn a_pattern_is_constant_text_against_text() {
    let name = || field("span", "name");
    refused([
        (regex(field("span", "duration"), "1s"), r#"operator "regex" matches text, and span.duration holds a duration"#),
        (regex(field("event", "timeSinceStart"), "1s"), r#"operator "regex" matches text, and event.timeSinceStart holds a duration"#),
        (regex(field("span", "startTime"), "2026"), r#"operator "regex" matches text, and span.startTime holds a timestamp"#),
        (regex(field("event", "time"), string("2026")), r#"operator "regex" matches text, and event.time holds a timestamp"#),
        (regex(name(), int(1)), r#"operator "regex" takes a constant string as its pattern, got an integer constant"#),
        (regex(name(), boolean(true)), r#"operator "regex" takes a constant string as its pattern, got a boolean constant"#),
        (regex(name(), attr("b")), r#"operator "regex" takes a constant string as its pattern, got an attribute reference"#),
        (regex(name(), list("string", ["a"])), r#"operator "regex" takes a constant string as its pattern, got a list"#),
        // The subject is looked at first.
        (regex(field("span", "duration"), int(1)), r#"operator "regex" matches text, and span.duration holds a duration"#),
    ])
    .await;
}
