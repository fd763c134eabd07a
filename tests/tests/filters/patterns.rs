//! Patterns: V12.

use larder_tests::Scene;
use larder_tests::filter::{attr, attr_at, field, not, regex, string};
use larder_tests::otlp::{IntoValue, key_value, span};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

use crate::ask::judges;

/// Asserts which patterns match a text.
async fn found_in<const N: usize>(scene: &Scene, text: &str, rows: [(&str, bool); N]) {
    let scene = scene.again();
    let one = span(scene.trace(1), 1).at(scene.at(1)).attribute("k", text);
    scene.store([scene.resource("a").span(one)]).await;
    let untyped = rows.map(|(pattern, found)| (regex(attr("k"), pattern), found));
    judges(&scene, untyped).await;
    let typed = rows.map(|(pattern, found)| (regex(attr("k"), string(pattern)), found));
    judges(&scene, typed).await;
}

/// Patterns match anywhere in the value, and are case-sensitive.
async fn a_pattern_is_found_anywhere(scene: Scene) {
    let rows = [
        ("GET", true),
        ("get", false),
        ("users", true),
        ("42", true),
        ("", true),
        (".*", true),
        ("/users/[0-9]+", true),
        ("/users/[a-z]+", false),
        ("(GET|POST) /", true),
        ("(?:PUT|POST) /", false),
        ("u.{3}s", true),
        ("u.{4}s", false),
        (r"\.", false),
        (r"\x2fusers\/4", true),
        ("(?P<id>[0-9]{2})", true),
        ("(?<id>[0-9]{3})", false),
        ("[[:upper:]]{3} ", true),
        ("[^a-zA-Z0-9 /]", false),
        ("x*", true),
        ("x+", false),
        ("(?s)G.T", true),
        ("(?-i)GET", true),
    ];
    found_in(&scene, "GET /users/42", rows).await;
}

/// A class of both cases is not case folding. (Jaeger of August 2026 refused it; a later one accepts it.)
async fn both_cases_may_be_written_out(scene: Scene) {
    let rows = [
        ("[gG][eE][tT]", true),
        ("(g|G)ET", true),
        ("[uU]SERS", false),
    ];
    found_in(&scene, "GET /users/42", rows).await;
}

/// RE2 as implemented by Go: classes are ASCII, `.` matches one character other than a newline, `\Q` quotes, and sets have no operators.
async fn patterns_have_the_semantics_of_re2(scene: Scene) {
    let rows = [
        (r"\d", false),
        (r"\w", false),
        (r"\W\D", true),
        (r"\pL\p{Nd}", true),
        ("[[:digit:]]", false),
        ("é.ß", true),
        ("É", false),
        (r"\x{e9}", true),
    ];
    found_in(&scene, "é٣ß", rows).await;
    let rows = [
        ("a.b", false),
        ("(?s)a.b", true),
        (r"a\sb", true),
        ("a[^x]b", true),
        (r"a\nb", true),
    ];
    found_in(&scene, "a\nb", rows).await;
    found_in(&scene, "a\u{a0}b", [(r"a\sb", false), (r"a\Sb", true)]).await;
    let rows = [
        (r"\Qa.b\E&", true),
        (r"\Qa.c\E", false),
        (r"\Q{,2}", true),
        ("[x&&y]<", true),
        (r"\<c", true),
        ("c[+--]", true),
        ("{,2}", true),
    ];
    found_in(&scene, "a.b&<c-{,2}", rows).await;
    let rows = [
        ("a{2}", true),
        ("a{3}", false),
        ("a{,2}", false),
        ("a{0,1000}", true),
    ];
    found_in(&scene, "aa", rows).await;
}

/// RE2 allows up to a thousand repetitions of a class.
async fn a_large_pattern_is_a_pattern(scene: Scene) {
    let long = "ß".repeat(1000);
    let rows = [
        (r"[^x]{1000}", true),
        (r".{1000}", true),
        (r"(\pL{2}){10}", true),
        (r"\pL{20}\pN", false),
    ];
    found_in(&scene, &long, rows).await;
}

/// Text only: numbers, booleans and opaque values match no pattern.
async fn only_text_matches_a_pattern(scene: Scene) {
    let values = [
        500.into_value(),
        5.5.into_value(),
        true.into_value(),
        b"5"[..].into_value(),
    ];
    for value in values {
        let scene = scene.again();
        let one = span(scene.trace(1), 1)
            .at(scene.at(1))
            .attribute("k", value);
        scene.store([scene.resource("a").span(one)]).await;
        let rows = [
            (regex(attr("k"), "5"), false),
            (regex(attr("k"), ""), false),
            (regex(attr("k"), "true"), false),
            (not(regex(attr("k"), ".*")), true),
        ];
        judges(&scene, rows).await;
    }
}

/// A pattern may match any of several values, at any level; words are text.
async fn a_pattern_is_sought_in_every_value(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .kind(SpanKind::Server)
        .status(StatusCode::Ok)
        .attribute("k", 5)
        .event("first", [key_value("k", "xa")])
        .event("second", [key_value("k", "xb")])
        .link([0xab; 16], 1, []);
    let resource = scene.resource("a").attribute("k", "text");
    scene
        .store([resource.scope("lib", "1.5", []).span(one)])
        .await;
    let rows = [
        (regex(attr("k"), "ex"), true),
        (regex(attr_at("span", "k"), "ex"), false),
        (regex(attr_at("event", "k"), "xb"), true),
        (regex(attr_at("event", "k"), "xc"), false),
        (regex(field("event", "name"), "con"), true),
        (regex(field("span", "kind"), "serv"), true),
        (regex(field("span", "kind"), "SERV"), false),
        (regex(field("span", "status"), "ok|error"), true),
        (regex(field("scope", "version"), r"1\.5"), true),
        (regex(field("link", "traceID"), "(ab){16}"), true),
        (regex(field("span", "statusMessage"), ""), false),
        (regex(attr("error"), ""), false),
    ];
    judges(&scene, rows).await;
}

larder_tests::every_plugin![
    a_pattern_is_found_anywhere,
    both_cases_may_be_written_out,
    patterns_have_the_semantics_of_re2,
    a_large_pattern_is_a_pattern,
    only_text_matches_a_pattern,
    a_pattern_is_sought_in_every_value,
];
