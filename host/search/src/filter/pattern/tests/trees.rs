//! Random patterns whose fate hangs on the tree that Go makes: flags that are lost where text is joined, alternatives that
//! become a class, beginnings that alternatives share. The answers are those of Jaeger with Go 1.26.

use super::check;
use crate::filter::pattern::Pattern;

/// A pattern, texts that it matches, and texts that it does not match.
const ACCEPTED: &[(&str, &[&str], &[&str])] = &[
    (
        "ab|[a-c]|(?U:[ab])",
        &["a", "b", "ab", "ac"],
        &["A", "k", "K"],
    ),
    ("abc|1(?U:ab)d|(?m)a", &["a", "ab", "ac"], &["A", "b", "k"]),
    ("[^a]|(?U:a)", &["a", "A", "b", "k"], &[]),
    ("a|A|b", &["a", "A", "b", "ab"], &["k", "K", "\u{212a}"]),
    ("(?U:ab)|ab", &["ab"], &["a", "A", "b"]),
    ("a(?U)b", &["ab"], &["a", "A", "b"]),
    ("a(?U:b)", &["ab"], &["a", "A", "b"]),
    ("ac|(?U:ab)", &["ab", "ac"], &["a", "A", "b"]),
    ("(?s:.)|(?U:[ab])", &["a", "A", "b", "k"], &[]),
    (r"[^\n]|\n", &["a", "A", "b", "k"], &[]),
    ("(?U:.)|(?s:.)", &["a", "A", "b", "k"], &[]),
    ("(?U:)|a", &["a", "A", "b", "k"], &[]),
    ("[ab]c|(?U:[ab]d)", &["ac"], &["a", "A", "b"]),
];

const FOLD: &str = "so a pattern cannot use an inline case-folding flag";

#[test]
fn flags_that_go_loses_do_not_matter() {
    check(ACCEPTED);
}

/// A flag that folds case is refused by the text of the pattern, whatever becomes of it in the tree.
#[test]
fn a_folding_flag_is_refused_even_where_go_loses_it() {
    for pattern in [
        "(?i:k)|[ab]|(?U:a)",
        "b+|A(?i:[1])",
        "A|b|(?i:[^a])",
        "(?i:[1])|a|b",
        "ab|a|(?i:[1])ac",
        "(?is)",
        "a(?-i)[ǅǄǆ]a|1|(?i:é)",
        "a|(?-i)[ǅǄǆ]a|1|(?i:é)",
        "a|(?i:k)|b",
        ".a|(?i:.)|Aa*B",
        "[kK\u{212a}]|(?i:[k])|ab",
        "(?is:a)|[kK]",
        "A|a|b|(?i:a)",
        "[ab]|(?i:[ab])",
        "abd|[ab]|(?i:[ab])",
        "(?i:é)|[kK]",
        "(?i:1)|1",
        "1|(?i:1)",
        "(?:a|b)|(?i:é)",
        "(?i)[1]",
        "(?i:s)|[xy]",
        r"[x-z]|(?i:\x{1E9E})",
        "(?i:.)|(?s:.)",
        "(?i:)a",
        "a(?i)",
    ] {
        let refused = Pattern::new(pattern).expect_err(pattern);
        assert!(refused.ends_with(FOLD), "{pattern}: {refused}");
    }
}

#[test]
fn flags_that_go_keeps_are_refused() {
    const LAZY: &str = "so a quantifier cannot be lazy";
    for (pattern, expected) in [
        ("(?i:a)|a", FOLD),
        ("a|(?i:a)", FOLD),
        ("(?U:ab)|.b", LAZY),
        ("ab|(?U:ab)", LAZY),
        ("(?U)a(?-U)b", LAZY),
        ("abc|abc|a{2}|(?U:ab)", LAZY),
        ("a{2}b|(?U:ab)", LAZY),
        ("(?U: ){0}x", LAZY),
        ("(?i)[k]", FOLD),
        ("(?i:[a]|[b])", FOLD),
        ("(?i:ab|ac)", FOLD),
        ("(?i:[^k])|x", FOLD),
        (r"x|(?i:[\W])", FOLD),
        (r"(?i:\p{Lu})|x", FOLD),
        (r"x|(?i:\p{Lu})", FOLD),
        (r"x|(?i:\P{Lu})", FOLD),
        ("(?U)|(?U)a", LAZY),
        ("(?U:(?:a|b)|c)", LAZY),
        ("(?U:a|ab)", LAZY),
        ("x|(?U:a|ab)", LAZY),
        ("(?U:[ab]c|[ab]d)", LAZY),
        ("(?U:[ab]c)|[ab]d", LAZY),
        ("[ab]{2}c|(?U:[ab]{2}d)", LAZY),
        ("(?i:[ab]c)|[ab]c", FOLD),
    ] {
        let refused = Pattern::new(pattern).expect_err(pattern);
        assert!(refused.ends_with(expected), "{pattern}: {refused}");
    }
}

#[test]
fn letters_of_both_cases_that_are_written_out_match_in_both() {
    check(&[
        ("[gG][eE][tT]", &["get", "GET", "gEt"], &["ge"]),
        ("(g|G)ET", &["gET", "GET"], &["get"]),
        ("[Δδ]x", &["Δx", "δx"], &["ΔX"]),
        ("A|a", &["a", "A"], &["b"]),
        ("[kK\u{212a}]s", &["ks", "Ks", "\u{212a}s"], &["kS"]),
        ("A|[δΔ](.|a{2})", &["A", "δx", "Δaa"], &["δ", "a"]),
        ("[Aa]b|[Aa]c", &["Ab", "ac"], &["Ad"]),
    ]);
}
