//! A few patterns, each with its meaning as a function, so that regular expressions are checked without regular expressions. Tests and
//! benchmarks that need another pattern add it here.

type Meaning = fn(&str) -> bool;

/// Every pattern that a filter may use.
pub(crate) const PATTERNS: [(&str, Meaning); 21] = [
    ("", |_| true),
    (".*", |_| true),
    ("x", |text| text.contains('x')),
    ("X+", |text| text.contains('X')),
    ("x{2}", |text| text.contains("xx")),
    ("(GET|POST) /", |text| {
        text.contains("GET /") || text.contains("POST /")
    }),
    ("[0-9]", |text| text.chars().any(|one| one.is_ascii_digit())),
    (r"\d\.", |text| {
        pairs(text, |one, two| one.is_ascii_digit() && two == '.')
    }),
    ("[a-z]", |text| {
        text.chars().any(|one| one.is_ascii_lowercase())
    }),
    ("[^a-z]", |text| {
        text.chars().any(|one| !one.is_ascii_lowercase())
    }),
    (".", |text| text.chars().any(|one| one != '\n')),
    ("(?s).", |text| !text.is_empty()),
    ("1.", |text| {
        pairs(text, |one, two| one == '1' && two != '\n')
    }),
    (r"\.", |text| text.contains('.')),
    ("é|true", |text| {
        text.contains('é') || text.contains("true")
    }),
    ("er", |text| text.contains("er")),
    ("un(set|specified)", |text| {
        text.contains("unset") || text.contains("unspecified")
    }),
    ("lib?", |text| text.contains("li")),
    ("(?:ab)+c", |text| text.contains("abc")),
    ("items/[a-z]", |text| {
        let mut rests = text.split("items/").skip(1);
        rests.any(|rest| rest.starts_with(|one: char| one.is_ascii_lowercase()))
    }),
    ("beta-.*out", |text| {
        let lines = text.lines().filter_map(|line| line.split_once("beta-"));
        lines.map(|(_, rest)| rest).any(|rest| rest.contains("out"))
    }),
];

fn pairs(text: &str, test: fn(char, char) -> bool) -> bool {
    text.chars()
        .zip(text.chars().skip(1))
        .any(|(one, two)| test(one, two))
}

/// Returns true if a text contains a match of the pattern.
pub(super) fn is_found(pattern: &str, text: &str) -> bool {
    let known = PATTERNS.iter().find(|(known, _)| *known == pattern);
    let (_, meaning) = known.unwrap_or_else(|| panic!("{pattern:?} is not in the table"));
    meaning(text)
}
