//! Constants that their field cannot hold: R1, R2, R4.

use larder_tests::filter::{attr, eq, field, gt, gte, is_in, list, lt, ne, not, not_in, string};
use larder_tests::{Plugin, Scene};

use crate::ask::{refuses, refuses_beginning};

/// R1: durations with a unit, instants of RFC 3339, words; exact as far as they are Jaeger's own.
#[tokio::test]
async fn text_that_a_field_cannot_hold_is_refused() {
    let scene = Scene::new(Plugin::Memory).await;
    let duration = || field("span", "duration");
    let since = || field("event", "timeSinceStart");
    refuses_beginning(
        &scene,
        [
            (
                eq(duration(), "banana"),
                r#"cannot compare span.duration against "banana": "#,
            ),
            (
                gt(duration(), "150"),
                r#"cannot compare span.duration against "150": "#,
            ),
            (
                lt("", duration()),
                r#"cannot compare span.duration against "": "#,
            ),
            (
                gte(duration(), "1d"),
                r#"cannot compare span.duration against "1d": "#,
            ),
            (
                gte(duration(), ".s"),
                r#"cannot compare span.duration against ".s": "#,
            ),
            (
                gte(duration(), "1 s"),
                r#"cannot compare span.duration against "1 s": "#,
            ),
            (
                gte(duration(), "--1s"),
                r#"cannot compare span.duration against "--1s": "#,
            ),
            (
                gte(duration(), "1e3s"),
                r#"cannot compare span.duration against "1e3s": "#,
            ),
            (
                gte(duration(), "9223372036854775808ns"),
                r#"cannot compare span.duration against "9223372036854775808ns": "#,
            ),
            (
                ne(since(), "-"),
                r#"cannot compare event.timeSinceStart against "-": "#,
            ),
            (
                eq(field("span", "startTime"), "yesterday"),
                r#"cannot compare span.startTime against "yesterday": "#,
            ),
            (
                eq(field("span", "endTime"), "2026-08-16"),
                r#"cannot compare span.endTime against "2026-08-16": "#,
            ),
            (
                eq(field("span", "endTime"), "2026-08-16T18:56:20"),
                r#"cannot compare span.endTime against "2026-08-16T18:56:20": "#,
            ),
            (
                eq(field("span", "endTime"), "2026-08-16 18:56:20Z"),
                r#"cannot compare span.endTime against "2026-08-16 18:56:20Z": "#,
            ),
            (
                eq(field("span", "endTime"), "2026-08-16t18:56:20Z"),
                r#"cannot compare span.endTime against "2026-08-16t18:56:20Z": "#,
            ),
            (
                eq(field("span", "endTime"), "2026-02-30T00:00:00Z"),
                r#"cannot compare span.endTime against "2026-02-30T00:00:00Z": "#,
            ),
            (
                eq(field("span", "endTime"), "2026-08-16T18:56:60Z"),
                r#"cannot compare span.endTime against "2026-08-16T18:56:60Z": "#,
            ),
            (
                gt("1s", field("event", "time")),
                r#"cannot compare event.time against "1s": "#,
            ),
        ],
    )
    .await;
}

/// R1, R2: a word is one of its field's, whether it declares to be text or nothing.
#[tokio::test]
async fn a_word_is_one_that_its_field_holds() {
    let scene = Scene::new(Plugin::Memory).await;
    let (kind, status) = (|| field("span", "kind"), || field("span", "status"));
    let kinds = "not one of unspecified, internal, server, client, producer, consumer";
    let statuses = "not one of unset, ok, error";
    refuses(
        &scene,
        [
            (
                eq(kind(), "SERVER"),
                format!(r#"cannot compare span.kind against "SERVER": {kinds}"#),
            ),
            (
                ne("", kind()),
                format!(r#"cannot compare span.kind against "": {kinds}"#),
            ),
            (
                eq(kind(), string("x")),
                format!(r#"cannot compare span.kind against "x": {kinds}"#),
            ),
            (
                eq(status(), "UNSET"),
                format!(r#"cannot compare span.status against "UNSET": {statuses}"#),
            ),
            (
                ne(status(), string("server")),
                format!(r#"cannot compare span.status against "server": {statuses}"#),
            ),
            (
                not(eq(status(), "a\"b")),
                format!(r#"cannot compare span.status against "a\"b": {statuses}"#),
            ),
            (
                is_in(kind(), list("", ["server", "Client"])),
                format!(r#"cannot compare span.kind against "Client": {kinds}"#),
            ),
            (
                not_in(status(), list("string", ["ok", "good"])),
                format!(r#"cannot compare span.status against "good": {statuses}"#),
            ),
        ],
    )
    .await;
}

/// R4: the type that a list declares has to be of the field's domain, and its elements have to be of both.
#[tokio::test]
async fn a_list_holds_what_its_field_can_hold() {
    let scene = Scene::new(Plugin::Memory).await;
    let of = |name, kind, values: [&'static str; 2]| is_in(field("span", name), list(kind, values));
    refuses(
        &scene,
        [
            (
                of("name", "int", ["1", "2"]),
                "cannot compare span.name against a list of int: the field holds string",
            ),
            (
                of("name", "bool", ["t", "f"]),
                "cannot compare span.name against a list of bool: the field holds string",
            ),
            (
                of("kind", "int", ["1", "2"]),
                "cannot compare span.kind against a list of int: the field holds spanKind",
            ),
            (
                of("status", "double", ["1", "2"]),
                "cannot compare span.status against a list of double: the field holds spanStatus",
            ),
            (
                of("duration", "int", ["1", "2"]),
                "cannot compare span.duration against a list of int: the field holds duration",
            ),
            (
                of("duration", "string", ["1s", "2s"]),
                "cannot compare span.duration against a list of string: the field holds duration",
            ),
            (
                of("startTime", "string", ["a", "b"]),
                "cannot compare span.startTime against a list of string: the field holds timestamp",
            ),
        ],
    )
    .await;
    refuses_beginning(
        &scene,
        [
            (
                of("name", "int", ["1", "x"]),
                r#"element "x" of a list of int: "#,
            ),
            (
                is_in(attr("a"), list("int", ["1", "x"])),
                r#"element "x" of a list of int: "#,
            ),
            (
                is_in(attr("a"), list("int", ["1.0"])),
                r#"element "1.0" of a list of int: "#,
            ),
            (
                not_in(attr("a"), list("double", ["1", "1e400"])),
                r#"element "1e400" of a list of double: "#,
            ),
            (
                not_in(attr("a"), list("bool", ["true", "yes"])),
                r#"element "yes" of a list of bool: "#,
            ),
            (
                of("duration", "", ["1s", "2"]),
                r#"cannot compare span.duration against "2": "#,
            ),
            (
                of("startTime", "", ["2026-08-16T18:56:20Z", "2s"]),
                r#"cannot compare span.startTime against "2s": "#,
            ),
        ],
    )
    .await;
}
