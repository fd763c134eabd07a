//! Parsing of constants by their context: R1 to R5.

use larder_tests::filter::{
    attr, eq, exists, field, gt, gte, instant, is_in, list, lt, lte, ne, not_in, regex, string,
    text,
};
use larder_tests::otlp::span;
use larder_tests::{Plugin, Scene};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::ask::{ask, judges};

/// Stores one server span of 90.5 minutes, at second 1 of its scene.
async fn stored(plugin: Plugin) -> Scene {
    let scene = Scene::new(plugin).await;
    let one = span(scene.trace(1), 1)
        .name("2s")
        .at(scene.at(1_000_000_000))
        .lasting(5_430_000_000_000)
        .kind(SpanKind::Server)
        .attribute("length", "90m30s");
    scene.store([scene.resource("a").span(one)]).await;
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

/// R1: instants in any zone, to the nanosecond. Scenes begin at whole seconds.
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
    let rows = [
        (gt(start(), &*before), true),
        (lte(start(), &*before), false),
        (lt(start(), &*after), true),
        (eq(start(), &*after), false),
        (ne(start(), &*after), true),
        (gt(start(), "0000-01-01T00:00:00Z"), true),
        (gt(start(), "0001-01-01T00:00:00Z"), true),
        (lt(start(), "9999-12-31T23:59:59.999999999Z"), true),
        (lt(start(), "9999-12-31T23:59:59-24:00"), true),
        (is_in(start(), list("", [&*after, &*same[4]])), true),
        (not_in(start(), list("", [&*after, &*same[4]])), false),
        (not_in(start(), list("", [&*after, &*before])), true),
    ];
    judges(&scene, rows).await;
}

/// R3: the constant may come first; then the comparison is reversed.
#[tokio::test]
async fn a_constant_may_stand_first() {
    let scene = stored(Plugin::Memory).await;
    let duration = || field("span", "duration");
    let rows = [
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
    ];
    judges(&scene, rows).await;
}

/// R3, R5: a pattern stays a pattern, and a constant beside an attribute stays text, even if both parse as durations.
#[tokio::test]
async fn constants_without_a_field_are_not_resolved() {
    let scene = stored(Plugin::Memory).await;
    let rows = [
        (eq(field("span", "name"), "2s"), true),
        (eq(field("span", "name"), "2000ms"), false),
        (regex(field("span", "name"), "[0-9]s"), true),
        (regex(field("span", "kind"), "serv|banana"), true),
        (eq(attr("length"), "1h30m30s"), false),
        (exists(field("span", "duration")), true),
    ];
    judges(&scene, rows).await;
}

/// R5: a filter that Jaeger has already resolved means the same: it sends durations in Go's format, and the reference first.
#[tokio::test]
async fn resolved_filters_mean_the_same() {
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
