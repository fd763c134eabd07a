//! The core cases: one span with a bit of everything.

use larder_tests::Scene;
use larder_tests::filter::{
    and, attr, attr_at, boolean, double, eq, exists, field, gt, gte, in_list, int, is_in, list, lt,
    ne, not, not_in, regex, some, string,
};
use larder_tests::otlp::{key_value, service, span};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::ask::{ask, judges, refuses, refuses_beginning};

const MILLISECOND: u64 = 1_000_000;

/// Stores the span: a server's `GET /x` of 150 ms, with an unset status and two events.
async fn store(scene: &Scene) {
    let start = scene.at(1000);
    let one = span(scene.trace(1), 1)
        .name("GET /x")
        .kind(SpanKind::Server)
        .at(start)
        .lasting(150 * MILLISECOND)
        .attribute("http.status_code", 500)
        .attribute("retry", "3")
        .attribute("ok", true)
        .attribute("payload", &b"\x01\x02\x03"[..])
        .event_at(
            "exception",
            start + 10 * MILLISECOND,
            [key_value("type", "T")],
        )
        .event_at("log", start + 100 * MILLISECOND, []);
    let resource = service("a").attribute("env", "prod");
    scene
        .client
        .store([resource.scope("lib", "", []).span(one)])
        .await;
}

async fn attributes_and_constants(scene: Scene) {
    store(&scene).await;
    let code = || attr("http.status_code");
    judges(
        &scene,
        [
            (eq(code(), "500"), true),
            (eq(code(), int(500)), true),
            (eq(code(), string("500")), false),
            (eq(code(), double(500.0)), false),
            (ne(code(), string("500")), true),
            (ne(attr("missing"), "x"), false),
            (not(eq(attr("missing"), "x")), true),
            (gt(code(), "9"), true),
            (lt("9", code()), true),
            (ne(code(), "abc"), true),
            (eq(attr("ok"), "1"), true),
            (gt(attr("ok"), "false"), false),
            (ne(attr("payload"), string("a")), true),
            (exists(attr("payload")), true),
            (eq(attr("payload"), "AQID"), false),
            (eq(int(1), int(1)), true),
        ],
    )
    .await;
}

async fn durations_and_words(scene: Scene) {
    store(&scene).await;
    let duration = || field("span", "duration");
    judges(
        &scene,
        [
            (gte(duration(), "150ms"), true),
            (gt(duration(), "150ms"), false),
            (eq(field("span", "status"), "unset"), true),
            (in_list(duration(), "", ["100ms", "150ms"]), true),
            (
                lt(field("span", "startTime"), field("span", "endTime")),
                true,
            ),
        ],
    )
    .await;
    refuses_beginning(
        &scene,
        [(
            gt(duration(), "150"),
            r#"cannot compare span.duration against "150": "#,
        )],
    )
    .await;
    refuses(
        &scene,
        [
            (
                eq(field("span", "status"), "UNSET"),
                r#"cannot compare span.status against "UNSET": not one of unset, ok, error"#,
            ),
            (
                is_in(duration(), list("int", ["150000000"])),
                "cannot compare span.duration against a list of int: the field holds duration",
            ),
        ],
    )
    .await;
}

async fn membership(scene: Scene) {
    store(&scene).await;
    judges(
        &scene,
        [
            (
                in_list(field("span", "kind"), "", ["server", "client"]),
                true,
            ),
            (in_list(attr("retry"), "int", ["3"]), false),
            (in_list(attr("retry"), "string", ["3"]), true),
            (not_in(attr("missing"), list("string", ["a"])), false),
            (not(in_list(attr("missing"), "string", ["a"])), true),
            (
                not_in(field("span", "parentSpanID"), list("", ["00"])),
                false,
            ),
        ],
    )
    .await;
    let unsaid = r#"operator "in" takes a list that declares its element type when it is compared against an attribute"#;
    refuses(&scene, [(in_list(attr("retry"), "", ["3"]), unsaid)]).await;
}

async fn levels_and_synthetic_keys(scene: Scene) {
    store(&scene).await;
    judges(
        &scene,
        [
            (eq(attr("env"), "prod"), true),
            (eq(attr_at("span", "env"), "prod"), false),
            (eq(attr_at("scope", "name"), "lib"), false),
            (eq(field("scope", "name"), "lib"), true),
            (exists(field("span", "parentSpanID")), false),
            (not(exists(attr_at("link", "x"))), true),
            (eq(attr("span.kind"), "server"), true),
            (exists(attr_at("resource", "span.kind")), false),
            (eq(attr("resource.env"), "prod"), true),
            (exists(attr_at("span", "resource.env")), false),
            (eq(attr("error"), "true"), false),
            (eq(attr("error"), boolean(false)), true),
        ],
    )
    .await;
}

async fn events(scene: Scene) {
    store(&scene).await;
    let both = || {
        and([
            eq(field("event", "name"), "exception"),
            gt(field("event", "timeSinceStart"), "50ms"),
        ])
    };
    judges(
        &scene,
        [
            (both(), true),
            (some("event", both()), false),
            (ne(field("event", "name"), "log"), false),
            (some("event", ne(field("event", "name"), "log")), true),
            (
                some("event", some("link", exists(field("link", "traceID")))),
                false,
            ),
        ],
    )
    .await;
    let twice = r#"operator "some" is already quantifying over "event", and this version does not define what a nested one would bind"#;
    refuses(&scene, [(some("event", some("event", both())), twice)]).await;
}

async fn patterns(scene: Scene) {
    store(&scene).await;
    judges(
        &scene,
        [
            (regex(field("span", "name"), "/x"), true),
            (regex(field("span", "name"), "get"), false),
            (regex(attr("http.status_code"), "5.."), false),
        ],
    )
    .await;
    let anchored =
        r#"operator "regex" matches anywhere in the value, so a pattern cannot anchor itself"#;
    refuses(&scene, [(regex(field("span", "name"), "^GET"), anchored)]).await;
}

/// 20 nested calls are evaluated, 21 are refused.
async fn nesting(scene: Scene) {
    store(&scene).await;
    let negated = |times| (0..times).fold(exists(field("span", "name")), |inner, _| not(inner));
    judges(&scene, [(negated(19), false), (negated(18), true)]).await;
    refuses(
        &scene,
        [(negated(20), "filter nests calls more than 20 deep")],
    )
    .await;
}

async fn a_service_beside_a_filter(scene: Scene) {
    store(&scene).await;
    let by_service = || eq(field("resource", "service"), "a");
    judges(&scene, [(by_service(), true)]).await;
    let refused = ask(&scene, &scene.query().filter(by_service()).service("a")).await;
    assert_eq!(
        refused.unwrap_err().message(),
        "invalid query filter: it cannot be combined with [service_name]; express those predicates in the filter instead"
    );
}

larder_tests::every_plugin![
    attributes_and_constants,
    durations_and_words,
    membership,
    levels_and_synthetic_keys,
    events,
    patterns,
    nesting,
    a_service_beside_a_filter,
];
