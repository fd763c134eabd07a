//! Tests of patterns: matches, error texts and limits.

#![allow(clippy::expect_used, reason = "tests")]

mod bounds;
mod common;
mod differences;
mod refused;
mod trees;

use std::time::{Duration, Instant};

use super::Pattern;

/// A pattern, texts that it matches, and texts that it does not match.
type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

/// No test takes as long.
fn later() -> Instant {
    Instant::now() + Duration::from_hours(1)
}

fn check(rows: &[Row<'_>]) {
    for (text, matches, others) in rows {
        let pattern = Pattern::new(text).expect(text);
        for value in *matches {
            assert_eq!(
                pattern.is_match(value.as_bytes(), later()),
                Ok(true),
                "{text} on {value:?}"
            );
        }
        for value in *others {
            assert_eq!(
                pattern.is_match(value.as_bytes(), later()),
                Ok(false),
                "{text} on {value:?}"
            );
        }
    }
}

#[test]
fn patterns_are_equal_by_their_text() {
    let pattern = |text: &str| Pattern::new(text).expect("a pattern");
    assert_eq!(pattern("a|b"), pattern("a|b").clone());
    assert_ne!(pattern("a|b"), pattern("[ab]"));
    assert_eq!(format!("{:?}", pattern("a|b")), "Pattern(\"a|b\")");
}
