//! Patterns that are not RE2, or that some backend could not match. `host/docs/rules.md`, "Refused filters".

use larder_proto::expression::v1::Call;
use larder_tests::filter::{and, exists, field, not, regex, string};
use larder_tests::{Plugin, Scene};

use crate::ask::{refuses, refuses_beginning};

fn pattern(pattern: &str) -> Call {
    regex(field("span", "name"), string(pattern))
}

async fn refused<const N: usize>(patterns: [&str; N], text: &str) {
    let scene = Scene::new(Plugin::Memory).await;
    refuses(&scene, patterns.map(|one| (pattern(one), text))).await;
    let untyped = patterns.map(|one| (regex(field("span", "name"), one), text));
    refuses(&scene, untyped).await;
    let inside = patterns.map(|one| {
        let there = exists(field("span", "name"));
        (and([there, not(pattern(one))]), text)
    });
    refuses(&scene, inside).await;
}

#[tokio::test]
async fn a_pattern_is_not_anchored() {
    refused(
        [
            "^GET",
            "GET$",
            r"\AGET",
            r"GET\z",
            "(^|a)b",
            "(?m)^a",
            "(?m:a$)",
            "a(b(c|$))*",
        ],
        r#"operator "regex" matches anywhere in the value, so a pattern cannot anchor itself"#,
    )
    .await;
}

#[tokio::test]
async fn a_pattern_has_no_word_boundaries() {
    refused(
        [r"\bGET", r"GET\b", r"\BET", r"(a|\b)+"],
        r#"operator "regex" takes a pattern without word boundaries"#,
    )
    .await;
}

#[tokio::test]
async fn a_pattern_is_not_lazy() {
    refused(
        [
            "a*?", "a+?", "a??", "a{1,2}?", "(a+?b)*", "(?U)a*", "(?U:a+)",
        ],
        r#"operator "regex" asks whether the value matches, so a quantifier cannot be lazy"#,
    )
    .await;
}

#[tokio::test]
async fn a_pattern_does_not_fold_case() {
    refused(
        ["(?i)get", "(?i:get)", "a(?i)b", "(?i:é)", "(?si)get"],
        r#"operator "regex" matches case-sensitively, so a pattern cannot use an inline case-folding flag"#,
    )
    .await;
}

/// Including syntax that Rust's `regex` accepts: RE2 has no verbose flag, no stacked repetitions, and none above a thousand.
#[tokio::test]
async fn a_pattern_is_re2() {
    let scene = Scene::new(Plugin::Memory).await;
    let patterns = [
        "GET (",
        "a)",
        "[a",
        "*a",
        "+",
        "a{1001}",
        "(?:a{500}){3}",
        "a**",
        "a{2}{3}",
        "(?=a)",
        "(?!a)",
        "(?<=a)b",
        r"\1",
        r"\Z",
        r"\C",
        r"\y",
        r"\",
        r"\u0041",
        "(?x)a b",
        "(?u)a",
        "[b-a]",
        "[[:word2:]]",
        r"\pX1",
    ];
    let text = r#"operator "regex" takes a pattern in RE2 syntax: "#;
    refuses_beginning(&scene, patterns.map(|one| (pattern(one), text))).await;
}

/// The cost of a pattern is limited, even if RE2 allows it.
#[tokio::test]
async fn a_pattern_that_compiles_to_too_much_is_refused() {
    refused(
        [r"\pL{1000}", r"(\pL{25}){40}", r"\pL{999}\pN"],
        "operator \"regex\" got a pattern that takes more than 1048576 bytes when compiled; \
         repeat less often, or repeat narrower character classes",
    )
    .await;
}
