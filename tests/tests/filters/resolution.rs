//! What a constant is read as: R1 to R5.

use larder_tests::filter::{
    attr, eq, exists, field, gt, gte, instant, is_in, list, lt, lte, ne, not, not_in, regex,
    string, text,
};
use larder_tests::otlp::span;
use larder_tests::{Plugin, Scene};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::ask::{ask, judges, refuses, refuses_beginning};

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

/// One server span of 90.5 minutes, at second 1 of its scene.
async fn stored(plugin: Plugin) -> Scene {
    let scene = Scene::new(plugin).await;
    let one = span(scene.trace(1), 1)
        .name("2s")
        .at(scene.at(1_000_000_000))
        .lasting(5_430_000_000_000)
        .kind(SpanKind::Server)
        .attribute("length", "90m30s");
    scene.client.store([scene.resource("a").span(one)]).await;
    scene
}

/// R1: Go's durations, in every unit.
#[tokio::test]
async fn a_duration_is_spelled_in_many_ways() {
    let scene = stored(Plugin::Memory).await;
    let same = [
        "90m30s",
        "1h30m30s",
        "1.5h30s",
        "5430s",
        "+5430s",
        "5430000ms",
        "5430000000us",
        "5430000000µs",
        "5430000000μs",
        "5430000000000ns",
        "30s1.5h",
        "5430.0s",
        "5430.s",
        "5429.999999999s1ns",
        "5430000000000.9ns",
    ];
    judges(
        &scene,
        same.map(|text| (eq(field("span", "duration"), text), true)),
    )
    .await;
    let less = [
        "0",
        "-0",
        "+0",
        "0s",
        "-90m30s",
        ".5s",
        "5429.999999999s",
        "-9223372036854775808ns",
    ];
    judges(
        &scene,
        less.map(|text| (gt(field("span", "duration"), text), true)),
    )
    .await;
    let more = ["5430000000001ns", "9223372036854775807ns", "2562047h"];
    judges(
        &scene,
        more.map(|text| (lt(field("span", "duration"), text), true)),
    )
    .await;
}

/// R1: an instant is what it is in any zone, to the nanosecond. Scenes begin at whole seconds.
#[tokio::test]
async fn an_instant_is_spelled_in_many_ways() {
    let scene = stored(Plugin::Memory).await;
    let start = || field("span", "startTime");
    let nanos = scene.at(1_000_000_000);
    let utc = instant(nanos, 0);
    let same = [
        utc.replace(".000000000", ""),
        utc.replace(".000000000", ".0"),
        utc.clone(),
        utc.replace('Z', "+00:00"),
        instant(nanos, 120),
        instant(nanos, -9 * 60 - 30),
    ];
    judges(&scene, same.iter().map(|text| (eq(start(), &**text), true))).await;
    let (before, after) = (instant(nanos - 1, 0), instant(nanos + 1, 0));
    judges(
        &scene,
        [
            (gt(start(), &*before), true),
            (lte(start(), &*before), false),
            (lt(start(), &*after), true),
            (eq(start(), &*after), false),
            (ne(start(), &*after), true),
            (gt(start(), "0001-01-01T00:00:00Z"), true),
            (lt(start(), "9999-12-31T23:59:59.999999999Z"), true),
            (is_in(start(), list("", [&*after, &*same[4]])), true),
            (not_in(start(), list("", [&*after, &*same[4]])), false),
            (not_in(start(), list("", [&*after, &*before])), true),
        ],
    )
    .await;
}

/// R3: the constant may stand first; then the order turns round.
#[tokio::test]
async fn a_constant_may_stand_first() {
    let scene = stored(Plugin::Memory).await;
    let duration = || field("span", "duration");
    judges(
        &scene,
        [
            (eq("90m30s", duration()), true),
            (ne("90m30s", duration()), false),
            (gt("2h", duration()), true),
            (gt("1h", duration()), false),
            (lt("1h", duration()), true),
            (lt("90m30s", duration()), false),
            (gte("90m30s", duration()), true),
            (gte("1h", duration()), false),
            (lte("90m30s", duration()), true),
            (lte("2h", duration()), false),
            (eq("server", field("span", "kind")), true),
            (eq("90m30s", attr("length")), true),
            (gt("91", attr("length")), true),
        ],
    )
    .await;
}

/// R3, R5: a pattern stays a pattern and what stands beside an attribute stays text, even if both read as durations.
#[tokio::test]
async fn what_stands_beside_no_field_is_not_resolved() {
    let scene = stored(Plugin::Memory).await;
    judges(
        &scene,
        [
            (eq(field("span", "name"), "2s"), true),
            (eq(field("span", "name"), "2000ms"), false),
            (regex(field("span", "name"), "[0-9]s"), true),
            (regex(field("span", "kind"), "serv|banana"), true),
            (eq(attr("length"), "1h30m30s"), false),
            (exists(field("span", "duration")), true),
        ],
    )
    .await;
}

/// R5: a filter as Jaeger has resolved it already means the same: it sends durations as Go writes them and the reference first.
#[tokio::test]
async fn what_was_resolved_before_means_the_same() {
    let scene = stored(Plugin::Memory).await;
    let pairs = [
        (
            gt("2h", field("span", "duration")),
            lt(field("span", "duration"), "2h0m0s"),
        ),
        (
            eq(field("span", "duration"), "90.5m"),
            eq(field("span", "duration"), "1h30m30s"),
        ),
        (
            eq(field("span", "name"), "2s"),
            eq(field("span", "name"), string("2s")),
        ),
        (
            eq(field("span", "kind"), "server"),
            eq(field("span", "kind"), string("server")),
        ),
    ];
    for (asked, resolved) in pairs {
        for filter in [asked, resolved] {
            let query = scene.query().filter(filter.clone());
            assert_eq!(ask(&scene, &query).await.unwrap(), [1], "{}", text(&filter));
        }
    }
}
