//! The contents of each built-in field. `host/docs/rules.md`, "Vocabulary", and V11.

use larder_tests::Scene;
use larder_tests::filter::{and, eq, exists, field, gt, gte, lt, lte, ne, regex, string};
use larder_tests::otlp::{hex, service, span};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

use crate::ask::{finds, judges};

async fn texts_are_returned_as_written(scene: Scene) {
    let mut one = span(scene.trace(0xab), 0xcd)
        .name("GET /x")
        .parent(0xef)
        .trace_state("a=1,b=2")
        .status(StatusCode::Error)
        .status_message("boom")
        .kind(SpanKind::Producer)
        .at(scene.at(1))
        .event("log", [])
        .link([0xfe; 16], 0x12, []);
    "c=3".clone_into(&mut one.0.links[0].trace_state);
    let resource = service("shop")
        .schema_url("https://r")
        .scope("lib", "1.2", [])
        .scope_schema_url("https://s");
    scene.store([resource.span(one)]).await;
    let trace = hex(&scene.trace(0xab));
    let rows = [
        ("span", "traceID", &*trace),
        ("span", "spanID", "00000000000000cd"),
        ("span", "parentSpanID", "00000000000000ef"),
        ("span", "traceState", "a=1,b=2"),
        ("span", "name", "GET /x"),
        ("span", "kind", "producer"),
        ("span", "status", "error"),
        ("span", "statusMessage", "boom"),
        ("resource", "service", "shop"),
        ("resource", "schemaURL", "https://r"),
        ("scope", "name", "lib"),
        ("scope", "version", "1.2"),
        ("scope", "schemaURL", "https://s"),
        ("event", "name", "log"),
        ("link", "traceID", "fefefefefefefefefefefefefefefefe"),
        ("link", "spanID", "0000000000000012"),
        ("link", "traceState", "c=3"),
    ];
    for (level, name, value) in rows {
        let it = || field(level, name);
        let found = |holds: bool| if holds { vec![0xab] } else { Vec::new() };
        let rows = [
            (exists(it()), found(true)),
            (eq(it(), value), found(true)),
            (eq(it(), string(value)), found(true)),
            (ne(it(), value), found(false)),
            (regex(it(), &*value[1..].replace('.', r"\.")), found(true)),
            (regex(it(), "no such text"), found(false)),
        ];
        finds(&scene, rows).await;
        if !["kind", "status"].contains(&name) {
            let rows = [
                (
                    eq(it(), &*value.to_uppercase()),
                    found(value == value.to_uppercase()),
                ),
                (gt(it(), ""), found(true)),
                (lt(it(), value), found(false)),
                (lte(it(), value), found(true)),
                (lt(it(), &*format!("{value}!")), found(true)),
                (gte(it(), "\u{10ffff}"), found(false)),
            ];
            finds(&scene, rows).await;
        }
    }
}

/// Every kind has a word; unknown kinds are unspecified.
async fn kinds_are_words(scene: Scene) {
    for (number, kind) in (1..).zip([0, 1, 2, 3, 4, 5, 6]) {
        let mut one = span(scene.trace(number), 1).at(scene.at(100 - number));
        one.0.kind = kind;
        scene.store([scene.resource("a").span(one)]).await;
    }
    let kind = |word: &str| eq(field("span", "kind"), word);
    let rows = [
        (kind("unspecified"), vec![1, 7]),
        (kind("internal"), vec![2]),
        (kind("server"), vec![3]),
        (kind("client"), vec![4]),
        (kind("producer"), vec![5]),
        (kind("consumer"), vec![6]),
        (ne(field("span", "kind"), "server"), vec![1, 2, 4, 5, 6, 7]),
        (exists(field("span", "kind")), vec![1, 2, 3, 4, 5, 6, 7]),
        (regex(field("span", "kind"), "er"), vec![2, 3, 5, 6]),
    ];
    finds(&scene, rows).await;
}

/// Every status has a word; missing statuses and unknown codes are unset.
async fn statuses_are_words(scene: Scene) {
    for (number, code) in (1..).zip([None, Some(0), Some(1), Some(2), Some(3)]) {
        let mut one = span(scene.trace(number), 1).at(scene.at(100 - number));
        if let Some(code) = code {
            one.0.status.get_or_insert_default().code = code;
        }
        scene.store([scene.resource("a").span(one)]).await;
    }
    let status = |word: &str| eq(field("span", "status"), word);
    let rows = [
        (status("unset"), vec![1, 2, 5]),
        (status("ok"), vec![3]),
        (status("error"), vec![4]),
        (ne(field("span", "status"), "error"), vec![1, 2, 3, 5]),
        (regex(field("span", "status"), "e"), vec![1, 2, 4, 5]),
    ];
    finds(&scene, rows).await;
}

/// A duration is signed, and so is the time of an event since its span's start.
async fn durations_are_signed(scene: Scene) {
    let start = scene.at(5_000);
    let mut backwards = span(scene.trace(1), 1)
        .at(start)
        .event_at("e", start - 30, []);
    backwards.0.end_time_unix_nano = start - 10;
    scene.store([scene.resource("a").span(backwards)]).await;
    let rows = [
        (eq(field("span", "duration"), "-10ns"), true),
        (lt(field("span", "duration"), "0"), true),
        (gt(field("span", "duration"), "-11ns"), true),
        (eq(field("event", "timeSinceStart"), "-30ns"), true),
        (gte(field("event", "timeSinceStart"), "0"), false),
        (
            lt(field("event", "timeSinceStart"), field("span", "duration")),
            true,
        ),
        (
            lt(field("span", "endTime"), field("span", "startTime")),
            true,
        ),
        (
            and([
                lt(field("event", "time"), field("span", "endTime")),
                exists(field("event", "time")),
            ]),
            true,
        ),
    ];
    judges(&scene, rows).await;
}

larder_tests::every_plugin![
    texts_are_returned_as_written,
    kinds_are_words,
    statuses_are_words,
    durations_are_signed,
];
