//! Errors of refused patterns. Most are syntax errors of RE2, in the words of Go's `regexp/syntax`.

use std::fmt;

/// The error of a refused pattern. `Display` gives the whole text for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is not RE2: what is wrong, and the piece of the pattern that is.
    Syntax { code: Code, fragment: String },
    /// Its classes have more ranges than are kept.
    Classes,
}

/// Go's error codes for a pattern; `Display` gives Go's text for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Code {
    #[error("invalid character class range")]
    InvalidRange,
    #[error("invalid escape sequence")]
    InvalidEscape,
    #[error("invalid named capture")]
    InvalidNamedCapture,
    #[error("invalid or unsupported Perl syntax")]
    InvalidPerlSyntax,
    #[error("invalid nested repetition operator")]
    InvalidRepeatOperator,
    #[error("invalid repeat count")]
    InvalidRepeatCount,
    #[error("missing closing ]")]
    MissingBracket,
    #[error("missing closing )")]
    MissingParenthesis,
    #[error("missing argument to repetition operator")]
    MissingRepeatArgument,
    #[error("trailing backslash at end of expression")]
    TrailingBackslash,
    #[error("unexpected )")]
    UnexpectedParenthesis,
    #[error("expression nests too deeply")]
    NestsTooDeeply,
    #[error("expression too large")]
    TooLarge,
}

// === impl Refusal ===

impl Refusal {
    pub(super) fn new(code: Code, fragment: &str) -> Self {
        let fragment = fragment.to_owned();
        Self::Syntax { code, fragment }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { code, fragment } => write!(
                f,
                "operator \"regex\" takes a pattern in RE2 syntax: error parsing regexp: {code}: `{fragment}`"
            ),
            Self::Classes => f.write_str(
                "operator \"regex\" got a pattern whose character classes have too many ranges together; \
                 use fewer classes such as \\pL, or narrower ones",
            ),
        }
    }
}
