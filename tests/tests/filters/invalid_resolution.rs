//! Constants that their field cannot have: R1, R2, R4.

use larder_tests::filter::{attr, eq, field, gt, gte, is_in, list, lt, ne, not, not_in, string};
use larder_tests::{Plugin, Scene};

use crate::ask::{refuses, refuses_beginning};

/// R1: durations with a unit, instants of RFC 3339, words; exact as far as they are Jaeger's own.
#[tokio::test]
async fn text_that_a_field_cannot_hold_is_refused() {
    let scene = Scene::new(Plugin::Memory).await;
    let duration = || field("span", "duration");
    let (start, end) = (|| field("span", "startTime"), || field("span", "endTime"));
    let mut rows = vec![
        (lt("", duration()), "span.duration", ""),
        (gt(duration(), "150"), "span.duration", "150"),
        (
            ne(field("event", "timeSinceStart"), "-"),
            "event.timeSinceStart",
            "-",
        ),
        (eq(start(), "yesterday"), "span.startTime", "yesterday"),
        (gt("1s", field("event", "time")), "event.time", "1s"),
    ];
    for text in [
        "banana",
        "1d",
        ".s",
        "1 s",
        "--1s",
        "1e3s",
        "9223372036854775808ns",
    ] {
        rows.push((gte(duration(), text), "span.duration", text));
    }
    for text in [
        "2026-08-16",
        "2026-08-16T18:56:20",
        "2026-08-16 18:56:20Z",
        "2026-08-16t18:56:20Z",
        "2026-02-30T00:00:00Z",
        "2026-08-16T18:56:60Z",
        "10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
    ] {
        rows.push((eq(end(), text), "span.endTime", text));
    }
    let rows = rows
        .into_iter()
        .map(|(filter, name, text)| (filter, format!("cannot compare {name} against {text:?}: ")));
    refuses_beginning(&scene, rows).await;
}

/// R1, R2: a word must be one of its field's, whether it declares to be text or declares nothing.
#[tokio::test]
async fn a_word_is_one_that_its_field_holds() {
    let scene = Scene::new(Plugin::Memory).await;
    let (kind, status) = (|| field("span", "kind"), || field("span", "status"));
    let kinds = [
        (eq(kind(), "SERVER"), "SERVER"),
        (ne("", kind()), ""),
        (eq(kind(), string("x")), "x"),
        (is_in(kind(), list("", ["server", "Client"])), "Client"),
    ];
    let words = "unspecified, internal, server, client, producer, consumer";
    let kinds = kinds.map(|(filter, text)| {
        let told = format!("cannot compare span.kind against {text:?}: not one of {words}");
        (filter, told)
    });
    refuses(&scene, kinds).await;
    let statuses = [
        (eq(status(), "UNSET"), "UNSET"),
        (ne(status(), string("server")), "server"),
        (not(eq(status(), "a\"b")), "a\"b"),
        (not_in(status(), list("string", ["ok", "good"])), "good"),
    ];
    let statuses = statuses.map(|(filter, text)| {
        let words = "unset, ok, error";
        let told = format!("cannot compare span.status against {text:?}: not one of {words}");
        (filter, told)
    });
    refuses(&scene, statuses).await;
}

/// R4: the declared type of a list must match the field's type, and its elements must match both.
#[tokio::test]
async fn a_lists_elements_must_be_valid_for_its_field() {
    let scene = Scene::new(Plugin::Memory).await;
    let of = |name, kind, values: [&'static str; 2]| is_in(field("span", name), list(kind, values));
    let rows = [
        ("name", "int", ["1", "2"], "string"),
        ("name", "bool", ["t", "f"], "string"),
        ("kind", "int", ["1", "2"], "spanKind"),
        ("status", "double", ["1", "2"], "spanStatus"),
        ("duration", "int", ["1", "2"], "duration"),
        ("duration", "string", ["1s", "2s"], "duration"),
        ("startTime", "string", ["a", "b"], "timestamp"),
    ];
    let rows = rows.map(|(name, kind, values, holds)| {
        let text =
            format!("cannot compare span.{name} against a list of {kind}: the field holds {holds}");
        (of(name, kind, values), text)
    });
    refuses(&scene, rows).await;
    let element = |value, kind| format!("element {value:?} of a list of {kind}: ");
    let compare = |name, value| format!("cannot compare span.{name} against {value:?}: ");
    let instants = ["2026-08-16T18:56:20Z", "2s"];
    let rows = [
        (of("name", "int", ["1", "x"]), element("x", "int")),
        (
            is_in(attr("a"), list("int", ["1", "x"])),
            element("x", "int"),
        ),
        (
            is_in(attr("a"), list("int", ["1.0"])),
            element("1.0", "int"),
        ),
        (
            not_in(attr("a"), list("double", ["1", "1e400"])),
            element("1e400", "double"),
        ),
        (
            not_in(attr("a"), list("bool", ["true", "yes"])),
            element("yes", "bool"),
        ),
        (of("duration", "", ["1s", "2"]), compare("duration", "2")),
        (of("startTime", "", instants), compare("startTime", "2s")),
    ];
    refuses_beginning(&scene, rows).await;
}
