//! Limits of the cost of a pattern: Go's, and ours where Go's are too wide.

use std::time::Instant;

use proptest::prelude::*;

use super::{check, later};
use crate::budget::OutOfTime;
use crate::filter::pattern::{MAX_BYTES, Pattern};

fn refused(pattern: &str) -> String {
    Pattern::new(pattern).expect_err("a pattern over a limit")
}

#[test]
fn a_pattern_of_the_greatest_length_is_taken() {
    let longest = "a".repeat(MAX_BYTES);
    check(&[(&longest, &[&longest], &["aaa"])]);
}

#[test]
fn a_longer_pattern_is_refused() {
    let expected = "operator \"regex\" takes a pattern of at most 16384 bytes, got 16385; \
                    ask for fewer alternatives, or for several patterns with \"or\"";
    assert_eq!(refused(&"a".repeat(MAX_BYTES + 1)), expected);
}

#[test]
fn a_repetition_of_a_thousand_is_taken() {
    let thousand = "x/".repeat(1000);
    check(&[
        ("x(?:/x){999}/", &[&thousand], &[&thousand[1..]]),
        ("(?s).{1000}", &[&thousand], &["x/"]),
        ("[^y]{1000}", &[&thousand], &["x/"]),
        (r"(?:\w/){1000}", &[&thousand], &[&thousand[2..]]),
    ]);
}

#[test]
fn a_pattern_that_compiles_to_too_much_is_refused() {
    let expected = "operator \"regex\" got a pattern that takes more than 1048576 bytes when compiled; \
                    repeat less often, or repeat narrower character classes";
    for pattern in [r"\pL{1000}", r"\PL{1000}", r"(?:\pL\pN\PC){100}"] {
        assert_eq!(refused(pattern), expected, "{pattern}");
    }
    assert_eq!(refused(&".{1000}".repeat(2000)), expected);
}

#[test]
fn classes_of_too_many_ranges_are_refused() {
    let expected = "operator \"regex\" got a pattern whose character classes have too many ranges together; \
                    use fewer classes such as \\pL, or narrower ones";
    assert_eq!(refused(&r"\pL".repeat(5000)), expected);
    assert_eq!(refused(&format!("[{}]", r"\pL".repeat(5000))), expected);
}

#[test]
fn a_tree_of_a_thousand_levels_is_taken_and_no_higher_one() {
    let nested = |levels: usize| format!("{}x{}", "(".repeat(levels), ")*".repeat(levels));
    check(&[(&nested(499), &["", "x"], &[])]);
    let pattern = nested(500);
    let expected = format!(
        "operator \"regex\" takes a pattern in RE2 syntax: error parsing regexp: expression nests too deeply: `{pattern}`"
    );
    assert_eq!(refused(&pattern), expected);
}

#[test]
fn a_tree_that_repeats_too_much_is_too_large() {
    let repeated = |letters: usize| format!("(?:{}){{1000}}", "ab*".repeat(letters));
    assert!(refused(&repeated(600)).contains("when compiled"));
    let pattern = repeated(900);
    let expected = format!(
        "operator \"regex\" takes a pattern in RE2 syntax: error parsing regexp: expression too large: `{pattern}`"
    );
    assert_eq!(refused(&pattern), expected);
}

#[test]
fn a_match_that_takes_too_long_is_given_up() {
    let costly = Pattern::new(&"a?".repeat(4000)).expect("a pattern");
    let text = "b".repeat(1 << 20);
    assert_eq!(costly.is_match(text.as_bytes(), Instant::now()), Ok(true));
    let costly = Pattern::new(&format!("{}c", "(?:a?b)".repeat(2000))).expect("a pattern");
    assert_eq!(
        costly.is_match(text.as_bytes(), Instant::now()),
        Err(OutOfTime)
    );
}

/// Pieces of patterns, so that random ones get far.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b",
        "A",
        "k",
        "é",
        "(",
        "(?:",
        "(?i:",
        "(?U)",
        "(?P<n>",
        ")",
        "|",
        "*",
        "+",
        "?",
        "{2}",
        "{1000}",
        "{0,}",
        "{",
        "[",
        "[^",
        "]",
        "-",
        "&&",
        "[:alpha:]",
        "\\d",
        "\\W",
        "\\pL",
        "\\p{Greek}",
        "\\Q",
        "\\E",
        "\\",
        "\\x{",
        "}",
        "\\1",
        "\\b",
        "^",
        ".",
        "\n",
    ]);
    let random = prop::collection::vec(any::<char>(), 0..40);
    prop_oneof![
        4 => prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat()),
        1 => random.prop_map(|text| text.into_iter().collect()),
    ]
}

proptest! {
    #[test]
    fn any_text_is_a_pattern_or_is_refused_as_one(pattern in pieces(), text in any::<Vec<u8>>()) {
        match Pattern::new(&pattern) {
            Ok(pattern) => {
                // A match has to end, whatever its answer; stored text is UTF-8, but a pattern need not rely on it.
                let first = pattern.is_match(&text, later());
                prop_assert_eq!(pattern.clone().is_match(&text, later()), first);
            }
            Err(refusal) => prop_assert!(refusal.starts_with("operator \"regex\" ")),
        }
    }
}
